/*
 * Layers and linear maps used wrongly: shapes that contradict each other, what is missing, what overlaps, sizes beyond 63
 * bits. Each is refused by name, and before the first of a layer's steps has written anything.
 */
#include <math.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/suite.h"

enum { FLOATS = 256 };

static clattn_report report;
static float room[16][FLOATS]; /* each array of a call has one of its own */

static void paint(void) {
    memset(room, 0x5a, sizeof room);
}

/* Nothing of the first `count` arrays was written. */
static void unwritten(int count, int line) {
    static unsigned char painted[sizeof room];
    memset(painted, 0x5a, sizeof painted);
    ck_assert_msg(memcmp(room, painted, (size_t)count * sizeof *room) == 0, "line %d: written though refused", line);
}

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

static clattn_runtime *cpu_only(void) {
    return suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
}

START_TEST(starts) {
    EXPECT_START(clattn_linear_problem, CLATTN_LINEAR_PROBLEM_INIT, clattn_linear_problem_init);
    EXPECT_START(clattn_linear_tensors, CLATTN_LINEAR_TENSORS_INIT, clattn_linear_tensors_init);
    EXPECT_START(clattn_attention_layer_io, CLATTN_ATTENTION_LAYER_IO_INIT, clattn_attention_layer_io_init);
    EXPECT_START(clattn_additive_layer_options, CLATTN_ADDITIVE_LAYER_OPTIONS_INIT, clattn_additive_layer_options_init);
    EXPECT_START(clattn_additive_layer_io, CLATTN_ADDITIVE_LAYER_IO_INIT, clattn_additive_layer_io_init);
    EXPECT_START(clattn_glimpse_options, CLATTN_GLIMPSE_OPTIONS_INIT, clattn_glimpse_options_init);
    EXPECT_START(clattn_glimpse_io, CLATTN_GLIMPSE_IO_INIT, clattn_glimpse_io_init);
}
END_TEST

START_TEST(heads_that_do_not_divide) {
    static const int64_t bad[][2] = { { 30, 4 }, { 7, 8 }, { 10, 3 }, { 0, 4 }, { 8, 0 }, { 8, -2 } };
    clattn_runtime *runtime = cpu_only();
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        clattn_attention_layer_options options = clattn_multi_head_attention(8, bad[n][0], bad[n][1]);
        clattn_attention_layer *layer = (clattn_attention_layer *)&report;
        said(clattn_attention_layer_create(runtime, &options, &layer, &report), CLATTN_INVALID_PROBLEM, "head", __LINE__);
        ck_assert_ptr_null(layer);
    }
    clattn_attention_layer_options options = clattn_multi_head_attention(8, 30, 5);
    clattn_attention_layer *layer = NULL;
    EXPECT_STATUS(clattn_attention_layer_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
    clattn_attention_layer_destroy(layer);
    clattn_runtime_destroy(runtime);
}
END_TEST

enum { OUTPUT, CONTEXT, QUERY, KEY, VALUE, SCORES, WEIGHTS, LOGSUMEXP, WRITTEN, INPUT = WRITTEN, MATRIX, MASK };

static clattn_attention_layer_io everything(void) {
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = room[INPUT];
    io.output = room[OUTPUT], io.context = room[CONTEXT];
    io.query = room[QUERY], io.key = room[KEY], io.value = room[VALUE], io.scores = room[SCORES];
    io.attention.mask.data = room[MASK];
    io.attention.weights.data = room[WEIGHTS], io.attention.logsumexp.data = room[LOGSUMEXP];
    io.attention.report = &report;
    return io;
}

#define WRONG(word, ...)                                                                                     \
    do {                                                                                                     \
        clattn_attention_layer_io io = everything();                                                         \
        clattn_attention_weights w = { room[MATRIX], room[MATRIX], room[MATRIX], room[MATRIX], 0, 0, 0, 0 }; \
        paint();                                                                                             \
        __VA_ARGS__;                                                                                         \
        said(clattn_attention_layer_forward(layer, &w, &io), CLATTN_INVALID_TENSORS, word, __LINE__);        \
        unwritten(WRITTEN, __LINE__);                                                                        \
    } while (0)

START_TEST(attention_writes_nothing) {
    clattn_runtime *runtime = cpu_only();
    clattn_attention_layer_options options = clattn_multi_head_attention(4, 6, 2);
    clattn_attention_layer *layer = NULL;
    options.scores = true;
    options.attention.mask = CLATTN_MASK_BYTES;
    options.attention.logsumexp = true;
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    EXPECT_STATUS(clattn_attention_layer_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
    WRONG("mask:", io.attention.mask.data = NULL);
    WRONG("mask:", io.attention.mask.offset = -1);
    WRONG("past_length:", io.attention.past_length = 9);
    WRONG("w_query:", w.w_query = NULL);
    WRONG("w_value:", w.w_value = NULL);
    WRONG("w_output:", w.w_output = NULL);
    WRONG("scores", io.scores = NULL);
    WRONG("output:", io.output = NULL);
    WRONG("query_length", io.attention.query_length = 5);
    WRONG("output: overlaps input", io.output = room[INPUT]);
    WRONG("query: overlaps key", io.key = room[QUERY] + 3);
    WRONG("scores: overlaps input", io.scores = room[INPUT] + 1);
    WRONG("output: overlaps context", io.context = room[OUTPUT]);
    WRONG("output: overlaps attention.weights", io.attention.weights.data = room[OUTPUT]);
    WRONG("attention.logsumexp: overlaps input", io.attention.logsumexp.data = room[INPUT]);
    WRONG("logsumexp:", io.attention.logsumexp.data = NULL);
    clattn_attention_layer_io io = everything();
    clattn_attention_weights w = { room[MATRIX], room[MATRIX], room[MATRIX], room[MATRIX], 0, 0, 0, 0 };
    memset(room, 0, sizeof room);
    EXPECT_STATUS(clattn_attention_layer_forward(layer, &w, &io), CLATTN_OK, &report);
    clattn_attention_layer_destroy(layer);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(glimpse_writes_nothing) {
    clattn_runtime *runtime = cpu_only();
    clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
    clattn_glimpse *layer = NULL;
    said(clattn_glimpse_create(runtime, &options, &layer, &report), CLATTN_INVALID_PROBLEM, "input_dim", __LINE__);
    options.rows = 3, options.input_dim = 4, options.context_dim = 5, options.output_dim = 2;
    EXPECT_STATUS(clattn_glimpse_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
    static const char *const names[] = { "output:", "input:", "context:", "w_context:", "w_output:", "output: overlaps", "weights: overlaps",
                                         "rows" };
    for (int n = 0; n < 8; n++) {
        clattn_glimpse_weights w = { room[2], NULL, room[3], NULL };
        clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
        paint();
        io.input = n == 1 ? NULL : room[4], io.context = n == 2 ? NULL : room[5];
        io.output = n == 0 ? NULL : n == 5 ? room[4] : room[0], io.weights = n == 6 ? room[3] + 1 : room[1];
        io.rows = n == 7 ? 4 : CLATTN_SAME;
        io.report = &report;
        w.w_context = n == 3 ? NULL : w.w_context, w.w_output = n == 4 ? NULL : w.w_output;
        said(clattn_glimpse_forward(layer, &w, &io), CLATTN_INVALID_TENSORS, names[n], __LINE__);
        unwritten(6, __LINE__);
    }
    clattn_glimpse_destroy(layer);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The keys serve as values only where their rows are as long. */
START_TEST(additive_values) {
    clattn_runtime *runtime = cpu_only();
    clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    clattn_additive_layer *layer = NULL;
    options.additive.key_length = 3, options.additive.hidden = 4, options.additive.value_dim = 7;
    said(clattn_additive_layer_create(runtime, &options, &layer, &report), CLATTN_INVALID_PROBLEM, "query_dim", __LINE__);
    options.query_dim = 2, options.key_dim = 5;
    EXPECT_STATUS(clattn_additive_layer_create(runtime, &options, &layer, &report), CLATTN_OK, &report);
    clattn_additive_weights w = { room[1], room[2], room[3], NULL };
    clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    paint();
    io.query = room[4], io.key = room[5], io.context = room[0];
    io.additive.report = &report;
    said(clattn_additive_layer_forward(layer, &w, &io), CLATTN_INVALID_TENSORS, "value:", __LINE__);
    unwritten(6, __LINE__);
    memset(room, 0, sizeof room);
    io.value = room[6];
    EXPECT_STATUS(clattn_additive_layer_forward(layer, &w, &io), CLATTN_OK, &report);
    clattn_additive_layer_destroy(layer);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(linear_refuses) {
    clattn_runtime *runtime = cpu_only();
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_plan *plan = NULL;
    p.rows = 0, p.in_dim = INT32_MAX, p.out_dim = INT64_MAX;
    said(clattn_linear_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_INVALID_PROBLEM, "out_dim", __LINE__);
    p.rows = INT64_C(1) << 40, p.in_dim = INT32_MAX, p.out_dim = 1;
    said(clattn_linear_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_OVERFLOW, "rows", __LINE__);
    p.rows = 2, p.in_dim = 3, p.out_dim = 4;
    EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_OK, &report);
    for (int n = 0; n < 4; n++) {
        static const char *const names[] = { "output: overlaps input", "output: overlaps w", "output: overlaps b", "input: its last" };
        clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
        paint();
        t.output = room[0];
        t.input = n == 0 ? room[0] + 7 : n == 3 ? (const float *)(UINTPTR_MAX - 15) : room[1];
        t.w = n == 1 ? room[0] + 1 : room[2];
        t.b = n == 2 ? room[0] : room[3];
        t.report = &report;
        said(clattn_linear_execute(plan, &t), n == 3 ? CLATTN_OVERFLOW : CLATTN_INVALID_TENSORS, names[n], __LINE__);
        unwritten(5, __LINE__);
    }
    clattn_linear_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(sizes_beyond_63_bits) {
    const int64_t big = INT64_C(1) << 62, none[] = { 0 };
    float x[4] = { 1, 2, 3, 4 };
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_UNIFORM, 1, big, 4, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_fill(CLATTN_FILL_UNIFORM, 1, big / 2, 1, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_embedding_forward(x, 4, big, none, 1, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    EXPECT_STATUS(clattn_embedding_forward(x, big, 4, none, 1, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    EXPECT_STATUS(clattn_positional_encoding(INT64_MAX, 1, 2, 10000, false, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_positional_encoding(INT64_MAX - 1, 3, 1, 10000, false, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_positional_encoding(0, big, 4, 10000, false, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_layer_norm(NULL, big, 4, 0, NULL, NULL, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_softmax(NULL, big, 4, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_gelu(NULL, big, x, x), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert(x[0] == 1 && x[1] == 2 && x[2] == 3 && x[3] == 4);
    EXPECT_STATUS(clattn_positional_encoding(INT64_MAX - 1, 1, 2, 10000, false, x), CLATTN_OK, NULL);
    ck_assert(isfinite(x[0]) && x[2] == 3);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts,          heads_that_do_not_divide, attention_writes_nothing, glimpse_writes_nothing,
                                   additive_values, linear_refuses,           sizes_beyond_63_bits };
    return suite_run(SUITE_OF("layer_calls", tests, 60), SUITE_FORK);
}
