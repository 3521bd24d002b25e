/*
 * Which pairs of rows and keys the gold of gradients looks at. All of them where the work allows; else some rows for
 * grad_query, some keys with all their rows for grad_key and grad_value, and of the gradients that are sums over more than
 * that (bias, slopes, sinks) as many elements as can be made whole. Samples are spread evenly, the first and the last among
 * them.
 */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_gradients.h"

enum { KEYS_TOGETHER = 8 }; /* and the first of them a multiple of it, for masks of bits */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int add_look(attn_gradient_gold *gold, const attn_gold_look *look, attn_error *error) {
    if (gold->look_count == gold->look_capacity) {
        int64_t capacity = gold->look_capacity == 0 ? 16 : 2 * gold->look_capacity;
        attn_gold_look *looks = realloc(gold->looks, (size_t)capacity * sizeof *looks);
        if (!looks) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory for the check against the reference");
        }
        gold->looks = looks;
        gold->look_capacity = capacity;
    }
    gold->looks[gold->look_count++] = *look;
    for (int g = 0; g < ATTN_GRADIENTS; g++) { /* what is not asked for */
        bool *adds = &gold->looks[gold->look_count - 1].adds[g];
        *adds = *adds && gold->arrays[g].rows > 0;
    }
    return ATTN_DONE;
}

static attn_gold_look whole_problem(const clattn_problem *p) {
    return (attn_gold_look){
        .b = { 0, p->batch }, .h = { 0, p->query_heads }, .i = { 0, p->query_length }, .j = { 0, p->key_length }
    };
}

static void narrow(int64_t range[2], int64_t first, int64_t count) {
    range[1] = least(range[1], first + count);
    range[0] = first;
}

/* How many of `all`, each of which takes `unit` of the work: at least `lowest` of them, unless one is more than ten shares. */
static int64_t affordable(double share, double unit, int64_t all, int64_t lowest) {
    int64_t count = unit > 0 && share / unit < (double)all ? (int64_t)(share / unit) : all;
    count = count < lowest && unit <= 10 * share ? lowest : count;
    return least(count, all);
}

/* Number n of `count` out of `all`. */
static int64_t spread(int64_t n, int64_t count, int64_t all) {
    return count == 1 ? all / 2 : (int64_t)((double)n * (double)(all - 1) / (double)(count - 1) + 0.5);
}

static int look_at_queries(attn_gradient_gold *gold, double share, double pair, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    int64_t all = p->batch * p->query_heads * p->query_length;
    int64_t count = affordable(share, pair * (double)p->key_length, all, 4);
    for (int64_t n = 0; n < count; n++) {
        int64_t row = spread(n, count, all);
        attn_gold_look look = whole_problem(p);
        narrow(look.b, row / p->query_length / p->query_heads, 1);
        narrow(look.h, row / p->query_length % p->query_heads, 1);
        narrow(look.i, row % p->query_length, 1);
        look.adds[ATTN_GRAD_QUERY] = true;
        if (add_look(gold, &look, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

static int look_at_keys(attn_gradient_gold *gold, double share, double pair, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    int64_t group = p->query_heads / p->kv_heads, blocks = (p->key_length + KEYS_TOGETHER - 1) / KEYS_TOGETHER;
    int64_t all = p->batch * p->kv_heads * blocks;
    int64_t count = affordable(share, pair * KEYS_TOGETHER * (double)(group * p->query_length), all, 2);
    for (int64_t n = 0; n < count; n++) {
        int64_t block = spread(n, count, all);
        attn_gold_look look = whole_problem(p);
        narrow(look.b, block / blocks / p->kv_heads, 1);
        narrow(look.h, block / blocks % p->kv_heads * group, group);
        narrow(look.j, block % blocks * KEYS_TOGETHER, KEYS_TOGETHER);
        look.adds[ATTN_GRAD_KEY] = look.adds[ATTN_GRAD_VALUE] = true;
        if (add_look(gold, &look, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

/* A row of the bias where it has rows, else some of its keys, else one of its numbers; with all that is added up there. */
static int look_at_bias(attn_gradient_gold *gold, double share, double pair, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    const int64_t *shape = p->bias_shape;
    bool has_rows = shape[2] != 1, by_keys = !has_rows && shape[3] != 1;
    int64_t parts = has_rows ? shape[2] : by_keys ? (shape[3] + KEYS_TOGETHER - 1) / KEYS_TOGETHER : 1;
    int64_t all = shape[0] * shape[1] * parts;
    double unit = pair * (double)(shape[0] == 1 ? p->batch : 1) * (double)(shape[1] == 1 ? p->query_heads : 1) *
                  (double)(has_rows ? 1 : p->query_length) * (double)(by_keys ? KEYS_TOGETHER : p->key_length);
    int64_t count = gold->arrays[ATTN_GRAD_BIAS].rows > 0 ? affordable(share, unit, all, 1) : 0;
    for (int64_t n = 0; n < count; n++) {
        int64_t part = spread(n, count, all), b = part / parts / shape[1], h = part / parts % shape[1];
        attn_gold_look look = whole_problem(p);
        narrow(look.b, b, shape[0] == 1 ? p->batch : 1);
        narrow(look.h, h, shape[1] == 1 ? p->query_heads : 1);
        if (has_rows) {
            narrow(look.i, part % parts, 1);
        } else if (by_keys) {
            narrow(look.j, part % parts * KEYS_TOGETHER, KEYS_TOGETHER);
        }
        look.adds[ATTN_GRAD_BIAS] = true;
        if (add_look(gold, &look, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

/* Of slopes and sinks: heads. A sink needs no keys. */
static int look_at_heads(attn_gradient_gold *gold, int which, double share, double unit, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    int64_t count = gold->arrays[which].rows > 0 ? affordable(share, unit, p->query_heads, 1) : 0;
    for (int64_t n = 0; n < count; n++) {
        attn_gold_look look = whole_problem(p);
        narrow(look.h, spread(n, count, p->query_heads), 1);
        look.j[1] = which == ATTN_GRAD_SINKS ? 0 : look.j[1];
        look.adds[which] = true;
        if (add_look(gold, &look, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}

static int choose_looks(attn_gradient_gold *gold, const attn_gate_options *options, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    double pair = (double)(3 * p->head_dim + 3 * p->value_dim), rows = (double)p->batch * (double)p->query_length;
    double work = rows * (double)p->query_heads * (double)p->key_length * pair;
    if (!options || options->max_work <= 0 || work <= options->max_work) {
        attn_gold_look look = whole_problem(p);
        memset(look.adds, true, sizeof look.adds);
        return add_look(gold, &look, error);
    }
    double share = options->max_work / 4, numbers = (double)(3 * p->value_dim);
    if (look_at_queries(gold, share, pair, error) != ATTN_DONE || look_at_keys(gold, share, pair, error) != ATTN_DONE ||
        look_at_bias(gold, share, pair, error) != ATTN_DONE ||
        look_at_heads(gold, ATTN_GRAD_SLOPES, share, rows * (double)p->key_length * pair, error) != ATTN_DONE) {
        return error->status;
    }
    return look_at_heads(gold, ATTN_GRAD_SINKS, share, rows * numbers, error);
}

/* ------------------------------------------------------------------------------------ room */

/* What a look makes whole of a gradient: rows of it, and in each the same elements. */
static void find_elements(const attn_gradient_gold *gold, int which, const attn_gold_look *look, int64_t rows[3][2],
                          int64_t elements[2]) {
    const clattn_problem *p = &gold->data->problem;
    int64_t group = p->query_heads / p->kv_heads, dim = gold->arrays[which].dim;
    const int64_t heads[2] = { look->h[0] / group, (look->h[1] + group - 1) / group };
    const int64_t one[2] = { 0, 1 };
    const bool query = which == ATTN_GRAD_QUERY, bias = which == ATTN_GRAD_BIAS, head = which >= ATTN_GRAD_SLOPES;
    const int64_t *shape = p->bias_shape, *const entries = head || (bias && shape[0] == 1) ? one : look->b,
                  *const own_heads = query || bias ? look->h : heads, *const lines = query || bias ? look->i : look->j;
    memcpy(rows[0], entries, sizeof rows[0]);
    memcpy(rows[1], head || (bias && shape[1] == 1) ? one : own_heads, sizeof rows[1]);
    memcpy(rows[2], head || (bias && shape[2] == 1) ? one : lines, sizeof rows[2]);
    elements[0] = head ? look->h[0] : bias && shape[3] != 1 ? look->j[0] : 0;
    elements[1] = head ? look->h[1] : bias && shape[3] != 1 ? look->j[1] : dim;
}

/* Numbers the rows that a look touches, or marks the elements that it makes whole. */
static void take_look(attn_gradient_gold *gold, int which, const attn_gold_look *look, bool mark) {
    attn_gold_array *array = &gold->arrays[which];
    int64_t rows[3][2], elements[2];
    find_elements(gold, which, look, rows, elements);
    for (int64_t b = rows[0][0]; b < rows[0][1]; b++) {
        for (int64_t h = rows[1][0]; h < rows[1][1]; h++) {
            for (int64_t i = rows[2][0]; i < rows[2][1]; i++) {
                int64_t *place = &array->place[attn_gold_row(&gold->data->gradients[which].rows, b, h, i)];
                if (mark && elements[1] > elements[0]) {
                    memset(array->seen + (*place - 1) * array->dim + elements[0], 1,
                           (size_t)(elements[1] - elements[0]));
                } else if (*place == 0) {
                    *place = ++array->places;
                }
            }
        }
    }
}

static int make_room(attn_gradient_gold *gold, int which, attn_error *error) {
    attn_gold_array *array = &gold->arrays[which];
    array->place = calloc((size_t)array->rows + 1, sizeof *array->place);
    for (int64_t n = 0; array->place && n < gold->look_count; n++) {
        if (gold->looks[n].adds[which]) {
            take_look(gold, which, &gold->looks[n], false);
        }
    }
    size_t count = (size_t)(array->places * array->dim);
    array->gold = calloc(4 * count + 1, sizeof *array->gold);
    array->seen = calloc(count + 1, 1);
    if (!array->place || !array->gold || !array->seen) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the gold of gradients");
    }
    array->size = array->gold + count;
    array->error = array->size + count;
    array->most = array->error + count;
    for (int64_t n = 0; n < gold->look_count; n++) {
        if (gold->looks[n].adds[which]) {
            take_look(gold, which, &gold->looks[n], true);
        }
    }
    return ATTN_DONE;
}

int attn_gold_choose(attn_gradient_gold *gold, const attn_gate_options *options, attn_error *error) {
    const clattn_problem *p = &gold->data->problem;
    int64_t group = p->query_heads / p->kv_heads, rows = p->query_length;
    const int64_t full[4] = { p->batch, p->query_heads, rows, p->key_length };
    int64_t summed = 1; /* pairs whose ds a number of grad_bias adds up */
    for (int k = 0; k < 4; k++) {
        summed *= p->bias_shape[k] == 1 ? full[k] : 1;
    }
    const int64_t terms[ATTN_GRADIENTS] = {
        p->key_length, group * rows, group * rows, summed, p->batch * rows * p->key_length, p->batch * rows
    };
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        const attn_rows *r = &gold->data->gradients[g].rows;
        gold->arrays[g].rows = gold->data->gradients[g].memory.block ? r->sizes[0] * r->sizes[1] * r->sizes[2] : 0;
        gold->arrays[g].dim = r->dim;
        gold->arrays[g].terms = terms[g];
    }
    int status = choose_looks(gold, options, error);
    for (int g = 0; g < ATTN_GRADIENTS && status == ATTN_DONE; g++) {
        status = make_room(gold, g, error);
    }
    return status;
}
