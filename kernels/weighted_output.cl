// The weighted sum in dense float -> the output in its storage type and layout. A sum that came out NaN or infinite is
// added up again over the allowed keys alone, those that dropout keeps: a product 0 * NaN with a value that the row may not
// attend must not reach it.
#include "include/dropout.cl.h"
#include "include/mask.cl.h"

static inline float allowed_sum(const attn_arguments *a, const attn_extras *x, long b, long h, long i, long d,
                                __global const float *weights, __global const attn_storage *value) {
    const attn_entry entry = attn_get_entry(a, x, b);
    const attn_range range = attn_row_range(a, &entry, i);
    const attn_row row = attn_get_row(a, x, &entry, b, h, i);
    float sum = 0.0f;
    const attn_dropout_row dropout = attn_get_dropout_row(x, b, h, i);
    for (long j = attn_first_block(&range, 1); j < range.end; j = attn_next_block(&range, j, 1, 1)) {
        if (attn_pair_allowed(a, x, &row, j) && attn_dropout_keeps(&dropout, j)) {
            sum += weights[j] * ATTN_LOAD(value, attn_key_at(&a->value, b, h / a->group, j) + d);
        }
    }
    return sum;
}

// One work-group a line: line x of a part is row first_row + x % rows of pair first_pair + x / rows.
__kernel void weighted_output(const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global const float *workspace,
                              long sums_at, long weights_at, long first_pair, long first_row, long rows,
                              __global const attn_storage *value, __global attn_output *restrict output) {
    const attn_extras extras = ATTN_EXTRAS;
    const long line = get_group_id(0), pair = first_pair + line / rows, row = first_row + line % rows;
    const long b = pair / a.kv_heads, h = (pair % a.kv_heads) * a.group + row / a.query_length;
    const long i = row % a.query_length, to = attn_row_at(&a.output, b, h, i);
    sums_at += line * a.value_dim;
    weights_at += line * a.key_length;
    for (long d = get_local_id(0); d < a.value_dim; d += get_local_size(0)) {
        float x = a.key_length > 0 ? workspace[sums_at + d] : 0.0f;
        if (!isfinite(x)) {
            x = allowed_sum(&a, &extras, b, h, i, d, workspace + weights_at, value);
        }
        ATTN_STORE_OUTPUT(output, to + d, x);
    }
}
