/*
 * What the gates of a chunk come to. With W_0 and S_0 at the beginning of the chunk and g_j the gradient of token j
 * there (t and j count from 1):
 *
 *     W_t = keep_t W_0 + lift_t S_0 - sum_{j<=t} reach_tj g_j         S_t = hold_t S_0 - sum_{j<=t} push_tj g_j
 *
 *     keep_t = (1 - alpha_t) keep_{t-1}                     keep_0 = 1
 *     hold_t = eta_t hold_{t-1}                             hold_0 = 1
 *     lift_t = (1 - alpha_t) lift_{t-1} + hold_t            lift_0 = 0
 *     push_tj = eta_t push_{t-1,j}                          push_tt = theta_t
 *     reach_tj = (1 - alpha_t) reach_{t-1,j} + push_tj
 *
 * Recursions, not ratios of keep: at alpha = 1 a ratio would be 0/0. In double.
 */
#ifndef ATTN_LAYERS_MEMORY_FACTORS_H
#define ATTN_LAYERS_MEMORY_FACTORS_H

#include "layers/layer.h"

/** The gates of the tokens of a chunk, `stride` floats from one to the next. */
typedef struct attn_memory_gates {
    const float *alpha, *theta, *eta;
    int64_t stride;
} attn_memory_gates;

/** Row t of the arrays is the state after t tokens, so there is one more than tokens; a row has `chunk` columns. */
typedef struct attn_memory_factors {
    int64_t chunk, tokens;
    double *keep, *lift, *hold; /* [chunk + 1] */
    double *reach, *push;       /* [chunk + 1, chunk]; column j: token j + 1; 0 from column t on */
    float *row;                 /* [chunk]: see attn_memory_factors_row() */
} attn_memory_factors;

/** Room for chunks of up to `chunk` tokens; false when there is none. Release it even then. */
bool attn_memory_factors_create(clattn_runtime *runtime, int64_t chunk, attn_memory_factors *factors);

void attn_memory_factors_release(clattn_runtime *runtime, attn_memory_factors *factors);

void attn_memory_factors_make(attn_memory_factors *factors, const attn_memory_gates *gates, int64_t tokens);

/**
 * The first `count` of a row of reach or push as products take them: negative, in float. What is below 2^-80 of the
 * largest is 0: it adds nothing to a sum of floats, and denormal numbers would make the products many times as slow.
 * Lives until the next call.
 */
const float *attn_memory_factors_row(const attn_memory_factors *factors, const double *row, int64_t count);

/** keep, lift or hold in float, 0 below 2^-80: no more than that is left of the state before. */
float attn_memory_factor(double factor);

/**
 * From the derivatives by the factors to those by the gates. `slopes` has them in the factors' shapes, and is used up;
 * grad_alpha and its like have the gates' stride and may be NULL.
 */
void attn_memory_factors_backward(const attn_memory_factors *factors, const attn_memory_gates *gates,
                                  attn_memory_factors *slopes, float *grad_alpha, float *grad_theta, float *grad_eta);

#endif
