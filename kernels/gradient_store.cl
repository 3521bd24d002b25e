// Rows of sums in dense float -> a gradient in its own type and layout. Sums that come in several parts are added up in
// `totals` until the last one. Built with the type of the gradient. A work-group makes one row; rows are numbered over
// [batch, heads, length] of the gradient.
#include "include/index.cl.h"
#include "include/types.cl.h"

// Bits of `how`.
#define STORE_NOTHING 1 // there are no sums: 0 is stored
#define STORE_FIRST 2   // nothing is in the totals yet
#define STORE_LAST 4    // what comes out is the gradient
#define STORE_ADD 8     // to which it is added

__kernel void gradient_store(__global const float *sums, long sums_at, __global float *totals, long totals_at,
                             __global attn_storage *gradient, const attn_layout layout, long heads, long length,
                             long dim, long first_row, int how) {
    const long line = get_group_id(0), row = first_row + line, i = row % length, bh = row / length;
    const long at = attn_row_at(&layout, bh / heads, bh % heads, i);
    for (long d = get_local_id(0); d < dim; d += get_local_size(0)) {
        const long n = line * dim + d;
        float sum = (how & STORE_NOTHING) ? 0.0f : sums[sums_at + n];
        if (!(how & STORE_FIRST)) {
            sum += totals[totals_at + n];
        }
        if (!(how & STORE_LAST)) {
            totals[totals_at + n] = sum;
        } else {
            sum += (how & STORE_ADD) ? ATTN_LOAD(gradient, at + d) : 0.0f;
            ATTN_STORE(gradient, at + d, sum);
        }
    }
}
