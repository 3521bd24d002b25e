/*
 * The layers on every engine of this build against PyTorch's and NumPy's numbers (tests/golden/make_layers_golden.py),
 * with what they make visible, and what they refuse.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/layers_golden.h"
#include "support/suite.h"

/* A clattn_attention_weights whose memory is drawn here. */
typedef struct drawn_weights {
    clattn_attention_weights weights;
    float *memory[8];
} drawn_weights;

static void free_weights(drawn_weights *w) {
    for (int k = 0; k < 8; k++) {
        free(w->memory[k]);
    }
}

static drawn_weights self_weights(bool with_bias) {
    drawn_weights w = { 0 };
    const float **matrices[] = { &w.weights.w_query, &w.weights.w_key, &w.weights.w_value };
    const float **biases[] = { &w.weights.b_query, &w.weights.b_key, &w.weights.b_value };
    for (int k = 0; k < 3; k++) {
        *matrices[k] = w.memory[k] = layers_draw(22 + (uint64_t)k, 8 * 12, 0.7f);
        *biases[k] = with_bias ? w.memory[3 + k] = layers_draw(25 + (uint64_t)k, 8, 0.5f) : NULL;
    }
    return w;
}

static drawn_weights multi_head_weights(uint64_t seed, int64_t dim, float size) {
    drawn_weights w = { 0 };
    const float **matrices[] = { &w.weights.w_query, &w.weights.w_key, &w.weights.w_value, &w.weights.w_output };
    const float **biases[] = { &w.weights.b_query, &w.weights.b_key, &w.weights.b_value, &w.weights.b_output };
    for (uint64_t k = 0; k < 4; k++) {
        *matrices[k] = w.memory[k] = layers_draw(seed + (k < 3 ? 1 + k : 7), dim * dim, size);
        *biases[k] = w.memory[4 + k] = layers_draw(seed + (k < 3 ? 4 + k : 8), dim, 0.5f);
    }
    return w;
}

static float *room(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int64_t k = 0; k < count; k++) {
        x[k] = NAN;
    }
    return x;
}

/* Whether the engine serves the layer; an engine may refuse only with a reason, and cpu and reference never. */
static bool create(clattn_runtime *runtime, clattn_attention_layer_options options, const char *engine,
                   clattn_attention_layer **layer) {
    clattn_report report;
    options.plan.engine = engine;
    clattn_status status = clattn_attention_layer_create(runtime, &options, layer, &report);
    if (status == CLATTN_UNSUPPORTED && strncmp(engine, "opencl-", 7) == 0) {
        ck_assert_uint_gt(report.length, 0);
        return false;
    }
    EXPECT_STATUS(status, CLATTN_OK, &report);
    clattn_plan_info info;
    EXPECT_STATUS(clattn_attention_layer_get_info(*layer, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, engine);
    return true;
}

#define EACH_ENGINE(runtime, engine) for (const char *const *engine = layers_engines(runtime); *engine; engine++)

START_TEST(simplified) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(11, 18, 2), output[18], scores[36], weights[36], context[18], query[18];
    EACH_ENGINE(runtime, engine) {
        clattn_attention_layer *layer = NULL;
        if (!create(runtime, clattn_simplified_self_attention(6, 3), *engine, &layer)) {
            continue;
        }
        clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
        io.input = x, io.output = output, io.scores = scores, io.context = context, io.query = query;
        io.attention.weights.data = weights;
        EXPECT_STATUS(clattn_attention_layer_forward(layer, NULL, &io), CLATTN_OK, NULL);
        layers_compare("simplified_scores", *engine, scores, 36);
        layers_compare("simplified_weights", *engine, weights, 36);
        layers_compare("simplified_output", *engine, output, 18);
        layers_compare("simplified_output", *engine, context, 18);
        ck_assert_mem_eq(query, x, sizeof query);
        clattn_attention_layer_destroy(layer);
    }
    free(x);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(self_attention) {
    static const struct {
        const char *golden;
        bool with_bias, causal;
    } cases[] = { { "self_plain", false, false }, { "self_bias", true, false }, { "self_causal", true, true } };
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(21, 2 * 9 * 12, 2), output[2 * 9 * 8], value[2 * 9 * 8];
    for (int k = 0; k < 3; k++) {
        drawn_weights w = self_weights(cases[k].with_bias);
        EACH_ENGINE(runtime, engine) {
            clattn_attention_layer *layer = NULL;
            clattn_attention_layer_options options = clattn_self_attention(9, 12, 8, cases[k].causal);
            options.attention.batch = 2;
            if (!create(runtime, options, *engine, &layer)) {
                continue;
            }
            clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
            io.input = x, io.output = output, io.value = value;
            EXPECT_STATUS(clattn_attention_layer_forward(layer, &w.weights, &io), CLATTN_OK, NULL);
            layers_compare(cases[k].golden, *engine, output, 2 * 9 * 8);
            if (cases[k].causal) { /* the first row sees the first key alone */
                for (int d = 0; d < 8; d++) {
                    ck_assert_float_eq_tol(output[d], value[d], 1e-5f);
                }
            }
            clattn_attention_layer_destroy(layer);
        }
        free_weights(&w);
    }
    free(x);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void check_multi_head(const char *golden, const char *weights_golden, uint64_t seed, int64_t length, int64_t dim,
                             int64_t heads, float size) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(seed, length * dim, 2), *output = room(length * dim),
          *weights = room(heads * length * length);
    drawn_weights w = multi_head_weights(seed, dim, size);
    EACH_ENGINE(runtime, engine) {
        clattn_attention_layer *layer = NULL;
        clattn_attention_layer_options options = clattn_multi_head_attention(length, dim, heads);
        options.attention.weights = weights_golden ? CLATTN_WEIGHTS_SOFTMAX : CLATTN_WEIGHTS_NONE;
        if (!create(runtime, options, *engine, &layer)) {
            continue;
        }
        clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
        io.input = x, io.output = output;
        io.attention.weights.data = weights;
        EXPECT_STATUS(clattn_attention_layer_forward(layer, &w.weights, &io), CLATTN_OK, NULL);
        layers_compare(golden, *engine, output, length * dim);
        if (weights_golden) {
            layers_compare(weights_golden, *engine, weights, heads * length * length);
        }
        clattn_attention_layer_destroy(layer);
    }
    free_weights(&w);
    free(x);
    free(output);
    free(weights);
    clattn_runtime_destroy(runtime);
}

START_TEST(multi_head) {
    check_multi_head("multi_head_output", "multi_head_weights", 31, 7, 24, 4, 0.5f);
}
END_TEST

START_TEST(heads_of_gpt3) {
    check_multi_head("heads96_output", NULL, 131, 6, 768, 96, 0.06f);
}
END_TEST

START_TEST(cross_attention) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(41, 80, 2), *memory = layers_draw(42, 2 * 11 * 14, 2), output[48], key[132], value[132];
    float *w[3] = { layers_draw(43, 60, 1), layers_draw(44, 84, 1), layers_draw(45, 84, 1) };
    clattn_attention_weights weights = { .w_query = w[0], .w_key = w[1], .w_value = w[2] };
    static const int32_t used[] = { 11, 5 };
    EACH_ENGINE(runtime, engine) {
        for (int with_lengths = 0; with_lengths < 2; with_lengths++) {
            const char *golden = with_lengths ? "cross_lengths_output" : "cross_output";
            clattn_attention_layer *layer = NULL;
            clattn_attention_layer_options options = clattn_cross_attention(4, 11, 10, 14, 6);
            options.attention.batch = 2;
            options.attention.key_lengths = with_lengths;
            if (!create(runtime, options, *engine, &layer)) {
                continue;
            }
            clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
            io.input = x, io.memory = memory, io.output = output, io.key = key, io.value = value;
            io.attention.key_lengths = (clattn_integers){ used, 0, CLATTN_INT32 };
            EXPECT_STATUS(clattn_attention_layer_forward(layer, &weights, &io), CLATTN_OK, NULL);
            layers_compare(golden, *engine, output, 48);
            io.memory = NULL, io.keep_memory = true; /* projected once, used again */
            memset(output, 0, sizeof output);
            EXPECT_STATUS(clattn_attention_layer_forward(layer, &weights, &io), CLATTN_OK, NULL);
            layers_compare(golden, *engine, output, 48);
            clattn_attention_layer_destroy(layer);
        }
    }
    for (int k = 0; k < 3; k++) {
        free(w[k]);
    }
    free(x);
    free(memory);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(additive_layer) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *states = layers_draw(71, 80, 2), *memory = layers_draw(72, 2 * 12 * 14, 2), projected[2 * 12 * 16];
    float *w[4] = { layers_draw(73, 160, 1), layers_draw(74, 224, 1), layers_draw(75, 16, 2), layers_draw(76, 16, 1) };
    float context[2 * 4 * 14], weights[2 * 4 * 12];
    clattn_additive_weights additive = { w[0], w[1], w[2], w[3] };
    EACH_ENGINE(runtime, engine) {
        clattn_report report;
        clattn_additive_layer *layer = NULL;
        clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
        options.additive.batch = 2, options.additive.query_length = 4, options.additive.key_length = 12;
        options.additive.hidden = 16, options.additive.weights = true, options.plan.engine = *engine;
        options.query_dim = 10, options.key_dim = 14;
        EXPECT_STATUS(clattn_additive_layer_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
        clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
        io.query = states, io.key = memory, io.context = context;
        io.additive.weights = weights;
        for (int reuse = 0; reuse < 2; reuse++) {
            EXPECT_STATUS(clattn_additive_layer_forward(layer, &additive, &io), CLATTN_OK, NULL);
            layers_compare("additive_layer_output", *engine, context, 2 * 4 * 14);
            layers_compare("additive_layer_weights", *engine, weights, 2 * 4 * 12);
            EXPECT_STATUS(clattn_additive_layer_project_keys(layer, &additive, memory, projected, &report), CLATTN_OK,
                          &report);
            io.projected_key = projected;
        }
        clattn_additive_layer_destroy(layer);
    }
    for (int k = 0; k < 4; k++) {
        free(w[k]);
    }
    free(states);
    free(memory);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(glimpse) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(51, 65, 2), *context = layers_draw(52, 35, 2), weights[65], output[15];
    float *w[4] = { layers_draw(53, 91, 1), layers_draw(54, 13, 1), layers_draw(55, 39, 1), layers_draw(56, 3, 1) };
    clattn_glimpse_weights matrices = { w[0], w[1], w[2], w[3] };
    EACH_ENGINE(runtime, engine) {
        for (int softmax = 0; softmax < 2; softmax++) {
            clattn_report report;
            clattn_glimpse *layer = NULL;
            clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
            options.rows = 5, options.input_dim = 13, options.context_dim = 7, options.output_dim = 3;
            options.softmax = softmax, options.plan.engine = *engine;
            EXPECT_STATUS(clattn_glimpse_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
            clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
            io.input = x, io.context = context, io.weights = weights, io.output = output;
            EXPECT_STATUS(clattn_glimpse_forward(layer, &matrices, &io), CLATTN_OK, NULL);
            layers_compare(softmax ? "glimpse_softmax_weights" : "glimpse_plain_weights", *engine, weights, 65);
            layers_compare(softmax ? "glimpse_softmax_output" : "glimpse_plain_output", *engine, output, 15);
            clattn_glimpse_destroy(layer);
        }
    }
    for (int k = 0; k < 4; k++) {
        free(w[k]);
    }
    free(x);
    free(context);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(linear) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(85, 203, 1), *w = layers_draw(86, 377, 1), *b = layers_draw(87, 13, 1), output[92];
    EACH_ENGINE(runtime, engine) {
        clattn_report report;
        clattn_linear_plan *plan = NULL;
        clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        problem.rows = 7, problem.in_dim = 29, problem.out_dim = 13, options.engine = *engine;
        EXPECT_STATUS(clattn_linear_plan_create(runtime, &problem, &options, &plan, &report), CLATTN_OK, &report);
        clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
        t.input = x, t.w = w, t.b = b, t.output = output;
        output[91] = 5;
        EXPECT_STATUS(clattn_linear_execute(plan, &t), CLATTN_OK, NULL);
        layers_compare("linear", *engine, output, 91);
        ck_assert(output[91] == 5);
        float first = output[0], second = output[13];
        t.add = true, t.b = NULL, t.rows = 1; /* the same row again, without its bias, on top */
        EXPECT_STATUS(clattn_linear_execute(plan, &t), CLATTN_OK, NULL);
        ck_assert_float_eq_tol(output[0], 2 * first - b[0], 1e-5f);
        ck_assert(output[13] == second);
        t.rows = 8;
        EXPECT_STATUS(clattn_linear_execute(plan, &t), CLATTN_INVALID_TENSORS, NULL);
        clattn_linear_plan_destroy(plan);
    }
    free(x);
    free(w);
    free(b);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void expect_refusal(clattn_runtime *runtime, clattn_attention_layer_options options, clattn_status status,
                           const char *word) {
    clattn_report report;
    clattn_attention_layer *layer = (clattn_attention_layer *)&report;
    EXPECT_STATUS(clattn_attention_layer_create(runtime, &options, &layer, &report), status, &report);
    ck_assert_ptr_null(layer);
    ck_assert_msg(strstr(report.text, word), "\"%s\" does not name %s", report.text, word);
}

START_TEST(refusals) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_attention_layer_options options = clattn_multi_head_attention(4, 10, 2); /* made 2 heads of 3: 6 columns */
    options.attention.head_dim = 3;
    options.output_dim = 0;
    expect_refusal(runtime, options, CLATTN_INVALID_PROBLEM, "residual");
    options = clattn_simplified_self_attention(4, 10);
    options.input_dim = 11;
    expect_refusal(runtime, options, CLATTN_INVALID_PROBLEM, "project");
    options = clattn_self_attention(4, 10, 5, false);
    options.attention.type = CLATTN_FP64;
    expect_refusal(runtime, options, CLATTN_INVALID_PROBLEM, "fp32");
    options = clattn_self_attention(-4, 10, 5, false);
    expect_refusal(runtime, options, CLATTN_INVALID_PROBLEM, "query_length");
    options = clattn_cross_attention(2, 4, 8, 6, 5);
    options.plan.engine = "cpu";
    clattn_attention_layer *layer = NULL;
    clattn_report report;
    float x[64] = { 0 }, output[64], w[64] = { 0 };
    clattn_attention_weights weights = { .w_query = w, .w_key = w, .w_value = w };
    EXPECT_STATUS(clattn_attention_layer_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = x, io.output = output, io.attention.report = &report;
    EXPECT_STATUS(clattn_attention_layer_forward(layer, &weights, &io), CLATTN_INVALID_TENSORS, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "memory"));
    io.memory = x;
    EXPECT_STATUS(clattn_attention_layer_forward(layer, NULL, &io), CLATTN_INVALID_TENSORS, &report);
    weights.w_key = NULL;
    EXPECT_STATUS(clattn_attention_layer_forward(layer, &weights, &io), CLATTN_INVALID_TENSORS, &report);
    clattn_attention_layer_destroy(layer);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { simplified,          self_attention, multi_head, heads_of_gpt3,
                                   cross_attention,     additive_layer, glimpse,    linear, refusals };
    return suite_run(SUITE_OF("layers", tests, 120), SUITE_NO_FORK);
}
