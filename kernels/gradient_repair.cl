// Makes rows of grad_query, or of grad_key and grad_value, again that the fast kernels found not finite and left out: from
// pairs that are allowed alone, since what a mask forbids may hold anything, and 0 * NaN is NaN. What the allowed inputs
// themselves make Inf or NaN comes out the same again. `flags` says which rows; a work-item looks at one.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/gradient_pair.cl.h"

#define COLUMNS 32 // at a time: the pairs are computed again for each block of columns
#define QUERY 0
#define KEY 1
#define VALUE 2

// block += what the pair gives to `count` columns from `first` on.
static inline void add_pair(const attn_arguments *a, const attn_extras *x, const gradient_tensors *t,
                            const gradient_row *r, long j, int what, int first, int count, float *block) {
    gradient_share share;
    if (!gradient_get_pair(a, x, t, r, j, &share)) {
        return;
    }
    const long key_at = attn_key_at(&a->key, r->b, r->g, j);
    for (int c = 0; c < count; c++) {
        if (what == QUERY) {
            block[c] = fma(share.dr, ATTN_LOAD(t->key, key_at + first + c), block[c]);
        } else if (what == KEY) {
            block[c] = fma(share.dr, ATTN_LOAD(t->query, r->query_at + first + c), block[c]);
        } else if (share.kept) {
            block[c] = fma(share.weight, ATTN_LOAD_OUTPUT(t->grad_output, r->grad_output_at + first + c), block[c]);
        }
    }
}

static inline void end_chain(long n, float *total, float *block) {
    if (n % CHAIN == CHAIN - 1) {
        for (int c = 0; c < COLUMNS; c++) {
            total[c] += block[c];
            block[c] = 0.0f;
        }
    }
}

// Row (b, line, at) of grad_query, grad_key or grad_value: `line` is a query head or a key-value head.
static inline void repair(const attn_arguments *a, const attn_extras *x, const gradient_tensors *t, long b, long line,
                          long at, int what, __global attn_gradient *result, const attn_layout *result_at, int add) {
    const attn_entry e = attn_get_entry(a, x, b);
    const long to = attn_row_at(result_at, b, line, at);
    const int dims = (int)(what == VALUE ? a->value_dim : a->head_dim);
    for (int first = 0; first < dims; first += COLUMNS) {
        const int count = min(COLUMNS, dims - first);
        float total[COLUMNS], block[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) {
            total[c] = block[c] = 0.0f;
        }
        if (what == QUERY) {
            const gradient_row r = gradient_get_row(a, x, t, &e, b, line, at);
            for (long j = attn_first_block(&r.range, 1); j < r.range.end; j = attn_next_block(&r.range, j, 1, 1)) {
                add_pair(a, x, t, &r, j, what, first, count, block);
                end_chain(j, total, block);
            }
        } else {
            for (long n = 0; n < a->group * e.query_length; n++) {
                const gradient_row r = gradient_get_row(a, x, t, &e, b, line * a->group + n / e.query_length,
                                                        n % e.query_length);
                add_pair(a, x, t, &r, at, what, first, count, block);
                end_chain(n, total, block);
            }
        }
        const float scale = what == VALUE ? 1.0f : a->scale;
        for (int c = 0; c < count; c++) {
            gradient_put(result, to + first + c, scale * (total[c] + block[c]), ATTN_GRADIENT_FP32, add);
        }
    }
}

__kernel void gradient_repair(attn_arguments a, long first_item, ATTN_EXTRAS_PARAMETERS, GRADIENT_PARAMETERS,
                              __global const int *flags, long flags_at, int keys, int add,
                              __global attn_gradient *first_result, attn_layout first_at,
                              __global attn_gradient *second_result, attn_layout second_at, int has_first,
                              int has_second) {
    const attn_extras x = ATTN_EXTRAS;
    const gradient_tensors t = GRADIENT_TENSORS;
    const long item = first_item + get_global_id(0), length = keys ? a.key_length : a.query_length;
    const long lines = keys ? a.kv_heads : a.query_heads, at = item % length, line = item / length % lines;
    const long b = item / length / lines;
    if (!flags[flags_at + item]) {
        return;
    }
    if (has_first) {
        repair(&a, &x, &t, b, line, at, keys ? KEY : QUERY, first_result, &first_at, add);
    }
    if (has_second) {
        repair(&a, &x, &t, b, line, at, VALUE, second_result, &second_at, add);
    }
}
