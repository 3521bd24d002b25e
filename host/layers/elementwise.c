/*
 * What works on each row or element by itself: layer normalisation, GELU, softmax. Plain loops; sums in double.
 */
#include "layers/elementwise.h"

static ATTN_NOT_INLINED void layer_norm(int64_t rows, int64_t dim, double epsilon, const float *gain, const float *bias,
                                        const float *input, float *output) {
    for (int64_t r = 0; r < rows; r++) {
        const float *x = input + r * dim;
        attn_moments m = attn_moments_of(dim, epsilon, x);
        for (int64_t d = 0; d < dim; d++) {
            double y = ((double)x[d] - m.mean) * m.factor;
            output[r * dim + d] = (float)(y * (gain ? (double)gain[d] : 1) + (bias ? (double)bias[d] : 0));
        }
    }
}

clattn_status clattn_layer_norm(int64_t rows, int64_t dim, double epsilon, const float *gain, const float *bias,
                                const float *input, float *output) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!input || !output)) || !(epsilon >= 0)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    layer_norm(rows, dim, epsilon, gain, bias, input, output);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void gelu(int64_t count, const float *input, float *output) {
    for (int64_t k = 0; k < count; k++) {
        double x = (double)input[k];
        output[k] = (float)(x * 0.5 * (1 + erf(x * 0.70710678118654752440)));
    }
}

clattn_status clattn_gelu(int64_t count, const float *input, float *output) {
    if (!attn_is_matrix(count, 1) || (count > 0 && (!input || !output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    gelu(count, input, output);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void softmax(int64_t rows, int64_t dim, const float *input, float *output) {
    for (int64_t r = 0; r < rows; r++) {
        const float *x = input + r * dim;
        double top = -INFINITY, sum = 0;
        for (int64_t d = 0; d < dim; d++) {
            top = (double)x[d] > top ? (double)x[d] : top;
        }
        for (int64_t d = 0; d < dim; d++) {
            sum += exp((double)x[d] - top);
        }
        for (int64_t d = 0; d < dim; d++) {
            output[r * dim + d] = (float)(exp((double)x[d] - top) / sum);
        }
    }
}

clattn_status clattn_softmax(int64_t rows, int64_t dim, const float *input, float *output) {
    if (!attn_is_matrix(rows, dim) || (rows > 0 && (!input || !output))) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    softmax(rows, dim, input, output);
    attn_visit_end(&visit);
    return CLATTN_OK;
}
