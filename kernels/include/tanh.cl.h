// tanh for the additive scores: the same quotient of polynomials as on the CPU, absolute error 5e-7 at most, NaN at
// NaN. A file that wants it for vectors defines TANH_FLOAT as the vector type.
#ifndef TANH_CL_H
#define TANH_CL_H

static inline TANH_FLOAT tanh_quotient(TANH_FLOAT x) {
    x = x > (TANH_FLOAT)9.0f ? (TANH_FLOAT)9.0f : x;
    x = x < (TANH_FLOAT)-9.0f ? (TANH_FLOAT)-9.0f : x;
    const TANH_FLOAT y = x * x;
    TANH_FLOAT p = (TANH_FLOAT)1.33532048e-8f, q = (TANH_FLOAT)7.7759654e-7f;
    p = mad(p, y, (TANH_FLOAT)2.06080476e-5f);
    q = mad(q, y, (TANH_FLOAT)3.28553317e-4f);
    p = mad(p, y, (TANH_FLOAT)3.49552697e-3f);
    q = mad(q, y, (TANH_FLOAT)2.58767512e-2f);
    p = mad(p, y, (TANH_FLOAT)1.33809745e-1f);
    q = mad(q, y, (TANH_FLOAT)4.6714291e-1f);
    p = mad(p, y, (TANH_FLOAT)1.0f);
    q = mad(q, y, (TANH_FLOAT)1.0f);
    return x * p / q;
}

#endif
