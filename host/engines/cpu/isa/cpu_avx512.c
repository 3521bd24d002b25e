/*
 * The kernels for AVX-512 (F, BW, DQ, VL). Compiled with flags of its own (cmake/CompileFlags.cmake) and entered only after
 * cpu_features.c said yes; so nothing outside the kernels may live here. Everything is in cpu_body.h.
 */
#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define ATTN_VECTOR_BYTES 64
#define ATTN_KERNELS attn_cpu_kernels_avx512
#define ATTN_KERNELS_NAME "avx512"
#include "engines/cpu/isa/cpu_body.h"
#else
#include "engines/cpu/cpu_kernels.h"

const attn_cpu_kernels *attn_cpu_kernels_avx512(void) {
    return NULL;
}
#endif
