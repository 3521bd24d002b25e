/*
 * Layers with a memory: each form by its definition in double (the memory's part by support/memory_case.c), sequences in
 * several calls, causality, persistent tokens, and what is refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_memory.h"
#include "support/layers_golden.h"
#include "support/memory_case.h"
#include "support/suite.h"

static clattn_report report;

enum { ARRAYS = 14, MOST_ROWS = 64, MOST_DIM = 16 };

/* A layer with drawn weights, input and state. */
typedef struct drawn_layer {
    clattn_memory_layer_options options;
    clattn_memory_layer *layer;
    clattn_memory_layer_weights w;
    float *arrays[ARRAYS], *input, *state, *output;
    int used;
    int64_t count, size; /* numbers of the input; of an entry's state */
} drawn_layer;

static float *draw(drawn_layer *d, uint64_t seed, int64_t count, float size) {
    ck_assert_int_lt(d->used, ARRAYS);
    return d->arrays[d->used++] = layers_draw(seed, count, size);
}

static bool begin(drawn_layer *d, clattn_runtime *runtime, const clattn_memory_layer_options *options,
                  const char *engine, uint64_t seed) {
    *d = (drawn_layer){ .options = *options };
    clattn_memory_layer_options o = *options;
    o.plan.engine = engine;
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

static void end(drawn_layer *d) {
    for (int k = 0; k < d->used; k++) {
        free(d->arrays[k]);
    }
    free(d->input);
    free(d->state);
    free(d->output);
    clattn_memory_layer_destroy(d->layer);
}

static clattn_memory_layer_io io_of(const drawn_layer *d) {
    clattn_memory_layer_io io = CLATTN_MEMORY_LAYER_IO_INIT;
    io.input = d->input, io.state = d->state, io.output = d->output, io.report = &report;
    return io;
}

static void forward(const drawn_layer *d, const clattn_memory_layer_io *io) {
    EXPECT_STATUS(clattn_memory_layer_forward(d->layer, &d->w, io), CLATTN_OK, &report);
}

/* ------------------------------------------------------------------------------------------------ the definition */

typedef double rows[MOST_ROWS][MOST_DIM];

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
static void asked(const drawn_layer *d, const float *w, const double *x, bool unit, float *result) {
    int64_t dim = d->options.dim, part = dim / d->options.memory_heads;
    double y[MOST_DIM];
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

static memory_case *case_of(const drawn_layer *d, const float *state, int64_t n) {
    const clattn_memory_layer_options *o = &d->options;
    clattn_neural_memory_options m = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    m.heads = o->memory_heads, m.length = n, m.chunk = o->chunk, m.key_dim = o->dim / o->memory_heads;
    m.depth = o->depth, m.bend = o->bend, m.hidden = o->hidden;
    memory_case *c = memory_case_create(&m, 1);
    memcpy(c->state_in, state, (size_t)c->states * sizeof(float));
    return c;
}

/* y = remember(x); the state moves on. learn = false: only read, all with the state as it is. */
static void remember(const drawn_layer *d, float *state, int64_t n, rows x, bool learn, rows y) {
    int64_t dim = d->options.dim, heads = d->options.memory_heads;
    memory_case *c = case_of(d, state, n);
    for (int64_t t = 0; t < n; t++) {
        double gates[3 * MOST_DIM];
        asked(d, d->w.w_memory_query, x[t], true, c->query + t * dim);
        asked(d, d->w.w_memory_key, x[t], true, c->key + t * dim);
        asked(d, d->w.w_memory_value, x[t], false, c->value + t * dim);
        multiply(d->w.w_gates, 3 * heads, dim, x[t], gates);
        for (int64_t h = 0; h < heads; h++) {
            double theta = d->options.most_theta * sigmoid(gates[heads + h] + (double)d->w.b_gates[heads + h]);
            c->alpha[t * heads + h] = learn ? (float)sigmoid(gates[h] + (double)d->w.b_gates[h]) : 0;
            c->theta[t * heads + h] = learn ? (float)theta : 0;
            c->eta[t * heads + h] = learn ? (float)sigmoid(gates[2 * heads + h] + (double)d->w.b_gates[2 * heads + h]) : 0;
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
static void attend(const drawn_layer *d, const double *x, int64_t keys, rows memory, const bool *allowed, double *y) {
    int64_t dim = d->options.dim, part = dim / d->options.heads;
    double query[MOST_DIM], context[MOST_DIM] = { 0 };
    multiply(d->w.attention.w_query, dim, dim, x, query);
    for (int64_t h = 0; h < d->options.heads; h++) {
        double weight[2 * MOST_ROWS], key[MOST_DIM], value[MOST_DIM], sum = 0;
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

static void place_persistent(const drawn_layer *d, rows memory) {
    for (int64_t k = 0; k < d->options.persistent * d->options.dim; k++) {
        memory[k / d->options.dim][k % d->options.dim] = (double)d->w.persistent[k];
    }
}

static void attend_window(const drawn_layer *d, int64_t n, rows x, rows y) {
    int64_t persistent = d->options.persistent;
    static rows memory;
    place_persistent(d, memory);
    memcpy(memory[persistent], x, (size_t)n * sizeof *x);
    for (int64_t t = 0; t < n; t++) {
        bool allowed[MOST_ROWS];
        for (int64_t j = 0; j < persistent + n; j++) {
            int64_t token = j - persistent;
            allowed[j] = token < 0 || (token <= t && token > t - d->options.window);
        }
        attend(d, x[t], persistent + n, memory, allowed, y[t]);
    }
}

/* P, then h, then the segment: each up to the row's own. */
static void attend_segment(const drawn_layer *d, int64_t n, rows known, rows x, rows y) {
    int64_t persistent = d->options.persistent;
    static rows memory;
    place_persistent(d, memory);
    memcpy(memory[persistent], known, (size_t)n * sizeof *known);
    memcpy(memory[persistent + n], x, (size_t)n * sizeof *x);
    for (int64_t t = 0; t < n; t++) {
        bool allowed[MOST_ROWS];
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

static void combine(const drawn_layer *d, int64_t n, rows y, rows m) {
    for (int64_t t = 0; t < n; t++) {
        norm(d->options.dim, d->w.gain_attention, y[t]);
        norm(d->options.dim, d->w.gain_memory, m[t]);
        for (int64_t k = 0; k < d->options.dim; k++) {
            y[t][k] *= sigmoid(m[t][k]);
        }
    }
}

/* What the layer must make of the rows of an entry, from its state on. */
static void define(const drawn_layer *d, float *state, rows x, rows y) {
    const clattn_memory_layer_options *o = &d->options;
    static rows m, known;
    int64_t segment = o->form == CLATTN_MEMORY_AS_CONTEXT ? o->window : o->length;
    for (int64_t first = 0; first < o->length; first += segment) {
        int64_t n = first + segment > o->length ? o->length - first : segment;
        double(*at)[MOST_DIM] = x + first, (*to)[MOST_DIM] = y + first;
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

/* ------------------------------------------------------------------------------------------------ tests */

static const clattn_memory_layer_options layers[] = {
#define LAYER(form, batch, length, dim, heads, window, persistent, memory_heads, chunk, depth, hidden)                 \
    { sizeof(clattn_memory_layer_options), form, batch, length, dim, heads, window, persistent, memory_heads, chunk,   \
      depth, CLATTN_MEMORY_GELU, hidden, 0.5, CLATTN_PLAN_OPTIONS_INIT }
    LAYER(CLATTN_MEMORY_ALONE, 2, 13, 8, 1, 0, 0, 2, 4, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_CONTEXT, 2, 17, 8, 2, 6, 3, 1, 4, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_GATE, 2, 18, 12, 3, 5, 2, 2, 3, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_LAYER, 1, 15, 12, 2, 4, 1, 3, 5, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_CONTEXT, 1, 12, 8, 1, 4, 0, 2, 2, CLATTN_MEMORY_TWO_LAYERS, 7),
    LAYER(CLATTN_MEMORY_AS_GATE, 1, 10, 8, 2, 1, 0, 1, 1, CLATTN_MEMORY_TWO_LAYERS, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_LAYER, 2, 9, 6, 1, 20, 2, 2, 4, CLATTN_MEMORY_TWO_LAYERS, 5),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static void compare(const drawn_layer *d, int n, const char *engine, const float *got, int64_t b, rows expected) {
    int64_t dim = d->options.dim, count = d->options.length * dim;
    double most = 0;
    for (int64_t k = 0; k < count; k++) {
        most = fmax(most, fabs(expected[k / dim][k % dim]));
    }
    for (int64_t k = 0; k < count; k++) {
        ck_assert_msg(fabs((double)got[b * count + k] - expected[k / dim][k % dim]) <= 2e-5 * most,
                      "layer %d on %s, entry %d, row %d, column %d: %.9g, not %.9g", n, engine, (int)b, (int)(k / dim),
                      (int)(k % dim), (double)got[b * count + k], expected[k / dim][k % dim]);
    }
}

START_TEST(definitions) {
    clattn_runtime *runtime = suite_runtime(NULL);
    static rows x, y;
    for (int n = 0; n < LAYERS; n++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            drawn_layer d;
            if (!begin(&d, runtime, &layers[n], *engine, 2000 + 20 * (uint64_t)n)) {
                continue;
            }
            int64_t dim = d.options.dim, count = d.options.length * dim;
            float *state = malloc((size_t)(d.options.batch * d.size) * sizeof(float));
            memcpy(state, d.state, (size_t)(d.options.batch * d.size) * sizeof(float));
            const clattn_memory_layer_io io = io_of(&d);
            forward(&d, &io);
            for (int64_t b = 0; b < d.options.batch; b++) {
                for (int64_t k = 0; k < count; k++) {
                    x[k / dim][k % dim] = (double)d.input[b * count + k];
                }
                define(&d, state + b * d.size, x, y);
                compare(&d, n, *engine, d.output, b, y);
            }
            free(state);
            end(&d);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Several calls, cut where chunks or segments begin, go on where the one before stopped. */
START_TEST(several_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < LAYERS; n++) {
        drawn_layer d;
        clattn_memory_layer_options o = layers[n];
        o.batch = 1;
        ck_assert(begin(&d, runtime, &o, "cpu", 2200 + 20 * (uint64_t)n));
        clattn_memory_layer_io io = io_of(&d);
        forward(&d, &io);
        float *state = malloc((size_t)d.size * sizeof(float)), *output = malloc((size_t)d.count * sizeof(float));
        EXPECT_STATUS(clattn_memory_layer_start(d.layer, 2200 + 20 * (uint64_t)n, state), CLATTN_OK, NULL);
        int64_t piece = o.form == CLATTN_MEMORY_AS_CONTEXT ? o.window : o.chunk;
        for (int64_t first = 0; first < o.length; first += piece) {
            clattn_memory_layer_io part = io;
            part.length = first + piece > o.length ? o.length - first : piece;
            part.seen = first, part.state = state;
            part.input += first * o.dim, part.output = output + first * o.dim;
            forward(&d, &part);
        }
        for (int64_t k = 0; k < d.count; k++) {
            ck_assert_msg(fabsf(output[k] - d.output[k]) <= 2e-5f, "layer %d, element %d: %.9g, not %.9g", n, (int)k,
                          (double)output[k], (double)d.output[k]);
        }
        free(state);
        free(output);
        end(&d);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A row knows nothing of the rows after it; and what it knows of those before does reach further than the window. */
START_TEST(causality) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < LAYERS; n++) {
        drawn_layer d;
        ck_assert(begin(&d, runtime, &layers[n], "cpu", 2400 + 20 * (uint64_t)n));
        clattn_memory_layer_io io = io_of(&d);
        int64_t dim = d.options.dim, length = d.options.length;
        float *before = malloc((size_t)d.count * sizeof(float)), *state = malloc((size_t)(d.options.batch * d.size) * sizeof(float));
        memcpy(state, d.state, (size_t)(d.options.batch * d.size) * sizeof(float));
        forward(&d, &io);
        memcpy(before, d.output, (size_t)d.count * sizeof(float));
        for (int64_t row = 0; row < length; row += length - 1) { /* the first, then the last */
            d.input[row * dim + 1] += 1;
            memcpy(d.state, state, (size_t)(d.options.batch * d.size) * sizeof(float));
            forward(&d, &io);
            bool reached = false;
            for (int64_t k = 0; k < d.count; k++) {
                bool later = k / dim >= row && k / dim < length; /* the first entry's rows from there on */
                ck_assert_msg(later || d.output[k] == before[k], "layer %d: row %d changes row %d", n, (int)row,
                              (int)(k / dim));
                reached = reached || (k / dim == length - 1 && d.output[k] != before[k]);
            }
            ck_assert_msg(reached, "layer %d: row %d does not reach the last", n, (int)row);
            d.input[row * dim + 1] -= 1;
        }
        free(before);
        free(state);
        end(&d);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(refuses_options) {
    clattn_runtime *runtime = suite_runtime(NULL);
#define WRONG(status, word, ...)                                                                                       \
    do {                                                                                                               \
        clattn_memory_layer_options o = layers[2];                                                                     \
        clattn_memory_layer *layer = (clattn_memory_layer *)&report;                                                   \
        __VA_ARGS__;                                                                                                   \
        clattn_status got = clattn_memory_layer_create(runtime, &o, &layer, &report);                                  \
        ck_assert_msg(got == status && strstr(report.text, word), "line %d: %s: %s", __LINE__,                         \
                      clattn_status_name(got), report.text);                                                           \
        ck_assert_ptr_null(layer);                                                                                     \
    } while (0)
    WRONG(CLATTN_INVALID_ARGUMENT, "struct_size", o.struct_size = 0);
    WRONG(CLATTN_INVALID_PROBLEM, "form: 4", o.form = (clattn_memory_form)4);
    WRONG(CLATTN_INVALID_PROBLEM, "batch", o.batch = -1);
    WRONG(CLATTN_INVALID_PROBLEM, "length", o.length = -1);
    WRONG(CLATTN_INVALID_PROBLEM, "dim, heads: 12, 5", o.heads = 5);
    WRONG(CLATTN_INVALID_PROBLEM, "dim", o.dim = 0);
    WRONG(CLATTN_INVALID_PROBLEM, "memory_heads: 5", o.memory_heads = 5);
    WRONG(CLATTN_INVALID_PROBLEM, "window: 0", o.window = 0);
    WRONG(CLATTN_INVALID_PROBLEM, "persistent: -1", o.persistent = -1);
    WRONG(CLATTN_INVALID_PROBLEM, "persistent: 2", o.form = CLATTN_MEMORY_ALONE);
    WRONG(CLATTN_INVALID_PROBLEM, "most_theta", o.most_theta = NAN);
    WRONG(CLATTN_INVALID_PROBLEM, "chunk: 0", o.chunk = 0);
    WRONG(CLATTN_OVERFLOW, "window", o.window = INT64_MAX / 8);
    WRONG(CLATTN_OVERFLOW, "batch", o.batch = INT64_MAX / 8);
    WRONG(CLATTN_OVERFLOW, "persistent", o.persistent = INT64_MAX);
    WRONG(CLATTN_INVALID_ARGUMENT, "engine", o.plan.engine = "abacus");
#undef WRONG
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(refuses_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    drawn_layer d;
    ck_assert(begin(&d, runtime, &layers[2], "cpu", 2600));
    d.output[0] = 5;
    const float first = d.state[0];
#define WRONG(word, ...)                                                                                               \
    do {                                                                                                               \
        clattn_memory_layer_io io = io_of(&d);                                                                         \
        clattn_memory_layer_weights w = d.w;                                                                           \
        __VA_ARGS__;                                                                                                   \
        clattn_status got = clattn_memory_layer_forward(d.layer, &w, &io);                                             \
        ck_assert_msg(got == CLATTN_INVALID_TENSORS && strstr(report.text, word), "line %d: %s: %s", __LINE__,         \
                      clattn_status_name(got), report.text);                                                           \
        ck_assert(d.output[0] == 5 && d.state[0] == first);                                                            \
    } while (0)
    WRONG("length: 19", io.length = 19);
    WRONG("seen: -1", io.seen = -1);
    WRONG("input: missing", io.input = NULL);
    WRONG("state: missing", io.state = NULL);
    WRONG("output: missing", io.output = NULL);
    WRONG("w_memory_query: missing", w.w_memory_query = NULL);
    WRONG("w_memory_key: missing", w.w_memory_key = NULL);
    WRONG("w_memory_value: missing", w.w_memory_value = NULL);
    WRONG("w_gates: missing", w.w_gates = NULL);
    WRONG("persistent: missing", w.persistent = NULL);
    WRONG("attention.w_query: missing", w.attention.w_query = NULL);
    WRONG("attention.w_value: missing", w.attention.w_value = NULL);
    WRONG("attention.w_output: missing", w.attention.w_output = NULL);
    WRONG("output: overlaps input", io.output = d.input + 1);
    WRONG("state: overlaps persistent", io.state = (float *)(uintptr_t)w.persistent);
    WRONG("output: overlaps state", io.output = d.state);
#undef WRONG
    clattn_memory_layer_io io = io_of(&d);
    io.struct_size = 3;
    EXPECT_STATUS(clattn_memory_layer_forward(d.layer, &d.w, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_memory_layer_forward(d.layer, NULL, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_memory_layer_start(d.layer, 1, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_int_eq(clattn_memory_layer_get_state_size(NULL), 0);
    clattn_memory_layer_destroy(NULL);
    io = io_of(&d), io.length = 0;
    forward(&d, &io); /* nothing to do */
    ck_assert(d.output[0] == 5 && d.state[0] == first);
    end(&d);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_memory_layer_options, CLATTN_MEMORY_LAYER_OPTIONS_INIT, clattn_memory_layer_options_init);
    EXPECT_START(clattn_memory_layer_io, CLATTN_MEMORY_LAYER_IO_INIT, clattn_memory_layer_io_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts, definitions, several_calls, causality, refuses_options, refuses_calls };
    return suite_run(SUITE_OF("memory_layers", tests, 120), SUITE_NO_FORK);
}
