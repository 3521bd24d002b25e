// From scores to what pairs give to each other on vectors, for attention_backward_cpu.cl: one own line, TILE_KEYS others. Own
// lines are rows and others keys, or with PASS_KEYS=1 the other way round.
#ifndef ATTN_BACKWARD_STEP_CL_H
#define ATTN_BACKWARD_STEP_CL_H

#include "include/dropout_vector.cl.h"
#include "include/keywise.cl.h"

// Softcap's factor of ds, from scaled products: 1 - tanh^2, which has no digits left where tanh is nearly 1.
static inline void step_slopes(const attn_arguments *a, const float *raw, float *slopes) {
    for (int n = 0; n < TILE_KEYS; n += VECTOR) {
        const vfloat e = exp2_vector(fabs(vector_load(0, raw + n)) * (-2.0f * LOG2_E / a->softcap));
        vector_store(4.0f * e / ((1.0f + e) * (1.0f + e)), 0, slopes + n);
    }
}

#if PASS_KEYS
// Bias and mask of key j for VECTOR rows from i on, of which low <= n < high count: -INFINITY where either forbids it.
static inline vfloat step_gather(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long h, long i,
                                 long j, int low, int high) {
    float add[VECTOR];
    for (int n = 0; n < VECTOR; n++) {
        add[n] = 0.0f;
        if (n >= low && n < high) {
            const attn_row row = attn_get_row(a, x, e, b, h, i + n);
            add[n] = attn_mask_allows(a, x, row.mask_at, j) ? attn_bias(a, x, row.bias_at, j) : -INFINITY;
        }
    }
    return vector_load(0, add);
}

// Scores of key j with rows i, i + 1, ...; only those of `part` see it.
static inline void step_line(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long h, long j,
                             long i, keywise_part part, float *scores) {
    const int low = part.low, high = part.high, features = ATTN_FEATURES(a);
    const int gather = features & (ATTN_HAS_MASK_BYTES | ATTN_HAS_MASK_BITS | ATTN_HAS_BIAS_FP32 | ATTN_HAS_BIAS_STORAGE);
    const float slope = (features & ATTN_HAS_ALIBI) ? x->slopes[a->slopes_at + h] : 0.0f;
    for (int n = 0; n < TILE_KEYS; n += VECTOR) {
        vfloat score = vector_load(0, scores + n);
        if (low < n + VECTOR && high > n) {
            if (features & ATTN_HAS_SOFTCAP) {
                score = a->softcap * tanh(score / a->softcap);
            }
            if (gather) {
                const vfloat add = step_gather(a, x, e, b, h, i + n, j, low - n, high - n);
                score = add == (vfloat)-INFINITY ? (vfloat)-INFINITY : score + add;
            }
            if (features & ATTN_HAS_ALIBI) {
                const vfloat distance = (vfloat)(float)(j - (i + n + e->offset)) - convert_vfloat(LANES);
                score = fma((vfloat)-slope, fabs(distance), score);
            }
        }
        const vint lane = LANES + n, inside = (lane >= (vint)low) & (lane < (vint)high);
        vector_store(inside ? score : (vfloat)-INFINITY, 0, scores + n);
    }
}
#else
static inline void step_line(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long h, long i,
                             long j, keywise_part part, float *scores) {
    keywise_row(a, x, e, b, h, i, j, part, scores);
}
#endif

// What dropout multiplies weights of TILE_ROWS own lines from `own` on with TILE_KEYS others from `other` on with.
static inline void step_keep(const attn_extras *x, long b, long h, long own, long other, float *keep) {
#if PASS_KEYS
    for (int n = 0; n < TILE_KEYS; n++) {
        const attn_dropout_row dropout = attn_get_dropout_row(x, b, h, other + n);
        for (int i = 0; i < TILE_ROWS; i += 4) {
            float four[4];
            vstore4(attn_dropout_four(&dropout, own + i, (float4)ATTN_KEEP(x)), 0, four);
            for (int k = i; k < min(i + 4, TILE_ROWS); k++) {
                keep[k * TILE_KEYS + n] = four[k - i];
            }
        }
    }
#else
    for (int i = 0; i < TILE_ROWS; i++) {
        const attn_dropout_row dropout = attn_get_dropout_row(x, b, h, own + i);
        for (int n = 0; n < TILE_KEYS; n++) {
            keep[i * TILE_KEYS + n] = ATTN_KEEP(x);
        }
        dropout_weights(&dropout, other, TILE_KEYS, keep + i * TILE_KEYS);
    }
#endif
}

// Scores to weights, products of grad_output and value to ds, in place. logsumexp and delta are one number each, or with
// PASS_KEYS=1 those of the rows; slopes and keep may be NULL. `closed`: some scores are -INFINITY, and give nothing whatever the rest holds.
static inline void step_shares(float *scores, float *dots, LINE_SPACE const float *logsumexp,
                               LINE_SPACE const float *delta, const float *slopes, const float *keep, int closed) {
    for (int n = 0; n < TILE_KEYS; n += VECTOR) {
        const vfloat score = vector_load(0, scores + n);
#if PASS_KEYS
        const vfloat l = vector_load(0, logsumexp + n), d = vector_load(0, delta + n);
#else
        const vfloat l = (vfloat)*logsumexp, d = (vfloat)*delta;
#endif
        vfloat w = exp2_vector((score - l) * LOG2_E), dot = vector_load(0, dots + n);
        if (keep) { // what is dropped counts for nothing, whatever it is
            dot = vector_load(0, keep + n) == (vfloat)0.0f ? (vfloat)0.0f : dot * vector_load(0, keep + n);
        }
        vfloat ds = w * (dot - d);
        if (keep) {
            w *= vector_load(0, keep + n);
        }
        if (slopes) {
            ds *= vector_load(0, slopes + n);
        }
        if (closed) {
            ds = score == (vfloat)-INFINITY ? (vfloat)0.0f : ds;
        }
        vector_store(w, 0, scores + n);
        vector_store(ds, 0, dots + n);
    }
}

#endif
