/*
 * The derivative of attention layers: every gradient against PyTorch's (tests/golden/make_learning_golden.py) and
 * against central differences; what is unused, what is refused. The forward runs on every engine; the backward on the
 * same one where it serves gradients, else on the reference.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "clattn/clattn_layers.h"
#include "support/differences.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static clattn_report report;

enum { MOST = 24, ROOM = 512 };

/* Arrays of a case by name, drawn, with their gradients. */
typedef struct learner {
    clattn_attention_layer *layer;
    clattn_attention_layer_options options;
    clattn_attention_weights weights;
    clattn_attention_layer_io io;
    clattn_attention_gradients gradients;
    float output[ROOM], query[ROOM], key[ROOM], value[ROOM], context[ROOM], logsumexp[ROOM];
    int64_t outputs;
    int count;
    struct {
        const char *name;
        float *x, gradient[ROOM];
        int64_t count;
    } arrays[MOST];
    float *with;
} learner;

/* Draws an array and answers it; its gradient is where *gradient is set to. */
static float *add(learner *l, const char *name, uint64_t seed, int64_t count, float size, float **gradient) {
    ck_assert(l->count < MOST && count <= ROOM);
    l->arrays[l->count].name = name;
    l->arrays[l->count].x = layers_draw(seed, count, size);
    l->arrays[l->count].count = count;
    *gradient = l->arrays[l->count].gradient;
    return l->arrays[l->count++].x;
}

static learner *begin(clattn_attention_layer_options options, int64_t outputs, uint64_t seed) {
    learner *l = calloc(1, sizeof *l);
    ck_assert_ptr_nonnull(l);
    l->options = options;
    l->options.attention.logsumexp = true;
    l->io = (clattn_attention_layer_io)CLATTN_ATTENTION_LAYER_IO_INIT;
    l->gradients = (clattn_attention_gradients)CLATTN_ATTENTION_GRADIENTS_INIT;
    l->io.output = l->output;
    l->io.attention.logsumexp.data = l->logsumexp;
    l->io.attention.report = &report;
    if (options.project) {
        l->io.query = l->query, l->io.key = l->key, l->io.value = l->value;
    }
    if (options.output_dim > 0 || options.residual) {
        l->io.context = l->context;
    }
    l->outputs = outputs;
    l->with = layers_draw(seed, outputs, 1);
    l->gradients.grad_output = l->with;
    return l;
}

static void end(learner *l) {
    for (int k = 0; k < l->count; k++) {
        free(l->arrays[k].x);
    }
    free(l->with);
    free(l);
}

static learner *simplified(void) {
    learner *l = begin(clattn_simplified_self_attention(6, 3), 18, 402);
    l->options.scores = false;
    l->options.attention.weights = CLATTN_WEIGHTS_NONE;
    l->io.input = add(l, "input", 401, 18, 1, &l->gradients.grad_input);
    return l;
}

static learner *self(void) {
    clattn_attention_layer_options options = clattn_self_attention(9, 12, 8, true);
    options.attention.batch = 2;
    learner *l = begin(options, 2 * 9 * 8, 418);
    l->io.input = add(l, "input", 411, 2 * 9 * 12, 1, &l->gradients.grad_input);
    l->weights.w_query = add(l, "w_query", 412, 8 * 12, 0.7f, &l->gradients.grad_w_query);
    l->weights.w_key = add(l, "w_key", 413, 8 * 12, 0.7f, &l->gradients.grad_w_key);
    l->weights.w_value = add(l, "w_value", 414, 8 * 12, 0.7f, &l->gradients.grad_w_value);
    l->weights.b_query = add(l, "b_query", 415, 8, 0.5f, &l->gradients.grad_b_query);
    l->weights.b_key = add(l, "b_key", 416, 8, 0.5f, &l->gradients.grad_b_key);
    l->weights.b_value = add(l, "b_value", 417, 8, 0.5f, &l->gradients.grad_b_value);
    return l;
}

/* Groups of heads, a head_dim unlike the value_dim, output projection, residual, bias, slopes, sinks. */
static learner *heads(void) {
    clattn_attention_layer_options options = clattn_multi_head_attention(7, 12, 4);
    clattn_problem *p = &options.attention;
    p->batch = 2, p->kv_heads = 2, p->value_dim = 5;
    p->causal = true, p->alignment = CLATTN_ALIGN_TOP_LEFT;
    p->bias = CLATTN_BIAS_FP32, p->bias_shape[0] = p->bias_shape[2] = 1;
    p->alibi = p->sinks = true;
    learner *l = begin(options, 2 * 7 * 12, 434);
    clattn_attention_gradients *g = &l->gradients;
    float *gradient;
    l->io.input = add(l, "input", 421, 2 * 7 * 12, 1, &g->grad_input);
    l->weights.w_query = add(l, "w_query", 422, 12 * 12, 0.7f, &g->grad_w_query);
    l->weights.w_key = add(l, "w_key", 423, 6 * 12, 0.7f, &g->grad_w_key);
    l->weights.w_value = add(l, "w_value", 424, 10 * 12, 0.7f, &g->grad_w_value);
    l->weights.w_output = add(l, "w_output", 425, 12 * 20, 0.7f, &g->grad_w_output);
    l->weights.b_query = add(l, "b_query", 426, 12, 0.5f, &g->grad_b_query);
    l->weights.b_key = add(l, "b_key", 427, 6, 0.5f, &g->grad_b_key);
    l->weights.b_value = add(l, "b_value", 428, 10, 0.5f, &g->grad_b_value);
    l->weights.b_output = add(l, "b_output", 429, 12, 0.5f, &g->grad_b_output);
    l->io.attention.bias.data = add(l, "bias", 431, 4 * 7, 1, &gradient);
    g->grad_bias.data = gradient;
    l->io.attention.alibi_slopes.data = add(l, "slopes", 432, 4, 0.3f, &gradient);
    g->grad_alibi_slopes.data = gradient;
    l->io.attention.sinks.data = add(l, "sinks", 433, 4, 1, &gradient);
    g->grad_sinks.data = gradient;
    return l;
}

static learner *cross(void) {
    static const int32_t lengths[] = { 11, 5 };
    clattn_attention_layer_options options = clattn_cross_attention(4, 11, 10, 14, 6);
    options.attention.batch = 2;
    options.attention.key_lengths = true;
    learner *l = begin(options, 2 * 4 * 6, 446);
    l->io.attention.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    l->io.input = add(l, "input", 441, 2 * 4 * 10, 1, &l->gradients.grad_input);
    l->io.memory = add(l, "memory", 442, 2 * 11 * 14, 1, &l->gradients.grad_memory);
    l->weights.w_query = add(l, "w_query", 443, 60, 1, &l->gradients.grad_w_query);
    l->weights.w_key = add(l, "w_key", 444, 84, 1, &l->gradients.grad_w_key);
    l->weights.w_value = add(l, "w_value", 445, 84, 1, &l->gradients.grad_w_value);
    return l;
}

static uint32_t extra(const learner *l) {
    return l->options.attention.sinks ? CLATTN_GRADIENT_BIAS | CLATTN_GRADIENT_ALIBI_SLOPES | CLATTN_GRADIENT_SINKS : 0;
}

/* Whether the engine serves the forward; its backward goes to the reference where it does not serve that. */
static bool create(clattn_runtime *runtime, learner *l, const char *engine) {
    clattn_plan_options backward = CLATTN_PLAN_OPTIONS_INIT;
    l->options.plan.engine = backward.engine = engine;
    clattn_status status = clattn_attention_layer_create(runtime, &l->options, &l->layer, &report);
    if (status == CLATTN_UNSUPPORTED && strncmp(engine, "opencl-", 7) == 0) {
        return false;
    }
    EXPECT_STATUS(status, CLATTN_OK, &report);
    status = clattn_attention_layer_learn(l->layer, extra(l), &backward, &report);
    if (status == CLATTN_UNSUPPORTED) {
        ck_assert_uint_gt(report.length, 0);
        backward.engine = "reference";
        status = clattn_attention_layer_learn(l->layer, extra(l), &backward, &report);
    }
    EXPECT_STATUS(status, CLATTN_OK, &report);
    return true;
}

static void forward(learner *l) {
    EXPECT_STATUS(clattn_attention_layer_forward(l->layer, &l->weights, &l->io), CLATTN_OK, &report);
}

static void backward(learner *l) {
    for (int k = 0; k < l->count; k++) {
        bool written = strcmp(l->arrays[k].name, "input") == 0 || strcmp(l->arrays[k].name, "memory") == 0;
        for (int64_t n = 0; n < ROOM; n++) {
            l->arrays[k].gradient[n] = written ? NAN : 0; /* written, or added to */
        }
    }
    EXPECT_STATUS(clattn_attention_layer_backward(l->layer, &l->weights, &l->io, &l->gradients), CLATTN_OK, &report);
}

static void compare(learner *l, const char *name, const char *engine) {
    for (int k = 0; k < l->count; k++) {
        char golden[64];
        if (strcmp(name, "self") == 0 &&
            strcmp(l->arrays[k].name, "b_key") == 0) { /* what all keys share: 0 but for rounding */
            for (int64_t n = 0; n < l->arrays[k].count; n++) {
                ck_assert_float_eq_tol(l->arrays[k].gradient[n], 0, 2e-6f);
            }
            continue;
        }
        snprintf(golden, sizeof golden, "learn_%s_%s", name, l->arrays[k].name);
        layers_compare(golden, engine, l->arrays[k].gradient, l->arrays[k].count);
    }
}

static learner *(*const cases[])(void) = { simplified, self, heads, cross };
static const char *const names[] = { "simplified", "self", "heads", "cross" };

START_TEST(goldens) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int k = 0; k < 4; k++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner *l = cases[k]();
            if (create(runtime, l, *engine)) {
                forward(l);
                backward(l);
                compare(l, names[k], *engine);
            }
            clattn_attention_layer_destroy(l->layer);
            end(l);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static double loss_of(void *user) {
    learner *l = user;
    forward(l);
    return differences_sum(l->outputs, l->output, l->with);
}

START_TEST(differences) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int k = 0; k < 4; k++) {
        learner *l = cases[k]();
        l->options.attention.softcap = k == 2 ? 1.5 : 0;
        l->options.attention.dropout = k == 2 ? 0.25 : 0;
        l->io.attention.dropout_seed = 5;
        ck_assert(create(runtime, l, "reference"));
        forward(l);
        backward(l);
        for (int n = 0; n < l->count; n++) {
            differences_check(l->arrays[n].name, loss_of, l, l->arrays[n].x, l->arrays[n].count, l->arrays[n].gradient);
        }
        clattn_attention_layer_destroy(l->layer);
        end(l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A memory projected once: gradients of key and value are handed back, and the memory itself has none. */
START_TEST(kept_memory) {
    clattn_runtime *runtime = suite_runtime(NULL);
    learner *l = cross();
    float grad_key[2 * 11 * 6], grad_value[2 * 11 * 6];
    ck_assert(create(runtime, l, "cpu"));
    forward(l); /* makes key and value */
    l->io.keep_memory = true;
    clattn_attention_gradients g = l->gradients;
    EXPECT_STATUS(clattn_attention_layer_backward(l->layer, &l->weights, &l->io, &g), CLATTN_INVALID_TENSORS, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "grad_memory"));
    g.grad_memory = NULL;
    EXPECT_STATUS(clattn_attention_layer_backward(l->layer, &l->weights, &l->io, &g), CLATTN_INVALID_TENSORS, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "grad_w_key"));
    g.grad_w_key = g.grad_w_value = NULL;
    g.grad_key = grad_key, g.grad_value = grad_value;
    EXPECT_STATUS(clattn_attention_layer_backward(l->layer, &l->weights, &l->io, &g), CLATTN_OK, &report);
    layers_compare("learn_cross_key", "cpu", grad_key, 2 * 11 * 6);
    layers_compare("learn_cross_value", "cpu", grad_value, 2 * 11 * 6);
    layers_compare("learn_cross_input", "cpu", l->gradients.grad_input, 2 * 4 * 10);
    clattn_attention_layer_destroy(l->layer);
    end(l);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A call shorter than the problem: rows beyond it may hold NaN, in input and grad_output, and change nothing. */
START_TEST(shorter_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float first[2][MOST][ROOM];
    for (int poisoned = 0; poisoned < 2; poisoned++) {
        learner *l = heads();
        ck_assert(create(runtime, l, "reference"));
        l->io.attention.query_length = 4;
        for (int64_t entry = 0; entry < 2; entry++) {
            for (int64_t n = (entry * 7 + 4) * 12; n < (entry + 1) * 7 * 12; n++) {
                l->with[n] = poisoned ? NAN : 0.5f;
                l->arrays[0].x[n] = poisoned ? INFINITY : 0.25f;
            }
        }
        forward(l);
        backward(l);
        for (int k = 0; k < l->count; k++) {
            memcpy(first[poisoned][k], l->arrays[k].gradient, sizeof first[0][0]);
            ck_assert_mem_eq(first[poisoned][k], first[0][k], (size_t)l->arrays[k].count * sizeof(float));
        }
        for (int64_t n = 4 * 12; n < 7 * 12; n++) {
            ck_assert_float_eq(l->arrays[0].gradient[n], 0);
        }
        ck_assert_float_ne(l->arrays[0].gradient[7 * 12], 0);
        clattn_attention_layer_destroy(l->layer);
        end(l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

START_TEST(refuses) {
    clattn_runtime *runtime = suite_runtime(NULL);
    learner *l = heads();
    clattn_attention_layer *layer = NULL;
    l->options.attention.logsumexp = false;
    EXPECT_STATUS(clattn_attention_layer_create(runtime, &l->options, &layer, &report), CLATTN_OK, &report);
    said(clattn_attention_layer_learn(layer, 0, NULL, &report), CLATTN_INVALID_PROBLEM, "attention.logsumexp",
         __LINE__);
    said(clattn_attention_layer_learn(layer, 1, NULL, &report), CLATTN_INVALID_ARGUMENT, "gradients", __LINE__);
    said(clattn_attention_layer_backward(layer, &l->weights, &l->io, &l->gradients), CLATTN_INVALID_ARGUMENT,
         "clattn_attention_layer_learn", __LINE__);
    clattn_attention_layer_destroy(layer);
    l->options.attention.logsumexp = true;
    ck_assert(create(runtime, l, "reference"));
    forward(l);
    float before[ROOM], other[ROOM] = { 0 };
    memcpy(before, l->arrays[0].gradient, sizeof before);
#define WRONG(word, ...)                                                                                               \
    do {                                                                                                               \
        clattn_attention_layer_io io = l->io;                                                                          \
        clattn_attention_gradients g = l->gradients;                                                                   \
        clattn_attention_weights w = l->weights;                                                                       \
        __VA_ARGS__;                                                                                                   \
        said(clattn_attention_layer_backward(l->layer, &w, &io, &g), CLATTN_INVALID_TENSORS, word, __LINE__);          \
        ck_assert_mem_eq(before, l->arrays[0].gradient, sizeof before);                                                \
    } while (0)
    WRONG("grad_output: missing", g.grad_output = NULL);
    WRONG("grad_memory", g.grad_memory = other);
    WRONG("query: missing", io.query = NULL);
    WRONG("context: missing", io.context = NULL);
    WRONG("w_output: missing", w.w_output = NULL);
    WRONG("logsumexp", io.attention.logsumexp.data = NULL);
    WRONG("grad_bias", g.grad_bias.data = NULL);
    WRONG("grad_sinks", g.grad_sinks.data = NULL);
    WRONG("grad_query: overlaps input", g.grad_query = (float *)(uintptr_t)io.input + 4);
    WRONG("grad_w_key: overlaps grad_b_output", g.grad_b_output = g.grad_w_key);
    WRONG("query_length", io.attention.query_length = 8);
    EXPECT_STATUS(clattn_attention_layer_backward(l->layer, &l->weights, &l->io, &l->gradients), CLATTN_OK, &report);
    clattn_attention_layer_destroy(l->layer);
    end(l);
    l = simplified();
    ck_assert(create(runtime, l, "reference"));
    forward(l);
    WRONG("grad_w_query", g.grad_w_query = other);
    WRONG("grad_b_output", g.grad_b_output = other);
    WRONG("grad_sinks", g.grad_sinks.data = other);
    clattn_attention_layer_destroy(l->layer);
    end(l);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_attention_gradients, CLATTN_ATTENTION_GRADIENTS_INIT, clattn_attention_gradients_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts, refuses, shorter_calls, kept_memory, differences, goldens };
    return suite_run(SUITE_OF("learning_attention", tests, 120), SUITE_NO_FORK);
}
