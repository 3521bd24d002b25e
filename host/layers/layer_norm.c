/* Layer normalisation and its derivative; sums in double. */
#include <math.h>

#include "layers/blocks.h"

enum { ROWS = 1024, COLUMNS = 1024 }; /* of which moments and sums are held at once */

typedef struct moments {
    double mean, factor; /* 1 / sqrt(variance + epsilon) */
} moments;

typedef struct norm_work {
    int64_t rows, dim, step; /* step: rows that a thread takes at once */
    double epsilon;
    const float *gain, *bias, *input, *grad_output;
    float *output; /* or grad_input */
} norm_work;

ATTN_INLINED moments moments_of(int64_t dim, double epsilon, const float *row) {
    double x[ATTN_BLOCK], sum[ATTN_LANES] = { 0 }, square[ATTN_LANES] = { 0 };
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, row + d, 0, x);
        attn_lanes_add(x, sum);
    }
    const double mean = attn_lanes_sum(sum) / (double)dim;
    for (int64_t d = 0; d < dim; d += ATTN_BLOCK) {
        attn_block_load(dim - d, row + d, mean, x);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            x[k] = (x[k] - mean) * (x[k] - mean);
        }
        attn_lanes_add(x, square);
    }
    return (moments){ mean, 1 / sqrt(attn_lanes_sum(square) / (double)dim + epsilon) };
}

ATTN_INLINED void forward_row(const norm_work *w, const float *row, float *output) {
    double x[ATTN_BLOCK], gain[ATTN_BLOCK], bias[ATTN_BLOCK];
    const moments m = moments_of(w->dim, w->epsilon, row);
    for (int64_t d = 0; d < w->dim; d += ATTN_BLOCK) {
        attn_block_load(w->dim - d, row + d, 0, x);
        attn_block_load_or(w->dim - d, w->gain, d, 1, gain);
        attn_block_load_or(w->dim - d, w->bias, d, 0, bias);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            x[k] = (x[k] - m.mean) * m.factor * gain[k] + bias[k];
        }
        attn_block_store(w->dim - d, x, output + d);
    }
}

ATTN_INLINED void forward_item_of(void *user, int64_t item) {
    const norm_work *w = user;
    for (int64_t r = item * w->step; r < attn_min((item + 1) * w->step, w->rows); r++) {
        forward_row(w, w->input + r * w->dim, w->output + r * w->dim);
    }
}

ATTN_ITEM_FUNCTION(forward_item)

clattn_status clattn_layer_norm(clattn_runtime *runtime, int64_t rows, int64_t dim, double epsilon, const float *gain,
                                const float *bias, const float *input, float *output) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!input || !output)) || !(epsilon >= 0)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    norm_work work = { rows, dim, attn_rows_of_item(dim), epsilon, gain, bias, input, NULL, output };
    clattn_share(runtime, attn_divide_up(rows, work.step), ATTN_ITEM_CHOICE(forward_item), &work);
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ gain and bias */

/* Some rows and some columns of what gain and bias are the sums of. Rows keep their order in every sum. */
typedef struct column_work {
    const norm_work *norm;
    int64_t top, rows, from, columns;
    bool gain;
    moments moments[ROWS];
    double gains[COLUMNS], biases[COLUMNS];
} column_work;

ATTN_INLINED void moments_item_of(void *user, int64_t item) {
    column_work *c = user;
    const norm_work *w = c->norm;
    for (int64_t r = item * w->step; r < attn_min((item + 1) * w->step, c->rows); r++) {
        c->moments[r] = moments_of(w->dim, w->epsilon, w->input + (c->top + r) * w->dim);
    }
}

ATTN_ITEM_FUNCTION(moments_item)

ATTN_INLINED void column_item_of(void *user, int64_t item) {
    column_work *c = user;
    const norm_work *w = c->norm;
    int64_t at = item * ATTN_BLOCK, count = attn_min(c->columns - at, ATTN_BLOCK);
    double g[ATTN_BLOCK], x[ATTN_BLOCK], bias[ATTN_BLOCK], gain[ATTN_BLOCK];
    memcpy(bias, c->biases + at, sizeof bias);
    memcpy(gain, c->gains + at, sizeof gain);
    for (int64_t r = 0; r < c->rows; r++) {
        int64_t place = (c->top + r) * w->dim + c->from + at;
        attn_block_load(count, w->grad_output + place, 0, g);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            bias[k] += g[k];
        }
        if (c->gain) {
            const moments m = c->moments[r];
            attn_block_load(count, w->input + place, 0, x);
            for (int k = 0; k < ATTN_BLOCK; k++) {
                gain[k] += g[k] * ((x[k] - m.mean) * m.factor);
            }
        }
    }
    memcpy(c->biases + at, bias, sizeof bias);
    memcpy(c->gains + at, gain, sizeof gain);
}

ATTN_ITEM_FUNCTION(column_item)

static void add_sums(int64_t count, const double *sums, float *gradient) {
    for (int64_t k = 0; k < count && gradient; k++) {
        gradient[k] = (float)((double)gradient[k] + sums[k]);
    }
}

static void sum_columns(clattn_runtime *runtime, const norm_work *w, float *grad_gain, float *grad_bias) {
    column_work c = { .norm = w, .gain = grad_gain };
    for (c.from = 0; c.from < w->dim; c.from += COLUMNS) {
        c.columns = attn_min(w->dim - c.from, COLUMNS);
        memset(c.gains, 0, sizeof c.gains);
        memset(c.biases, 0, sizeof c.biases);
        for (c.top = 0; c.top < w->rows; c.top += ROWS) {
            c.rows = attn_min(w->rows - c.top, ROWS);
            if (grad_gain) {
                clattn_share(runtime, attn_divide_up(c.rows, w->step), ATTN_ITEM_CHOICE(moments_item), &c);
            }
            clattn_share(runtime, attn_divide_up(c.columns, ATTN_BLOCK), ATTN_ITEM_CHOICE(column_item), &c);
        }
        attn_visit visit = attn_visit_begin();
        add_sums(c.columns, c.gains, grad_gain ? grad_gain + c.from : NULL);
        add_sums(c.columns, c.biases, grad_bias ? grad_bias + c.from : NULL);
        attn_visit_end(&visit);
    }
}

/* ------------------------------------------------------------------------------------------------ input */

ATTN_INLINED void slopes_of(const norm_work *w, const float *grad_output, int64_t d, double *slope) {
    double gain[ATTN_BLOCK];
    attn_block_load(w->dim - d, grad_output + d, 0, slope);
    attn_block_load_or(w->dim - d, w->gain, d, 1, gain);
    for (int k = 0; k < ATTN_BLOCK; k++) {
        slope[k] *= gain[k];
    }
}

ATTN_INLINED void backward_row(const norm_work *w, const float *row, const float *grad_output, float *result) {
    double x[ATTN_BLOCK], slope[ATTN_BLOCK], sum[ATTN_LANES] = { 0 }, product[ATTN_LANES] = { 0 };
    const moments m = moments_of(w->dim, w->epsilon, row);
    for (int64_t d = 0; d < w->dim; d += ATTN_BLOCK) {
        slopes_of(w, grad_output, d, slope);
        attn_block_load(w->dim - d, row + d, m.mean, x);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            x[k] = slope[k] * ((x[k] - m.mean) * m.factor);
        }
        attn_lanes_add(slope, sum);
        attn_lanes_add(x, product);
    }
    const double mean = attn_lanes_sum(sum) / (double)w->dim, along = attn_lanes_sum(product) / (double)w->dim;
    for (int64_t d = 0; d < w->dim; d += ATTN_BLOCK) {
        slopes_of(w, grad_output, d, slope);
        attn_block_load(w->dim - d, row + d, m.mean, x);
        for (int k = 0; k < ATTN_BLOCK; k++) {
            double y = (x[k] - m.mean) * m.factor;
            x[k] = m.factor * (slope[k] - mean - y * along);
        }
        attn_block_store(w->dim - d, x, result + d);
    }
}

ATTN_INLINED void backward_item_of(void *user, int64_t item) {
    const norm_work *w = user;
    for (int64_t r = item * w->step; r < attn_min((item + 1) * w->step, w->rows); r++) {
        backward_row(w, w->input + r * w->dim, w->grad_output + r * w->dim, w->output + r * w->dim);
    }
}

ATTN_ITEM_FUNCTION(backward_item)

clattn_status clattn_layer_norm_backward(clattn_runtime *runtime, int64_t rows, int64_t dim, double epsilon,
                                         const float *gain, const float *input, const float *grad_output,
                                         float *grad_input, float *grad_gain, float *grad_bias) {
    if (!attn_is_matrix(rows, dim) || !(epsilon >= 0) || (rows > 0 && (!input || !grad_output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    norm_work work = { rows, dim, attn_rows_of_item(dim), epsilon, gain, NULL, input, grad_output, grad_input };
    if (grad_gain || grad_bias) {
        sum_columns(runtime, &work, grad_gain, grad_bias);
    }
    if (grad_input) { /* last: it may lie where grad_output lies */
        clattn_share(runtime, attn_divide_up(rows, work.step), ATTN_ITEM_CHOICE(backward_item), &work);
    }
    return CLATTN_OK;
}
