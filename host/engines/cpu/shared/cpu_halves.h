/*
 * bf16 as bits, for units that multiply it. They take denormals for 0: size_limit() says up to which size of the inputs
 * nobody sees that.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_HALVES_H
#define ATTN_ENGINES_CPU_SHARED_CPU_HALVES_H

#include <math.h>
#include <string.h>

#include "engines/cpu/shared/cpu_vector.h"

typedef uint16_t vw __attribute__((vector_size(ATTN_VECTOR_BYTES)));

/**
 * A unit takes denormals for 0. That is below what anyone sees while sizes stay under this limit, and so do sums of
 * products under the largest float; what exceeds it goes to the careful path, row by row for queries, the item for keys.
 */
static float size_limit(double scale) {
    return (float)fmin(ldexp(1, 56), exp2(floor(80 - log2(fmax(fabs(scale), 1e-12)))));
}

/** The first n < 2 * LANES elements of 16 bits, the rest 0. */
INLINE vu load_words(const uint16_t *bits, int64_t n) {
    vu words = { 0 };
    if (n >= 2 * LANES) {
        memcpy(&words, bits, sizeof words);
    } else if (n > 0) {
#if ATTN_VECTOR_BYTES == 64
        words = (vu)_mm512_maskz_loadu_epi16((__mmask32)((1u << n) - 1), bits);
#else
        memcpy(&words, bits, (size_t)n * sizeof *bits);
#endif
    }
    return words;
}

/** The first n elements, LANES at most, the rest 0. */
INLINE vh load_halves(const uint16_t *bits, int64_t n) {
    vh half = { 0 };
    if (n >= LANES) {
        memcpy(&half, bits, sizeof half);
    } else if (n > 0) {
#if ATTN_VECTOR_BYTES == 64
        half = (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), bits);
#else
        memcpy(&half, bits, (size_t)n * sizeof *bits);
#endif
    }
    return half;
}

/** Elements of bf16 whose size is beyond limit, or that are NaN: -1, else 0. */
INLINE vi beyond_limit(vu words, float limit) {
    uint32_t bits;
    memcpy(&bits, &limit, sizeof bits);
    return (vi)(((vw)words & 0x7fff) > (uint16_t)(bits >> 16));
}

/** LANES columns of two rows of bf16 as words: lane i holds element i of `even`, then of `odd`. What is not there is 0. */
INLINE vu paired_rows(const uint16_t *even, const uint16_t *odd, int64_t n_even, int64_t n_odd) {
    vh low = load_halves(even, n_even), high = load_halves(odd, n_odd);
    return __builtin_convertvector(low, vu) | __builtin_convertvector(high, vu) << 16;
}

#endif
