/*
 * What training asks of problems and calls: what is refused, and by which name; dropout's known answers, the mask that a call
 * writes; the prefix; outputs of a type of their own; engines that do not serve it; merging and its gradient.
 */
#include <math.h>
#include <stdlib.h>

#include "clattn/clattn_inspect.h"
#include "engines/reference/reference_dropout.h"
#include "problem/dropout.h"
#include "problem/problem.h"
#include "support/gradient_case.h"

/* Those that serve all of it that the forward has. */
static const char *const forward_engines[] = { "reference", "cpu" };

static clattn_report report;

static clattn_problem usual(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.direction = CLATTN_BACKWARD;
    p.batch = 2, p.query_heads = 4, p.kv_heads = 2;
    p.query_length = 5, p.key_length = 7, p.head_dim = 3, p.value_dim = 2;
    return p;
}

static clattn_runtime *open_runtime(void) {
    return suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
}

static void refused(const clattn_problem *p, clattn_status status, const char *field, int line) {
    clattn_problem resolved;
    clattn_status got = clattn_problem_resolve(p, &resolved, &report);
    ck_assert_msg(got == status && strncmp(report.text, field, strlen(field)) == 0 && report.text[strlen(field)] == ':',
                  "line %d: %s, %s", line, clattn_status_name(got), report.text);
}

#define REFUSED(field, ...)                                                                                            \
    do {                                                                                                               \
        clattn_problem p = usual();                                                                                    \
        __VA_ARGS__;                                                                                                   \
        refused(&p, CLATTN_INVALID_PROBLEM, field, __LINE__);                                                          \
    } while (0)

START_TEST(test_problems) {
    static const double no_probability[] = { -0.1, 1, 1.5, (double)NAN, (double)INFINITY };
    for (int n = 0; n < 5; n++) {
        REFUSED("dropout", p.dropout = no_probability[n]);
    }
    REFUSED("prefix", p.prefix = -1);
    REFUSED("output_type", p.output_type = (clattn_result_type)2);
    REFUSED("gradient_type", p.gradient_type = (clattn_result_type)-1);
    REFUSED("output_type", p.type = CLATTN_FP64, p.output_type = CLATTN_RESULT_FP32);
    REFUSED("gradient_type", p.type = CLATTN_FP64, p.gradient_type = CLATTN_RESULT_FP32);
    REFUSED("weights", p.weights = CLATTN_WEIGHTS_SOFTMAX);
    REFUSED("dropout_mask", p.dropout_mask = true);
    REFUSED("delta", p.delta = p.grad_logsumexp = true);
    REFUSED("gradients", p.gradients = 0);
    REFUSED("gradients", p.gradients = 64);
    REFUSED("gradients", p.gradients = UINT32_MAX);
    REFUSED("gradients", p.gradients = CLATTN_GRADIENT_BIAS);
    REFUSED("gradients", p.gradients |= CLATTN_GRADIENT_ALIBI_SLOPES);
    REFUSED("gradients", p.gradients |= CLATTN_GRADIENT_SINKS);
    REFUSED("gradients_add", p.type = CLATTN_FP16, p.gradients_add = true);
    REFUSED("gradients_add", p.type = CLATTN_BF16, p.gradients_add = true, p.bias = CLATTN_BIAS_STORAGE,
            p.gradients = CLATTN_GRADIENT_BIAS);
    clattn_problem p = usual();
    p.batch = p.query_heads = p.kv_heads = 1, p.type = CLATTN_FP16, p.gradient_type = CLATTN_RESULT_FP32;
    p.query_length = INT64_C(1) << 60,
    p.key_length = 1; /* query fits 63 bits in 16-bit numbers, its gradient does not */
    p.head_dim = p.value_dim = 2;
    refused(&p, CLATTN_OVERFLOW, "grad_query", __LINE__);
}
END_TEST

START_TEST(test_defaults) {
    clattn_problem p = usual(), r;
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert(r.logsumexp && r.gradients == (CLATTN_GRADIENT_QUERY | CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE));
    p.gradient_type = p.output_type = CLATTN_RESULT_FP32, p.gradients_add = true;
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert(r.gradient_type == CLATTN_RESULT_STORAGE && r.output_type == CLATTN_RESULT_STORAGE && r.gradients_add);
    p.type = CLATTN_FP16, p.bias = CLATTN_BIAS_STORAGE, p.gradients |= CLATTN_GRADIENT_BIAS;
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert_int_eq(attn_grad_bias_type(&r), CLATTN_FP32);
    p.gradients = 999, p.delta = p.grad_logsumexp = true; /* mean nothing to a forward */
    p.direction = CLATTN_FORWARD;
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert(r.gradients == 0 && !r.delta && !r.grad_logsumexp && !r.gradients_add && !r.logsumexp);
    p.prefix = 3; /* no window: nothing is hidden */
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert_int_eq(r.prefix, 0);
    p.prefix = 300, p.window_left = 1, p.alignment = CLATTN_ALIGN_TOP_LEFT;
    EXPECT_STATUS(clattn_problem_resolve(&p, &r, &report), CLATTN_OK, &report);
    ck_assert_int_eq(r.prefix, 7);
}
END_TEST

/* ---------------------------------------------------------------------------------------- calls */

static clattn_runtime *runtime;
static gradient_case all;

static void wrong(clattn_status status, const clattn_tensors *tensors, const char *text, int line) {
    clattn_tensors t = *tensors;
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    t.report = &report;
    memset(all.inputs[0].grad, 0x5a, (size_t)all.inputs[0].count * 4);
    clattn_status got = clattn_attention(runtime, &all.backward, &options, &t, &report);
    ck_assert_msg(got == status && strncmp(report.text, text, strlen(text)) == 0, "line %d: %s, %s", line,
                  clattn_status_name(got), report.text);
    for (int64_t n = 0; n < all.inputs[0].count * 4; n++) {
        ck_assert_int_eq(((unsigned char *)all.inputs[0].grad)[n], 0x5a);
    }
}

#define WRONG(text, ...)                                                                                               \
    do {                                                                                                               \
        clattn_tensors t = all.tensors;                                                                                \
        __VA_ARGS__;                                                                                                   \
        wrong(CLATTN_INVALID_TENSORS, &t, text, __LINE__);                                                             \
    } while (0)

static void open_all(void) {
    clattn_problem p = usual();
    runtime = open_runtime();
    p.bias = CLATTN_BIAS_FP32, p.alibi = p.sinks = p.grad_logsumexp = true, p.alignment = CLATTN_ALIGN_TOP_LEFT,
    p.dropout = 0.5;
    gradient_make(&all, &p, 3);
    gradient_run(runtime, &all, "reference");
}

static void close_all(void) {
    gradient_free(&all);
    clattn_runtime_destroy(runtime);
}

START_TEST(test_missing) {
    open_all();
    WRONG("output:", t.output.data = NULL);
    WRONG("logsumexp:", t.logsumexp.data = NULL);
    WRONG("grad_output:", t.grad_output.data = NULL);
    WRONG("grad_query:", t.grad_query.data = NULL);
    WRONG("grad_key:", t.grad_key.data = NULL);
    WRONG("grad_value:", t.grad_value.data = NULL);
    WRONG("grad_bias:", t.grad_bias.data = NULL);
    WRONG("grad_alibi_slopes:", t.grad_alibi_slopes.data = NULL);
    WRONG("grad_sinks:", t.grad_sinks.data = NULL);
    WRONG("grad_logsumexp:", t.grad_logsumexp.data = NULL);
    all.backward.grad_logsumexp = false, all.backward.delta = true;
    WRONG("delta:", t.delta.data = NULL);
    close_all();
}
END_TEST

START_TEST(test_places) {
    static const int64_t numbers[2] = { 3, -1 };
    open_all();
    WRONG("first_entry:", t.first_entry = -1);
    WRONG("first_head:", t.first_head = INT64_MAX);
    WRONG("first_row:", t.first_row = -5);
    WRONG("first_key:", t.first_key = (INT64_C(1) << 61) + 1);
    WRONG("first_rows[1]:", t.first_rows = ((clattn_integers){ numbers, 0, CLATTN_INT64 }));
    WRONG("first_keys[1]:", t.first_keys = ((clattn_integers){ numbers, 0, CLATTN_INT64 }));
    WRONG("first_row: first_rows", t.first_row = 1, t.first_rows = ((clattn_integers){ numbers, 0, CLATTN_INT64 }));
    WRONG("first_key: first_keys", t.first_key = 1, t.first_keys = ((clattn_integers){ numbers, 0, CLATTN_INT64 }));
    WRONG("grad_bias: its last stride", t.grad_bias.strided = true, t.grad_bias.strides[3] = 2,
          t.grad_bias.strides[2] = 14, t.grad_bias.strides[1] = 70, t.grad_bias.strides[0] = 280);
    close_all();
}
END_TEST

START_TEST(test_overlap) {
    open_all();
    WRONG("grad_query: overlaps query", t.grad_query.data = t.query.data);
    WRONG("grad_query: overlaps grad_output", t.grad_output.data = t.grad_query.data); /* the smaller one in the larger */
    WRONG("grad_key: overlaps key", t.grad_key.data = t.key.data);
    WRONG("grad_value: overlaps output", t.grad_value.data = t.output.data);
    WRONG("grad_key: overlaps grad_value", t.grad_value.data = t.grad_key.data);
    WRONG("grad_bias: overlaps bias", t.grad_bias.data = t.bias.data);
    WRONG("grad_sinks: overlaps sinks", t.grad_sinks.data = t.sinks.data);
    WRONG("grad_alibi_slopes: overlaps logsumexp", t.grad_alibi_slopes.data = t.logsumexp.data);
    WRONG("grad_alibi_slopes: overlaps grad_sinks", t.grad_sinks.data = t.grad_alibi_slopes.data);
    WRONG("grad_sinks: overlaps grad_logsumexp", t.grad_sinks.data = t.grad_logsumexp.data);
    WRONG("grad_query: its strides", t.grad_query.layout = CLATTN_STRIDED,
          t.grad_query.batch_stride = t.grad_query.head_stride = 15);
    WRONG("grad_bias: its strides", t.grad_bias.strided = true, t.grad_bias.strides[3] = 1);
    close_all();
}
END_TEST

/* What was read by name before stays so: output and logsumexp are no outputs now, and may even be one memory with grad_output. */
START_TEST(test_inputs_may_share) {
    open_all();
    clattn_tensors t = all.tensors;
    t.grad_output = t.output;
    all.tensors = t;
    EXPECT_STATUS(gradient_run_backward(runtime, &all, "reference", &report), CLATTN_OK, &report);
    close_all();
}
END_TEST

/* ---------------------------------------------------------------------------------------- dropout, prefix, types */

START_TEST(test_philox) {
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } answers[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (int n = 0; n < 3; n++) {
        uint32_t words[4];
        attn_philox drawn = { { 0 } };
        memcpy(words, answers[n].counter, sizeof words);
        memcpy(drawn.word, answers[n].counter, sizeof drawn.word);
        attn_reference_philox(words, answers[n].key);
        drawn = attn_philox_draw(drawn, answers[n].key[0], answers[n].key[1]);
        for (int w = 0; w < 4; w++) {
            ck_assert_uint_eq(words[w], answers[n].words[w]);
            ck_assert_uint_eq(drawn.word[w], answers[n].words[w]);
        }
    }
}
END_TEST

/* The mask is that of problem/dropout.h, at its place; it is kept by the part that was asked for. */
static void check_mask(const char *engine, int64_t device, double dropout, const int64_t *first_keys) {
    enum { BATCH = 2, HEADS = 3, ROWS = 40, KEYS = 37, COUNT = BATCH * HEADS * ROWS * KEYS };
    static unsigned char mask[COUNT];
    static float query[BATCH * HEADS * ROWS], key[BATCH * HEADS * KEYS], output[BATCH * HEADS * ROWS];
    clattn_problem p = CLATTN_PROBLEM_INIT, resolved;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    attn_call call;
    const clattn_plan_options options = suite_on(engine, device);
    clattn_runtime *own = suite_runtime(NULL);
    p.batch = BATCH, p.query_heads = HEADS, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = 1;
    p.dropout = dropout, p.dropout_mask = true, p.causal = true,
    p.alignment = CLATTN_ALIGN_TOP_LEFT; /* every key, allowed or not */
    t.query.data = query, t.key.data = t.value.data = key, t.output.data = output, t.dropout_mask.data = mask;
    t.dropout_seed = UINT64_C(0xfedcba9876543210), t.first_head = 5, t.first_row = 1000;
    t.first_keys = (clattn_integers){ first_keys, 0, CLATTN_INT64 };
    EXPECT_STATUS(clattn_attention(own, &p, &options, &t, &report), CLATTN_OK, &report);
    EXPECT_STATUS(attn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
    EXPECT_STATUS(attn_call_resolve(&resolved, &t, false, &call), CLATTN_OK, &report);
    int64_t kept = 0;
    for (int64_t n = 0; n < COUNT; n++) {
        attn_dropout_row row = attn_dropout_row_of(&resolved, &call, n / (HEADS * ROWS * KEYS),
                                                   n / (ROWS * KEYS) % HEADS, n / KEYS % ROWS);
        ck_assert_int_eq(mask[n], attn_dropout_keeps(&row, n % KEYS));
        kept += mask[n];
    }
    ck_assert_double_eq_tol((double)kept / COUNT, 1 - dropout, dropout == 0 ? 1e-300 : 0.02);
    clattn_runtime_destroy(own);
}

START_TEST(test_dropout_mask) {
    static const int64_t keys[2] = { 3, INT64_C(1) << 40 };
    static const char *const engines[] = { "reference", "cpu", "opencl-unfused", "opencl-fused", "opencl-decode" };
    clattn_runtime *own = suite_runtime(NULL);
    const int64_t opencl = suite_opencl_device(own);
    clattn_runtime_destroy(own);
    for (int e = 0; e < 5; e++) {
        const int64_t device = e < 2 ? 0 : opencl;
        if (device >= 0 && clattn_engine_built(engines[e])) {
            check_mask(engines[e], device, 0, NULL);
            check_mask(engines[e], device, 0.25, NULL);
            check_mask(engines[e], device, 0.5, keys);
            check_mask(engines[e], device, 0.9, keys);
        }
    }
}
END_TEST

/* A piece of a problem, told where it stands, drops what the whole drops there. */
START_TEST(test_dropout_of_pieces) {
    enum { ROWS = 6, KEYS = 9 };
    static unsigned char whole[ROWS * KEYS], piece[2 * 4];
    static float zeros[64], output[64];
    clattn_runtime *own = open_runtime();
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    p.query_length = ROWS, p.key_length = KEYS, p.head_dim = 1, p.dropout = 0.5,
    p.dropout_mask = true;
    t.query.data = t.key.data = t.value.data = zeros, t.output.data = output, t.dropout_mask.data = whole;
    EXPECT_STATUS(clattn_attention(own, &p, &options, &t, &report), CLATTN_OK, &report);
    p.query_length = 2, p.key_length = 4;
    t.dropout_mask.data = piece, t.first_row = 3, t.first_key = 5;
    EXPECT_STATUS(clattn_attention(own, &p, &options, &t, &report), CLATTN_OK, &report);
    for (int n = 0; n < 8; n++) {
        ck_assert_int_eq(piece[n], whole[(3 + n / 4) * KEYS + 5 + n % 4]);
    }
    clattn_runtime_destroy(own);
}
END_TEST

/* Counted one by one, the keys that prefix, window and causal rule show are those that flops counts and the weights have. */
START_TEST(test_prefix) {
    enum { ROWS = 9, KEYS = 13 };
    static float zeros[64], output[64], weights[ROWS * KEYS];
    clattn_runtime *own = open_runtime();
    for (int n = 0; n < 128; n++) {
        const clattn_plan_options options = suite_on(forward_engines[n / 64], CLATTN_ANY_DEVICE);
        clattn_problem p = CLATTN_PROBLEM_INIT;
        clattn_tensors t = CLATTN_TENSORS_INIT;
        clattn_plan *plan = NULL;
        clattn_plan_info info;
        int64_t offset = n % 3 * 4 - 4, seen = 0, shown = 0;
        p.query_length = ROWS, p.key_length = KEYS, p.head_dim = 1,
        p.weights = CLATTN_WEIGHTS_SOFTMAX;
        p.prefix = n % 7, p.causal = n & 1, p.window_left = n % 5 - 1, p.window_right = n & 8 ? n % 4 : CLATTN_OPEN;
        p.alignment = CLATTN_ALIGN_OFFSET, p.offset = offset;
        t.query.data = t.key.data = t.value.data = zeros, t.output.data = output, t.weights.data = weights;
        EXPECT_STATUS(clattn_plan_create(own, &p, &options, &plan, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
        for (int64_t i = 0; i < ROWS; i++) {
            for (int64_t j = 0; j < KEYS; j++) {
                int64_t at = i + offset;
                bool window =
                    (p.window_left < 0 || j >= at - p.window_left) && (p.window_right < 0 || j <= at + p.window_right);
                bool allowed = (!p.causal || j <= at) && (window || j < p.prefix);
                seen += allowed;
                shown += weights[i * KEYS + j] > 0;
                ck_assert_msg(allowed == (weights[i * KEYS + j] > 0), "problem %d: row %d, key %d", n, (int)i, (int)j);
            }
        }
        ck_assert_int_eq(seen, shown);
        ck_assert_double_eq_tol(info.flops, 4.0 * (double)seen, 1e-9);
        clattn_plan_destroy(plan);
    }
    clattn_runtime_destroy(own);
}
END_TEST

/* fp32 results of 16-bit problems are those of fp32 problems on the same numbers. */
START_TEST(test_output_type) {
    clattn_runtime *own = open_runtime();
    clattn_problem p = usual();
    gradient_case narrow, wide;
    gradient_make(&wide, &p, 4);
    p.type = CLATTN_BF16, p.output_type = p.gradient_type = CLATTN_RESULT_FP32;
    gradient_make(&narrow, &p, 4);
    for (int k = 0; k < 3; k++) {
        for (int64_t n = 0; n < wide.inputs[k].count; n++) {
            ((float *)wide.inputs[k].data)[n] = (float)clattn_get_element(CLATTN_BF16, narrow.inputs[k].data, n);
        }
    }
    gradient_run(own, &narrow, "reference");
    gradient_run(own, &wide, "reference");
    ck_assert(memcmp(narrow.output, wide.output, (size_t)wide.outputs * 4) == 0);
    for (int k = 0; k < 3; k++) {
        ck_assert(memcmp(narrow.inputs[k].grad, wide.inputs[k].grad, (size_t)wide.inputs[k].count * 4) == 0);
    }
    gradient_free(&narrow);
    gradient_free(&wide);
    clattn_runtime_destroy(own);
}
END_TEST

/* What an engine does not serve it refuses, and names the field. */
START_TEST(test_unserved) {
    clattn_runtime *own = suite_runtime(NULL);
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e),
                   *fields[] = { "direction:", "dropout:", "dropout_mask:", "prefix:", "output_type:" };
        int64_t device = strncmp(engine, "opencl", 6) == 0 ? suite_opencl_device(own) : 0;
        for (int n = 0; n < 5 && device >= 0 && clattn_engine_built(engine); n++) {
            const clattn_plan_options options = suite_on(engine, device);
            clattn_problem p = usual();
            p.direction = n == 0 ? CLATTN_BACKWARD : CLATTN_FORWARD;
            p.dropout = n == 1 ? 0.1 : 0, p.dropout_mask = n == 2, p.prefix = n == 3;
            p.window_left = 1, p.alignment = CLATTN_ALIGN_TOP_LEFT;
            p.type = CLATTN_FP16, p.output_type = n == 4 ? CLATTN_RESULT_FP32 : CLATTN_RESULT_STORAGE;
            clattn_status status = clattn_engine_supports(own, &p, &options, &report);
            bool serves = n > 0 || strcmp(engine, "opencl-decode") != 0;
            ck_assert_msg(status == (serves ? CLATTN_OK : CLATTN_UNSUPPORTED), "%s, %s: %s", engine, fields[n],
                          report.text);
            ck_assert_msg(serves || strncmp(report.text, fields[n], strlen(fields[n])) == 0, "%s: %s", engine,
                          report.text);
        }
    }
    clattn_runtime_destroy(own);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        test_problems, test_defaults,     test_missing,           test_places, test_overlap,     test_inputs_may_share,
        test_philox,   test_dropout_mask, test_dropout_of_pieces, test_prefix, test_output_type, test_unserved,
    };
    return suite_run(SUITE_OF("training", tests, 60), SUITE_NO_FORK);
}
