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
    const attn_gold_look *look;
    clattn_problem forward; /* of the look's keys alone */
    clattn_tensors tensors;
    int64_t b, h, g, i, offset;
    int64_t first, keys_used;              /* the look's keys that the entry has */
    double *keys, *values, *query, *given; /* of the head, from `first` on: [key_length][dim]; of the row */
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
static void add(attn_gold_array *array, int64_t at, double gold, double size, double error, double most) {
    array->gold[at] += gold;
    array->size[at] += size;
    array->error[at] += size > 0 ? size * error : 0;
    array->most[at] += most;
}

/* The array that the look adds to; NULL: it does not. */
static attn_gold_array *added(const attn_gold_walk *w, int which) {
    return w->look->adds[which] ? &w->gold->arrays[which] : NULL;
}

/* Where the first element of row (b, h, i) of a gradient stands. */
static int64_t row_at(const attn_gold_walk *w, int which, int64_t b, int64_t h, int64_t i) {
    const attn_gold_array *array = &w->gold->arrays[which];
    return (array->place[attn_gold_row(&w->data->gradients[which].rows, b, h, i)] - 1) * array->dim;
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
    for (int64_t j = 0; j < w->keys_used; j++) {
        int64_t key = attn_rows_at(&data->key_rows, w->b, w->g, w->first + j),
                value = attn_rows_at(&data->value_rows, w->b, w->g, w->first + j);
        load(w->keys + j * p->head_dim, p->type, data->key.data, key, p->head_dim);
        load(w->values + j * p->value_dim, p->type, data->value.data, value, p->value_dim);
    }
}

static int load_row(attn_gold_walk *w, attn_error *error) {
    const attn_case_data *data = w->data;
    const clattn_problem *p = &data->problem;
    clattn_type type = attn_case_output_type(p), wide = attn_case_logsumexp_type(p);
    int64_t number = (w->b * p->query_heads + w->h) * p->query_length + w->i;
    int64_t output = attn_rows_at(&data->output_rows, w->b, w->h, w->i);
    clattn_status status = CLATTN_OK;
    if (w->keys_used > 0) {
        status = clattn_reference_get_row(&w->forward, &w->tensors, w->b, w->h, w->i, &w->row, NULL);
    }
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
    attn_gold_array *query = added(w, ATTN_GRAD_QUERY), *key = added(w, ATTN_GRAD_KEY);
    int64_t at_query = query ? row_at(w, ATTN_GRAD_QUERY, w->b, w->h, w->i) : 0;
    int64_t at_key = key ? row_at(w, ATTN_GRAD_KEY, w->b, w->g, w->first + j) : 0;
    double factor = p->scale * s->slope;
    for (int64_t d = 0; d < p->head_dim && (query || key); d++) {
        double k = factor * w->keys[j * p->head_dim + d], q = factor * w->query[d];
        if (query) {
            add(query, at_query + d, s->ds * k, s->size * fabs(k), s->error_slope, s->most * fabs(k));
        }
        if (key) {
            add(key, at_key + d, s->ds * q, s->size * fabs(q), s->error_slope, s->most * fabs(q));
        }
    }
}

static void add_bias(attn_gold_walk *w, int64_t j, const attn_gold_share *s) {
    const int64_t *shape = w->data->problem.bias_shape;
    int64_t at =
        row_at(w, ATTN_GRAD_BIAS, shape[0] == 1 ? 0 : w->b, shape[1] == 1 ? 0 : w->h, shape[2] == 1 ? 0 : w->i);
    add(added(w, ATTN_GRAD_BIAS), at + (shape[3] == 1 ? 0 : w->first + j), s->ds, s->size, s->error, s->most);
}

static void add_pair(attn_gold_walk *w, int64_t j) {
    const clattn_problem *p = &w->data->problem;
    attn_gold_array *value = added(w, ATTN_GRAD_VALUE);
    attn_gold_share s = share_of(w, j);
    add_query_and_key(w, j, &s);
    int64_t at_value = value ? row_at(w, ATTN_GRAD_VALUE, w->b, w->g, w->first + j) : 0;
    for (int64_t d = 0; d < p->value_dim && value && s.value_weight != 0; d++) {
        double x = s.value_weight * w->given[d];
        add(value, at_value + d, x, fabs(x), s.error, fabs(w->given[d]) * (double)w->row.keep[j]);
    }
    if (added(w, ATTN_GRAD_BIAS)) {
        add_bias(w, j, &s);
    }
    if (added(w, ATTN_GRAD_SLOPES)) {
        double distance = fabs((double)(w->first + j - (w->i + w->offset)));
        add(added(w, ATTN_GRAD_SLOPES), row_at(w, ATTN_GRAD_SLOPES, 0, 0, 0) + w->h, -s.ds * distance,
            s.size * distance, s.error, s.most * distance);
    }
}

static void add_sink(attn_gold_walk *w) {
    attn_gold_array *array = added(w, ATTN_GRAD_SINKS);
    if (!array) {
        return;
    }
    double sink = (double)((const float *)w->data->sinks.data)[w->h], lse = w->logsumexp;
    double weight = sink == -INFINITY || lse == -INFINITY ? 0 : exp(sink - lse);
    double error = weight_error(&w->data->problem, 16 + 4 * fabs(sink) + 4 * fabs(lse));
    add(array, row_at(w, ATTN_GRAD_SINKS, 0, 0, 0) + w->h, -weight * w->delta, weight * w->delta_size, error,
        w->delta_size);
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

/* A mask or bias from its key `first` on; its strides are those of the whole. Bits: `first` is a multiple of 8. */
static void cut_broadcast(clattn_broadcast *broadcast, int64_t shape[4], int64_t first, int64_t keys, bool bits) {
    if (broadcast->data && shape[3] != 1) {
        broadcast->strided = true;
        broadcast->offset += bits ? first / 8 : first;
        shape[3] = keys;
    }
}

static void cut_tensor(clattn_tensor *tensor, const attn_rows *rows, int64_t first) {
    tensor->layout = CLATTN_STRIDED;
    tensor->batch_stride = rows->stride[0];
    tensor->head_stride = rows->stride[1];
    tensor->length_stride = rows->stride[2];
    tensor->offset += first * rows->stride[2];
}

/* The forward of some keys alone, as those of the whole problem stand to its rows: what a row scores against them is the same. */
static void cut_problem(attn_gold_walk *w, int64_t first, int64_t keys) {
    const clattn_problem *p = &w->data->problem;
    w->forward = *p;
    w->tensors = w->data->tensors;
    w->forward.direction = CLATTN_FORWARD;
    w->forward.logsumexp = false;
    if (first == 0 && keys == p->key_length) {
        return;
    }
    w->forward.key_length = keys;
    w->forward.key_lengths = false;
    w->forward.past_length = 0;
    w->forward.alignment = CLATTN_ALIGN_OFFSET;
    w->forward.offset = w->offset - first;
    w->forward.prefix = p->prefix > first ? p->prefix - first : 0;
    w->tensors.first_key += first;
    cut_tensor(&w->tensors.key, &w->data->key_rows, first);
    cut_tensor(&w->tensors.value, &w->data->value_rows, first);
    cut_broadcast(&w->tensors.mask, w->forward.mask_shape, first, keys, p->mask == CLATTN_MASK_BITS);
    cut_broadcast(&w->tensors.bias, w->forward.bias_shape, first, keys, false);
}

static int walk_row(attn_gold_walk *w, attn_error *error) {
    if (load_row(w, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t j = 0; j < w->keys_used; j++) {
        if (w->row.scores[j] != -(long double)INFINITY) {
            add_pair(w, j);
        }
    }
    add_sink(w);
    return ATTN_DONE;
}

static int walk_look(attn_gold_walk *w, const attn_gold_look *look, attn_error *error) {
    const clattn_problem *p = &w->data->problem;
    w->look = look;
    for (w->b = look->b[0]; w->b < look->b[1]; w->b++) {
        int64_t used = attn_case_data_key_length(w->data, w->b), end = look->j[1] < used ? look->j[1] : used;
        int64_t rows = attn_case_data_query_length(w->data, w->b), loaded = -1;
        w->first = look->j[0];
        w->keys_used = end > w->first ? end - w->first : 0;
        w->offset = offset_of(w->data, w->b);
        cut_problem(w, w->first, look->j[1] - w->first);
        for (w->h = look->h[0]; w->h < look->h[1]; w->h++) {
            w->g = w->h / (p->query_heads / p->kv_heads);
            if (w->g != loaded) {
                load_head(w);
                loaded = w->g;
            }
            for (w->i = look->i[0]; w->i < look->i[1] && w->i < rows; w->i++) {
                if (walk_row(w, error) != ATTN_DONE) {
                    return error->status;
                }
            }
        }
    }
    return ATTN_DONE;
}

static int open_walk(attn_gold_walk *w, attn_gradient_gold *gold, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    size_t keys = (size_t)p->key_length + 1, dims = (size_t)(p->head_dim + p->value_dim);
    *w = (attn_gold_walk){ .gold = gold, .data = gold->data };
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

int attn_gate_gradients_create(attn_gradient_gold **made, const attn_case_data *data, const attn_gate_options *options,
                               attn_error *error) {
    attn_gold_walk w;
    attn_gradient_gold *gold = calloc(1, sizeof *gold);
    *made = gold;
    if (!gold) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    gold->data = data;
    if (attn_gold_choose(gold, options, error) != ATTN_DONE || open_walk(&w, gold, error) != ATTN_DONE) {
        return error->status;
    }
    int status = ATTN_DONE;
    for (int64_t n = 0; n < gold->look_count && status == ATTN_DONE; n++) {
        status = walk_look(&w, &gold->looks[n], error);
    }
    free(w.block);
    return status;
}

void attn_gate_gradients_free(attn_gradient_gold *gold) {
    for (int g = 0; gold && g < ATTN_GRADIENTS; g++) {
        free(gold->arrays[g].place);
        free(gold->arrays[g].gold); /* which the other sums stand behind */
        free(gold->arrays[g].seen);
    }
    free(gold ? gold->looks : NULL);
    free(gold);
}

double attn_gradient_bound(const attn_gradient_gold *gold, int which, int64_t at, int64_t n,
                           const clattn_plan_info *info) {
    const clattn_problem *p = &gold->data->problem;
    const attn_gold_array *a = &gold->arrays[which];
    clattn_type type = gold->data->gradients[which].type;
    double u = sum_roundoff(p), tiny = p->type == CLATTN_FP64 ? 0x1p-1022 : 0x1p-126;
    if (a->most[at] == 0) {
        return 0;
    }
    double length = (double)a->terms / (info->sum_running ? 2 : 128);
    double start = attn_case_gradient_start(gold->data, which, n); /* one term more, added to once a block */
    double bound = attn_unit_roundoff(type) * fabs(start + a->gold[at]) + u * (a->error[at] + length * a->size[at]);
    bound += u * (2 + length) * fabs(start) + (type == CLATTN_FP16 ? 0x1p-25 : tiny) + tiny * a->most[at];
    if (info->weights_rounded) { /* P or dS, too: and small ones lose digits in fp16 */
        bound += attn_unit_roundoff(p->type) * a->size[at] + (p->type == CLATTN_FP16 ? 0x1p-25 * a->most[at] : 0);
    }
    return bound;
}
