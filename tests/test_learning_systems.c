/*
 * The derivatives of additive attention and of the glimpse: PyTorch's numbers (tests/golden/make_learning_golden.py),
 * central differences, masks, lengths, projected keys, and what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/differences.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static clattn_report report;

enum { MOST = 10, ROOM = 400 };

/* Arrays that are drawn, with their gradients. */
typedef struct drawn {
    const char *name;
    float *x, gradient[ROOM];
    int64_t count;
    bool written;
} drawn;

typedef struct learner {
    drawn arrays[MOST];
    int count;
    int64_t outputs;
    float output[ROOM], kept[ROOM], *with;
    clattn_additive_layer *additive;
    clattn_additive_weights weights;
    clattn_additive_layer_io io;
    clattn_additive_gradients gradients;
    clattn_glimpse *glimpse;
    clattn_glimpse_weights glimpse_weights;
    clattn_glimpse_io glimpse_io;
    clattn_glimpse_gradients glimpse_gradients;
} learner;

static float *add(learner *l, const char *name, uint64_t seed, int64_t count, float size, bool written,
                  float **gradient) {
    drawn *d = &l->arrays[l->count++];
    ck_assert(l->count <= MOST && count <= ROOM);
    *d = (drawn){ .name = name, .x = layers_draw(seed, count, size), .count = count, .written = written };
    for (int64_t k = 0; k < ROOM; k++) {
        d->gradient[k] = written ? NAN : 0; /* written, or added to */
    }
    *gradient = d->gradient;
    return d->x;
}

static void end(learner *l) {
    for (int k = 0; k < l->count; k++) {
        free(l->arrays[k].x);
    }
    free(l->with);
    clattn_additive_layer_destroy(l->additive);
    clattn_glimpse_destroy(l->glimpse);
    free(l);
}

static void compare(learner *l, const char *name, const char *engine) {
    for (int k = 0; k < l->count; k++) {
        char golden[64];
        snprintf(golden, sizeof golden, "learn_%s_%s", name, l->arrays[k].name);
        layers_compare(golden, engine, l->arrays[k].gradient, l->arrays[k].count);
    }
}

/* Whether the engine serves the layer. */
static bool served(clattn_status status, const char *engine) {
    ck_assert_msg(status == CLATTN_OK || (status == CLATTN_UNSUPPORTED && strncmp(engine, "opencl-", 7) == 0), "%s: %s",
                  engine, report.text);
    return status == CLATTN_OK;
}

static uint8_t mask[96];
static const int32_t lengths[] = { 12, 7 };

static void draw_mask(void) {
    float *x = malloc(sizeof mask * sizeof *x);
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_UNIFORM, 458, (int64_t)sizeof mask, 1, x), CLATTN_OK, NULL);
    for (size_t k = 0; k < sizeof mask; k++) {
        mask[k] = x[k] < 0.6f;
    }
    memset(mask + (4 + 2) * 12, 0, 12);
    free(x);
}

static learner *additive(clattn_runtime *runtime, const char *engine, bool masked) {
    learner *l = calloc(1, sizeof *l);
    clattn_additive_layer_options o = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    clattn_additive_gradients *g = &l->gradients;
    o.additive.batch = 2, o.additive.query_length = 4, o.additive.key_length = 12, o.additive.hidden = 16;
    o.additive.value_dim = masked ? 9 : 14;
    o.additive.mask = masked ? CLATTN_MASK_BYTES : CLATTN_MASK_NONE;
    o.additive.key_lengths = masked;
    o.query_dim = 10, o.key_dim = 14, o.plan.engine = engine;
    if (!served(clattn_additive_layer_create(runtime, &o, &l->additive, &report), engine)) {
        end(l);
        return NULL;
    }
    EXPECT_STATUS(clattn_additive_layer_learn(l->additive, &report), CLATTN_OK, &report);
    l->io = (clattn_additive_layer_io)CLATTN_ADDITIVE_LAYER_IO_INIT;
    *g = (clattn_additive_gradients)CLATTN_ADDITIVE_GRADIENTS_INIT;
    l->io.query = add(l, "query", 451, 80, 2, true, &g->grad_query);
    l->io.key = add(l, "key", 452, 336, 2, true, &g->grad_key);
    l->weights.w_query = add(l, "w_query", 454, 160, 1, false, &g->grad_w_query);
    l->weights.w_key = add(l, "w_key", 455, 224, 1, false, &g->grad_w_key);
    l->weights.v = add(l, "v", 456, 16, 2, false, &g->grad_v);
    l->weights.b = add(l, "b", 457, 16, 1, false, &g->grad_b);
    l->outputs = 2 * 4 * o.additive.value_dim;
    l->with = layers_draw(459, l->outputs, 1);
    if (masked) {
        l->io.value = add(l, "value", 453, 216, 1, true, &g->grad_value);
        l->io.additive.mask = mask;
        l->io.additive.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    }
    l->io.context = l->output;
    l->io.additive.report = &report;
    g->grad_context = l->with;
    return l;
}

START_TEST(additive_goldens) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int masked = 0; masked < 2; masked++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner *l = additive(runtime, *engine, masked);
            if (l) {
                EXPECT_STATUS(clattn_additive_layer_backward(l->additive, &l->weights, &l->io, &l->gradients),
                              CLATTN_OK, &report);
                compare(l, masked ? "masked" : "additive", *engine);
                end(l);
            }
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static double additive_loss(void *user) {
    learner *l = user;
    EXPECT_STATUS(clattn_additive_layer_forward(l->additive, &l->weights, &l->io), CLATTN_OK, &report);
    return differences_sum(l->outputs, l->output, l->with);
}

static void check_differences(learner *l, differences_loss loss) {
    for (int k = 0; k < l->count; k++) {
        differences_check(l->arrays[k].name, loss, l, l->arrays[k].x, l->arrays[k].count, l->arrays[k].gradient);
    }
}

START_TEST(additive_differences) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int masked = 0; masked < 2; masked++) {
        learner *l = additive(runtime, "reference", masked);
        EXPECT_STATUS(clattn_additive_layer_backward(l->additive, &l->weights, &l->io, &l->gradients), CLATTN_OK,
                      &report);
        check_differences(l, additive_loss);
        end(l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Keys projected once: their gradient is handed back. Keys beyond the length hold NaN and matter nowhere. */
START_TEST(additive_projected) {
    clattn_runtime *runtime = suite_runtime(NULL);
    learner *l = additive(runtime, "cpu", true);
    float projected[2 * 12 * 16], gradient[2 * 12 * 16];
    for (int64_t k = (12 + 7) * 14; k < 24 * 14; k++) {
        l->arrays[1].x[k] = NAN;
    }
    EXPECT_STATUS(clattn_additive_layer_backward(l->additive, &l->weights, &l->io, &l->gradients), CLATTN_OK, &report);
    compare(l, "masked", "cpu, NaN beyond the length");
    EXPECT_STATUS(clattn_additive_layer_project_keys(l->additive, &l->weights, l->io.key, projected, &report),
                  CLATTN_OK, &report);
    l->io.projected_key = projected;
    clattn_additive_gradients g = CLATTN_ADDITIVE_GRADIENTS_INIT;
    g.grad_context = l->with, g.grad_projected_key = gradient;
    EXPECT_STATUS(clattn_additive_layer_backward(l->additive, &l->weights, &l->io, &g), CLATTN_OK, &report);
    layers_compare("learn_masked_projected", "cpu", gradient, 2 * 12 * 16);
    end(l);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

START_TEST(additive_refuses) {
    static const int32_t wrong[] = { 12, 13 };
    clattn_runtime *runtime = suite_runtime(NULL);
    learner *l = additive(runtime, "cpu", true);
    static float other[ROOM];
    drawn before[MOST];
    memcpy(before, l->arrays, sizeof before);
#define WRONG(word, ...)                                                                                               \
    do {                                                                                                               \
        clattn_additive_layer_io io = l->io;                                                                           \
        clattn_additive_gradients g = l->gradients;                                                                    \
        clattn_additive_weights w = l->weights;                                                                        \
        __VA_ARGS__;                                                                                                   \
        said(clattn_additive_layer_backward(l->additive, &w, &io, &g), CLATTN_INVALID_TENSORS, word, __LINE__);        \
        ck_assert_mem_eq(before, l->arrays, sizeof before);                                                            \
    } while (0)
    WRONG("grad_context: missing", g.grad_context = NULL);
    WRONG("grad_w_key", io.projected_key = other);
    WRONG("value", io.value = NULL);
    WRONG("v: missing", w.v = NULL);
    WRONG("query: missing", io.query = NULL);
    WRONG("key_lengths", io.additive.key_lengths.data = wrong);
    WRONG("mask", io.additive.mask = NULL);
    WRONG("grad_query: overlaps grad_b", g.grad_b = g.grad_query + 3);
    end(l);
    clattn_additive_layer_options o = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    clattn_additive_layer *layer = NULL;
    o.additive.key_length = 2, o.additive.hidden = o.query_dim = o.key_dim = 2;
    EXPECT_STATUS(clattn_additive_layer_create(runtime, &o, &layer, &report), CLATTN_OK, &report);
    l = calloc(1, sizeof *l);
    l->io = (clattn_additive_layer_io)CLATTN_ADDITIVE_LAYER_IO_INIT;
    l->gradients = (clattn_additive_gradients)CLATTN_ADDITIVE_GRADIENTS_INIT;
    l->io.additive.report = &report;
    said(clattn_additive_layer_backward(layer, &l->weights, &l->io, &l->gradients), CLATTN_INVALID_ARGUMENT, "learn",
         __LINE__);
    clattn_additive_layer_destroy(layer);
    free(l);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ glimpse */

static learner *glimpse(clattn_runtime *runtime, const char *engine, bool softmax) {
    learner *l = calloc(1, sizeof *l);
    clattn_glimpse_options o = CLATTN_GLIMPSE_OPTIONS_INIT;
    clattn_glimpse_gradients *g = &l->glimpse_gradients;
    o.rows = 6, o.input_dim = 13, o.context_dim = 7, o.output_dim = 3, o.softmax = softmax, o.plan.engine = engine;
    if (!served(clattn_glimpse_create(runtime, &o, &l->glimpse, &report), engine)) {
        end(l);
        return NULL;
    }
    EXPECT_STATUS(clattn_glimpse_learn(l->glimpse, &report), CLATTN_OK, &report);
    l->glimpse_io = (clattn_glimpse_io)CLATTN_GLIMPSE_IO_INIT;
    *g = (clattn_glimpse_gradients)CLATTN_GLIMPSE_GRADIENTS_INIT;
    l->glimpse_io.input = add(l, "input", 461, 65, 2, true, &g->grad_input);
    l->glimpse_io.context = add(l, "context", 462, 35, 2, true, &g->grad_context);
    l->glimpse_weights.w_context = add(l, "w_context", 463, 91, 1, false, &g->grad_w_context);
    l->glimpse_weights.b_context = add(l, "b_context", 464, 13, 1, false, &g->grad_b_context);
    l->glimpse_weights.w_output = add(l, "w_output", 465, 39, 1, false, &g->grad_w_output);
    l->glimpse_weights.b_output = add(l, "b_output", 466, 3, 1, false, &g->grad_b_output);
    l->outputs = 15;
    l->with = layers_draw(467, 15, 1);
    l->glimpse_io.rows = 5, l->glimpse_io.output = l->output, l->glimpse_io.weights = l->kept;
    l->glimpse_io.report = &report;
    g->grad_output = l->with;
    return l;
}

static double glimpse_loss(void *user) {
    learner *l = user;
    EXPECT_STATUS(clattn_glimpse_forward(l->glimpse, &l->glimpse_weights, &l->glimpse_io), CLATTN_OK, &report);
    return differences_sum(l->outputs, l->output, l->with);
}

START_TEST(glimpses) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int softmax = 0; softmax < 2; softmax++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner *l = glimpse(runtime, *engine, softmax);
            if (!l) {
                continue;
            }
            glimpse_loss(l);
            EXPECT_STATUS(
                clattn_glimpse_backward(l->glimpse, &l->glimpse_weights, &l->glimpse_io, &l->glimpse_gradients),
                CLATTN_OK, &report);
            compare(l, softmax ? "glimpse_softmax" : "glimpse", *engine);
            if (strcmp(*engine, "reference") == 0) {
                check_differences(l, glimpse_loss);
            }
            end(l);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(glimpse_refuses) {
    static const char *const words[] = { "grad_output: missing",         "weights: missing", "w_output: missing",
                                         "grad_input: overlaps context", "rows: 7",          "input: missing" };
    clattn_runtime *runtime = suite_runtime(NULL);
    learner *l = glimpse(runtime, "cpu", true);
    glimpse_loss(l);
    for (int n = 0; n < 6; n++) {
        clattn_glimpse_io io = l->glimpse_io;
        clattn_glimpse_gradients g = l->glimpse_gradients;
        clattn_glimpse_weights w = l->glimpse_weights;
        g.grad_output = n == 0 ? NULL : g.grad_output;
        io.weights = n == 1 ? NULL : io.weights;
        w.w_output = n == 2 ? NULL : w.w_output;
        g.grad_input = n == 3 ? (float *)(uintptr_t)io.context : g.grad_input;
        io.rows = n == 4 ? 7 : io.rows;
        io.input = n == 5 ? NULL : io.input;
        said(clattn_glimpse_backward(l->glimpse, &w, &io, &g), CLATTN_INVALID_TENSORS, words[n], __LINE__);
    }
    ck_assert(isnan(l->arrays[0].gradient[0]) && l->arrays[2].gradient[0] == 0);
    end(l);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_additive_gradients, CLATTN_ADDITIVE_GRADIENTS_INIT, clattn_additive_gradients_init);
    EXPECT_START(clattn_glimpse_gradients, CLATTN_GLIMPSE_GRADIENTS_INIT, clattn_glimpse_gradients_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts,           additive_projected, additive_refuses, additive_differences,
                                   additive_goldens, glimpses,           glimpse_refuses };
    draw_mask();
    return suite_run(SUITE_OF("learning_systems", tests, 120), SUITE_NO_FORK);
}
