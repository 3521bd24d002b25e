/* Layers with a memory by their definition. */
#include "support/memory_layer_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/layers_golden.h"
#include "support/memory_case.h"
#include "support/suite.h"

#if CLATTN_HAVE_LAYERS

static float *draw(memory_layer_case *d, uint64_t seed, int64_t count, float size) {
    ck_assert_int_lt(d->used, MEMORY_LAYER_ARRAYS);
    return d->arrays[d->used++] = layers_draw(seed, count, size);
}

bool memory_layer_begin(memory_layer_case *d, clattn_runtime *runtime, const clattn_memory_layer_options *options,
                        const char *engine, uint64_t seed) {
    *d = (memory_layer_case){ .options = *options };
    clattn_memory_layer_options o = *options;
    o.plan.engine = engine;
    clattn_report report;
    clattn_status status = clattn_memory_layer_create(runtime, &o, &d->layer, &report);
    if (status == CLATTN_UNSUPPORTED) {
        return false;
    }
    EXPECT_STATUS(status, CLATTN_OK, &report);
    int64_t dim = o.dim, square = dim * dim, gates = 3 * o.memory_heads;
    d->w.w_memory_query = draw(d, seed, square, 0.8f), d->w.w_memory_key = draw(d, seed + 1, square, 0.8f);
    d->w.w_memory_value = draw(d, seed + 2, square, 0.8f);
    d->w.w_gates = draw(d, seed + 3, gates * dim, 0.5f), d->w.b_gates = draw(d, seed + 4, gates, 1);
    d->w.attention.w_query = draw(d, seed + 5, square, 0.8f), d->w.attention.w_key = draw(d, seed + 6, square, 0.8f);
    d->w.attention.w_value = draw(d, seed + 7, square, 0.8f), d->w.attention.w_output = draw(d, seed + 8, square, 0.8f);
    d->w.persistent = draw(d, seed + 9, o.persistent * dim, 1);
    d->w.gain_attention = draw(d, seed + 10, dim, 2), d->w.gain_memory = draw(d, seed + 11, dim, 2);
    d->w.attention.b_output = draw(d, seed + 12, dim, 1);
    d->count = o.batch * o.length * dim, d->size = clattn_memory_layer_get_state_size(d->layer);
    d->input = layers_draw(seed + 13, d->count, 1);
    d->state = malloc((size_t)(o.batch * d->size) * sizeof(float) + 1);
    d->output = malloc((size_t)d->count * sizeof(float) + 1);
    EXPECT_STATUS(clattn_memory_layer_start(d->layer, seed, d->state), CLATTN_OK, NULL);
    return true;
}

void memory_layer_end(memory_layer_case *d) {
    for (int k = 0; k < d->used; k++) {
        free(d->arrays[k]);
    }
    free(d->input);
    free(d->state);
    free(d->output);
    clattn_memory_layer_destroy(d->layer);
}

clattn_memory_layer_io memory_layer_io(const memory_layer_case *d) {
    clattn_memory_layer_io io = CLATTN_MEMORY_LAYER_IO_INIT;
    io.input = d->input, io.state = d->state, io.output = d->output;
    return io;
}

/* ------------------------------------------------------------------------------------------------ the definition */

static void multiply(const float *w, int64_t out, int64_t in, const double *x, double *y) {
    for (int64_t o = 0; o < out; o++) {
        y[o] = 0;
        for (int64_t i = 0; i < in; i++) {
            y[o] += (double)w[o * in + i] * x[i];
        }
    }
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* unit(silu(W x)), or without the unit */
static void asked(const memory_layer_case *d, const float *w, const double *x, bool unit, float *result) {
    int64_t dim = d->options.dim, part = dim / d->options.memory_heads;
    double y[MEMORY_LAYER_DIM];
    multiply(w, dim, dim, x, y);
    for (int64_t k = 0; k < dim; k++) {
        y[k] *= sigmoid(y[k]);
    }
    for (int64_t k = 0; k < dim; k++) {
        double square = 1e-12;
        for (int64_t i = k / part * part; i < (k / part + 1) * part; i++) {
            square += y[i] * y[i];
        }
        result[k] = (float)(unit ? y[k] / sqrt(square) : y[k]);
    }
}

static memory_case *case_of(const memory_layer_case *d, const float *state, int64_t n) {
    const clattn_memory_layer_options *o = &d->options;
    clattn_neural_memory_options m = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    m.heads = o->memory_heads, m.length = n, m.chunk = o->chunk, m.key_dim = o->dim / o->memory_heads;
    m.depth = o->depth, m.bend = o->bend, m.hidden = o->hidden;
    memory_case *c = memory_case_create(&m, 1);
    memcpy(c->state_in, state, (size_t)c->states * sizeof(float));
    return c;
}

/* y = remember(x); the state moves on. learn = false: only read, all with the state as it is. */
static void remember(const memory_layer_case *d, float *state, int64_t n, memory_rows x, bool learn, memory_rows y) {
    int64_t dim = d->options.dim, heads = d->options.memory_heads;
    memory_case *c = case_of(d, state, n);
    for (int64_t t = 0; t < n; t++) {
        double gates[3 * MEMORY_LAYER_DIM];
        asked(d, d->w.w_memory_query, x[t], true, c->query + t * dim);
        asked(d, d->w.w_memory_key, x[t], true, c->key + t * dim);
        asked(d, d->w.w_memory_value, x[t], false, c->value + t * dim);
        multiply(d->w.w_gates, 3 * heads, dim, x[t], gates);
        for (int64_t h = 0; h < heads; h++) {
            double theta = d->options.most_theta * sigmoid(gates[heads + h] + (double)d->w.b_gates[heads + h]);
            c->alpha[t * heads + h] = learn ? (float)sigmoid(gates[h] + (double)d->w.b_gates[h]) : 0;
            c->theta[t * heads + h] = learn ? (float)theta : 0;
            c->eta[t * heads + h] =
                learn ? (float)sigmoid(gates[2 * heads + h] + (double)d->w.b_gates[2 * heads + h]) : 0;
        }
    }
    memory_truth truth = memory_truth_of(c);
    for (int64_t t = 0; t < n; t++) {
        memcpy(y[t], truth.output + t * dim, (size_t)dim * sizeof(double));
    }
    for (int64_t k = 0; k < c->states && learn; k++) {
        state[k] = (float)truth.state_out[k];
    }
    memory_truth_release(&truth);
    memory_case_destroy(c);
}

/* One row's attention of all heads to the keys that are allowed, with the output projection. */
static void attend(const memory_layer_case *d, const double *x, int64_t keys, memory_rows memory, const bool *allowed,
                   double *y) {
    int64_t dim = d->options.dim, part = dim / d->options.heads;
    double query[MEMORY_LAYER_DIM], context[MEMORY_LAYER_DIM] = { 0 };
    multiply(d->w.attention.w_query, dim, dim, x, query);
    for (int64_t h = 0; h < d->options.heads; h++) {
        double weight[2 * MEMORY_LAYER_ROWS], key[MEMORY_LAYER_DIM], value[MEMORY_LAYER_DIM], sum = 0;
        for (int64_t j = 0; j < keys; j++) {
            multiply(d->w.attention.w_key, dim, dim, memory[j], key);
            double score = 0;
            for (int64_t i = h * part; i < (h + 1) * part; i++) {
                score += query[i] * key[i] / sqrt((double)part);
            }
            weight[j] = allowed[j] ? exp(score) : 0;
            sum += weight[j];
        }
        for (int64_t j = 0; j < keys; j++) {
            multiply(d->w.attention.w_value, dim, dim, memory[j], value);
            for (int64_t i = h * part; i < (h + 1) * part; i++) {
                context[i] += weight[j] / sum * value[i];
            }
        }
    }
    multiply(d->w.attention.w_output, dim, dim, context, y);
    for (int64_t k = 0; k < dim; k++) {
        y[k] += (double)d->w.attention.b_output[k];
    }
}

static void place_persistent(const memory_layer_case *d, memory_rows memory) {
    for (int64_t k = 0; k < d->options.persistent * d->options.dim; k++) {
        memory[k / d->options.dim][k % d->options.dim] = (double)d->w.persistent[k];
    }
}

static void attend_window(const memory_layer_case *d, int64_t n, memory_rows x, memory_rows y) {
    int64_t persistent = d->options.persistent;
    static memory_rows memory;
    place_persistent(d, memory);
    memcpy(memory[persistent], x, (size_t)n * sizeof *x);
    for (int64_t t = 0; t < n; t++) {
        bool allowed[MEMORY_LAYER_ROWS];
        for (int64_t j = 0; j < persistent + n; j++) {
            int64_t token = j - persistent;
            allowed[j] = token < 0 || (token <= t && token > t - d->options.window);
        }
        attend(d, x[t], persistent + n, memory, allowed, y[t]);
    }
}

/* P, then h, then the segment: each up to the row's own. */
static void attend_segment(const memory_layer_case *d, int64_t n, memory_rows known, memory_rows x, memory_rows y) {
    int64_t persistent = d->options.persistent;
    static memory_rows memory;
    place_persistent(d, memory);
    memcpy(memory[persistent], known, (size_t)n * sizeof *known);
    memcpy(memory[persistent + n], x, (size_t)n * sizeof *x);
    for (int64_t t = 0; t < n; t++) {
        bool allowed[MEMORY_LAYER_ROWS];
        for (int64_t j = 0; j < persistent + 2 * n; j++) {
            allowed[j] = j < persistent || (j - persistent) % n <= t;
        }
        attend(d, x[t], persistent + 2 * n, memory, allowed, y[t]);
    }
}

static void norm(int64_t dim, const float *gain, double *x) {
    double mean = 0, square = 0;
    for (int64_t k = 0; k < dim; k++) {
        mean += x[k] / (double)dim;
    }
    for (int64_t k = 0; k < dim; k++) {
        square += (x[k] - mean) * (x[k] - mean) / (double)dim;
    }
    for (int64_t k = 0; k < dim; k++) {
        x[k] = (x[k] - mean) / sqrt(square + 1e-5) * (double)gain[k];
    }
}

static void combine(const memory_layer_case *d, int64_t n, memory_rows y, memory_rows m) {
    for (int64_t t = 0; t < n; t++) {
        norm(d->options.dim, d->w.gain_attention, y[t]);
        norm(d->options.dim, d->w.gain_memory, m[t]);
        for (int64_t k = 0; k < d->options.dim; k++) {
            y[t][k] *= sigmoid(m[t][k]);
        }
    }
}

/* What the layer must make of the rows of an entry, from its state on. */
void memory_layer_define(const memory_layer_case *d, float *state, memory_rows x, memory_rows y) {
    const clattn_memory_layer_options *o = &d->options;
    static memory_rows m, known;
    int64_t segment = o->form == CLATTN_MEMORY_AS_CONTEXT ? o->window : o->length;
    for (int64_t first = 0; first < o->length; first += segment) {
        int64_t n = first + segment > o->length ? o->length - first : segment;
        double(*at)[MEMORY_LAYER_DIM] = x + first, (*to)[MEMORY_LAYER_DIM] = y + first;
        switch (o->form) {
            case CLATTN_MEMORY_ALONE: remember(d, state, n, at, true, to); break;
            case CLATTN_MEMORY_AS_CONTEXT:
                remember(d, state, n, at, false, known);
                attend_segment(d, n, known, at, to);
                remember(d, state, n, to, true, m);
                combine(d, n, to, m);
                break;
            case CLATTN_MEMORY_AS_GATE:
                attend_window(d, n, at, to);
                remember(d, state, n, at, true, m);
                combine(d, n, to, m);
                break;
            case CLATTN_MEMORY_AS_LAYER:
                remember(d, state, n, at, true, m);
                attend_window(d, n, m, to);
                break;
        }
    }
}

#endif
