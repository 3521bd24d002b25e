// Adds the parts of elements of a gradient, in order, and writes them: one work-item an element (gradient_sum.cl.h).
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/gradient_sum.cl.h"
#include "include/gradient_types.cl.h"

#define CHAIN 64 // parts that are summed in one chain

__kernel void gradient_sum(gradient_shape shape, long first_item, long parts, int is_fp32, int add,
                           __global void *result, attn_layout result_at, __global const float *workspace, long parts_at) {
    const long element = first_item + get_global_id(0);
    const long j = element % shape.size[3], i = element / shape.size[3] % shape.size[2];
    const long h = element / shape.size[3] / shape.size[2] % shape.size[1];
    const long b = element / shape.size[3] / shape.size[2] / shape.size[1];
    float total = 0.0f, chain = 0.0f;
    for (long p = 0; p < parts; p++) {
        chain += workspace[parts_at + element * parts + p];
        if (p % CHAIN == CHAIN - 1) {
            total += chain;
            chain = 0.0f;
        }
    }
    gradient_put(result, attn_row_at(&result_at, b, h, i) + j * result_at.stride[3], total + chain, is_fp32, add);
}
