/*
 * The kernels of linear maps in vectors of 8 floats, compiled with the flags for avx2 where there are any. The text is
 * linear_cpu_body.h; elsewhere the table is empty.
 */
#if defined(__AVX2__) && defined(__FMA__)
#define ATTN_VECTOR_BYTES 32
#define ATTN_KERNEL attn_linear_kernel_avx2
#define ATTN_KERNEL_NAME "avx2"
#include "engines/linear/linear_cpu_body.h"
#else
#include "engines/linear/linear_cpu.h"

const attn_linear_kernel *attn_linear_kernel_avx2(void) {
    return NULL;
}
#endif
