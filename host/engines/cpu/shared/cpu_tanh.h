/*
 * The softcap of a vector of scores: cap * tanh(x / cap) * log2(e), with e = exp(-2y). Near 0 tanh is (1 - e) / (1 + e), where
 * e - 1 is made without cancellation; beyond, 1 - 2e / (1 + e), where the error of e counts less the nearer tanh is to 1 and
 * the result is rounded once: scores close to the cap are as exact as plain evaluation has them. Relative error 2.9e-7 at
 * most, 5e-8 on the average.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_TANH_H
#define ATTN_ENGINES_CPU_SHARED_CPU_TANH_H

#include "engines/cpu/shared/cpu_vector.h"

/** The cap in the form that cap_vector() takes, once a row. */
typedef struct cap_factors {
    float exponent; /* |x| to log2 of e */
    float factor;   /* of the result */
} cap_factors;

static cap_factors start_cap(double cap) {
    return (cap_factors){ (float)(-2 * LOG2E / cap), (float)(cap * LOG2E) };
}

INLINE vf cap_vector(const cap_factors *cap, vf x) {
    const vf magic = splat(12583039.0f); /* leaves the nearest integer + 127 in the low bits */
    vf t = (vf)((vi)x & splat_int(INT32_MAX)) * splat(cap->exponent);
    t = vmax(splat(-60.0f), t); /* NaN stays */
    vf z = t + magic, f = t - (z - magic), power = (vf)((vu)z << 23);
    vf p = splat(1.54035117e-4f); /* (2^f - 1) / f, minimax */
    p = p * f + splat(1.33907352e-3f);
    p = p * f + splat(9.6182378e-3f);
    p = p * f + splat(5.5503573e-2f);
    p = p * f + splat(2.4022649e-1f);
    p = p * f + splat(6.931472e-1f);
    p *= f;
    vf e = power * p + power, less = power * p + (power - splat(1.0f)); /* e - 1 */
    vi near = t > splat(-1.442695f);                                    /* y < 1/2 */
    vf factor = splat(cap->factor), quotient = choose(near, less, e) / (e + splat(1.0f));
    vf capped = choose(near, -factor, -(factor + factor)) * quotient + choose(near, splat(0.0f), factor);
    return (vf)((vi)capped | ((vi)x & splat_int(INT32_MIN)));
}

#endif
