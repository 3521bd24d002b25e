/*
 * Gradients, written to read like the formulas of clattn_direction in clattn.h. Each function makes what one row, key, head
 * or row of the bias receives, and sums over all that it comes from, so that nothing is added to by two threads. Has no
 * guard: the includer defines ATTN_REFERENCE_WIDE anew each time.
 */
#include "engines/reference/reference_dropout.h"
#include "engines/reference/reference_score.h"

/** What row and key give to each other. */
typedef struct NAME(share) {
    REAL weight, keep; /* after the softmax; dropout's factor */
    REAL ds, dr; /* the loss's derivative by the score before, and by the product of query and key without scale */
} NAME(share);

/** An element of [batch, query_heads, query_length, value_dim], or of what has that shape. */
static inline REAL NAME(row_element)(clattn_type type, const attn_view *view, const attn_position *at, int64_t d) {
    return NAME(element)(type, view, attn_view_row(view, at->b, at->h, at->i) + d);
}

static clattn_type NAME(output_type)(const clattn_problem *p) {
    return p->output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
}

/** Type of logsumexp and of all that has one number a row or head. */
static clattn_type NAME(wide_type)(const clattn_problem *p) {
    return p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
}

static REAL NAME(delta)(const clattn_problem *p, const attn_call *c, const attn_position *at) {
    clattn_type type = NAME(output_type)(p), wide = NAME(wide_type)(p);
    if (!at->used) {
        return 0;
    }
    if (p->delta) {
        return NAME(row_element)(wide, &c->delta, at, 0);
    }
    REAL sum = 0;
    for (int64_t d = 0; d < p->value_dim; d++) {
        sum += NAME(row_element)(type, &c->grad_output, at, d) * NAME(row_element)(type, &c->output, at, d);
    }
    return p->grad_logsumexp ? sum - NAME(row_element)(wide, &c->grad_logsumexp, at, 0) : sum;
}

/** exp(x - logsumexp of the row); 0 where either is -inf, by selection. */
static REAL NAME(weight)(const clattn_problem *p, const attn_call *c, const attn_position *at, REAL x) {
    REAL logsumexp = NAME(row_element)(NAME(wide_type)(p), &c->logsumexp, at, 0);
    bool none = (ISINF(x) && x < 0) || (ISINF(logsumexp) && logsumexp < 0);
    return none ? 0 : EXP(x - logsumexp);
}

/** False where the row may not attend to the key: then they give each other nothing. */
static bool NAME(share_of)(const clattn_problem *p, const attn_call *c, const attn_position *at, int64_t j, REAL delta,
                           NAME(share) * share) {
    if (!attn_reference_allows(p, c, at, j)) {
        return false;
    }
    NAME(terms) terms = NAME(score)(p, c, at, j);
    REAL weight = NAME(weight)(p, c, at, terms.score),
         keep = attn_reference_keeps(p, c, at, j) ? 1 / (1 - (REAL)p->dropout) : 0;
    REAL dot = 0, slope = 1;
    for (int64_t d = 0; d < p->value_dim && keep != 0; d++) {
        dot += NAME(row_element)(NAME(output_type)(p), &c->grad_output, at, d) *
               NAME(element)(p->type, &c->value, attn_view_row(&c->value, at->b, at->g, j) + d);
    }
    if (p->softcap > 0) { /* 1 - tanh^2, which has no digits left where tanh is nearly 1 */
        REAL e = EXP(-2 * FABS(terms.raw) / (REAL)p->softcap);
        slope = 4 * e / ((1 + e) * (1 + e));
    }
    REAL ds = weight * (keep * dot - delta);
    *share = (NAME(share)){ weight, keep, ds, ds * slope };
    return true;
}

/** Writes a gradient, or adds it to what is there. */
static void NAME(put)(const clattn_problem *p, clattn_type type, const attn_view *view, int64_t index, REAL x) {
    REAL sum = p->gradients_add ? NAME(element)(type, view, index) + x : x;
    attn_set_element(type, view->data, index, (double)sum);
}

/** grad_query of one row; `deltas` are of all rows. */
static void NAME(grad_query)(const clattn_problem *p, const attn_call *c, const REAL *deltas, int64_t b, int64_t h,
                             int64_t i, REAL *sums) {
    attn_position at = attn_reference_position(p, c, b, h, i);
    clattn_type type = p->gradient_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
    memset(sums, 0, (size_t)p->head_dim * sizeof *sums);
    for (int64_t j = 0; j < at.key_length; j++) {
        NAME(share) share;
        if (!NAME(share_of)(p, c, &at, j, deltas[(b * p->query_heads + h) * c->query_length + i], &share)) {
            continue;
        }
        for (int64_t d = 0; d < p->head_dim; d++) {
            sums[d] += share.dr * NAME(element)(p->type, &c->key, attn_view_row(&c->key, b, at.g, j) + d);
        }
    }
    for (int64_t d = 0; d < p->head_dim; d++) {
        NAME(put)(p, type, &c->grad_query, attn_view_row(&c->grad_query, b, h, i) + d, (REAL)p->scale * sums[d]);
    }
}

/** grad_key and grad_value of one key: from the rows of all heads of its group. */
static void NAME(grad_key_value)(const clattn_problem *p, const attn_call *c, const REAL *deltas, int64_t b, int64_t g,
                                 int64_t j, REAL *sums) {
    REAL *key = sums, *value = sums + p->head_dim;
    int64_t group = p->query_heads / p->kv_heads;
    clattn_type type = p->gradient_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
    memset(sums, 0, (size_t)(p->head_dim + p->value_dim) * sizeof *sums);
    for (int64_t row = 0; row < group * c->query_length; row++) {
        int64_t h = g * group + row / c->query_length, i = row % c->query_length;
        attn_position at = attn_reference_position(p, c, b, h, i);
        NAME(share) share;
        if (!NAME(share_of)(p, c, &at, j, deltas[(b * p->query_heads + h) * c->query_length + i], &share)) {
            continue;
        }
        for (int64_t d = 0; d < p->head_dim; d++) {
            key[d] += share.dr * NAME(row_element)(p->type, &c->query, &at, d);
        }
        for (int64_t d = 0; d < p->value_dim && share.keep != 0; d++) {
            value[d] += share.keep * share.weight * NAME(row_element)(NAME(output_type)(p), &c->grad_output, &at, d);
        }
    }
    for (int64_t d = 0; d < p->head_dim && c->grad_key.data; d++) {
        NAME(put)(p, type, &c->grad_key, attn_view_row(&c->grad_key, b, g, j) + d, (REAL)p->scale * key[d]);
    }
    for (int64_t d = 0; d < p->value_dim && c->grad_value.data; d++) {
        NAME(put)(p, type, &c->grad_value, attn_view_row(&c->grad_value, b, g, j) + d, value[d]);
    }
}

/** First and one past the last of the entries, heads or rows whose sum goes to place `at` of a dimension of the bias. */
static inline int64_t NAME(first_of)(int64_t shape, int64_t at) {
    return shape == 1 ? 0 : at;
}

static inline int64_t NAME(end_of)(int64_t shape, int64_t at, int64_t full) {
    return shape == 1 ? full : at + 1;
}

/** Row (b0, h0, i0) of grad_bias, in the bias' own shape. */
static void NAME(grad_bias)(const clattn_problem *p, const attn_call *c, const REAL *deltas, int64_t b0, int64_t h0,
                            int64_t i0, REAL *sums) {
    const int64_t *shape = p->bias_shape;
    int64_t columns = shape[3] == 1 ? 1 : c->key_length;
    clattn_type type = p->gradient_type == CLATTN_RESULT_FP32 || p->bias == CLATTN_BIAS_FP32 ? CLATTN_FP32 : p->type;
    memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t b = NAME(first_of)(shape[0], b0); b < NAME(end_of)(shape[0], b0, p->batch); b++) {
        for (int64_t h = NAME(first_of)(shape[1], h0); h < NAME(end_of)(shape[1], h0, p->query_heads); h++) {
            for (int64_t i = NAME(first_of)(shape[2], i0); i < NAME(end_of)(shape[2], i0, c->query_length); i++) {
                attn_position at = attn_reference_position(p, c, b, h, i);
                for (int64_t j = 0; j < at.key_length; j++) {
                    NAME(share) share;
                    if (NAME(share_of)(p, c, &at, j, deltas[(b * p->query_heads + h) * c->query_length + i], &share)) {
                        sums[shape[3] == 1 ? 0 : j] += share.ds;
                    }
                }
            }
        }
    }
    for (int64_t j = 0; j < columns; j++) {
        NAME(put)(p, type, &c->grad_bias, attn_view_row(&c->grad_bias, b0, h0, i0) + j, sums[j]);
    }
}

/** grad_alibi_slopes and grad_sinks of one head. */
static void NAME(grad_head)(const clattn_problem *p, const attn_call *c, const REAL *deltas, int64_t h) {
    clattn_type wide = NAME(wide_type)(p);
    REAL slope = 0, sink = 0;
    for (int64_t row = 0; row < p->batch * c->query_length; row++) {
        attn_position at = attn_reference_position(p, c, row / c->query_length, h, row % c->query_length);
        REAL delta = deltas[(at.b * p->query_heads + h) * c->query_length + at.i];
        for (int64_t j = 0; j < at.key_length && c->grad_alibi_slopes.data; j++) {
            NAME(share) share;
            if (NAME(share_of)(p, c, &at, j, delta, &share)) {
                slope -= share.ds * FABS((REAL)(j - (at.i + at.offset)));
            }
        }
        if (at.used && c->grad_sinks.data) {
            sink -= NAME(weight)(p, c, &at, NAME(element)(CLATTN_FP32, &c->sinks, c->sinks.offset + h)) * delta;
        }
    }
    if (c->grad_alibi_slopes.data) {
        NAME(put)(p, wide, &c->grad_alibi_slopes, c->grad_alibi_slopes.offset + h, slope);
    }
    if (c->grad_sinks.data) {
        NAME(put)(p, wide, &c->grad_sinks, c->grad_sinks.offset + h, sink);
    }
}
