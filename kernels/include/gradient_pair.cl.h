// A row and a key of backward from global memory, for kernels that look at pairs one by one: rows that must be made
// again, and sums over a bias. Reads nothing of keys that the row may not attend to. Slow, and short of registers nowhere.
#ifndef ATTN_GRADIENT_PAIR_CL_H
#define ATTN_GRADIENT_PAIR_CL_H

#include "include/gradient_share.cl.h"
#include "include/gradient_types.cl.h"
#include "include/index.cl.h"

#define CHAIN 64 // terms that are summed in one chain

typedef struct gradient_tensors {
    __global const attn_storage *query, *key, *value;
    __global const attn_output *grad_output;
    __global const float *logsumexp, *delta;
    attn_layout grad_output_at, delta_at;
} gradient_tensors;

#define GRADIENT_PARAMETERS                                                                                            \
    __global const attn_storage *query, __global const attn_storage *key, __global const attn_storage *value,          \
        __global const attn_output *grad_output, __global const float *logsumexp, __global const float *delta,         \
        attn_layout grad_output_at, attn_layout delta_at
#define GRADIENT_TENSORS                                                                                               \
    { query, key, value, grad_output, logsumexp, delta, grad_output_at, delta_at }

// A row, looked up once.
typedef struct gradient_row {
    attn_row row;
    attn_range range;
    attn_dropout_row dropout;
    long b, g, query_at, grad_output_at;
    float logsumexp, delta;
} gradient_row;

static inline gradient_row gradient_get_row(const attn_arguments *a, const attn_extras *x, const gradient_tensors *t,
                                            const attn_entry *e, long b, long h, long i) {
    gradient_row r;
    r.row = attn_get_row(a, x, e, b, h, i);
    r.range = attn_row_range(a, e, i);
    r.dropout = attn_get_dropout_row(x, b, h, i);
    r.b = b;
    r.g = h / a->group;
    r.query_at = attn_row_at(&a->query, b, h, i);
    r.grad_output_at = attn_row_at(&t->grad_output_at, b, h, i);
    const int used = i < e->query_length;
    r.logsumexp = used ? t->logsumexp[ATTN_LOGSUMEXP_AT(a, b, h, i)] : -INFINITY;
    r.delta = used ? t->delta[attn_row_at(&t->delta_at, b, h, i)] : 0.0f;
    return r;
}

#define GRADIENT_DOT(NAME, TYPE, LOAD, LOADN)                                                                          \
    static inline float NAME(__global const TYPE *x, long x_at, __global const attn_storage *y, long y_at, int dims) { \
        float4 sum0 = (float4)0.0f, sum1 = (float4)0.0f;                                                               \
        float rest = 0.0f;                                                                                             \
        int d = 0;                                                                                                     \
        for (; d + 8 <= dims; d += 8) {                                                                                \
            sum0 = fma(LOADN(4, x, x_at + d), ATTN_LOADN(4, y, y_at + d), sum0);                                       \
            sum1 = fma(LOADN(4, x, x_at + d + 4), ATTN_LOADN(4, y, y_at + d + 4), sum1);                               \
        }                                                                                                              \
        for (; d < dims; d++) {                                                                                        \
            rest = fma(LOAD(x, x_at + d), ATTN_LOAD(y, y_at + d), rest);                                               \
        }                                                                                                              \
        sum0 += sum1;                                                                                                  \
        return sum0.x + sum0.y + (sum0.z + sum0.w) + rest;                                                             \
    }

GRADIENT_DOT(gradient_dot_query, attn_storage, ATTN_LOAD, ATTN_LOADN)
GRADIENT_DOT(gradient_dot_output, attn_output, ATTN_LOAD_OUTPUT, ATTN_LOAD_OUTPUTN)

// What row and key give to each other; 0, and nothing else, where the row may not attend to the key.
static inline int gradient_get_pair(const attn_arguments *a, const attn_extras *x, const gradient_tensors *t,
                                    const gradient_row *r, long j, gradient_share *share) {
    if (!attn_range_has(&r->range, j) || !attn_pair_allowed(a, x, &r->row, j)) {
        return 0;
    }
    const long key_at = attn_key_at(&a->key, r->b, r->g, j), value_at = attn_key_at(&a->value, r->b, r->g, j);
    const float raw = a->scale * gradient_dot_query(t->query, r->query_at, t->key, key_at, (int)a->head_dim);
    const float dot = gradient_dot_output(t->grad_output, r->grad_output_at, t->value, value_at, (int)a->value_dim);
    *share = gradient_get_share(a, x, &r->row, &r->dropout, j, raw, dot, r->logsumexp, r->delta);
    return 1;
}

#endif
