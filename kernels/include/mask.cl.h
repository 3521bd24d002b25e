// Which keys a row may attend to, and what is added to its scores. The range by lengths, causal rule and window is an
// interval that never moves back from row to row, and with -DATTN_PREFIX=1 a second one before it, the prefix where it
// stands apart from the window; mask and bias are looked up inside them, key by key.
// To add a kind of mask: a feature bit in arguments.cl.h and a term in attn_keywise().
#ifndef ATTN_MASK_CL_H
#define ATTN_MASK_CL_H

#include "include/arguments.cl.h"
#include "include/training.cl.h"
#include "include/index.cl.h"
#include "include/key_range.cl.h"
#include "include/types.cl.h"

// What a program is built for beside the forward's features; without these it takes no argument more.
#ifndef ATTN_DROPOUT
#define ATTN_DROPOUT 0
#endif
#define ATTN_TRAINING (ATTN_DROPOUT || ATTN_PREFIX)

// A program may be built with -DATTN_FIXED_FEATURES=bits: the compiler then drops what is not there.
#ifdef ATTN_FIXED_FEATURES
#define ATTN_FEATURES(a) (ATTN_FIXED_FEATURES)
#else
#define ATTN_FEATURES(a) ((a)->features)
#endif

// The memory behind masks, lengths and per-head numbers. Kernels take it as ATTN_EXTRAS_PARAMETERS (the host passes the
// seven buffers in this order, and what training adds; a buffer that the call does not have is a dummy) and gather it by
// ATTN_EXTRAS.
typedef struct attn_extras {
    __global const uchar *mask;
    __global const void *bias;
    __global const float *slopes;
    __global const float *sinks;
    __global const void *query_lengths;
    __global const void *key_lengths;
    __global const void *offsets;
#if ATTN_TRAINING
    const attn_training *training;
    __global const void *first_rows;
    __global const void *first_keys;
#endif
} attn_extras;

#if ATTN_TRAINING
#define ATTN_TRAINING_PARAMETERS                                                                                       \
    , const attn_training extra_training, __global const void *extra_first_rows, __global const void *extra_first_keys
#define ATTN_TRAINING_EXTRAS , &extra_training, extra_first_rows, extra_first_keys
#else
#define ATTN_TRAINING_PARAMETERS
#define ATTN_TRAINING_EXTRAS
#endif

#define ATTN_EXTRAS_PARAMETERS                                                                                         \
    __global const uchar *extra_mask, __global const void *extra_bias, __global const float *extra_slopes,             \
        __global const float *extra_sinks, __global const void *extra_query_lengths,                                   \
        __global const void *extra_key_lengths, __global const void *extra_offsets ATTN_TRAINING_PARAMETERS

#define ATTN_EXTRAS                                                                                                    \
    {                                                                                                                  \
        extra_mask, extra_bias, extra_slopes, extra_sinks, extra_query_lengths, extra_key_lengths,                     \
            extra_offsets ATTN_TRAINING_EXTRAS                                                                         \
    }

// One batch entry: used lengths, clamped to the call's, and the key position of row 0.
typedef struct attn_entry {
    long query_length, key_length, offset;
#if ATTN_PREFIX
    long prefix, prefix_to; // row i sees keys 0 <= j < min(prefix, i + prefix_to), whatever the window says
#endif
} attn_entry;

static inline attn_entry attn_get_entry(const attn_arguments *a, const attn_extras *x, long b) {
    const int features = ATTN_FEATURES(a);
    attn_entry e = { a->query_length, a->key_length, a->offset };
    if (features & ATTN_HAS_QUERY_LENGTHS) {
        int wide = (features & ATTN_HAS_WIDE_QUERY_LENGTHS) != 0;
        e.query_length =
            clamp(attn_integer_at(x->query_lengths, wide, a->query_lengths_at + b), 0L, (long)a->query_length);
    }
    if (features & ATTN_HAS_KEY_LENGTHS) {
        int wide = (features & ATTN_HAS_WIDE_KEY_LENGTHS) != 0;
        e.key_length = clamp(attn_integer_at(x->key_lengths, wide, a->key_lengths_at + b), 0L, (long)a->key_length);
    }
    if (a->offset_kind == ATTN_OFFSET_BOTTOM_RIGHT) {
        e.offset = e.key_length - e.query_length;
    } else if (a->offset_kind == ATTN_OFFSET_ARRAY) {
        int wide = (features & ATTN_HAS_WIDE_OFFSETS) != 0;
        e.offset = clamp(attn_integer_at(x->offsets, wide, a->offsets_at + b), -ATTN_MOST_OFFSET, ATTN_MOST_OFFSET);
    }
#if ATTN_PREFIX
    e.prefix = min((long)x->training->prefix, e.key_length);
    e.prefix_to = (x->training->features & ATTN_HAS_CAUSAL) ? e.offset + 1 : ATTN_FAR;
#endif
    return e;
}

#if ATTN_PREFIX
#define ATTN_PREFIX_END(e, i) min((e)->prefix, (i) + (e)->prefix_to) // of row i, where it is used; may be negative
#else
#define ATTN_PREFIX_END(e, i) 0
#endif

// The range of row i.
static inline attn_range attn_row_range(const attn_arguments *a, const attn_entry *e, long i) {
    attn_range r = { 0, i < e->query_length ? e->key_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        long position = i + e->offset;
        r.begin = max(r.begin, position - a->band_left);
        r.end = min(r.end, position + a->band_right + 1);
    }
    return attn_with_prefix(r, i < e->query_length ? ATTN_PREFIX_END(e, i) : 0);
}

// The union over rows first .. last (those inside the used length): what a block of rows has to visit.
static inline attn_range attn_rows_range(const attn_arguments *a, const attn_entry *e, long first, long last) {
    last = min(last, e->query_length - 1);
    attn_range r = { 0, first <= last ? e->key_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max(r.begin, first + e->offset - a->band_left);
        r.end = min(r.end, last + e->offset + a->band_right + 1);
    }
    return attn_with_prefix(r, first <= last ? ATTN_PREFIX_END(e, last) : 0);
}

// Keys that every one of the rows first .. last may attend to, as far as the range decides: inside it no compares are
// needed.
static inline attn_range attn_rows_common_range(const attn_arguments *a, const attn_entry *e, long first, long last) {
    attn_range r = { 0, last < e->query_length ? e->key_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max(r.begin, last + e->offset - a->band_left);
        r.end = min(r.end, first + e->offset + a->band_right + 1);
    }
    return attn_with_prefix(r, last < e->query_length ? ATTN_PREFIX_END(e, first) : 0);
}

// Whether the mask, if there is one, allows (b, h, i, j). mask_row = attn_row_at(&a->mask, b, h, i).
static inline int attn_mask_allows(const attn_arguments *a, const attn_extras *x, long mask_row, long j) {
    const int features = ATTN_FEATURES(a);
    if (features & ATTN_HAS_MASK_BYTES) {
        return x->mask[mask_row + j * a->mask.stride[3]] != 0;
    }
    if (features & ATTN_HAS_MASK_BITS) {
        long key = j * a->mask.stride[3];
        return (x->mask[mask_row + (key >> 3)] >> (key & 7)) & 1;
    }
    return 1;
}

// Bias at (b, h, i, j), 0 without one. bias_row = attn_row_at(&a->bias, b, h, i).
static inline float attn_bias(const attn_arguments *a, const attn_extras *x, long bias_row, long j) {
    const int features = ATTN_FEATURES(a);
    if (features & ATTN_HAS_BIAS_FP32) {
        return ((__global const float *)x->bias)[bias_row + j * a->bias.stride[3]];
    }
    if (features & ATTN_HAS_BIAS_STORAGE) {
        return ATTN_LOAD((__global const attn_storage *)x->bias, bias_row + j * a->bias.stride[3]);
    }
    return 0.0f;
}

static inline float attn_softcap(const attn_arguments *a, float score) {
    return (ATTN_FEATURES(a) & ATTN_HAS_SOFTCAP) ? a->softcap * tanh(score / a->softcap) : score;
}

// What the key-by-key features of one row need, looked up once a row.
typedef struct attn_row {
    long mask_at, bias_at, position; // position = i + offset
    float slope;
} attn_row;

static inline attn_row attn_get_row(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long h,
                                    long i) {
    attn_row row;
    row.mask_at = attn_row_at(&a->mask, b, h, i);
    row.bias_at = attn_row_at(&a->bias, b, h, i);
    row.position = i + e->offset;
    row.slope = (ATTN_FEATURES(a) & ATTN_HAS_ALIBI) ? x->slopes[a->slopes_at + h] : 0.0f;
    return row;
}

// Score after softcap -> after bias, ALiBi and mask; -INFINITY where mask or bias forbid key j, whatever the score is.
// j must be inside the key length; the row's range is the caller's business.
static inline float attn_keywise(const attn_arguments *a, const attn_extras *x, const attn_row *row, long j,
                                 float score) {
    const int features = ATTN_FEATURES(a);
    float bias = attn_bias(a, x, row->bias_at, j);
    int allowed = attn_mask_allows(a, x, row->mask_at, j) && bias != -INFINITY;
    if (features & (ATTN_HAS_BIAS_FP32 | ATTN_HAS_BIAS_STORAGE)) {
        score += bias;
    }
    if (features & ATTN_HAS_ALIBI) {
        score -= row->slope * fabs((float)(j - row->position));
    }
    return allowed ? score : -INFINITY;
}

// Whether mask and bias let the row attend to key j, which is inside its range.
static inline int attn_pair_allowed(const attn_arguments *a, const attn_extras *x, const attn_row *row, long j) {
    return attn_mask_allows(a, x, row->mask_at, j) && attn_bias(a, x, row->bias_at, j) != -INFINITY;
}

// Scaled score -> what softmax sees. j must be inside the row's range.
static inline float attn_score_step(const attn_arguments *a, const attn_extras *x, const attn_row *row, long j,
                                    float score) {
    score = attn_softcap(a, score);
    return (ATTN_FEATURES(a) & ATTN_HAS_KEYWISE) ? attn_keywise(a, x, row, j, score) : score;
}

#endif
