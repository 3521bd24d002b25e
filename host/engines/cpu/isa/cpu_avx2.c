/*
 * The kernels for AVX2 with FMA and F16C. Compiled with flags of its own (cmake/CompileFlags.cmake) and entered only after
 * cpu_features.c said yes; so nothing outside the kernels may live here. Everything is in cpu_body.h.
 */
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define ATTN_VECTOR_BYTES 32
#define ATTN_KERNELS attn_cpu_kernels_avx2
#define ATTN_KERNELS_NAME "avx2"
#include "engines/cpu/isa/cpu_body.h"
#else
#include "engines/cpu/cpu_kernels.h"

const attn_cpu_kernels *attn_cpu_kernels_avx2(void) {
    return NULL;
}
#endif
