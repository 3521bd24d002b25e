// Changes of scores, stored row by row -> the gradient of a bias that has a number for each key: row (b0, h0, i0) of it is the
// sum over the rows (b, h, i) that agree with it in the dimensions where its shape is not 1. Stored are lines of a part,
// rows first_line <= (b * heads + h) * length + i < first_line + lines; what other parts give is kept in `totals` until the
// last of them. Built with the type of the gradient. A work-item makes one key of one row of the bias.
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/types.cl.h"

#define CHAIN 64

// The rows of one row of the bias: first and one past the last in each dimension.
typedef struct bias_box {
    long b, b_end, h, h_end, i, i_end;
} bias_box;

// Sum over the box's lines of the part, and how many they are; `changes` begins with the first line.
static inline float box_sum(const attn_arguments *a, const bias_box *box, __global const float *changes, long first_line,
                            long lines, long j, long *count) {
    const long pages = a->query_heads * a->query_length, last_line = first_line + lines - 1;
    const long b_first = max(box->b, first_line / pages), b_end = min(box->b_end, last_line / pages + 1);
    float sum = 0.0f, chain = 0.0f;
    int links = 0;
    for (long b = b_first; b < b_end; b++) {
        for (long h = box->h; h < box->h_end; h++) {
            const long line = (b * a->query_heads + h) * a->query_length - first_line;
            const long i_end = min(box->i_end, lines - line);
            for (long i = max(box->i, -line); i < i_end; i++) {
                *count += 1;
                chain += changes[(line + i) * a->key_length + j];
                if (++links == CHAIN) {
                    sum += chain;
                    chain = 0.0f;
                    links = 0;
                }
            }
        }
    }
    return sum + chain;
}

// The launch covers keys x rows of the bias, where those begin at (first_b, first_h, first_i) and are rows_h x rows_i a b.
__kernel void gradient_bias(const attn_arguments a, __global float *workspace, long changes_at, long totals_at,
                            long first_line, long lines, long shape_batch, long shape_heads, long shape_length, long first_b,
                            long first_h, long first_i, long rows_h, long rows_i, __global attn_storage *gradient,
                            const attn_layout layout, int gradients_add) {
    const long j = get_global_id(0), row = get_group_id(1);
    const long b0 = first_b + row / rows_i / rows_h, h0 = first_h + row / rows_i % rows_h, i0 = first_i + row % rows_i;
    if (j >= a.key_length) {
        return;
    }
    const bias_box box = { shape_batch == 1 ? 0 : b0,  shape_batch == 1 ? a.batch : b0 + 1,
                           shape_heads == 1 ? 0 : h0,  shape_heads == 1 ? a.query_heads : h0 + 1,
                           shape_length == 1 ? 0 : i0, shape_length == 1 ? a.query_length : i0 + 1 };
    const long first = (box.b * a.query_heads + box.h) * a.query_length + box.i;
    const long last = ((box.b_end - 1) * a.query_heads + box.h_end - 1) * a.query_length + box.i_end - 1;
    const long total = totals_at + ((b0 * shape_heads + h0) * shape_length + i0) * a.key_length + j;
    const long at = attn_row_at(&layout, b0, h0, i0) + j;
    long count = 0;
    float sum = lines > 0 ? box_sum(&a, &box, workspace + changes_at, first_line, lines, j, &count) : 0.0f;
    if (count == 0 && lines > 0) { // the launch covers rows of the bias that the part gives nothing to
        return;
    }
    if (first < first_line) {
        sum += workspace[total];
    }
    if (last >= first_line + lines) {
        workspace[total] = sum;
    } else {
        sum += gradients_add ? ATTN_LOAD(gradient, at) : 0.0f;
        ATTN_STORE(gradient, at, sum);
    }
}
