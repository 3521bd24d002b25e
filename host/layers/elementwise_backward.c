/*
 * The derivatives of elementwise.c, and cross-entropy with softmax, whose derivative is simple only together. Plain
 * loops; sums in double, in the order of the rows.
 */
#include "layers/elementwise.h"

#include <inttypes.h>

enum { COLUMNS = 256 }; /* sums of columns that are made at once */

/* Gradients of gain and bias for the columns from `from` on, at most COLUMNS. */
static void norm_columns(int64_t rows, int64_t dim, double epsilon, int64_t from, const float *input,
                         const float *grad_output, float *grad_gain, float *grad_bias) {
    int64_t count = attn_min(dim - from, COLUMNS);
    double gain[COLUMNS] = { 0 }, bias[COLUMNS] = { 0 };
    for (int64_t r = 0; r < rows; r++) {
        const float *x = input + r * dim, *g = grad_output + r * dim + from;
        attn_moments m = grad_gain ? attn_moments_of(dim, epsilon, x) : (attn_moments){ 0, 0 };
        for (int64_t c = 0; c < count; c++) {
            bias[c] += (double)g[c];
            gain[c] += (double)g[c] * (((double)x[from + c] - m.mean) * m.factor);
        }
    }
    for (int64_t c = 0; c < count; c++) {
        if (grad_gain) {
            grad_gain[from + c] = (float)((double)grad_gain[from + c] + gain[c]);
        }
        if (grad_bias) {
            grad_bias[from + c] = (float)((double)grad_bias[from + c] + bias[c]);
        }
    }
}

static void norm_row(int64_t dim, double epsilon, const float *gain, const float *x, const float *g, float *result) {
    attn_moments m = attn_moments_of(dim, epsilon, x);
    double mean = 0, along = 0;
    for (int64_t d = 0; d < dim; d++) {
        double slope = (double)g[d] * (gain ? (double)gain[d] : 1);
        mean += slope;
        along += slope * (((double)x[d] - m.mean) * m.factor);
    }
    mean /= (double)dim;
    along /= (double)dim;
    for (int64_t d = 0; d < dim; d++) {
        double slope = (double)g[d] * (gain ? (double)gain[d] : 1);
        double y = ((double)x[d] - m.mean) * m.factor;
        result[d] = (float)(m.factor * (slope - mean - y * along));
    }
}

static ATTN_NOT_INLINED void layer_norm_backward(int64_t rows, int64_t dim, double epsilon, const float *gain,
                                                 const float *input, const float *grad_output, float *grad_input,
                                                 float *grad_gain, float *grad_bias) {
    for (int64_t from = 0; from < dim && (grad_gain || grad_bias); from += COLUMNS) {
        norm_columns(rows, dim, epsilon, from, input, grad_output, grad_gain, grad_bias);
    }
    for (int64_t r = 0; r < rows && grad_input; r++) { /* last: it may lie where grad_output lies */
        norm_row(dim, epsilon, gain, input + r * dim, grad_output + r * dim, grad_input + r * dim);
    }
}

clattn_status clattn_layer_norm_backward(int64_t rows, int64_t dim, double epsilon, const float *gain,
                                         const float *input, const float *grad_output, float *grad_input,
                                         float *grad_gain, float *grad_bias) {
    if (!attn_is_matrix(rows, dim) || !(epsilon >= 0) || (rows > 0 && (!input || !grad_output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    layer_norm_backward(rows, dim, epsilon, gain, input, grad_output, grad_input, grad_gain, grad_bias);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void gelu_backward(int64_t count, const float *input, const float *grad_output,
                                           float *grad_input) {
    for (int64_t k = 0; k < count; k++) {
        double x = (double)input[k];
        double part = 0.5 * (1 + erf(x * 0.70710678118654752440));
        double density = 0.39894228040143267794 * exp(-0.5 * x * x);
        double along = isinf(x) ? 0 : x * density;
        grad_input[k] = (float)((double)grad_output[k] * (part + along));
    }
}

clattn_status clattn_gelu_backward(int64_t count, const float *input, const float *grad_output, float *grad_input) {
    if (!attn_is_matrix(count, 1) || (count > 0 && (!input || !grad_output || !grad_input))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    gelu_backward(count, input, grad_output, grad_input);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void softmax_backward(int64_t rows, int64_t dim, const float *output, const float *grad_output,
                                              float *grad_input) {
    for (int64_t r = 0; r < rows; r++) {
        const float *y = output + r * dim, *g = grad_output + r * dim;
        double mean = 0;
        for (int64_t d = 0; d < dim; d++) {
            mean += (double)y[d] * (double)g[d];
        }
        for (int64_t d = 0; d < dim; d++) {
            grad_input[r * dim + d] = (float)((double)y[d] * ((double)g[d] - mean));
        }
    }
}

clattn_status clattn_softmax_backward(int64_t rows, int64_t dim, const float *output, const float *grad_output,
                                      float *grad_input) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!output || !grad_output || !grad_input))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    softmax_backward(rows, dim, output, grad_output, grad_input);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ cross-entropy */

/* The row's loss; its gradient too, times factor, where gradient is not NULL. */
static double entropy_row(int64_t classes, const float *x, int64_t label, double factor, float *gradient) {
    double top = -INFINITY, sum = 0, own = (double)x[label];
    for (int64_t c = 0; c < classes; c++) {
        top = (double)x[c] > top ? (double)x[c] : top;
    }
    for (int64_t c = 0; c < classes; c++) {
        sum += exp((double)x[c] - top);
    }
    for (int64_t c = 0; c < classes && gradient; c++) {
        gradient[c] = (float)(factor * (exp((double)x[c] - top) / sum - (c == label ? 1 : 0)));
    }
    return top + log(sum) - own;
}

static ATTN_NOT_INLINED double entropy(const clattn_cross_entropy_io *io, int64_t counted) {
    double loss = 0, factor = counted > 0 ? io->factor / (double)counted : 0;
    for (int64_t r = 0; r < io->rows; r++) {
        float *gradient = io->grad_logits ? io->grad_logits + r * io->classes : NULL;
        if (io->labels[r] != io->ignore) {
            loss += entropy_row(io->classes, io->logits + r * io->classes, io->labels[r], factor, gradient);
            continue;
        }
        for (int64_t c = 0; c < io->classes && gradient; c++) {
            gradient[c] = 0;
        }
    }
    return counted > 0 ? loss / (double)counted : 0;
}

static clattn_status check_labels(const clattn_cross_entropy_io *io, int64_t *counted) {
    *counted = 0;
    for (int64_t r = 0; r < io->rows; r++) {
        int64_t label = io->labels[r];
        if (label != io->ignore && (label < 0 || label >= io->classes)) {
            return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT,
                                "labels[%" PRId64 "]: %" PRId64 " is none of %" PRId64 " classes", r, label,
                                io->classes);
        }
        *counted += label != io->ignore;
    }
    return CLATTN_OK;
}

clattn_status clattn_cross_entropy(const clattn_cross_entropy_io *io) {
    if (!io || io->struct_size != sizeof *io) {
        return CLATTN_INVALID_ARGUMENT;
    }
    clattn_report_clear(io->report);
    if (!attn_is_matrix(io->rows, io->classes) || io->rows > INT64_MAX / (int64_t)sizeof *io->labels) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "rows, classes: %" PRId64 ", %" PRId64, io->rows,
                            io->classes);
    }
    if (!isfinite(io->factor)) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "factor: is not finite");
    }
    if (!io->loss || (io->rows > 0 && (!io->logits || !io->labels))) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "%s: missing",
                            !io->loss     ? "loss"
                            : !io->logits ? "logits"
                                          : "labels");
    }
    int64_t counted, count = io->rows * io->classes;
    if (io->grad_logits != io->logits && attn_layer_meet(io->grad_logits, count, io->logits, count)) {
        return LAYER_REFUSE(io->report, CLATTN_INVALID_ARGUMENT, "grad_logits: overlaps logits without being the same");
    }
    ATTN_TRY(check_labels(io, &counted));
    attn_visit visit = attn_visit_begin();
    *io->loss = entropy(io, counted);
    attn_visit_end(&visit);
    if (io->counted) {
        *io->counted = counted;
    }
    return CLATTN_OK;
}

void clattn_cross_entropy_io_init(clattn_cross_entropy_io *io, size_t size) {
    static const clattn_cross_entropy_io start = CLATTN_CROSS_ENTROPY_IO_INIT;
    attn_init_structure(io, size, &start, sizeof start);
}
