/*
 * The score of one key for one row, written to read like the formula in clattn.h. Has no guard: it is included with REAL
 * double, and again with long double for fp64; the includer defines ATTN_REFERENCE_WIDE (reference_real.h) anew each time.
 */
#include <math.h>

#include "engines/reference/reference_real.h"
#include "engines/reference/reference_rules.h"

static inline REAL NAME(element)(clattn_type type, const attn_view *view, int64_t index) {
    return type == CLATTN_FP64 ? (REAL)((const double *)view->data)[index]
                               : (REAL)attn_load_float(type, view->data, index);
}

/** A score on its way, before anybody asks whether it is allowed. */
typedef struct NAME(terms) {
    REAL raw, softcap, score; /* scaled; after softcap; after bias and ALiBi */
    REAL magnitude;           /* |scale| * sum_d |q_d k_d| */
} NAME(terms);

static NAME(terms) NAME(score)(const clattn_problem *p, const attn_call *c, const attn_position *at, int64_t j) {
    REAL dot = 0, magnitude = 0;
    for (int64_t d = 0; d < p->head_dim; d++) {
        REAL q = NAME(element)(p->type, &c->query, attn_view_row(&c->query, at->b, at->h, at->i) + d);
        REAL k = NAME(element)(p->type, &c->key, attn_view_row(&c->key, at->b, at->g, j) + d);
        dot += q * k;
        magnitude += FABS(q * k);
    }
    REAL raw = (REAL)p->scale * dot;
    REAL capped = p->softcap > 0 ? (REAL)p->softcap * TANH(raw / (REAL)p->softcap) : raw;
    REAL score = capped;
    if (p->bias != CLATTN_BIAS_NONE) {
        clattn_type type = p->bias == CLATTN_BIAS_STORAGE ? p->type : CLATTN_FP32;
        REAL bias = NAME(element)(type, &c->bias, attn_view_row(&c->bias, at->b, at->h, at->i) + j * c->bias.stride[3]);
        score = ISINF(bias) && bias < 0 ? bias : score + bias;
    }
    if (p->alibi) {
        REAL slope = NAME(element)(CLATTN_FP32, &c->alibi_slopes, c->alibi_slopes.offset + at->h);
        score -= slope * FABS((REAL)(j - (at->i + at->offset)));
    }
    return (NAME(terms)){ raw, capped, score, FABS((REAL)p->scale) * magnitude };
}
