/*
 * One row of attention, written to read like the formula in clattn.h. Included by reference.c twice: with REAL double, and
 * long double for fp64. The rules of lengths, offset, causal, window and mask are in reference_rules.h, scores in
 * reference_score.h; nothing is shared with the engines. Has no guard: the includer defines ATTN_REFERENCE_WIDE anew each time.
 */
#include "clattn/clattn_inspect.h"
#include "engines/reference/reference_dropout.h"
#include "engines/reference/reference_score.h"

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
        NAME(terms) terms = NAME(score)(p, c, at, j);
        out->raw[j] = terms.raw;
        out->softcap[j] = terms.softcap;
        if (out->magnitude) {
            out->magnitude[j] = terms.magnitude;
        }
        if (!attn_reference_allows(p, c, at, j)) {
            continue;
        }
        out->scores[j] = terms.score;
        maximum = ISNAN(terms.score) || terms.score > maximum ? terms.score : maximum;
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
    for (int64_t j = 0; row->keep && j < c->key_length; j++) {
        row->keep[j] = attn_reference_keeps(p, c, at, j) ? 1 / (1 - (REAL)p->dropout) : 0;
    }
    for (int64_t d = 0; row->output && d < p->value_dim; d++) {
        REAL total = 0;
        for (int64_t j = 0; j < at->key_length && at->used && !nothing; j++) {
            bool kept = row->keep ? row->keep[j] != 0 : attn_reference_keeps(p, c, at, j);
            if (out->scores[j] != -(long double)INFINITY && kept) { /* a value without a weight may hold anything */
                total += (REAL)out->weights[j] *
                         NAME(element)(p->type, &c->value, attn_view_row(&c->value, at->b, at->g, j) + d);
            }
        }
        row->output[d] = p->dropout > 0 ? total / (1 - (REAL)p->dropout) : total;
    }
}
