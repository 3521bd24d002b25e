/*
 * What learns when the host allocator fails at its first, second, ... request: each time OUT_OF_MEMORY, nothing
 * leaked, no crash; layers compute forward as before. To cover more, add a story.
 */
#include <math.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "clattn/clattn_learning.h"
#include "clattn/clattn_memory.h"
#include "support/ledger.h"
#include "support/suite.h"

static clattn_report report;
static float x[64 * 64], w[64 * 64], output[64 * 64], gradient[64 * 64];
static const char *const path = CLATTN_TEST_BINARY_DIR "/learning_failures.safetensors";

static clattn_status train(clattn_decoder *decoder, clattn_optimiser *optimiser) {
    static const int64_t ids[] = { 0, 1, 2 }, labels[] = { 1, 2, 0 };
    double loss;
    clattn_status status = clattn_decoder_learn(decoder, ids, labels, CLATTN_SAME, 1, &loss, &report);
    return status == CLATTN_OK ? clattn_optimiser_step(optimiser, 0.1, &report) : status;
}

static clattn_status decoder_story(clattn_runtime *runtime) {
    clattn_decoder_options o = CLATTN_DECODER_OPTIONS_INIT;
    clattn_decoder *decoder = NULL;
    clattn_optimiser *optimiser = NULL;
    o.words = 3, o.length = 3, o.dim = 4, o.heads = 2, o.blocks = 2, o.learn = true;
    o.plan.engine = o.backward.engine = "reference";
    clattn_status status = clattn_decoder_create(runtime, &o, &decoder, &report);
    ck_assert((status == CLATTN_OK) == (decoder != NULL));
    if (decoder) {
        status = clattn_optimiser_create(clattn_decoder_get_parameters(decoder), NULL, &optimiser, &report);
        ck_assert((status == CLATTN_OK) == (optimiser != NULL));
    }
    status = optimiser ? train(decoder, optimiser) : status;
    clattn_optimiser_destroy(optimiser);
    clattn_decoder_destroy(decoder);
    return status;
}

static clattn_status past_story(clattn_runtime *runtime) {
    static const int64_t ids[] = { 0, 1, 2 };
    clattn_decoder_options o = CLATTN_DECODER_OPTIONS_INIT;
    clattn_decoder *decoder = NULL;
    clattn_decoder_past *past = NULL;
    float logits[3];
    o.words = 3, o.length = 3, o.dim = 4, o.heads = 2, o.blocks = 2;
    o.plan.engine = "reference";
    clattn_status status = clattn_decoder_create(runtime, &o, &decoder, &report);
    if (decoder) {
        status = clattn_decoder_past_create(decoder, &o.plan, &past, &report);
        ck_assert((status == CLATTN_OK) == (past != NULL));
    }
    status = past ? clattn_decoder_step(past, ids, 2, logits, &report) : status;
    if (status == CLATTN_OK) {
        status = clattn_decoder_step(past, ids + 2, 1, logits, &report);
        ck_assert_int_eq(clattn_decoder_past_get_length(past), status == CLATTN_OK ? 3 : 2);
    }
    clattn_decoder_past_destroy(past);
    clattn_decoder_destroy(decoder);
    return status;
}

static clattn_status file_story(clattn_runtime *runtime) {
    static const int64_t shape[] = { 2, 3 };
    const clattn_safetensors_note notes[] = { { "n", "t" } };
    clattn_parameters *p = NULL;
    clattn_safetensors *file = NULL;
    clattn_status status = clattn_parameters_create(runtime, &p);
    status = p ? clattn_parameters_add(p, "w", 2, shape, NULL, &report) : status;
    status = status == CLATTN_OK ? clattn_parameters_write(p, path, notes, 1, &report) : status;
    if (status == CLATTN_OK) {
        status = clattn_safetensors_open(runtime, path, &file, &report);
    }
    status = file ? clattn_parameters_read(p, file, &report) : status;
    clattn_safetensors_close(file);
    clattn_parameters_destroy(p);
    return status;
}

static clattn_status additive_story(clattn_runtime *runtime) {
    clattn_additive_layer *layer = NULL;
    clattn_additive_layer_options o = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    o.additive.query_length = 3, o.additive.key_length = 9, o.additive.hidden = 7, o.query_dim = 5, o.key_dim = 6;
    o.plan.engine = "cpu";
    clattn_status status = clattn_additive_layer_create(runtime, &o, &layer, &report);
    status = layer ? clattn_additive_layer_learn(layer, &report) : status;
    clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    clattn_additive_gradients g = CLATTN_ADDITIVE_GRADIENTS_INIT;
    const clattn_additive_weights weights = { w, w, w, w };
    io.query = io.key = x, io.context = output;
    g.grad_context = x, g.grad_query = gradient;
    status = status == CLATTN_OK ? clattn_additive_layer_backward(layer, &weights, &io, &g) : status;
    if (layer && status != CLATTN_OK) { /* forward as before */
        EXPECT_STATUS(clattn_additive_layer_forward(layer, &weights, &io), CLATTN_OK, &report);
    }
    clattn_additive_layer_destroy(layer);
    return status;
}

static clattn_status attention_story(clattn_runtime *runtime) {
    clattn_attention_layer *layer = NULL;
    clattn_attention_layer_options o = clattn_multi_head_attention(6, 16, 4);
    clattn_plan_options plan = CLATTN_PLAN_OPTIONS_INIT;
    o.attention.logsumexp = true, o.plan.engine = plan.engine = "reference";
    clattn_status status = clattn_attention_layer_create(runtime, &o, &layer, &report);
    status = layer ? clattn_attention_layer_learn(layer, 0, &plan, &report) : status;
    const clattn_attention_weights weights = { .w_query = w, .w_key = w, .w_value = w, .w_output = w };
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    static float logsumexp[24];
    io.input = x, io.output = output, io.attention.logsumexp.data = logsumexp;
    if (layer && status != CLATTN_OK) { /* forward as before */
        EXPECT_STATUS(clattn_attention_layer_forward(layer, &weights, &io), CLATTN_OK, &report);
    }
    clattn_attention_layer_destroy(layer);
    return status;
}

static clattn_status glimpse_story(clattn_runtime *runtime) {
    clattn_glimpse *glimpse = NULL;
    clattn_glimpse_options o = CLATTN_GLIMPSE_OPTIONS_INIT;
    o.rows = 4, o.input_dim = 8, o.context_dim = 5, o.output_dim = 3, o.plan.engine = "cpu";
    clattn_status status = clattn_glimpse_create(runtime, &o, &glimpse, &report);
    status = glimpse ? clattn_glimpse_learn(glimpse, &report) : status;
    clattn_glimpse_destroy(glimpse);
    return status;
}

static clattn_status memory_story(clattn_runtime *runtime) {
    clattn_neural_memory *memory = NULL;
    clattn_neural_memory_options o = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    o.length = 5, o.chunk = 3, o.key_dim = 4, o.hidden = 6, o.depth = CLATTN_MEMORY_TWO_LAYERS, o.plan.engine = "cpu";
    clattn_status status = clattn_neural_memory_create(runtime, &o, &memory, &report);
    ck_assert((status == CLATTN_OK) == (memory != NULL));
    status = memory ? clattn_neural_memory_learn(memory, &report) : status;
    clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
    io.key = io.value = io.query = x, io.alpha = io.theta = io.eta = w, io.state_in = w, io.output = output;
    if (memory && status != CLATTN_OK) { /* forward as before */
        EXPECT_STATUS(clattn_neural_memory_forward(memory, &io), CLATTN_OK, &report);
    }
    clattn_neural_memory_destroy(memory);
    return status;
}

static clattn_status memory_layer_story(clattn_runtime *runtime) {
    clattn_memory_layer *layer = NULL;
    clattn_memory_layer_options o = CLATTN_MEMORY_LAYER_OPTIONS_INIT;
    o.form = CLATTN_MEMORY_AS_CONTEXT, o.length = 5, o.dim = 4, o.heads = 2, o.window = 3, o.persistent = 2, o.chunk = 2;
    o.plan.engine = "reference";
    clattn_status status = clattn_memory_layer_create(runtime, &o, &layer, &report);
    ck_assert((status == CLATTN_OK) == (layer != NULL));
    clattn_memory_layer_destroy(layer);
    return status;
}

static clattn_status live(clattn_status (*story)(clattn_runtime *), ledger *l) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_runtime *runtime = NULL;
    options.threads = 1, options.without_opencl = true, options.allocator = ledger_allocator(l);
    clattn_status status = clattn_runtime_create(&options, &runtime);
    if (status == CLATTN_OK) {
        status = story(runtime);
        clattn_runtime_destroy(runtime);
    }
    return status;
}

START_TEST(no_memory) {
    static clattn_status (*const stories[])(clattn_runtime *) = { decoder_story, past_story, file_story, additive_story,
                                                                  attention_story, glimpse_story, memory_story,
                                                                  memory_layer_story };
    for (size_t k = 0; k < sizeof stories / sizeof *stories; k++) {
        ledger all = { 0, 0, 0 };
        EXPECT_STATUS(live(stories[k], &all), CLATTN_OK, &report);
        ck_assert_int_eq(all.live, 0);
        ck_assert_int_gt(all.requests, 4);
        for (int n = 1; n <= all.requests; n++) {
            ledger l = { 0, n, 0 };
            EXPECT_STATUS(live(stories[k], &l), CLATTN_OUT_OF_MEMORY, &report);
            ck_assert_msg(l.live == 0, "story %d, request %d of %d: %d blocks are left", (int)k, n, all.requests,
                          l.live);
        }
    }
}
END_TEST

int main(void) {
    for (int k = 0; k < 64 * 64; k++) {
        x[k] = sinf((float)k), w[k] = cosf((float)k) / 4;
    }
    const TTest *const tests[] = { no_memory };
    return suite_run(SUITE_OF("learning_failures", tests, 120), SUITE_FORK);
}
