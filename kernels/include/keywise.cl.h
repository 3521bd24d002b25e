// Softcap, bias, ALiBi and masks on vectors of scores, for CPU-shaped kernels: the same rules as mask.cl.h, which
// serves whatever does not lie contiguous.
#ifndef ATTN_KEYWISE_CL_H
#define ATTN_KEYWISE_CL_H

#include "include/mask.cl.h"

// Whether the mask forbids keys first .. first + TILE_KEYS - 1 to all the rows. 0 also when that is not looked at.
static inline int keywise_closed(const attn_arguments *a, const attn_extras *x, long b, long h, long row, int rows,
                                 long first) {
    if (!(ATTN_FEATURES(a) & ATTN_HAS_MASK_BYTES) || a->mask.stride[3] != 1 || first + TILE_KEYS > a->key_length) {
        return 0;
    }
    for (int i = 0; i < rows; i++) {
        __global const uchar *mask = x->mask + attn_row_at(&a->mask, b, h, row + i) + first;
        for (int n = 0; n < TILE_KEYS; n += 4) {
            if (any((char4)(as_char4(vload4(0, mask + n)) != (char4)0))) {
                return 0;
            }
        }
    }
    return 1;
}

// Whether a whole vector of keys from j on can be handled by keywise_vector.
static inline int keywise_is_plain(const attn_arguments *a, const attn_row *row, long j) {
    const int features = ATTN_FEATURES(a);
    long distance = j - row->position;
    return j + VECTOR <= a->key_length && !(features & ATTN_HAS_MASK_BITS) &&
           (!(features & ATTN_HAS_MASK_BYTES) || a->mask.stride[3] == 1) &&
           (!(features & (ATTN_HAS_BIAS_FP32 | ATTN_HAS_BIAS_STORAGE)) || a->bias.stride[3] == 1) &&
           distance > -(1L << 24) && distance < (1L << 24);
}

static inline vfloat keywise_vector(const attn_arguments *a, const attn_extras *x, const attn_row *row, long j,
                                    vfloat score) {
    const int features = ATTN_FEATURES(a);
    if (features & ATTN_HAS_SOFTCAP) {
        score = a->softcap * tanh(score / a->softcap);
    }
    if (features & (ATTN_HAS_BIAS_FP32 | ATTN_HAS_BIAS_STORAGE)) {
        vfloat bias = (features & ATTN_HAS_BIAS_FP32)
                          ? vector_load(0, (__global const float *)x->bias + row->bias_at + j)
                          : ATTN_LOADN(VECTOR, (__global const attn_storage *)x->bias, row->bias_at + j);
        score = bias == (vfloat)-INFINITY ? (vfloat)-INFINITY : score + bias;
    }
    if (features & ATTN_HAS_ALIBI) {
        vint distance = (vint)(int)(j - row->position) + LANES;
        score = fma((vfloat)-row->slope, fabs(convert_vfloat(distance)), score);
    }
    if (features & ATTN_HAS_MASK_BYTES) {
        vint allowed = convert_vint(ATTN_CAT(vload, VECTOR)(0, x->mask + row->mask_at + j));
        score = allowed != (vint)0 ? score : (vfloat)-INFINITY;
    }
    return score;
}

// Of a row's range the part in keys first .. first + TILE_KEYS - 1: low <= n < high, counted from first, and n < before.
typedef struct keywise_part {
    int low, high;
    int before; // 0 without a prefix
} keywise_part;

// Nothing where the row is not `there`.
static inline keywise_part keywise_part_of(const attn_range *r, long first, int there) {
    keywise_part part;
    part.low = (int)clamp(r->begin - first, 0L, (long)TILE_KEYS);
    part.high = there ? (int)clamp(r->end - first, 0L, (long)TILE_KEYS) : 0;
    part.before = ATTN_PREFIX && there ? (int)clamp(attn_range_prefix(r) - first, 0L, (long)TILE_KEYS) : 0;
    return part;
}

// The scores of VECTOR keys from first + n on, one by one.
static inline void keywise_scores(const attn_arguments *a, const attn_extras *x, const attn_row *row, long first,
                                  keywise_part part, int n, float *scores) {
    for (int k = max(part.low, n); k < min(part.high, n + VECTOR); k++) {
        scores[k] = attn_score_step(a, x, row, first + k, scores[k]);
    }
    for (int k = n; k < min(part.before, n + VECTOR); k++) {
        scores[k] = attn_score_step(a, x, row, first + k, scores[k]);
    }
}

// One row's scores of TILE_KEYS keys from `first` on; only those of `part` are in its range.
static inline void keywise_row(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long h,
                               long i, long first, keywise_part part, float *scores) {
    const int low = part.low, high = part.high;
    const int features = ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP);
    const attn_row row = attn_get_row(a, x, e, b, h, i);
    for (int n = 0; n < TILE_KEYS; n += VECTOR) {
        if (features && ((low < n + VECTOR && high > n) || part.before > n)) {
            if (keywise_is_plain(a, &row, first + n)) {
                vector_store(keywise_vector(a, x, &row, first + n, vector_load(0, scores + n)), 0, scores + n);
            } else {
                keywise_scores(a, x, &row, first, part, n, scores);
            }
        }
        vint lane = LANES + n;
        vint inside = (lane >= (vint)low) & (lane < (vint)high);
        inside |= ATTN_PREFIX ? lane < (vint)part.before : (vint)0;
        vector_store(inside ? vector_load(0, scores + n) : (vfloat)-INFINITY, 0, scores + n);
    }
}

#endif
