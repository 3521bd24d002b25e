/*
 * The derivative of additive attention by plain loops: for each query row the scores again, the weights, and from their
 * derivative those of the tanh. Nothing of the size queries * keys is made. In double, by entries and rows in order.
 */
#include <math.h>
#include <string.h>

#include "layers/additive_layer.h"

/* One batch entry under way. */
typedef struct entry_work {
    const attn_additive_backward *b;
    int64_t entry, rows, keys;     /* used */
    double *weights, *slopes;      /* [key_length] of the row */
    double *bent;                  /* [key_length, hidden] of the row: tanh(query + key) */
    double *grad_key, *grad_value; /* [key_length, ...] of the entry */
    double *grad_v, *grad_query;   /* [hidden] */
} entry_work;

bool attn_additive_work(const clattn_additive_problem *p, int64_t *numbers) {
    int64_t row, all;
    return attn_multiply(2, p->hidden, &row) && attn_add(row, p->value_dim, &row) && attn_add(row, 2, &row) &&
           attn_multiply(row, p->key_length, &all) && attn_add(all, 2 * p->hidden, numbers);
}

static int64_t used(bool given, const clattn_integers *lengths, int64_t entry, int64_t most) {
    if (!given) {
        return most;
    }
    const int64_t at = lengths->offset + entry;
    return lengths->type == CLATTN_INT32 ? ((const int32_t *)lengths->data)[at] : ((const int64_t *)lengths->data)[at];
}

static bool allowed(const entry_work *w, int64_t i, int64_t j) {
    const clattn_additive_problem *p = w->b->problem;
    if (p->mask == CLATTN_MASK_NONE) {
        return true;
    }
    const int64_t *shape = p->mask_shape, at[] = { w->entry, i, j };
    const int64_t full[] = { p->batch, p->query_length, p->key_length };
    int64_t place = 0;
    for (int d = 0; d < 3; d++) {
        int64_t size = shape[d] == CLATTN_SAME ? full[d] : shape[d];
        place = place * size + (size == 1 ? 0 : at[d]);
    }
    return w->b->tensors->mask[place] != 0;
}

/* Weights of a row, 0 where not allowed; false when nothing is. */
static bool make_weights(const entry_work *w, int64_t i, const float *query) {
    const clattn_additive_tensors *t = w->b->tensors;
    const clattn_additive_problem *p = w->b->problem;
    double top = -INFINITY, sum = 0;
    bool any = false;
    for (int64_t j = 0; j < w->keys; j++) {
        const float *key = t->key + (w->entry * p->key_length + j) * p->hidden;
        double *bent = w->bent + j * p->hidden, score = 0;
        w->weights[j] = -INFINITY;
        if (!allowed(w, i, j)) {
            continue;
        }
        for (int64_t h = 0; h < p->hidden; h++) {
            bent[h] = tanh((double)query[h] + (double)key[h]);
            score += (double)t->v[h] * bent[h];
        }
        w->weights[j] = score;
        top = score > top ? score : top;
        any = true;
    }
    for (int64_t j = 0; j < w->keys && any; j++) {
        w->weights[j] = allowed(w, i, j) ? exp(w->weights[j] - top) : 0;
        sum += w->weights[j];
    }
    for (int64_t j = 0; j < w->keys && any; j++) {
        w->weights[j] /= sum;
    }
    return any;
}

/* Derivatives by the scores of the row; those by the values on the way. */
static void make_slopes(const entry_work *w, int64_t i, const float *grad_output) {
    const clattn_additive_problem *p = w->b->problem;
    double mean = 0;
    for (int64_t j = 0; j < w->keys; j++) {
        w->slopes[j] = 0;
        if (!allowed(w, i, j)) {
            continue;
        }
        const float *value = w->b->tensors->value + (w->entry * p->key_length + j) * p->value_dim;
        double *grad_value = w->grad_value + j * p->value_dim;
        for (int64_t d = 0; d < p->value_dim; d++) {
            w->slopes[j] += (double)grad_output[d] * (double)value[d];
            grad_value[d] += w->weights[j] * (double)grad_output[d];
        }
        mean += w->weights[j] * w->slopes[j];
    }
    for (int64_t j = 0; j < w->keys; j++) {
        w->slopes[j] = w->weights[j] * (w->slopes[j] - mean);
    }
}

static void through_tanh(const entry_work *w, int64_t i) {
    const clattn_additive_problem *p = w->b->problem;
    const float *v = w->b->tensors->v;
    for (int64_t j = 0; j < w->keys; j++) {
        const double *bent = w->bent + j * p->hidden;
        double *grad_key = w->grad_key + j * p->hidden;
        for (int64_t h = 0; h < p->hidden && allowed(w, i, j); h++) {
            double slope = w->slopes[j] * (double)v[h] * (1 - bent[h] * bent[h]);
            w->grad_v[h] += w->slopes[j] * bent[h];
            w->grad_query[h] += slope;
            grad_key[h] += slope;
        }
    }
}

static void round_to(int64_t count, const double *x, float *to) {
    for (int64_t k = 0; k < count; k++) {
        to[k] = (float)x[k];
    }
}

static void one_entry(const entry_work *w) {
    const clattn_additive_problem *p = w->b->problem;
    const attn_additive_backward *b = w->b;
    int64_t keys = w->entry * p->key_length, rows = w->entry * p->query_length;
    memset(w->grad_key, 0, (size_t)(p->key_length * p->hidden) * sizeof *w->grad_key);
    memset(w->grad_value, 0, (size_t)(p->key_length * p->value_dim) * sizeof *w->grad_value);
    for (int64_t i = 0; i < p->query_length; i++) {
        memset(w->grad_query, 0, (size_t)p->hidden * sizeof *w->grad_query);
        if (i < w->rows && make_weights(w, i, b->tensors->query + (rows + i) * p->hidden)) {
            make_slopes(w, i, b->grad_output + (rows + i) * p->value_dim);
            through_tanh(w, i);
        }
        round_to(p->hidden, w->grad_query, b->grad_query + (rows + i) * p->hidden);
    }
    round_to(p->key_length * p->hidden, w->grad_key, b->grad_key + keys * p->hidden);
    for (int64_t k = 0; k < p->key_length * p->value_dim && b->grad_value; k++) {
        float *to = b->grad_value + keys * p->value_dim + k;
        *to = (float)((double)*to + w->grad_value[k]);
    }
}

static ATTN_NOT_INLINED void every_entry(const attn_additive_backward *b) {
    const clattn_additive_problem *p = b->problem;
    const clattn_additive_tensors *t = b->tensors;
    int64_t rows = t->query_length == CLATTN_SAME ? p->query_length : t->query_length;
    int64_t keys = t->key_length == CLATTN_SAME ? p->key_length : t->key_length;
    entry_work w = { .b = b, .weights = b->work };
    w.slopes = w.weights + p->key_length;
    w.bent = w.slopes + p->key_length;
    w.grad_key = w.bent + p->key_length * p->hidden;
    w.grad_value = w.grad_key + p->key_length * p->hidden;
    w.grad_v = w.grad_value + p->key_length * p->value_dim;
    w.grad_query = w.grad_v + p->hidden;
    memset(w.grad_v, 0, (size_t)p->hidden * sizeof *w.grad_v);
    for (w.entry = 0; w.entry < p->batch; w.entry++) {
        w.rows = used(p->query_lengths, &t->query_lengths, w.entry, rows);
        w.keys = used(p->key_lengths, &t->key_lengths, w.entry, keys);
        one_entry(&w);
    }
    for (int64_t h = 0; h < p->hidden && b->grad_v; h++) {
        b->grad_v[h] = (float)((double)b->grad_v[h] + w.grad_v[h]);
    }
}

void attn_additive_differentiate(const attn_additive_backward *backward) {
    attn_visit visit = attn_visit_begin();
    every_entry(backward);
    attn_visit_end(&visit);
}
