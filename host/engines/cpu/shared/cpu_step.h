/*
 * The step between the two products, for problems that have one: softcap, bias, ALiBi, mask. One pass a feature, on
 * scores that lie in L1; each pass keeps the maximum, so that the last one has it. A new feature of the
 * score is one more kind, in the order of the formula: what forbids comes last, and selects.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_STEP_H
#define ATTN_ENGINES_CPU_SHARED_CPU_STEP_H

#include <math.h>

#include "base/memory.h"
#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_tanh.h"
#include "problem/mask.h"
#include "problem/problem.h"

/** What a pass does. A row's kinds are a set of these; bias and mask in the form that they lie in. */
enum {
    STEP_CAP = 1,
    STEP_ALIBI = 2,
    STEP_BIAS = 4, /* fp32 */
    STEP_BIAS_FP16 = 8,
    STEP_BIAS_BF16 = 16,
    STEP_BIAS_STRIDED = 32,
    STEP_BYTES = 64,
    STEP_BITS = 128,
    STEP_BYTES_STRIDED = 256,
    STEP_BIT_STRIDED = 512 /* bit 0 for every key */
};

/** What the step needs of one row. */
typedef struct step_row {
    int kinds;
    clattn_type bias_type;
    const char *bias; /* of key 0; NULL = none */
    const uint8_t *mask;
    int64_t bias_stride, mask_stride; /* elements a key */
    int64_t position;                 /* i + offset */
    float slope;
    cap_factors cap;
} step_row;

static int64_t bias_size(clattn_type type) {
    return type == CLATTN_FP32 ? 4 : 2;
}

static void start_bias(step_row *row, const attn_cpu_job *job, int64_t b, int64_t h, int64_t i) {
    const attn_view *bias = &job->call->bias;
    row->bias_type = attn_bias_type(job->problem);
    row->bias = (const char *)bias->data + attn_view_row(bias, b, h, i) * bias_size(row->bias_type);
    row->bias_stride = bias->stride[3];
    if (row->bias_stride != 1) {
        row->kinds |= STEP_BIAS_STRIDED;
    } else {
        row->kinds |= row->bias_type == CLATTN_FP16   ? STEP_BIAS_FP16
                      : row->bias_type == CLATTN_BF16 ? STEP_BIAS_BF16
                                                      : STEP_BIAS;
    }
}

static void start_mask(step_row *row, const attn_cpu_job *job, int64_t b, int64_t h, int64_t i) {
    const attn_view *mask = &job->call->mask;
    row->mask = (const uint8_t *)mask->data + attn_view_row(mask, b, h, i);
    row->mask_stride = mask->stride[3];
    bool bits = job->problem->mask == CLATTN_MASK_BITS;
    if (mask->stride[3] == 1) {
        row->kinds |= bits ? STEP_BITS : STEP_BYTES;
    } else {
        row->kinds |= bits ? STEP_BIT_STRIDED : STEP_BYTES_STRIDED;
    }
}

static step_row start_step(const attn_cpu_job *job, int64_t b, int64_t h, int64_t i) {
    const clattn_problem *problem = job->problem;
    step_row row = { 0 };
    if (problem->softcap > 0) {
        row.kinds |= STEP_CAP;
        row.cap = start_cap(problem->softcap);
    }
    if (problem->alibi) {
        const attn_view *slopes = &job->call->alibi_slopes;
        row.kinds |= STEP_ALIBI;
        row.slope = ((const float *)slopes->data)[slopes->offset + h];
        row.position = i + attn_call_offset(problem, job->call, b);
    }
    if (problem->bias != CLATTN_BIAS_NONE) start_bias(&row, job, b, h, i);
    if (problem->mask != CLATTN_MASK_NONE) start_mask(&row, job, b, h, i);
    return row;
}

/** The steps of `count` rows from row i on; bytes from row to row of bias and mask. */
static void start_row_steps(step_row *rows, const attn_cpu_job *job, int64_t b, int64_t h, int64_t i, int count,
                            int64_t *next_bias, int64_t *next_mask) {
    step_row row = start_step(job, b, h, i);
    *next_bias = row.bias ? job->call->bias.stride[2] * bias_size(row.bias_type) : 0;
    *next_mask = row.mask ? job->call->mask.stride[2] : 0;
    for (int r = 0; r < count; r++) {
        rows[r] = row;
        row.position++;
        if (r + 1 < count && row.bias) row.bias += *next_bias;
        if (r + 1 < count && row.mask) row.mask += *next_mask;
    }
}

/* One vector of a pass: scores x of keys key .. key + n, n <= LANES; beyond n lanes are scratch. */

INLINE vf alibi_vector(const step_row *row, int64_t key, vf x) {
    vf slope = splat(row->slope * (float)LOG2E), each = __builtin_convertvector(lane_numbers(), vf);
    vf distance = splat((float)(key - row->position)) + each;
    return x - slope * (vf)((vi)distance & splat_int(INT32_MAX));
}

/** A score that is NaN stays so even where the bias is -inf: its row then goes the careful path, which selects. */
INLINE vf bias_vector(const clattn_type type, const step_row *row, int64_t key, int64_t n, vf x) {
    return x + load_up_to(type, row->bias, key, n) * splat((float)LOG2E);
}

static vf bias_strided(const step_row *row, int64_t key, int64_t n, vf x) {
    vf bias = { 0 };
    for (int64_t i = 0; i < attn_min(n, LANES); i++) {
        bias[i] = attn_load_float(row->bias_type, row->bias, (key + i) * row->bias_stride);
    }
    return x + bias * splat((float)LOG2E);
}

INLINE vf bytes_vector(const uint8_t *bytes, int64_t n, vf x) {
    uint8_t part[LANES] = { 0 };
    if (n < LANES) {
        for (int64_t i = 0; i < n; i++) part[i] = bytes[i];
        bytes = part;
    }
#if ATTN_VECTOR_BYTES == 64
    __m128i allowed = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    return (vf)_mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), _mm_test_epi8_mask(allowed, allowed), (__m512)x);
#elif ATTN_VECTOR_BYTES == 32
    vi allowed = (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)bytes));
#else
    vi allowed = { bytes[0], bytes[1], bytes[2], bytes[3] };
#endif
#if ATTN_VECTOR_BYTES != 64
    return choose(allowed != 0, x, splat(-INFINITY));
#endif
}

/** key is a multiple of LANES. */
INLINE vf bits_vector(const uint8_t *bits, int64_t key, int64_t n, vf x) {
    uint32_t word = bits[key / 8];
    if (LANES > 8 && n > 8) word |= (uint32_t)bits[key / 8 + 1] << 8;
#if ATTN_VECTOR_BYTES == 64
    return (vf)_mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), (__mmask16)word, (__m512)x);
#else
    vi bit = splat_int((int32_t)(word >> key % 8)) & (splat_int(1) << lane_numbers());
    return choose(bit != 0, x, splat(-INFINITY));
#endif
}

static vf bytes_strided(const step_row *row, int64_t key, int64_t n, vf x) {
    vi allowed = { 0 };
    for (int64_t i = 0; i < attn_min(n, LANES); i++) allowed[i] = row->mask[(key + i) * row->mask_stride];
    return choose(allowed != 0, x, splat(-INFINITY));
}

INLINE vf step_vector(const int kind, const step_row *row, int64_t key, int64_t n, vf x) {
    switch (kind) {
        case STEP_CAP: return cap_vector(&row->cap, x);
        case STEP_ALIBI: return alibi_vector(row, key, x);
        case STEP_BIAS: return bias_vector(CLATTN_FP32, row, key, n, x);
        case STEP_BIAS_FP16: return bias_vector(CLATTN_FP16, row, key, n, x);
        case STEP_BIAS_BF16: return bias_vector(CLATTN_BF16, row, key, n, x);
        case STEP_BIAS_STRIDED: return bias_strided(row, key, n, x);
        case STEP_BYTES: return bytes_vector(row->mask + key, n, x);
        case STEP_BITS: return bits_vector(row->mask, key, n, x);
        case STEP_BYTES_STRIDED: return bytes_strided(row, key, n, x);
        default: return row->mask[0] & 1 ? x : splat(-INFINITY);
    }
}

/** One kind over the scores of keys first + begin .. first + end of a row; returns their maximum, lane by lane. */
INLINE vf row_pass(const int kind, const step_row *row, float *scores, int64_t first, int begin, int end) {
    vf top = splat(-INFINITY);
    int c = begin;
    for (; c + LANES <= end; c += LANES) {
        vf x = step_vector(kind, row, first + c, LANES, load(scores + c));
        store(scores + c, x);
        top = vmax(x, top);
    }
    if (c < end) store(scores + c, step_vector(kind, row, first + c, end - c, load(scores + c)));
    return top;
}

/** Calls X with each kind. */
#define STEP_KINDS(X)                                                                                                  \
    X(STEP_CAP)                                                                                                        \
    X(STEP_ALIBI)                                                                                                      \
    X(STEP_BIAS) X(STEP_BIAS_FP16) X(STEP_BIAS_BF16) X(STEP_BIAS_STRIDED) X(STEP_BYTES) X(STEP_BITS)                   \
        X(STEP_BYTES_STRIDED) X(STEP_BIT_STRIDED)

static vf any_row_pass(int kind, const step_row *row, float *scores, int64_t first, int begin, int end) {
    switch (kind) {
#define STEP_ROW(constant)                                                                                             \
    case constant: return row_pass(constant, row, scores, first, begin, end);
        STEP_KINDS(STEP_ROW)
#undef STEP_ROW
        default: return splat(-INFINITY);
    }
}

/** -inf outside low .. high, and in the lanes from end to the next whole vector. */
static void bounds_pass(float *scores, int begin, int end, int low, int high) {
    for (int c = begin; c < end; c += LANES) {
        vi at = lane_numbers() + c;
        store(scores + c, choose((at >= low) & (at < high), load(scores + c), splat(-INFINITY)));
    }
}

static float maximum_pass(const float *scores, int begin, int end) {
    vf maximum = splat(-INFINITY), maximum2 = maximum;
    int c = begin;
    for (; c + 2 * LANES <= end; c += 2 * LANES) {
        maximum = vmax(load(scores + c), maximum);
        maximum2 = vmax(load(scores + c + LANES), maximum2);
    }
    for (; c < end; c += LANES) maximum = vmax(load(scores + c), maximum);
    return lanes_max(vmax(maximum, maximum2));
}

/**
 * Turns the products of keys first + begin .. first + end of one row into scores times log2(e), -inf where not allowed:
 * outside low .. high, by the mask, or by a bias of -inf. first + begin is a multiple of LANES. Returns the maximum.
 */
static float step_scores(const step_row *row, float *scores, int64_t first, int begin, int end, int low, int high) {
    vf top = { 0 };
    for (int left = row->kinds; left != 0; left &= left - 1) {
        top = any_row_pass(left & -left, row, scores, first, begin, end);
    }
    bool inner = low <= begin && high >= end && (end - begin) % LANES == 0;
    if (!inner) bounds_pass(scores, begin, end, low, high);
    return inner && row->kinds ? lanes_max(top) : maximum_pass(scores, begin, end);
}

#endif
