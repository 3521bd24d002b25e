/* Neural memory by its definition. */
#include "support/memory_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/layers_golden.h"

#if CLATTN_HAVE_LAYERS

static float *between(uint64_t seed, int64_t count, float low, float high) {
    float *x = layers_draw(seed, count, 1);
    for (int64_t k = 0; k < count; k++) {
        x[k] = low + (x[k] + 1) / 2 * (high - low);
    }
    return x;
}

static float *room(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x + 1);
    for (int64_t k = 0; k < count; k++) {
        x[k] = NAN;
    }
    return x;
}

memory_case *memory_case_create(const clattn_neural_memory_options *options, uint64_t seed) {
    memory_case *c = calloc(1, sizeof *c);
    clattn_neural_memory_options *o = &c->options;
    *o = *options;
    o->value_dim = o->value_dim == CLATTN_SAME ? o->key_dim : o->value_dim;
    o->hidden = o->hidden == CLATTN_SAME ? 4 * o->key_dim : o->hidden;
    int64_t rows = o->batch * o->length * o->heads, dims = o->key_dim + o->value_dim;
    bool deep = o->depth == CLATTN_MEMORY_TWO_LAYERS;
    c->state_size = 2 * (deep ? o->hidden * dims : o->key_dim * o->value_dim);
    c->keys = rows * o->key_dim, c->values = rows * o->value_dim, c->gates = rows;
    c->states = o->batch * o->heads * c->state_size;
    c->all_kept = c->states * ((o->length + o->chunk - 1) / o->chunk);
    float size = 1.5f / sqrtf((float)o->key_dim);
    c->key = layers_draw(seed, c->keys, size), c->query = layers_draw(seed + 1, c->keys, size);
    c->value = layers_draw(seed + 2, c->values, 1);
    c->alpha = between(seed + 3, rows, 0, 0.2f), c->theta = between(seed + 4, rows, 0.05f, 0.3f);
    c->eta = between(seed + 5, rows, 0, 0.7f);
    c->state_in = layers_draw(seed + 6, c->states, 0.5f);
    c->output = room(c->values), c->state_out = room(c->states), c->kept = room(c->all_kept);
    return c;
}

void memory_case_destroy(memory_case *c) {
    float *const arrays[] = { c->key, c->value,    c->query,  c->alpha,     c->theta,
                              c->eta, c->state_in, c->output, c->state_out, c->kept };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        free(arrays[k]);
    }
    free(c);
}

clattn_neural_memory_io memory_case_io(const memory_case *c) {
    clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
    io.key = c->key, io.value = c->value, io.query = c->query;
    io.alpha = c->alpha, io.theta = c->theta, io.eta = c->eta;
    io.state_in = c->state_in, io.state_out = c->state_out, io.output = c->output, io.kept = c->kept;
    return io;
}

/* ------------------------------------------------------------------------------------------------ the definition */

typedef struct truth_run {
    const memory_case *c;
    const memory_nudge *nudge;
    int64_t matrix; /* numbers of all matrices of a head */
    double *start, *gradient, *hidden, *rise, *key, *query, *y;
} truth_run;

static double take(const truth_run *r, const float *array, int64_t k) {
    bool moved = r->nudge && r->nudge->array == array && r->nudge->k == k;
    return (double)array[k] + (moved ? r->nudge->step : 0);
}

static double bend(const clattn_neural_memory_options *o, double x) {
    return o->bend == CLATTN_MEMORY_SILU ? x / (1 + exp(-x)) : x * 0.5 * erfc(-x / sqrt(2));
}

static double bend_slope(const clattn_neural_memory_options *o, double x) {
    if (o->bend == CLATTN_MEMORY_SILU) {
        double e = exp(-x);
        return (1 + e + x * e) / ((1 + e) * (1 + e));
    }
    return 0.5 * erfc(-x / sqrt(2)) + x * exp(-x * x / 2) / sqrt(2 * 3.14159265358979323846);
}

/* y = M(x); the hidden layer is left in rise and hidden. */
static void evaluate(const truth_run *r, const double *m, const double *x) {
    const clattn_neural_memory_options *o = &r->c->options;
    bool deep = o->depth == CLATTN_MEMORY_TWO_LAYERS;
    const double *last = deep ? m + o->hidden * o->key_dim : m, *in = deep ? r->hidden : x;
    int64_t width = deep ? o->hidden : o->key_dim;
    for (int64_t n = 0; deep && n < o->hidden; n++) {
        r->rise[n] = 0;
        for (int64_t i = 0; i < o->key_dim; i++) {
            r->rise[n] += m[n * o->key_dim + i] * x[i];
        }
        r->hidden[n] = bend(o, r->rise[n]);
    }
    for (int64_t v = 0; v < o->value_dim; v++) {
        r->y[v] = 0;
        for (int64_t i = 0; i < width; i++) {
            r->y[v] += last[v * width + i] * in[i];
        }
    }
}

/* The gradient of sum_v (M(key)_v - value_v)^2 by every number of M. */
static void differentiate(truth_run *r, const double *m, const float *value_array, int64_t value) {
    const clattn_neural_memory_options *o = &r->c->options;
    bool deep = o->depth == CLATTN_MEMORY_TWO_LAYERS;
    int64_t first = deep ? o->hidden * o->key_dim : 0, width = deep ? o->hidden : o->key_dim;
    const double *in = deep ? r->hidden : r->key;
    evaluate(r, m, r->key);
    for (int64_t v = 0; v < o->value_dim; v++) {
        r->y[v] -= take(r, value_array, value + v);
        for (int64_t i = 0; i < width; i++) {
            r->gradient[first + v * width + i] = 2 * r->y[v] * in[i];
        }
    }
    for (int64_t n = 0; deep && n < o->hidden; n++) {
        double back = 0;
        for (int64_t v = 0; v < o->value_dim; v++) {
            back += 2 * r->y[v] * m[first + v * o->hidden + n];
        }
        for (int64_t i = 0; i < o->key_dim; i++) {
            r->gradient[n * o->key_dim + i] = back * bend_slope(o, r->rise[n]) * r->key[i];
        }
    }
}

static void read_into(truth_run *r, const double *m, double *output) {
    evaluate(r, m, r->query);
    memcpy(output, r->y, (size_t)r->c->options.value_dim * sizeof *output);
}

static void run_token(truth_run *r, int64_t row, double *state, double *output) {
    const memory_case *c = r->c;
    const clattn_neural_memory_options *o = &c->options;
    double alpha = take(r, c->alpha, row), theta = take(r, c->theta, row), eta = take(r, c->eta, row);
    for (int64_t i = 0; i < o->key_dim; i++) {
        r->key[i] = take(r, c->key, row * o->key_dim + i);
        r->query[i] = take(r, c->query, row * o->key_dim + i);
    }
    if (o->read_before) {
        read_into(r, state, output + row * o->value_dim);
    }
    differentiate(r, r->start, c->value, row * o->value_dim);
    for (int64_t k = 0; k < r->matrix; k++) {
        double *s = state + r->matrix + k;
        *s = eta * *s - theta * r->gradient[k];
        state[k] = (1 - alpha) * state[k] + *s;
    }
    if (!o->read_before) {
        read_into(r, state, output + row * o->value_dim);
    }
}

memory_truth memory_truth_nudged(const memory_case *c, const memory_nudge *nudge) {
    const clattn_neural_memory_options *o = &c->options;
    memory_truth truth = { malloc((size_t)c->values * sizeof(double) + 1),
                           malloc((size_t)c->states * sizeof(double) + 1) };
    truth_run r = { .c = c, .nudge = nudge, .matrix = c->state_size / 2 };
    size_t bytes = (size_t)r.matrix * sizeof(double),
           small = (size_t)(o->hidden + o->key_dim + o->value_dim) * sizeof(double);
    r.start = malloc(bytes), r.gradient = malloc(bytes);
    r.hidden = malloc(small), r.rise = malloc(small), r.key = malloc(small), r.query = malloc(small),
    r.y = malloc(small);
    for (int64_t n = 0; n < o->batch * o->heads; n++) {
        double *state = truth.state_out + n * c->state_size;
        for (int64_t k = 0; k < c->state_size; k++) {
            state[k] = take(&r, c->state_in, n * c->state_size + k);
        }
        for (int64_t t = 0; t < o->length; t++) {
            if (t % o->chunk == 0) {
                memcpy(r.start, state, bytes);
            }
            run_token(&r, (n / o->heads * o->length + t) * o->heads + n % o->heads, state, truth.output);
        }
    }
    double *const arrays[] = { r.start, r.gradient, r.hidden, r.rise, r.key, r.query, r.y };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        free(arrays[k]);
    }
    return truth;
}

memory_truth memory_truth_of(const memory_case *c) {
    return memory_truth_nudged(c, NULL);
}

void memory_truth_release(memory_truth *truth) {
    free(truth->output);
    free(truth->state_out);
}

#endif
