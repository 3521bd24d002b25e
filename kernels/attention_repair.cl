// Recomputes the output rows that came out not finite, looking only at keys that the row may attend: a value that is
// masked for this row may hold anything, and 0 * NaN in the fast kernels is NaN. A work-item looks at `rows` rows; a
// finite row costs one reading. What the allowed inputs themselves make Inf or NaN comes out the same again.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/dropout.cl.h"
#include "include/softmax_online.cl.h"

#define COLUMNS 32 // at a time: the scores are computed again for each block of columns
#define CHAIN 64   // keys summed in one chain

typedef struct repair_row {
    long b, h, i, query_at;
    attn_range range;
} repair_row;

// 0 * x is 0 for what is finite, NaN for the rest.
static inline int is_finite_row(const attn_arguments *a, __global const attn_output *output, long at) {
    const int columns = (int)a->value_dim;
    float4 zeros = (float4)0.0f;
    float zero = 0.0f;
    int c = 0;
    for (; c + 4 <= columns; c += 4) {
        zeros = fma(ATTN_LOAD_OUTPUTN(4, output, at + c), (float4)0.0f, zeros);
    }
    for (; c < columns; c++) {
        zero = fma(ATTN_LOAD_OUTPUT(output, at + c), 0.0f, zero);
    }
    return zeros.x + zeros.y + zeros.z + zeros.w + zero == 0.0f;
}

// Natural score of key j; *allowed says which is a score of -INFINITY that the inputs made from a forbidden key.
static inline float get_score(const attn_arguments *a, const attn_extras *x, const repair_row *r, const attn_row *row,
                       __global const attn_storage *query, __global const attn_storage *key, long j, int *allowed) {
    *allowed = attn_mask_allows(a, x, row->mask_at, j) && attn_bias(a, x, row->bias_at, j) != -INFINITY;
    if (!*allowed) {
        return -INFINITY;
    }
    long at = attn_key_at(&a->key, r->b, r->h / a->group, j);
    float dot0 = 0.0f, dot1 = 0.0f;
    for (int d = 0; d + 1 < (int)a->head_dim; d += 2) {
        dot0 = fma(ATTN_LOAD(query, r->query_at + d), ATTN_LOAD(key, at + d), dot0);
        dot1 = fma(ATTN_LOAD(query, r->query_at + d + 1), ATTN_LOAD(key, at + d + 1), dot1);
    }
    if (a->head_dim & 1) {
        long last = a->head_dim - 1;
        dot0 = fma(ATTN_LOAD(query, r->query_at + last), ATTN_LOAD(key, at + last), dot0);
    }
    return attn_score_step(a, x, row, j, a->scale * (dot0 + dot1));
}

// Returns whether there was a key that the row attends to and that dropout keeps.
static inline int repair_columns(const attn_arguments *a, const attn_extras *x, const repair_row *r,
                                 const attn_row *row, __global const attn_storage *query,
                                 __global const attn_storage *key, __global const attn_storage *value, float maximum,
                                 int first, int count, float *total, float *weight_sum) {
    float block[COLUMNS], block_sum = 0.0f;
    int kept = 0;
    const attn_dropout_row dropout = attn_get_dropout_row(x, r->b, r->h, r->i);
    *weight_sum = 0.0f;
    for (int c = 0; c < COLUMNS; c++) {
        total[c] = block[c] = 0.0f;
    }
    for (long j = attn_first_block(&r->range, 1); j < r->range.end; j = attn_next_block(&r->range, j, 1, 1)) {
        int allowed;
        float score = get_score(a, x, r, row, query, key, j, &allowed);
        if (allowed) {
            float w = exp(score - maximum);
            long at = attn_key_at(&a->value, r->b, r->h / a->group, j) + first;
            block_sum += w;
            const int columns = attn_dropout_keeps(&dropout, j) ? count : 0;
            kept |= columns;
            for (int c = 0; c < columns; c++) {
                block[c] = fma(w, ATTN_LOAD(value, at + c), block[c]);
            }
        }
        if (j % CHAIN == CHAIN - 1 || j == r->range.end - 1) {
            *weight_sum += block_sum;
            block_sum = 0.0f;
            for (int c = 0; c < COLUMNS; c++) {
                total[c] += block[c];
                block[c] = 0.0f;
            }
        }
    }
    return kept;
}

static inline void repair(const attn_arguments *a, const attn_extras *x, repair_row *r,
                          __global const attn_storage *query, __global const attn_storage *key,
                          __global const attn_storage *value, __global attn_output *output,
                          __global float *logsumexp) {
    const long at = attn_row_at(&a->output, r->b, r->h, r->i);
    const attn_entry e = attn_get_entry(a, x, r->b);
    const attn_row row = attn_get_row(a, x, &e, r->b, r->h, r->i);
    r->query_at = attn_row_at(&a->query, r->b, r->h, r->i);
    const attn_range range = attn_row_range(a, &e, r->i);
    r->range = range;
    const float sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) ? x->sinks[a->sinks_at + r->h] : -INFINITY;
    float maximum = sink;
    for (long j = attn_first_block(&r->range, 1); j < r->range.end; j = attn_next_block(&r->range, j, 1, 1)) {
        int allowed;
        float score = get_score(a, x, r, &row, query, key, j, &allowed);
        maximum = score > maximum ? score : maximum;
    }
    maximum = maximum == -INFINITY ? 0.0f : maximum;
    for (int c = 0; c < (int)a->value_dim; c += COLUMNS) {
        const int count = min(COLUMNS, (int)a->value_dim - c);
        float total[COLUMNS], sum;
        const int kept = repair_columns(a, x, r, &row, query, key, value, maximum, c, count, total, &sum);
        sum += sink == -INFINITY ? 0.0f : exp(sink - maximum);
        for (int k = 0; k < count; k++) {
            const float y = ATTN_DROPOUT ? total[k] * ATTN_KEEP(x) : total[k];
            ATTN_STORE_OUTPUT(output, at + c + k, sum == 0.0f || (ATTN_DROPOUT && !kept) ? 0.0f : y / sum);
        }
        if (c == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) {
            logsumexp[ATTN_LOGSUMEXP_AT(a, r->b, r->h, r->i)] = maximum + log(sum);
        }
    }
}

__kernel KERNEL_OF_VECTORS
void attention_repair(attn_arguments a, long first_item, int rows, ATTN_EXTRAS_PARAMETERS,
                      __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                      __global const attn_storage *restrict value, __global attn_output *restrict output,
                      __global float *restrict logsumexp) {
    const attn_extras x = ATTN_EXTRAS;
    const long first = (first_item + get_global_id(0)) * rows, all = a.batch * a.query_heads * a.query_length;
    for (long number = first; number < min(first + rows, all); number++) {
        repair_row r;
        r.i = number % a.query_length;
        r.h = number / a.query_length % a.query_heads;
        r.b = number / a.query_length / a.query_heads;
        if (!is_finite_row(&a, output, attn_row_at(&a.output, r.b, r.h, r.i))) {
            repair(&a, &x, &r, query, key, value, output, logsumexp);
        }
    }
}
