// Sums of backward that came out NaN or infinite are added up again over the allowed pairs alone: a product 0 * NaN with what
// takes no part must not reach them. Pairs lie in `shares`, line by line, [key_length] each; `matrix` holds what they were
// multiplied with, rows of `dim` at `leading`, a matrix a pair of batch entry and key-value head at `step`. Each work-group
// looks at one row of the sums: of a row of the call (over_rows = 0: sums over keys), or of a key. What dropout dropped takes
// no part in those of `only_kept`.
#include "include/dropout.cl.h"
#include "include/mask.cl.h"

typedef struct repair_matrix {
    __global const float *data; // of this pair
    long leading;
} repair_matrix;

static inline int allowed(const attn_arguments *a, const attn_extras *x, const attn_entry *entry, long b, long h, long i,
                          long j) {
    const attn_range range = attn_row_range(a, entry, i);
    const attn_row row = attn_get_row(a, x, entry, b, h, i);
    return attn_range_has(&range, j) && attn_pair_allowed(a, x, &row, j);
}

// Line x of the part is row first_line + x of the call, numbered over [batch, query_heads, query_length]; rows: of a pair.
__kernel void backward_repair(const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global float *workspace, long sums_at,
                              long shares_at, __global const float *matrix, long matrix_at, long leading, long step,
                              long dim, float factor, int over_rows, int only_kept,
                              long first_line, long rows) {
    const attn_extras extras = ATTN_EXTRAS;
    const long group = get_group_id(0), lines = over_rows ? a.key_length : rows, pair = group / lines;
    const long terms = over_rows ? rows : a.key_length;
    const repair_matrix m = { matrix + matrix_at + pair * step, leading };
    __global float *sums = workspace + sums_at + group * dim;
    __global const float *shares = workspace + shares_at + pair * rows * a.key_length;
    for (long d = get_local_id(0); d < dim; d += get_local_size(0)) {
        if (isfinite(sums[d])) {
            continue;
        }
        float sum = 0.0f;
        for (long n = 0; n < terms; n++) {
            const long r = over_rows ? n : group % lines, j = over_rows ? group % lines : n;
            const long number = first_line + pair * rows + r, bh = number / a.query_length;
            const long b = bh / a.query_heads, h = bh % a.query_heads, i = number % a.query_length;
            const attn_entry entry = attn_get_entry(&a, &extras, b);
            const attn_dropout_row dropout = attn_get_dropout_row(&extras, b, h, i);
            if (allowed(&a, &extras, &entry, b, h, i, j) && (!only_kept || attn_dropout_keeps(&dropout, j))) {
                sum += shares[r * a.key_length + j] * m.data[n * m.leading + d];
            }
        }
        sums[d] = factor * sum;
    }
}
