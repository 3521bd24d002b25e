// Sums of one number a row, as ALiBi slopes, sinks and a bias with size 1 over the keys have them as their gradient: element
// (b0, h0, i0) is the sum over the rows (b, h, i) that agree with it in the dimensions where its shape is not 1. Rows are
// numbered over [batch, heads, length]. Each work-group of GROUP work-items makes one element; every work-item sums every
// GROUP-th row, in chains; then the sums are added in their order. Built with the type of the gradient.
#include "include/index.cl.h"
#include "include/types.cl.h"

#ifndef GROUP
#define GROUP 64
#endif
#define CHAIN 64

typedef struct sizes_of_rows {
    long batch, heads, length;
} sizes_of_rows;

// Of one lane: every GROUP-th of `count` rows, which are counted over the dimensions that are summed.
static inline float lane_sum(__global const float *rows, const sizes_of_rows *size, const sizes_of_rows *shape, long b0,
                             long h0, long i0) {
    const long batch = shape->batch == 1 ? size->batch : 1, heads = shape->heads == 1 ? size->heads : 1;
    const long length = shape->length == 1 ? size->length : 1, count = batch * heads * length;
    float sum = 0.0f, chain = 0.0f;
    int links = 0;
    for (long n = get_local_id(0); n < count; n += GROUP) {
        const long b = b0 + n / length / heads, h = h0 + n / length % heads, i = i0 + n % length;
        chain += rows[(b * size->heads + h) * size->length + i];
        if (++links == CHAIN) {
            sum += chain;
            chain = 0.0f;
            links = 0;
        }
    }
    return sum + chain;
}

// The last of `gradients_add` is whether gradients are added to what is there.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void gradient_rows(
    __global const float *rows, long rows_at, long batch, long heads, long length, long shape_batch, long shape_heads,
    long shape_length, __global attn_storage *gradient, const attn_layout layout, int gradients_add,
    __local float *scratch) { // [GROUP]
    const sizes_of_rows size = { batch, heads, length }, shape = { shape_batch, shape_heads, shape_length };
    const long element = get_group_id(0);
    const long i0 = element % shape.length, h0 = element / shape.length % shape.heads;
    const long b0 = element / shape.length / shape.heads, at = attn_row_at(&layout, b0, h0, i0);
    scratch[get_local_id(0)] = lane_sum(rows + rows_at, &size, &shape, b0, h0, i0);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        float sum = 0.0f;
        for (int lane = 0; lane < GROUP; lane++) {
            sum += scratch[lane];
        }
        sum += gradients_add ? ATTN_LOAD(gradient, at) : 0.0f;
        ATTN_STORE(gradient, at, sum);
    }
}
