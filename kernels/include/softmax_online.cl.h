// The running maximum and sum of a row. Scores are natural (a bias of -3.4e38 times log2(e) would no longer be a
// number); the factor log2(e) meets the difference to the maximum. Knows nothing of memory or features.
// A row that has seen nothing has maximum -inf and sum 0. NaN is never lost: the maximum ignores it, the sum and the
// output keep it, so that a row is either right or visibly not finite.
#ifndef SOFTMAX_ONLINE_CL_H
#define SOFTMAX_ONLINE_CL_H

#define LOG2_E 1.44269504088896340736f

// 2^t for t <= 0 or a little above: polynomial of degree 6 on [-1/2, 1/2], relative error below 1.4 * 2^-24. Where t <
// -126 the answer is 0 (also for -inf), NaN stays NaN. The large constant rounds t to an integer n and leaves n + 127 in
// the low bits of z, which shifted are the number 2^n. It is multiplied by, not added to the exponent: bits added to a
// NaN can make a number of it.
#define EXP2_BODY(FLOAT, AS_FLOAT, AS_INT)                                               \
    FLOAT z = t + (FLOAT)12583039.0f;                                                    \
    FLOAT f = t - (z - (FLOAT)12583039.0f);                                              \
    FLOAT p = (FLOAT)1.534581195e-04f;                                                   \
    p = fma(p, f, (FLOAT)1.339993122e-03f);                                              \
    p = fma(p, f, (FLOAT)9.618488957e-03f);                                              \
    p = fma(p, f, (FLOAT)5.550328777e-02f);                                              \
    p = fma(p, f, (FLOAT)2.402264689e-01f);                                              \
    p = fma(p, f, (FLOAT)6.931472057e-01f);                                              \
    p = fma(p, f, (FLOAT)1.0f);                                                          \
    p *= AS_FLOAT(AS_INT(z) << 23);                                                      \
    return t < (FLOAT)-126.0f ? (FLOAT)0.0f : p;

static inline float exp2_scalar(float t) {
    EXP2_BODY(float, as_float, as_int)
}

static inline float exp_scalar(float x) {
    return exp2_scalar(x * LOG2_E);
}

// The maximum to subtract: 0 as long as nothing was allowed, so that -inf - m stays -inf.
static inline float softmax_reference(float maximum) {
    return maximum == -INFINITY ? 0.0f : maximum;
}

// What sums made under `before` are worth under `after` (>= before).
static inline float softmax_rescale(float before, float after) {
    return before == after ? 1.0f : exp_scalar(before - softmax_reference(after));
}

// The end of a row: factor for its output, and its logsumexp (natural). The sink, if there is one, enters here.
typedef struct softmax_end {
    float factor, logsumexp;
} softmax_end;

static inline softmax_end softmax_finish(float maximum, float sum, int has_sink, float sink) {
    softmax_end end;
    if (maximum == -INFINITY && sum == 0.0f) { // nothing allowed
        end.factor = 0.0f;
        end.logsumexp = has_sink ? sink : -INFINITY;
        return end;
    }
    float top = maximum, scale = 1.0f;
    if (has_sink && sink != -INFINITY) {
        top = sink > maximum ? sink : maximum;
        scale = softmax_rescale(maximum, top);
        sum = fma(sum, scale, exp(sink - top));
    }
    end.factor = scale / sum;
    end.logsumexp = softmax_reference(top) + log(sum);
    return end;
}

#endif
