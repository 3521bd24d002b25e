/*
 * Gold of gradients: the formulas of clattn_direction over the scores of the reference's rows, in double. What is stored of
 * each gradient beside the gold are the same sums over absolute values. The reference's own gradients are not asked, so
 * that they can be judged as well; docs/numerics.md says why the bound is what it is.
 */
#include "gate/gate_gradients.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate_row.h"

/* The present head and row. */
typedef struct attn_gold_walk {
    attn_gradient_gold *gold;
    const attn_case_data *data;
    clattn_problem forward;
    int64_t b, h, g, i, offset;
    double *keys, *values, *query, *given; /* of the head: [key_length][dim]; of the row */
    double delta, delta_size, logsumexp;
    clattn_reference_row row;
    void *block;
} attn_gold_walk;

/* What a pair of row and key gives. */
typedef struct attn_gold_share {
    double weight, value_weight; /* value_weight: with dropout */
    double ds, size, most, error;
    double slope, error_slope; /* of softcap; with what its own error adds */
} attn_gold_share;

static double sum_roundoff(const clattn_problem *p) {
    return p->type == CLATTN_FP64 ? 0x1p-53 : 0x1p-24;
}

/* x times its share of the gradient: to gold, and to the sums of absolute values. */
static void add(attn_gold_array *array, int64_t n, double gold, double size, double error, double most) {
    array->gold[n] += gold;
    array->size[n] += size;
    array->error[n] += size > 0 ? size * error : 0;
    array->most[n] += most;
}

/* ------------------------------------------------------------------------------------ one row */

static void load(double *to, clattn_type type, const void *from, int64_t at, int64_t dim) {
    for (int64_t d = 0; d < dim; d++) {
        to[d] = clattn_get_element(type, from, at + d);
    }
}

static void load_head(attn_gold_walk *w) {
    const attn_case_data *data = w->data;
    const clattn_problem *p = &data->problem;
    for (int64_t j = 0; j < attn_case_data_key_length(data, w->b); j++) {
        load(w->keys + j * p->head_dim, p->type, data->key.data, attn_rows_at(&data->key_rows, w->b, w->g, j),
             p->head_dim);
        load(w->values + j * p->value_dim, p->type, data->value.data, attn_rows_at(&data->value_rows, w->b, w->g, j),
             p->value_dim);
    }
}

static int load_row(attn_gold_walk *w, attn_error *error) {
    const attn_case_data *data = w->data;
    const clattn_problem *p = &data->problem;
    clattn_type type = attn_case_output_type(p), wide = attn_case_logsumexp_type(p);
    int64_t number = (w->b * p->query_heads + w->h) * p->query_length + w->i;
    int64_t output = attn_rows_at(&data->output_rows, w->b, w->h, w->i);
    clattn_status status = clattn_reference_get_row(&w->forward, &data->tensors, w->b, w->h, w->i, &w->row, NULL);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, NULL);
    }
    load(w->query, p->type, data->query.data, attn_rows_at(&data->query_rows, w->b, w->h, w->i), p->head_dim);
    load(w->given, type, data->grad_output.data, attn_rows_at(&data->grad_output_rows, w->b, w->h, w->i), p->value_dim);
    w->logsumexp = clattn_get_element(wide, data->logsumexp.data, number);
    w->delta = p->delta ? clattn_get_element(wide, data->delta.data, number) : 0;
    w->delta_size = fabs(w->delta);
    for (int64_t d = 0; d < p->value_dim && !p->delta; d++) {
        double term = w->given[d] * clattn_get_element(type, data->output.data, output + d);
        w->delta += term;
        w->delta_size += fabs(term);
    }
    if (p->grad_logsumexp) {
        double term = clattn_get_element(wide, data->grad_logsumexp.data, number);
        w->delta -= term;
        w->delta_size += fabs(term);
    }
    return ATTN_DONE;
}

/* The key's F, as an error of its weight: u * F where that is small (docs/numerics.md). */
static double weight_error(const clattn_problem *p, double units) {
    double u = sum_roundoff(p);
    return expm1(fmin(u * units, 700)) / u;
}

static attn_gold_share share_of(const attn_gold_walk *w, int64_t j) {
    const clattn_problem *p = &w->data->problem;
    const double *value = w->values + j * p->value_dim;
    double score = (double)w->row.scores[j], keep = (double)w->row.keep[j], dot = 0, size = 0, lse = w->logsumexp;
    double magnitude = (double)w->row.magnitude[j], weight = lse == -INFINITY ? 0 : exp(score - lse);
    attn_gold_share s = { .weight = weight, .value_weight = keep * weight, .slope = 1 };
    for (int64_t d = 0; d < p->value_dim && keep > 0; d++) {
        dot += w->given[d] * value[d];
        size += fabs(w->given[d] * value[d]);
    }
    s.ds = weight * (keep * dot - w->delta);
    s.most = keep * size + w->delta_size;
    s.size = weight * s.most;
    double units = 16 + 4 * fabs(score) + 4 * fabs(lse) + 4 * magnitude + (p->softcap > 0 ? 10 * fabs(score) : 0);
    s.error = s.error_slope = weight_error(p, units);
    if (p->softcap > 0) {
        double e = exp(-2 * fabs((double)w->row.raw[j]) / p->softcap);
        s.slope = 4 * e / ((1 + e) * (1 + e));
        s.error_slope = weight_error(p, units + 8 * magnitude / p->softcap);
    }
    return s;
}

static void add_query_and_key(attn_gold_walk *w, int64_t j, const attn_gold_share *s) {
    const clattn_problem *p = &w->data->problem;
    attn_gold_array *query = &w->gold->arrays[ATTN_GRAD_QUERY], *key = &w->gold->arrays[ATTN_GRAD_KEY];
    int64_t at_query = attn_gold_at(&w->data->gradients[ATTN_GRAD_QUERY].rows, w->b, w->h, w->i);
    int64_t at_key = attn_gold_at(&w->data->gradients[ATTN_GRAD_KEY].rows, w->b, w->g, j);
    double factor = p->scale * s->slope;
    for (int64_t d = 0; d < p->head_dim; d++) {
        double k = factor * w->keys[j * p->head_dim + d], q = factor * w->query[d];
        add(query, at_query + d, s->ds * k, s->size * fabs(k), s->error_slope, s->most * fabs(k));
        add(key, at_key + d, s->ds * q, s->size * fabs(q), s->error_slope, s->most * fabs(q));
    }
}

static void add_pair(attn_gold_walk *w, int64_t j) {
    const clattn_problem *p = &w->data->problem;
    attn_gold_array *arrays = w->gold->arrays;
    attn_gold_share s = share_of(w, j);
    add_query_and_key(w, j, &s);
    int64_t at_value = attn_gold_at(&w->data->gradients[ATTN_GRAD_VALUE].rows, w->b, w->g, j);
    for (int64_t d = 0; d < p->value_dim && s.value_weight != 0; d++) {
        double x = s.value_weight * w->given[d];
        add(&arrays[ATTN_GRAD_VALUE], at_value + d, x, fabs(x), s.error, fabs(w->given[d]) * (double)w->row.keep[j]);
    }
    if (arrays[ATTN_GRAD_BIAS].count > 0) {
        const int64_t *shape = p->bias_shape;
        int64_t at = attn_gold_at(&w->data->gradients[ATTN_GRAD_BIAS].rows, shape[0] == 1 ? 0 : w->b,
                                  shape[1] == 1 ? 0 : w->h, shape[2] == 1 ? 0 : w->i);
        add(&arrays[ATTN_GRAD_BIAS], at + (shape[3] == 1 ? 0 : j), s.ds, s.size, s.error, s.most);
    }
    if (arrays[ATTN_GRAD_SLOPES].count > 0) {
        double distance = fabs((double)(j - (w->i + w->offset)));
        add(&arrays[ATTN_GRAD_SLOPES], w->h, -s.ds * distance, s.size * distance, s.error, s.most * distance);
    }
}

static void add_sink(attn_gold_walk *w) {
    attn_gold_array *array = &w->gold->arrays[ATTN_GRAD_SINKS];
    if (array->count == 0) {
        return;
    }
    double sink = (double)((const float *)w->data->sinks.data)[w->h], lse = w->logsumexp;
    double weight = sink == -INFINITY || lse == -INFINITY ? 0 : exp(sink - lse);
    double error = weight_error(&w->data->problem, 16 + 4 * fabs(sink) + 4 * fabs(lse));
    add(array, w->h, -weight * w->delta, weight * w->delta_size, error, w->delta_size);
}

/* ------------------------------------------------------------------------------------ all rows */

static int64_t offset_of(const attn_case_data *data, int64_t b) {
    const clattn_problem *p = &data->problem;
    const clattn_integers *offsets = &data->tensors.offsets;
    switch (p->alignment) {
        case CLATTN_ALIGN_BOTTOM_RIGHT:
            return attn_case_data_key_length(data, b) - attn_case_data_query_length(data, b);
        case CLATTN_ALIGN_PAST: return p->past_length;
        case CLATTN_ALIGN_OFFSET: return p->offset;
        case CLATTN_ALIGN_OFFSETS:
            return offsets->type == CLATTN_INT32 ? (int64_t)((const int32_t *)offsets->data)[b]
                                                 : ((const int64_t *)offsets->data)[b];
        default: return 0;
    }
}

static int walk_group(attn_gold_walk *w, attn_error *error) {
    const clattn_problem *p = &w->data->problem;
    int64_t group = p->query_heads / p->kv_heads, keys = attn_case_data_key_length(w->data, w->b);
    load_head(w);
    w->offset = offset_of(w->data, w->b);
    for (w->h = w->g * group; w->h < (w->g + 1) * group; w->h++) {
        for (w->i = 0; w->i < attn_case_data_query_length(w->data, w->b); w->i++) {
            if (load_row(w, error) != ATTN_DONE) {
                return error->status;
            }
            for (int64_t j = 0; j < keys; j++) {
                if (w->row.scores[j] != -(long double)INFINITY) {
                    add_pair(w, j);
                }
            }
            add_sink(w);
        }
    }
    return ATTN_DONE;
}

static int open_walk(attn_gold_walk *w, attn_gradient_gold *gold, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    size_t keys = (size_t)p->key_length + 1, dims = (size_t)(p->head_dim + p->value_dim);
    *w = (attn_gold_walk){ .gold = gold, .data = gold->data, .forward = *p };
    w->forward.direction = CLATTN_FORWARD;
    w->forward.logsumexp = false;
    w->block = malloc(6 * keys * sizeof(long double) + (keys + 1) * dims * sizeof(double));
    if (!w->block) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the check against the reference");
    }
    long double *x = w->block;
    w->row = (clattn_reference_row){ .raw = x,
                                     .softcap = x + keys,
                                     .scores = x + 2 * keys,
                                     .weights = x + 3 * keys,
                                     .magnitude = x + 4 * keys,
                                     .keep = x + 5 * keys };
    w->keys = (double *)(void *)(x + 6 * keys);
    w->values = w->keys + keys * (size_t)p->head_dim;
    w->query = w->values + keys * (size_t)p->value_dim;
    w->given = w->query + p->head_dim;
    return ATTN_DONE;
}

/* Groups of heads that the work allows, spread evenly. What sums over all of them is whole only when none is left out. */
static int walk(attn_gradient_gold *gold, const attn_gate_options *options, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    attn_gold_walk w;
    int64_t all = p->batch * p->kv_heads, groups = all;
    double work = (double)(p->query_heads / p->kv_heads) * (double)p->query_length * (double)p->key_length *
                  (double)(3 * p->head_dim + 3 * p->value_dim);
    if (options && options->max_work > 0 && work * (double)all > options->max_work) {
        groups = (int64_t)(options->max_work / work) + 1;
        groups = groups < all ? groups : all;
    }
    if (open_walk(&w, gold, error) != ATTN_DONE) {
        return error->status;
    }
    int status = ATTN_DONE;
    for (int64_t n = 0; n < groups && status == ATTN_DONE; n++) {
        int64_t which = groups == all ? n : n * all / groups;
        w.b = which / p->kv_heads;
        w.g = which % p->kv_heads;
        gold->seen[which] = 1;
        status = walk_group(&w, error);
    }
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        gold->arrays[g].whole = groups == all || g <= ATTN_GRAD_VALUE;
    }
    free(w.block);
    return status;
}

int attn_gate_gradients_create(attn_gradient_gold **made, const attn_case_data *data, const attn_gate_options *options,
                               attn_error *error) {
    const clattn_problem *p = &data->problem;
    int64_t total = 0, group = p->query_heads / p->kv_heads, rows = p->query_length;
    const int64_t full[4] = { p->batch, p->query_heads, rows, p->key_length };
    int64_t summed = 1; /* pairs whose ds a number of grad_bias adds up */
    for (int k = 0; k < 4; k++) {
        summed *= p->bias_shape[k] == 1 ? full[k] : 1;
    }
    const int64_t terms[ATTN_GRADIENTS] = {
        p->key_length,  group * rows, group * rows, summed, p->batch * rows * p->key_length,
        p->batch * rows
    };
    attn_gradient_gold *gold = calloc(1, sizeof *gold);
    *made = gold;
    if (!gold) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    gold->data = data;
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        const attn_rows *r = &data->gradients[g].rows;
        attn_gold_array *array = &gold->arrays[g];
        array->count = data->gradients[g].memory.block ? r->sizes[0] * r->sizes[1] * r->sizes[2] * r->dim : 0;
        array->terms = terms[g];
        total += array->count;
    }
    gold->block = calloc((size_t)(4 * total + 1), sizeof(double));
    gold->seen = calloc((size_t)(p->batch * p->kv_heads + 1), 1);
    if (!gold->block || !gold->seen) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the gold of gradients");
    }
    double *at = gold->block;
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        attn_gold_array *array = &gold->arrays[g];
        double **const parts[] = { &array->gold, &array->size, &array->error, &array->most };
        for (int n = 0; n < 4; n++, at += array->count) {
            *parts[n] = at;
        }
    }
    return walk(gold, options, error);
}

void attn_gate_gradients_free(attn_gradient_gold *gold) {
    if (gold) {
        free(gold->block);
        free(gold->seen);
        free(gold);
    }
}

double attn_gradient_bound(const attn_gradient_gold *gold, int which, int64_t n, const clattn_plan_info *info) {
    const clattn_problem *p = &gold->data->problem;
    const attn_gold_array *a = &gold->arrays[which];
    clattn_type type = gold->data->gradients[which].type;
    double u = sum_roundoff(p), tiny = p->type == CLATTN_FP64 ? 0x1p-1022 : 0x1p-126;
    if (a->most[n] == 0) {
        return 0;
    }
    double length = (double)a->terms / (info->sum_running ? 2 : 128);
    double start = attn_case_gradient_start(gold->data, which, n); /* one term more, added to once a block */
    double bound = attn_unit_roundoff(type) * fabs(start + a->gold[n]) + u * (a->error[n] + length * a->size[n]);
    bound += u * (2 + length) * fabs(start);
    bound += (type == CLATTN_FP16 ? 0x1p-25 : tiny) + tiny * a->most[n];
    return info->weights_rounded ? bound + attn_unit_roundoff(p->type) * a->size[n] : bound;
}
