/*
 * Gradients in double, without tiles. Every pair of a row and a key is computed for each gradient anew, so this is
 * for few rows and keys, or for few calls. Sums that have become NaN in all of their elements stay so, and end there.
 */
#include "engines/cpu/backward/cpu_backward_careful.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "engines/cpu/cpu_careful.h"
#include "problem/dropout.h"
#include "problem/key_run.h"
#include "problem/mask.h"
#include "problem/problem.h"
#include "problem/training.h"

/** A row, read into scratch. */
typedef struct careful_row {
    const attn_cpu_careful_gradients *own;
    int64_t b, h, g, i;
    double *query, *given; /* given: grad_output */
    double delta, logsumexp, position;
    attn_key_range range, prefix;
    attn_dropout_row dropout;
} careful_row;

/** What row and key give to each other. */
typedef struct pair_share {
    double weight, keep; /* after the softmax; dropout's factor */
    double ds, dr;       /* the loss's derivative by the score, and by the product of query and key without scale */
} pair_share;

bool attn_cpu_gradient_scratch(const clattn_problem *p, int64_t *bytes) {
    int64_t dims;
    return attn_add(p->head_dim, p->value_dim, &dims) && attn_multiply(dims, 2, &dims) &&
           attn_add(dims, p->key_length, &dims) && attn_add(dims, 8, &dims) && attn_multiply(dims, 8, bytes);
}

static double load(clattn_type type, const void *data, int64_t index) {
    return type == CLATTN_FP64 ? ((const double *)data)[index] : (double)attn_load_float(type, data, index);
}

static void load_row(double *to, clattn_type type, const attn_view *view, int64_t first, int64_t n) {
    for (int64_t d = 0; d < n; d++) {
        to[d] = load(type, view->data, first + d);
    }
}

/** A number of a row: logsumexp and what has its shape. */
static double row_number(const clattn_problem *p, const attn_view *view, int64_t b, int64_t h, int64_t i) {
    return load(attn_logsumexp_type(p), view->data, attn_view_row(view, b, h, i));
}

static void store(clattn_type type, void *data, int64_t index, double x) {
    switch (type) {
        case CLATTN_FP16: ((uint16_t *)data)[index] = attn_half_from_double(x); break;
        case CLATTN_BF16: ((uint16_t *)data)[index] = attn_bf16_from_double(x); break;
        case CLATTN_FP32: ((float *)data)[index] = (float)x; break;
        default: ((double *)data)[index] = x; break;
    }
}

void attn_cpu_put_gradient(const clattn_problem *p, clattn_type type, const attn_view *view, int64_t index, double x) {
    store(type, view->data, index, p->gradients_add ? load(type, view->data, index) + x : x);
}

double attn_cpu_careful_delta(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h, int64_t i) {
    if (i >= attn_used_query_length(c, b)) {
        return 0;
    }
    if (p->delta) {
        return row_number(p, &c->delta, b, h, i);
    }
    clattn_type type = attn_output_type(p);
    int64_t given = attn_view_row(&c->grad_output, b, h, i), output = attn_view_row(&c->output, b, h, i);
    double sum = 0;
    for (int64_t d = 0; d < p->value_dim; d++) {
        sum += load(type, c->grad_output.data, given + d) * load(type, c->output.data, output + d);
    }
    return p->grad_logsumexp ? sum - row_number(p, &c->grad_logsumexp, b, h, i) : sum;
}

static double weight_of(double x, double logsumexp) {
    return x == -INFINITY || logsumexp == -INFINITY ? 0 : exp(x - logsumexp);
}

double attn_cpu_careful_weight(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h, int64_t i, double x) {
    return weight_of(x, row_number(p, &c->logsumexp, b, h, i));
}

/** Rows beyond the used query length have no keys, and nothing of theirs is read. */
static careful_row start_row(const attn_cpu_careful_gradients *own, const attn_row_rule *rule, int64_t b, int64_t h,
                             int64_t i, double *scratch) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    careful_row row = { .own = own, .b = b, .h = h, .g = h / (p->query_heads / p->kv_heads), .i = i };
    row.range = attn_rule_keys(rule, i);
    row.prefix = attn_rule_prefix(rule, i);
    row.query = scratch;
    row.given = scratch + p->head_dim;
    if (i >= rule->query_length) {
        return row;
    }
    load_row(row.query, p->type, &c->query, attn_view_row(&c->query, b, h, i), p->head_dim);
    load_row(row.given, attn_output_type(p), &c->grad_output, attn_view_row(&c->grad_output, b, h, i), p->value_dim);
    row.delta = own->deltas[(b * p->query_heads + h) * c->query_length + i];
    row.logsumexp = row_number(p, &c->logsumexp, b, h, i);
    row.position = (double)(i + attn_call_offset(p, c, b));
    if (p->dropout > 0) {
        row.dropout = attn_dropout_row_of(p, c, b, h, i);
    }
    return row;
}

/** False where the row may not attend to the key: then they give each other nothing. */
static bool share_of(const careful_row *row, int64_t j, pair_share *share) {
    const clattn_problem *p = row->own->problem;
    const attn_call *c = row->own->call;
    double raw, score, slope = 1, keep = 1, dot = 0;
    bool in_reach = (j >= row->range.begin && j < row->range.end) || (j >= row->prefix.begin && j < row->prefix.end);
    if (!in_reach || !attn_cpu_row_score(p, c, row->b, row->h, row->i, j, row->query, &raw, &score)) {
        return false;
    }
    if (p->dropout > 0) {
        keep = attn_dropout_keeps(&row->dropout, j) ? row->dropout.scale : 0;
    }
    if (keep != 0) {
        const int64_t first = attn_key_at(&(attn_keys){ &c->value, row->b, row->g }, j);
        dot = attn_cpu_dot(row->given, p->type, c->value.data, first, p->value_dim);
    }
    if (p->softcap > 0) { /* 1 - tanh^2, which has no digits left where tanh is nearly 1 */
        double e = exp(-2 * fabs(raw) / p->softcap);
        slope = 4 * e / ((1 + e) * (1 + e));
    }
    double weight = weight_of(score, row->logsumexp), ds = weight * (keep * dot - row->delta);
    *share = (pair_share){ weight, keep, ds, ds * slope };
    return true;
}

/** Whether nothing that is added can change the sums any more. */
static bool all_nan(const double *sums, int64_t n) {
    for (int64_t d = 0; d < n; d++) {
        if (!isnan(sums[d])) {
            return false;
        }
    }
    return true;
}

static void put_row(const clattn_problem *p, const attn_view *view, int64_t first, const double *sums, int64_t n,
                    double factor) {
    clattn_type type = attn_gradient_type(p);
    for (int64_t d = 0; d < n; d++) {
        attn_cpu_put_gradient(p, type, view, first + d, factor * sums[d]);
    }
}

void attn_cpu_careful_grad_query(const attn_cpu_careful_gradients *own, int64_t b, int64_t h, int64_t i,
                                 void *scratch) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    const attn_row_rule rule = attn_row_rule_of(p, c, b);
    const careful_row row = start_row(own, &rule, b, h, i, scratch);
    double *sums = row.given + p->value_dim;
    const attn_key_range parts[] = { row.prefix, row.range };
    memset(sums, 0, (size_t)p->head_dim * sizeof *sums);
    for (int part = 0; part < 2; part++) {
        for (int64_t j = parts[part].begin; j < parts[part].end && !(j % 64 == 0 && all_nan(sums, p->head_dim)); j++) {
            pair_share share;
            if (share_of(&row, j, &share)) {
                const int64_t first = attn_key_at(&(attn_keys){ &c->key, b, row.g }, j);
                attn_cpu_add_scaled(sums, share.dr, p->type, c->key.data, first, p->head_dim);
            }
        }
    }
    put_row(p, &c->grad_query, attn_view_row(&c->grad_query, b, h, i), sums, p->head_dim, p->scale);
}

void attn_cpu_careful_grad_key(const attn_cpu_careful_gradients *own, int64_t b, int64_t g, int64_t j, bool key,
                               bool value, void *scratch) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    const attn_row_rule rule = attn_row_rule_of(p, c, b);
    double *keys = (double *)scratch + p->head_dim + p->value_dim, *values = keys + p->head_dim;
    int64_t group = p->query_heads / p->kv_heads, rows = attn_min(rule.query_length, c->query_length);
    memset(keys, 0, (size_t)(p->head_dim + p->value_dim) * sizeof *keys);
    for (int64_t n = 0; n < group * rows && j < rule.key_length; n++) {
        pair_share share;
        int64_t h = g * group + n / rows, i = n % rows;
        const careful_row row = start_row(own, &rule, b, h, i, scratch);
        if (!share_of(&row, j, &share)) {
            continue;
        }
        for (int64_t d = 0; d < p->head_dim && key; d++) {
            keys[d] += share.dr * row.query[d];
        }
        for (int64_t d = 0; d < p->value_dim && value && share.keep != 0; d++) {
            values[d] += share.keep * share.weight * row.given[d];
        }
        if (n % 64 == 0 && (!key || all_nan(keys, p->head_dim)) && (!value || all_nan(values, p->value_dim))) {
            break;
        }
    }
    if (key) {
        put_row(p, &c->grad_key, attn_view_row(&c->grad_key, b, g, j), keys, p->head_dim, p->scale);
    }
    if (value) {
        put_row(p, &c->grad_value, attn_view_row(&c->grad_value, b, g, j), values, p->value_dim, 1);
    }
}

void attn_cpu_careful_row_ds(const attn_cpu_careful_gradients *own, int64_t b, int64_t h, int64_t i, int64_t begin,
                             int64_t end, double *ds, void *scratch) {
    const attn_row_rule rule = attn_row_rule_of(own->problem, own->call, b);
    const careful_row row = start_row(own, &rule, b, h, i, scratch);
    for (int64_t j = begin; j < end; j++) {
        pair_share share;
        ds[j - begin] = share_of(&row, j, &share) ? share.ds : 0;
    }
}

/** First and one past the last of those whose sum goes to place `at` of a dimension of the bias. */
static int64_t first_of(int64_t shape, int64_t at) {
    return shape == 1 ? 0 : at;
}

static int64_t end_of(int64_t shape, int64_t at, int64_t full) {
    return shape == 1 ? full : at + 1;
}

void attn_cpu_careful_grad_bias(const attn_cpu_careful_gradients *own, int64_t b0, int64_t h0, int64_t i0,
                                void *scratch) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    const int64_t *shape = p->bias_shape, columns = shape[3] == 1 ? 1 : c->key_length;
    double *sums = (double *)scratch + 2 * (p->head_dim + p->value_dim);
    memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t b = first_of(shape[0], b0); b < end_of(shape[0], b0, p->batch); b++) {
        const attn_row_rule rule = attn_row_rule_of(p, c, b);
        for (int64_t h = first_of(shape[1], h0); h < end_of(shape[1], h0, p->query_heads); h++) {
            for (int64_t i = first_of(shape[2], i0); i < end_of(shape[2], i0, c->query_length); i++) {
                const careful_row row = start_row(own, &rule, b, h, i, scratch);
                for (int64_t j = 0; j < rule.key_length; j++) {
                    pair_share share;
                    if (share_of(&row, j, &share)) {
                        sums[shape[3] == 1 ? 0 : j] += share.ds;
                    }
                }
            }
        }
    }
    for (int64_t j = 0; j < columns; j++) {
        attn_cpu_put_gradient(p, attn_grad_bias_type(p), &c->grad_bias, attn_view_row(&c->grad_bias, b0, h0, i0) + j,
                              sums[j]);
    }
}

void attn_cpu_careful_grad_slope(const attn_cpu_careful_gradients *own, int64_t h, void *scratch) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    double slope = 0;
    for (int64_t b = 0; b < p->batch; b++) {
        const attn_row_rule rule = attn_row_rule_of(p, c, b);
        for (int64_t i = 0; i < c->query_length; i++) {
            const careful_row row = start_row(own, &rule, b, h, i, scratch);
            for (int64_t j = 0; j < rule.key_length; j++) {
                pair_share share;
                if (share_of(&row, j, &share)) {
                    slope -= share.ds * fabs((double)j - row.position);
                }
            }
        }
    }
    attn_cpu_put_gradient(p, attn_logsumexp_type(p), &c->grad_alibi_slopes, c->grad_alibi_slopes.offset + h, slope);
}

void attn_cpu_careful_grad_sink(const attn_cpu_careful_gradients *own, int64_t h) {
    const clattn_problem *p = own->problem;
    const attn_call *c = own->call;
    double sink = load(CLATTN_FP32, c->sinks.data, c->sinks.offset + h), sum = 0;
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t rows = attn_used_query_length(c, b), first = (b * p->query_heads + h) * c->query_length;
        for (int64_t i = 0; i < rows; i++) {
            sum -= attn_cpu_careful_weight(p, c, b, h, i, sink) * own->deltas[first + i];
        }
    }
    attn_cpu_put_gradient(p, attn_logsumexp_type(p), &c->grad_sinks, c->grad_sinks.offset + h, sum);
}
