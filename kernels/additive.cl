// Additive (Bahdanau) attention: one work-group a query row, one pass over the keys in blocks, with a running maximum
// and sum; the scores of a block live in local memory, those of the row nowhere. Columns of the output belong to one
// work-item each, which keeps their running sums in the output itself. Defines: GROUP (work-items; 1 on CPU devices),
// BLOCK (keys of a block), VECTOR (lanes). With -DWRITE_WEIGHTS the kernel is given logsumexp of every row and writes
// the weights instead.
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define vfloat JOIN(float, VECTOR)
#define vector_load JOIN(vload, VECTOR)
#define vector_store JOIN(vstore, VECTOR)
#define TANH_FLOAT vfloat
#include "include/additive_arguments.cl.h"
#include "include/tanh.cl.h"
#include "include/softmax_online.cl.h"

#if GROUP > 1
#define MEET barrier(CLK_LOCAL_MEM_FENCE)
#else
#define MEET
#endif

static inline float sum_lanes(vfloat x) {
    float lanes[VECTOR];
    vector_store(x, 0, lanes);
    float sum = 0.0f;
    for (int n = 0; n < VECTOR; n++) {
        sum += lanes[n];
    }
    return sum;
}

static inline float additive_score(__global const float *query, __global const float *key, __global const float *v,
                                   long hidden) {
    vfloat sum = (vfloat)0.0f;
    long h = 0;
    for (; h + VECTOR <= hidden; h += VECTOR) {
        sum = mad(vector_load(0, v + h), tanh_quotient(vector_load(0, query + h) + vector_load(0, key + h)), sum);
    }
    if (h < hidden) {
        float x[VECTOR], w[VECTOR];
        for (int n = 0; n < VECTOR; n++) {
            const int there = h + n < hidden;
            x[n] = there ? query[h + n] + key[h + n] : 0.0f;
            w[n] = there ? v[h + n] : 0.0f;
        }
        sum = mad(vector_load(0, w), tanh_quotient(vector_load(0, x)), sum);
    }
    return sum_lanes(sum);
}

// One row of the call: which entry and row, what it may attend to.
typedef struct additive_row {
    long b, i, keys;
    __global const uchar *mask;
} additive_row;

// By pointer: a structure returned by value brings marks along that oclgrind does not know.
static inline void get_row(const additive_arguments *a, long row, __global const uchar *mask,
                           __global const long *query_lengths, __global const long *key_lengths, additive_row *r) {
    r->b = row / a->rows;
    r->i = row % a->rows;
    r->keys = a->has_key_lengths ? key_lengths[r->b] : a->keys;
    r->keys = a->has_query_lengths && r->i >= query_lengths[r->b] ? 0 : r->keys;
    r->mask = mask + r->b * a->mask_stride[0] + r->i * a->mask_stride[1];
}

static inline int is_allowed(const additive_arguments *a, const additive_row *r, long j) {
    return j < r->keys && (!a->has_mask || r->mask[j * a->mask_stride[2]] != 0);
}

#define ADDITIVE_INPUTS                                                                                            \
    additive_arguments a, long first_row, __global const float *restrict query, __global const float *restrict key, \
        __global const float *restrict v, __global const uchar *restrict mask,                                     \
        __global const long *restrict query_lengths, __global const long *restrict key_lengths

#ifndef WRITE_WEIGHTS

// Each work-item makes its columns' sums: what stood before is rescaled, the block is added. A key without weight is
// not looked at: its value may be anything.
static inline void add_columns(__global const float *value, long stride, long there, __local const float *weights,
                               float rescale, __global float *output) {
    vfloat part = (vfloat)0.0f;
    for (long j = 0; j < there; j++) {
        if (weights[j] != 0.0f) {
            part = mad((vfloat)weights[j], vector_load(0, value + j * stride), part);
        }
    }
    vector_store(rescale == 0.0f ? part : mad(vector_load(0, output), (vfloat)rescale, part), 0, output);
}

static inline void add_column(__global const float *value, long stride, long there, __local const float *weights,
                              float rescale, __global float *output) {
    float part = 0.0f;
    for (long j = 0; j < there; j++) {
        part = weights[j] != 0.0f ? mad(weights[j], value[j * stride], part) : part;
    }
    *output = rescale == 0.0f ? part : mad(*output, rescale, part);
}

static inline void add_block(__global const float *value, long there, __local const float *weights, float rescale,
                             long columns, int lane, __global float *output) {
    const long whole = columns / VECTOR * VECTOR;
    for (long d = lane * VECTOR; d < whole; d += GROUP * VECTOR) {
        add_columns(value + d, columns, there, weights, rescale, output + d);
    }
    for (long d = whole + lane; d < columns; d += GROUP) {
        add_column(value + d, columns, there, weights, rescale, output + d);
    }
}

// As add_block() shares the columns out; factor 0 = the row saw nothing.
static inline void finish_columns(long columns, int lane, float factor, __global float *output) {
    const long whole = columns / VECTOR * VECTOR;
    for (long d = lane * VECTOR; d < whole; d += GROUP * VECTOR) {
        vector_store(factor == 0.0f ? (vfloat)0.0f : vector_load(0, output + d) * factor, 0, output + d);
    }
    for (long d = whole + lane; d < columns; d += GROUP) {
        output[d] = factor == 0.0f ? 0.0f : output[d] * factor;
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void additive(ADDITIVE_INPUTS, __global const float *restrict value, __global float *restrict output,
              __global float *restrict logsumexp) {
    __local float weights[BLOCK];
    const int lane = (int)get_local_id(0);
    additive_row r;
    get_row(&a, first_row + (long)get_group_id(0), mask, query_lengths, key_lengths, &r);
    const long row = r.b * a.query_length + r.i;
    __global float *out = output + row * a.value_dim;
    float maximum = -INFINITY, sum = 0.0f;
    int seen = 0;
    for (long first = 0; first < r.keys; first += BLOCK) {
        const long there = min((long)BLOCK, r.keys - first);
        for (long j = lane; j < there; j += GROUP) {
            weights[j] = is_allowed(&a, &r, first + j)
                             ? additive_score(query + row * a.hidden,
                                              key + (r.b * a.key_length + first + j) * a.hidden, v, a.hidden)
                             : -INFINITY;
        }
        MEET;
        float top = maximum;
        for (long j = 0; j < there; j++) {
            top = weights[j] > top ? weights[j] : top;
        }
        MEET;
        for (long j = lane; j < there; j += GROUP) {
            weights[j] = is_allowed(&a, &r, first + j) ? exp_scalar(weights[j] - top) : 0.0f;
        }
        MEET;
        float part = 0.0f;
        for (long j = 0; j < there; j++) {
            part += weights[j];
            seen |= is_allowed(&a, &r, first + j);
        }
        // 0: the output holds nothing of ours yet
        const float rescale = first == 0 ? 0.0f : softmax_rescale(maximum, top);
        sum = mad(sum, rescale, part);
        add_block(value + (r.b * a.key_length + first) * a.value_dim, there, weights, rescale, a.value_dim, lane, out);
        maximum = top;
        MEET;
    }
    const float factor = seen ? 1.0f / sum : 0.0f;
    finish_columns(a.value_dim, lane, factor, out);
    if (lane == 0) {
        logsumexp[row] = seen ? maximum + log(sum) : -INFINITY;
    }
}

#else

// The weights of a row from its logsumexp: the scores are made once more, nothing is kept.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void additive_weights(ADDITIVE_INPUTS, __global const float *restrict logsumexp, __global float *restrict weights) {
    additive_row r;
    get_row(&a, first_row + (long)get_group_id(0), mask, query_lengths, key_lengths, &r);
    const long row = r.b * a.query_length + r.i;
    for (long j = (long)get_local_id(0); j < a.keys; j += GROUP) {
        float w = 0.0f;
        if (is_allowed(&a, &r, j)) {
            const float score =
                additive_score(query + row * a.hidden, key + (r.b * a.key_length + j) * a.hidden, v, a.hidden);
            w = exp_scalar(score - logsumexp[row]);
        }
        weights[row * a.key_length + j] = w;
    }
}

#endif
