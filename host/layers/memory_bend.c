/* What stands between the two layers of a memory: SiLU and GELU with their first two derivatives, in double. */
#include <math.h>

#include "layers/neural_memory.h"

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double density(double x) {
    return 0.39894228040143267794 * exp(-0.5 * x * x);
}

static double share(double x) {
    return 0.5 * (1 + erf(x * 0.70710678118654752440));
}

void attn_memory_bend(clattn_memory_bend bend, int64_t count, const float *x, float *result) {
    for (int64_t k = 0; k < count; k++) {
        double at = (double)x[k];
        result[k] = (float)(at * (bend == CLATTN_MEMORY_SILU ? sigmoid(at) : share(at)));
    }
}

void attn_memory_bend_slope(clattn_memory_bend bend, int64_t count, const float *x, const float *by, float *result) {
    for (int64_t k = 0; k < count; k++) {
        double at = (double)x[k], s = sigmoid(at);
        double slope = bend == CLATTN_MEMORY_SILU ? s * (1 + at * (1 - s)) : share(at) + at * density(at);
        result[k] = (float)((double)by[k] * slope);
    }
}

void attn_memory_bend_curve(clattn_memory_bend bend, int64_t count, const float *x, const float *by, float *result) {
    for (int64_t k = 0; k < count; k++) {
        double at = (double)x[k], s = sigmoid(at);
        double curve = bend == CLATTN_MEMORY_SILU ? s * (1 - s) * (2 + at * (1 - 2 * s)) : (2 - at * at) * density(at);
        result[k] = (float)((double)by[k] * curve);
    }
}
