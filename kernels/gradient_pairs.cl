// Gradients of a bias, and of ALiBi slopes: a work-item sums the ds of one element, or of a part of its rows, pair by
// pair from global memory. A slope is an element of a bias of its own for each head, times minus the distance.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/gradient_pair.cl.h"
#include "include/gradient_sum.cl.h"

// Sum over the keys of one row, or, unless `key` is negative, what that one gives.
static inline float row_sum(const attn_arguments *a, const attn_extras *x, const gradient_tensors *t,
                            const gradient_row *r, long key, int slopes) {
    float total = 0.0f, chain = 0.0f;
    const long first = key < 0 ? attn_first_block(&r->range, 1) : key, end = key < 0 ? r->range.end : key + 1;
    for (long j = first; j < end; j = attn_next_block(&r->range, j, 1, 1)) {
        gradient_share share;
        if (gradient_get_pair(a, x, t, r, j, &share)) {
            chain += slopes ? -share.ds * fabs((float)(j - r->row.position)) : share.ds;
        }
        if (j % CHAIN == CHAIN - 1) {
            total += chain;
            chain = 0.0f;
        }
    }
    return total + chain;
}

__kernel void gradient_pairs(attn_arguments a, long first_item, ATTN_EXTRAS_PARAMETERS, GRADIENT_PARAMETERS,
                            gradient_shape shape, long parts, int slopes, int is_fp32, int add, __global void *result,
                            attn_layout result_at, __global float *workspace, long parts_at) {
    const attn_extras x = ATTN_EXTRAS;
    const gradient_tensors t = GRADIENT_TENSORS;
    const long item = first_item + get_global_id(0), element = item / parts, part = item % parts;
    const long j0 = element % shape.size[3], i0 = element / shape.size[3] % shape.size[2];
    const long h0 = element / shape.size[3] / shape.size[2] % shape.size[1];
    const long b0 = element / shape.size[3] / shape.size[2] / shape.size[1];
    const long all = gradient_rows(&a, &shape), heads = shape.size[1] == 1 ? a.query_heads : 1;
    const long rows = shape.size[2] == 1 ? a.query_length : 1;
    float total = 0.0f, chain = 0.0f;
    for (long r = all * part / parts; r < all * (part + 1) / parts; r++) {
        const long i = shape.size[2] == 1 ? r % rows : i0, h = shape.size[1] == 1 ? r / rows % heads : h0;
        const long b = shape.size[0] == 1 ? r / rows / heads : b0;
        const attn_entry e = attn_get_entry(&a, &x, b);
        const gradient_row row = gradient_get_row(&a, &x, &t, &e, b, h, i);
        chain += row_sum(&a, &x, &t, &row, shape.size[3] == 1 ? -1 : j0, slopes);
        if (r % CHAIN == CHAIN - 1) {
            total += chain;
            chain = 0.0f;
        }
    }
    if (parts > 1) {
        workspace[parts_at + item] = total + chain;
    } else {
        gradient_put(result, attn_row_at(&result_at, b0, h0, i0) + j0 * result_at.stride[3], total + chain, is_fp32, add);
    }
}
