/*
 * The additive kernel in vectors of 16 floats, compiled with the flags for avx512 where there are any. The text is
 * additive_cpu_body.h; elsewhere the table is empty.
 */
#ifdef __AVX512F__
#define ATTN_VECTOR_BYTES 64
#define ATTN_KERNEL attn_additive_kernel_avx512
#define ATTN_KERNEL_NAME "avx512"
#include "engines/additive/additive_cpu_body.h"
#else
#include "engines/additive/additive_cpu.h"

const attn_additive_kernel *attn_additive_kernel_avx512(void) {
    return NULL;
}
#endif
