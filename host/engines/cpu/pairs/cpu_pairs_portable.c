/*
 * Pairs of bf16 in portable C, on any processor: for tests alone, never chosen (it is slow). May not assume an
 * instruction set. Everything is in cpu_pairs_body.h.
 */
#define ATTN_VECTOR_BYTES 16
#define ATTN_AVX512_BF16 0
#define ATTN_PAIRS attn_cpu_pairs_portable
#define ATTN_PAIRS_NAME "portable pairs of bf16"
#include "engines/cpu/pairs/cpu_pairs_body.h"
