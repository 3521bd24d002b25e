/*
 * Pairs of bf16 on AVX512-BF16 (vdpbf16ps). Compiled with flags of its own (cmake/CompileFlags.cmake) and entered only after
 * cpu_features.c said yes; so nothing outside the kernels may live here. Everything is in cpu_pairs_body.h.
 */
#if defined(__AVX512BF16__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define ATTN_VECTOR_BYTES 64
#define ATTN_AVX512_BF16 1
#define ATTN_PAIRS attn_cpu_pairs_avx512
#define ATTN_PAIRS_NAME "avx512-bf16"
#include "engines/cpu/pairs/cpu_pairs_body.h"
#else
#include "engines/cpu/cpu_kernels.h"

const attn_cpu_unit *attn_cpu_pairs_avx512(void) {
    return NULL;
}
#endif
