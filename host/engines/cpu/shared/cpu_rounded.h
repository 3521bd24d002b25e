/*
 * Rows whose weights are rounded to bf16 before they meet the values: softmax in place, the sums before and after rounding.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_ROUNDED_H
#define ATTN_ENGINES_CPU_SHARED_CPU_ROUNDED_H

#include <math.h>
#include <string.h>

#include "engines/cpu/shared/cpu_dropout.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_rows.h"

/** 2 * LANES weights, finite or NaN and never denormal, rounded to bf16; what they became is added to *sum. */
INLINE void store_rounded(uint16_t *bits, vf a, vf b, vf *sum) {
#if ATTN_AVX512_BF16
    __m512bh both = _mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
    *sum = (vf)_mm512_dpbf16_ps((__m512)*sum, both, (__m512bh)_mm512_set1_epi16(0x3f80));
    memcpy(bits, &both, sizeof both);
#else
    vh low = to_bf16(a), high = to_bf16(b);
    *sum += (vf)(__builtin_convertvector(low, vu) << 16) + (vf)(__builtin_convertvector(high, vu) << 16);
    memcpy(bits, &low, sizeof low);
    memcpy(bits + LANES, &high, sizeof high);
#endif
}

/** 2^t for a weight that is rounded next; to its last digits where sums before rounding are asked for too. */
INLINE vf rounded_power(const bool exact, vf t) {
    return exact ? power_of_two(t) : power_of_two_short(t);
}

/**
 * Scores times factor of keys begin .. end of one row become weights in bf16, in the first half of the same memory. *sums
 * takes them as rounded, so that what rounding did to all of them alike cancels when the row is divided; *exact before.
 */
INLINE void rounded_row(float *scores, int begin, int end, vf factor, vf zero, vf *sums, vf *exact) {
    uint16_t *weights = (uint16_t *)(void *)scores;
    vf sum = { 0 }, sum2 = { 0 }, before = { 0 };
    int c = begin;
    for (; c + 4 * LANES <= end; c += 4 * LANES) {
        vf e[4];
        UNROLL for (int i = 0; i < 4; i++) {
            e[i] = rounded_power(exact != NULL, load(scores + c + i * LANES) * factor - zero);
        }
        store_rounded(weights + c, e[0], e[1], &sum);
        store_rounded(weights + c + 2 * LANES, e[2], e[3], &sum2);
        if (exact) before += (e[0] + e[1]) + (e[2] + e[3]);
    }
    for (; c < end; c += 2 * LANES) {
        vf e = rounded_power(exact != NULL, load(scores + c) * factor - zero);
        vf e2 = rounded_power(exact != NULL, load(scores + c + LANES) * factor - zero);
        store_rounded(weights + c, e, e2, &sum);
        if (exact) before += e + e2;
    }
    *sums += sum + sum2;
    if (exact) *exact += before;
}

/** Dropout of what rounded_row() made of keys key + begin .. key + end. */
static void drop_rounded(const prefill_work *p, int64_t row, int64_t key, float *scores, int begin, int end) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    const uint32_t *masks = dropout_masks(p->dropout, p->h, p->first + row, key + begin, end - begin, room);
    uint16_t *weights = (uint16_t *)(void *)scores;
    for (int c = begin; c < end; c += LANES) {
        vh half;
        memcpy(&half, weights + c, sizeof half);
        half &= __builtin_convertvector(load_mask(masks + c - begin), vh);
        memcpy(weights + c, &half, sizeof half);
    }
}

/** Takes a block's maximum into row's, the row's other sum along. */
INLINE vf raise_row(const prefill_work *p, int64_t row, float top, bool first) {
    float before = p->maxima[row];
    vf zero = raise_maximum(top - p->job->headroom, &p->maxima[row], &p->sums[row], p->output + row * p->output_pitch,
                            p->output_pitch, first);
    if (p->exact && before > -INFINITY && p->maxima[row] > before) {
        p->exact[row] *= power_of_two(splat(before - p->maxima[row]));
    }
    return zero;
}

#endif
