/*
 * Layers with a memory: each form by its definition in double (support/memory_layer_case.c), sequences in several
 * calls, causality, and what is refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_memory.h"
#include "support/layers_golden.h"
#include "support/memory_layer_case.h"
#include "support/suite.h"

static clattn_report report;

static clattn_memory_layer_io whole_call(const memory_layer_case *d) {
    clattn_memory_layer_io io = memory_layer_io(d);
    io.report = &report;
    return io;
}

static void forward(const memory_layer_case *d, const clattn_memory_layer_io *io) {
    EXPECT_STATUS(clattn_memory_layer_forward(d->layer, &d->w, io), CLATTN_OK, &report);
}

static const clattn_memory_layer_options layers[] = {
#define LAYER(form, batch, length, dim, heads, window, persistent, memory_heads, chunk, depth, hidden)                 \
    {                                                                                                                  \
        sizeof(clattn_memory_layer_options), form, batch, length, dim, heads, window, persistent, memory_heads, chunk, \
            depth, CLATTN_MEMORY_GELU, hidden, 0.5, CLATTN_PLAN_OPTIONS_INIT                                           \
    }
    LAYER(CLATTN_MEMORY_ALONE, 2, 13, 8, 1, 0, 0, 2, 4, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_CONTEXT, 2, 17, 8, 2, 6, 3, 1, 4, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_GATE, 2, 18, 12, 3, 5, 2, 2, 3, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_LAYER, 1, 15, 12, 2, 4, 1, 3, 5, CLATTN_MEMORY_LINEAR, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_CONTEXT, 1, 12, 8, 1, 4, 0, 2, 2, CLATTN_MEMORY_TWO_LAYERS, 7),
    LAYER(CLATTN_MEMORY_AS_GATE, 1, 10, 8, 2, 1, 0, 1, 1, CLATTN_MEMORY_TWO_LAYERS, CLATTN_SAME),
    LAYER(CLATTN_MEMORY_AS_LAYER, 2, 9, 6, 1, 20, 2, 2, 4, CLATTN_MEMORY_TWO_LAYERS, 5),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static void compare(const memory_layer_case *d, int n, const char *engine, const float *got, int64_t b,
                    memory_rows expected) {
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
    static memory_rows x, y;
    for (int n = 0; n < LAYERS; n++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            memory_layer_case d;
            if (!memory_layer_begin(&d, runtime, &layers[n], *engine, 2000 + 20 * (uint64_t)n)) {
                continue;
            }
            int64_t dim = d.options.dim, count = d.options.length * dim;
            float *state = malloc((size_t)(d.options.batch * d.size) * sizeof(float));
            memcpy(state, d.state, (size_t)(d.options.batch * d.size) * sizeof(float));
            const clattn_memory_layer_io io = whole_call(&d);
            forward(&d, &io);
            for (int64_t b = 0; b < d.options.batch; b++) {
                for (int64_t k = 0; k < count; k++) {
                    x[k / dim][k % dim] = (double)d.input[b * count + k];
                }
                memory_layer_define(&d, state + b * d.size, x, y);
                compare(&d, n, *engine, d.output, b, y);
            }
            free(state);
            memory_layer_end(&d);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Several calls, cut where chunks or segments begin, go on where the one before stopped. */
START_TEST(several_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < LAYERS; n++) {
        memory_layer_case d;
        clattn_memory_layer_options o = layers[n];
        o.batch = 1;
        ck_assert(memory_layer_begin(&d, runtime, &o, "cpu", 2200 + 20 * (uint64_t)n));
        clattn_memory_layer_io io = whole_call(&d);
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
        memory_layer_end(&d);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A row knows nothing of the rows after it; and what it knows of those before does reach further than the window. */
START_TEST(causality) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < LAYERS; n++) {
        memory_layer_case d;
        ck_assert(memory_layer_begin(&d, runtime, &layers[n], "cpu", 2400 + 20 * (uint64_t)n));
        clattn_memory_layer_io io = whole_call(&d);
        int64_t dim = d.options.dim, length = d.options.length;
        float *before = malloc((size_t)d.count * sizeof(float)),
              *state = malloc((size_t)(d.options.batch * d.size) * sizeof(float));
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
        memory_layer_end(&d);
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
    memory_layer_case d;
    ck_assert(memory_layer_begin(&d, runtime, &layers[2], "cpu", 2600));
    d.output[0] = 5;
    const float first = d.state[0];
#define WRONG(word, ...)                                                                                               \
    do {                                                                                                               \
        clattn_memory_layer_io io = whole_call(&d);                                                                    \
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
    clattn_memory_layer_io io = whole_call(&d);
    io.struct_size = 3;
    EXPECT_STATUS(clattn_memory_layer_forward(d.layer, &d.w, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_memory_layer_forward(d.layer, NULL, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_memory_layer_start(d.layer, 1, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_int_eq(clattn_memory_layer_get_state_size(NULL), 0);
    clattn_memory_layer_destroy(NULL);
    io = whole_call(&d), io.length = 0;
    forward(&d, &io); /* nothing to do */
    ck_assert(d.output[0] == 5 && d.state[0] == first);
    memory_layer_end(&d);
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
