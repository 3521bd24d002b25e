// What a row and a key give to each other in backward: from their score and the product of grad_output and value. The
// formulas are those of docs/gradients.md. To add a feature of the score: its factor of ds here, if it has one.
#ifndef ATTN_GRADIENT_SHARE_CL_H
#define ATTN_GRADIENT_SHARE_CL_H

#include "include/arguments.cl.h"
#include "include/dropout.cl.h"
#include "include/softmax_online.cl.h"

typedef struct gradient_share {
    int kept;     // dropout leaves the weight
    float weight; // what grad_output counts with in grad_value
    float ds;     // the loss's derivative by the score as softmax sees it
    float dr;     // and by the scaled product of query and key
} gradient_share;

// How much the score changes with the scaled product `raw`: 1 - tanh^2, which has no digits left where tanh is nearly 1.
static inline float gradient_slope(const attn_arguments *a, float raw) {
    if (!(ATTN_FEATURES(a) & ATTN_HAS_SOFTCAP)) {
        return 1.0f;
    }
    const float e = exp(-2.0f * fabs(raw) / a->softcap);
    return 4.0f * e / ((1.0f + e) * (1.0f + e));
}

// Key j must be inside the row's range. `dot` is grad_output . value. Where mask or bias forbid the key, and where
// logsumexp says that there is no weight, nothing is given, whatever the numbers hold; nor does a value that is dropped count.
static inline gradient_share gradient_get_share(const attn_arguments *a, const attn_extras *x, const attn_row *row,
                                                const attn_dropout_row *dropout, long j, float raw, float dot,
                                                float logsumexp, float delta) {
    gradient_share s = { 0, 0.0f, 0.0f, 0.0f };
    const float score = attn_score_step(a, x, row, j, raw);
    if (score == -INFINITY || fabs(logsumexp) == INFINITY) {
        return s;
    }
    const float weight = exp2((score - logsumexp) * LOG2_E);
    s.kept = attn_dropout_keeps(dropout, j);
    s.weight = s.kept ? weight * ATTN_KEEP(x) : 0.0f;
    s.ds = weight * ((s.kept ? dot * ATTN_KEEP(x) : 0.0f) - delta);
    s.dr = s.ds * gradient_slope(a, raw);
    return s;
}

#endif
