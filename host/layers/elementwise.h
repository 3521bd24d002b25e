/* What forward and backward of the functions of rows and elements share. */
#ifndef ATTN_LAYERS_ELEMENTWISE_H
#define ATTN_LAYERS_ELEMENTWISE_H

#include <math.h>

#include "layers/layer.h"

/** Whether [rows, dim] floats have a size that fits 63 bits. */
static inline bool attn_is_matrix(int64_t rows, int64_t dim) {
    return rows >= 0 && dim >= 1 && rows <= INT64_MAX / (int64_t)sizeof(float) / dim;
}

/** What layer normalisation knows of a row. */
typedef struct attn_moments {
    double mean, factor; /* 1 / sqrt(variance + epsilon) */
} attn_moments;

static inline attn_moments attn_moments_of(int64_t dim, double epsilon, const float *x) {
    double mean = 0, square = 0;
    for (int64_t d = 0; d < dim; d++) {
        mean += (double)x[d];
    }
    mean /= (double)dim;
    for (int64_t d = 0; d < dim; d++) {
        square += ((double)x[d] - mean) * ((double)x[d] - mean);
    }
    return (attn_moments){ mean, 1 / sqrt(square / (double)dim + epsilon) };
}

#endif
