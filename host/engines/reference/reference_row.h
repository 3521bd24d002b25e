/*
 * One row of attention, written to read like the formula in clattn.h. Included by reference.c twice: with REAL double, and
 * long double for fp64. Restates the rules of lengths, offset, causal, window and mask; shares nothing with the engines. Has
 * no guard: the includer defines REAL, NAME(x), EXP, LOG, TANH and FABS anew each time.
 */
#include <math.h>

#include "clattn/clattn_inspect.h"
#include "engines/reference/reference_rules.h"

static inline REAL NAME(element)(clattn_type type, const attn_view *view, int64_t index) {
    return type == CLATTN_FP64 ? (REAL)((const double *)view->data)[index]
                               : (REAL)attn_load_float(type, view->data, index);
}

/** Score of key j before anybody asks whether it is allowed; raw, after softcap, and the size of its terms. */
static REAL NAME(score)(const clattn_problem *p, const attn_call *c, const attn_position *at, int64_t j,
                        const attn_row_arrays *out) {
    REAL dot = 0, magnitude = 0;
    for (int64_t d = 0; d < p->head_dim; d++) {
        REAL q = NAME(element)(p->type, &c->query, attn_view_row(&c->query, at->b, at->h, at->i) + d);
        REAL k = NAME(element)(p->type, &c->key, attn_view_row(&c->key, at->b, at->g, j) + d);
        dot += q * k;
        magnitude += FABS(q * k);
    }
    REAL raw = (REAL)p->scale * dot;
    REAL capped = p->softcap > 0 ? (REAL)p->softcap * TANH(raw / (REAL)p->softcap) : raw;
    out->raw[j] = raw;
    out->softcap[j] = capped;
    if (out->magnitude) {
        out->magnitude[j] = FABS((REAL)p->scale) * magnitude;
    }
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
    return score;
}

/** Scores of one row; answers the maximum over allowed keys: -inf when there is none, NaN once one is NaN. */
static REAL NAME(scores)(const clattn_problem *p, const attn_call *c, const attn_position *at,
                         const attn_row_arrays *out) {
    REAL maximum = -(REAL)INFINITY;
    for (int64_t j = 0; j < c->key_length; j++) {
        out->raw[j] = out->softcap[j] = 0;
        out->scores[j] = -(REAL)INFINITY;
        if (out->magnitude) {
            out->magnitude[j] = 0;
        }
        if (!at->used || j >= at->key_length) {
            continue;
        }
        REAL score = NAME(score)(p, c, at, j, out);
        if (!attn_reference_allows(p, c, at, j)) {
            continue;
        }
        out->scores[j] = score;
        maximum = ISNAN(score) || score > maximum ? score : maximum;
        if (ISNAN(maximum)) {
            maximum = (REAL)NAN; /* nothing compares greater than NaN: it stays */
        }
    }
    return maximum;
}

static void NAME(row)(const clattn_problem *p, const attn_call *c, const attn_position *at, const attn_row_arrays *out,
                      clattn_reference_row *row) {
    REAL maximum = NAME(scores)(p, c, at, out), sum = 0;
    REAL sink = p->sinks ? NAME(element)(CLATTN_FP32, &c->sinks, c->sinks.offset + at->h) : -(REAL)INFINITY;
    bool nothing = ISINF(maximum) && maximum < 0; /* then the sink stands, whatever it is */
    maximum = sink > maximum ? sink : maximum;
    for (int64_t j = 0; j < c->key_length; j++) {
        REAL weight = nothing ? 0 : EXP((REAL)out->scores[j] - maximum);
        out->weights[j] = weight;
        sum += weight;
    }
    if (p->sinks && !nothing) {
        sum += EXP(sink - maximum);
    }
    for (int64_t j = 0; j < c->key_length; j++) {
        out->weights[j] = nothing ? 0 : (REAL)out->weights[j] / sum;
    }
    row->maximum = maximum;
    row->logsumexp = nothing ? sink : maximum + LOG(sum);
    row->row_used = at->used;
    for (int64_t d = 0; row->output && d < p->value_dim; d++) {
        REAL total = 0;
        for (int64_t j = 0; j < at->key_length && at->used && !nothing; j++) {
            if (out->scores[j] != -(long double)INFINITY) { /* a value that may not be attended to may hold anything */
                total += (REAL)out->weights[j] *
                         NAME(element)(p->type, &c->value, attn_view_row(&c->value, at->b, at->g, j) + d);
            }
        }
        row->output[d] = total;
    }
}
