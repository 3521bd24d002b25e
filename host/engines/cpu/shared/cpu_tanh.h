/*
 * The softcap of a vector of scores: cap * tanh(x / cap) * log2(e), relative error 3.1e-7. tanh(y) / y is even and
 * smooth, so that nothing cancels: with 32 registers it is a table of 32 polynomials of degree 4 (16 instructions on the
 * ports of the multiply-adders), else a quotient of two polynomials of degree 4 in y * y. Minimax, found by Lawson's
 * iteration.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_TANH_H
#define ATTN_ENGINES_CPU_SHARED_CPU_TANH_H

#include "engines/cpu/shared/cpu_vector.h"

/** The cap in the form that cap_vector() takes, once a row. */
typedef struct cap_factors {
    float limit;   /* of |x|: tanh is 1 beyond */
    float inverse; /* x to where the polynomials are given */
    float factor;  /* of their result */
} cap_factors;

#if ATTN_VECTOR_BYTES == 64
#define INTERVAL 0.27        /* width in y; the last ends at 8.5, where 1 - tanh is 8e-8 */
#define LAST_INTERVAL 31.49f /* and half of it */

static cap_factors start_cap(double cap) {
    return (cap_factors){ (float)(LAST_INTERVAL * INTERVAL * cap), (float)(1 / (INTERVAL * cap)), 1 };
}

/** tanh(y) / y * log2(e) near the middle of each interval, in intervals from there: coefficients of t^0 to t^4. */
static const float tanh_table[5][32] = {
    { 1.44269502f,  1.40863049f,  1.31709504f,  1.1926105f,   1.05957818f,  0.934068382f, 0.823426425f, 0.72926563f,
      0.650381207f, 0.584569514f, 0.529526472f, 0.483205557f, 0.443912387f, 0.410290122f, 0.381267965f, 0.356004804f,
      0.333839059f, 0.314247847f, 0.296815157f, 0.281207412f, 0.267154843f, 0.254437506f, 0.242874593f, 0.232316166f,
      0.222637072f, 0.213732019f, 0.205511779f, 0.19790037f,  0.19083257f,  0.184252188f, 0.178110465f, 0.17236498f },
    { 2.53658186e-07f, -0.0661973357f,  -0.112511978f,   -0.132249326f,   -0.131144494f,   -0.118710153f,
      -0.102356143f,   -0.0861963257f,  -0.0719540864f,  -0.0600587465f,  -0.0503696166f,  -0.0425542071f,
      -0.0362573415f,  -0.031164702f,   -0.0270189382f,  -0.0236169416f,  -0.0208011605f,  -0.0184501801f,
      -0.0164704733f,  -0.0147897573f,  -0.0133518549f,  -0.0121128047f,  -0.0110379364f,  -0.0100996895f,
      -0.00927597843f, -0.00854896381f, -0.00790412165f, -0.00732954359f, -0.00681539299f, -0.00635349192f,
      -0.00593699748f, -0.00556015037f },
    { -0.0350612216f,  -0.0293517746f,  -0.0164240003f,  -0.00387837249f, 0.00414120546f,  0.00766966399f,
      0.00835107639f,  0.00767460046f,  0.00653771125f,  0.00537229562f,  0.00434581982f,  0.00349965226f,
      0.00282351091f,  0.00229053921f,  0.00187207537f,  0.00154297159f,  0.00128285936f,  0.00107586104f,
      0.000909827824f, 0.000775538036f, 0.000666003674f, 0.000575918239f, 0.000501233735f, 0.000438843446f,
      0.000386346393f, 0.000341873092f, 0.000303956796f, 0.000271437719f, 0.000243391798f, 0.000219077439f,
      0.000197895133f, 0.000179356997f },
    { 1.83351804e-05f,  0.00349023379f,   0.00458172429f,   0.00350926886f,   0.0018567933f,    0.00061340176f,
      -5.92803844e-05f, -0.000333541422f, -0.000397065684f, -0.000369572954f, -0.000312399556f, -0.000252567319f,
      -0.000200037481f, -0.000157192757f, -0.000123447127f, -9.72966955e-05f, -7.71544146e-05f, -6.16414472e-05f,
      -4.9651906e-05f,  -4.03326194e-05f, -3.30380681e-05f, -2.7284219e-05f,  -2.27091332e-05f, -1.90418577e-05f,
      -1.6078824e-05f,  -1.36662811e-05f, -1.1687378e-05f,  -1.00526922e-05f, -8.69329506e-06f, -7.55566361e-06f,
      -6.59792886e-06f, -5.78710296e-06f },
    { 0.000991102192f,  0.000621825107f,  -5.94002304e-05f, -0.000403711165f, -0.000381956314f, -0.000234820691f,
      -0.000109104905f, -3.55349657e-05f, -8.61508568e-07f, 1.22697165e-05f,  1.52955508e-05f,  1.4245582e-05f,
      1.19296874e-05f,  9.51517177e-06f,  7.41491385e-06f,  5.72079853e-06f,  4.40299527e-06f,  3.39579742e-06f,
      2.63167135e-06f,  2.05275524e-06f,  1.61313346e-06f,  1.27772819e-06f,  1.02026149e-06f,  8.212333e-07f,
      6.66223912e-07f,  5.44566149e-07f,  4.48346157e-07f,  3.7166626e-07f,   3.10106373e-07f,  2.60332797e-07f,
      2.19814183e-07f,  1.86614869e-07f }
};

INLINE vf tanh_coefficient(int power, vi interval) {
    const float *row = tanh_table[power];
    return (vf)_mm512_permutex2var_ps((__m512)load(row), (__m512i)interval, (__m512)load(row + LANES));
}

INLINE vf cap_vector(const cap_factors *cap, vf x) {
    vf w = (vf)((vi)x & splat_int(INT32_MAX)) * splat(cap->inverse);
    w = vmin(splat(LAST_INTERVAL), w);         /* NaN stays, as it does not below */
    vi interval = (vi)(w + splat(8388608.0f)); /* the nearest integer in the lowest bits; five are looked at */
    vf t = (vf)_mm512_reduce_ps((__m512)w, 0); /* w - that integer */
    vf p = tanh_coefficient(4, interval);
    UNROLL for (int power = 3; power >= 0; power--) p = p * t + tanh_coefficient(power, interval);
    return p * (vf)_mm512_range_ps((__m512)x, _mm512_set1_ps(cap->limit), 2); /* the smaller size, with the sign of x */
}
#else
static cap_factors start_cap(double cap) {
    return (cap_factors){ 9, (float)(1 / cap), (float)(cap * LOG2E) };
}

INLINE vf cap_vector(const cap_factors *cap, vf x) {
    vf y = x * splat(cap->inverse), limit = splat(cap->limit);
    y = vmin(limit, vmax(-limit, y)); /* NaN stays */
    vf z = y * y;
    vf p = splat(1.33546926e-8f), q = splat(7.77657231e-7f);
    p = p * z + splat(2.06091091e-5f);
    q = q * z + splat(3.28563765e-4f);
    p = p * z + splat(3.49558994e-3f);
    q = q * z + splat(2.58769893e-2f);
    p = p * z + splat(1.33810272e-1f);
    q = q * z + splat(4.67143428e-1f);
    p = p * z + splat(0.999999979f);
    q = q * z + splat(1.0f);
    return p * (y * splat(cap->factor)) / q;
}
#endif

#endif
