// What backward needs of each row before it looks at keys: delta, the dot product of output and its gradient, less the
// gradient of logsumexp; or delta as it is given. Also what the row gives to its head's sink. Built with the type of the
// output. Rows are numbered over [batch, query_heads, query_length]; a work-item makes one.
#include "include/mask.cl.h"

// What `row_number` holds, one number a row.
#define ROW_NOTHING 0
#define ROW_GRAD_LOGSUMEXP 1
#define ROW_DELTA 2

static inline float dot_rows(__global const attn_storage *x, long x_at, __global const attn_storage *y, long y_at, long dim) {
    float4 sums = 0.0f;
    float sum = 0.0f;
    long d = 0;
    for (; d + 4 <= dim; d += 4) {
        sums += ATTN_LOADN(4, x, x_at + d) * ATTN_LOADN(4, y, y_at + d);
    }
    for (; d < dim; d++) {
        sum += ATTN_LOAD(x, x_at + d) * ATTN_LOAD(y, y_at + d);
    }
    return (sums.x + sums.y) + (sums.z + sums.w) + sum;
}

// sink_rows_at: -1 = not asked for.
__kernel void gradient_delta(const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global const attn_storage *output,
                             __global const attn_storage *grad_output, const attn_layout grad_output_layout,
                             __global const float *row_number, const attn_layout row_number_layout, int row_number_kind,
                             __global const float *logsumexp, __global float *to, long delta_at, long sink_rows_at) {
    const attn_extras extras = ATTN_EXTRAS;
    const long number = get_global_id(0), i = number % a.query_length, bh = number / a.query_length;
    const long h = bh % a.query_heads, b = bh / a.query_heads;
    const attn_entry entry = attn_get_entry(&a, &extras, b);
    const int used = i < entry.query_length;
    float delta = 0.0f, given = 0.0f;
    if (used && row_number_kind != ROW_NOTHING) {
        given = row_number[attn_row_at(&row_number_layout, b, h, i)];
    }
    if (used && row_number_kind == ROW_DELTA) {
        delta = given;
    } else if (used) {
        delta = dot_rows(output, attn_row_at(&a.output, b, h, i), grad_output, attn_row_at(&grad_output_layout, b, h, i),
                         a.value_dim) - given;
    }
    to[delta_at + number] = delta;
    if (sink_rows_at >= 0) {
        float change = 0.0f;
        if (used) {
            const float sink = extras.sinks[a.sinks_at + h], sum = logsumexp[ATTN_LOGSUMEXP_AT(&a, b, h, i)];
            change = sink == -INFINITY || sum == -INFINITY ? 0.0f : exp(sink - sum);
            change *= -delta;
        }
        to[sink_rows_at + number] = change;
    }
}
