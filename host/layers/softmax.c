/* Softmax and its derivative, row by row, in double. */
#include "layers/softmax.h"

typedef struct softmax_work {
    int64_t rows, dim, step;
    const float *input, *grad_output; /* backward: input is the output; grad_output: NULL forward */
    float *output;                    /* or grad_input */
} softmax_work;

ATTN_INLINED void forward_row(int64_t dim, const float *row, float *output) {
    double weights[ATTN_BLOCK];
    const attn_softmax_row of = attn_softmax_of(dim, row);
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_softmax_block(&of, dim - d, row + d, weights);
        attn_block_store(dim - d, weights, output + d);
    }
}

ATTN_INLINED void backward_row(int64_t dim, const float *output, const float *grad_output, float *grad_input) {
    double y[ATTN_BLOCK], g[ATTN_BLOCK], sums[ATTN_LANES] = { 0 };
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, output + d, 0, y);
        attn_block_load(dim - d, grad_output + d, 0, g);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            y[k] *= g[k];
        }
        attn_lanes_add(y, sums);
    }
    const double mean = attn_lanes_sum(sums);
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, output + d, 0, y);
        attn_block_load(dim - d, grad_output + d, 0, g);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            y[k] *= g[k] - mean;
        }
        attn_block_store(dim - d, y, grad_input + d);
    }
}

ATTN_INLINED void run_item_of(void *user, int64_t item) {
    const softmax_work *w = user;
    for (int64_t r = item * w->step; r < attn_min((item + 1) * w->step, w->rows); r++) {
        int64_t at = r * w->dim;
        if (w->grad_output) {
            backward_row(w->dim, w->input + at, w->grad_output + at, w->output + at);
        } else {
            forward_row(w->dim, w->input + at, w->output + at);
        }
    }
}

ATTN_ITEM_FUNCTION(run_item)

clattn_status clattn_softmax(clattn_runtime *runtime, int64_t rows, int64_t dim, const float *input, float *output) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!input || !output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    softmax_work work = { rows, dim, attn_rows_of_item(dim), input, NULL, output };
    clattn_share(runtime, attn_divide_up(rows, work.step), ATTN_ITEM_CHOICE(run_item), &work);
    return CLATTN_OK;
}

clattn_status clattn_softmax_backward(clattn_runtime *runtime, int64_t rows, int64_t dim, const float *output,
                                      const float *grad_output, float *grad_input) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!output || !grad_output || !grad_input))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    softmax_work work = { rows, dim, attn_rows_of_item(dim), output, grad_output, grad_input };
    clattn_share(runtime, attn_divide_up(rows, work.step), ATTN_ITEM_CHOICE(run_item), &work);
    return CLATTN_OK;
}
