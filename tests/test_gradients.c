/*
 * Gradients of the reference and of the cpu engine against differences of the loss, feature by feature, in fp64.
 */
#include <math.h>
#include <stdio.h>

#include "support/gradient_case.h"

static clattn_report report;
static const char *const engines[] = { "reference", "cpu" };

/* Checks the problem against differences; `prepare` may change its memory first. */
static void check(const char *what, const clattn_problem *p, void (*prepare)(gradient_case *c)) {
    clattn_runtime *runtime = gradient_runtime();
    for (int e = 0; e < 2; e++) {
        gradient_case c;
        gradient_make(&c, p, 5);
        if (prepare) {
            prepare(&c);
        }
        gradient_run(runtime, &c, engines[e]);
        gradient_check_differences(runtime, &c, what);
        gradient_free(&c);
    }
    clattn_runtime_destroy(runtime);
}

#define CHECK(what, ...)                                                                                               \
    do {                                                                                                               \
        clattn_problem p = gradient_problem();                                                                                    \
        __VA_ARGS__;                                                                                                   \
        check(what, &p, NULL);                                                                                         \
    } while (0)

#define CHECK_WITH(prepare, what, ...)                                                                                 \
    do {                                                                                                               \
        clattn_problem p = gradient_problem();                                                                                    \
        __VA_ARGS__;                                                                                                   \
        check(what, &p, prepare);                                                                                      \
    } while (0)

START_TEST(test_shapes) {
    CHECK("usual", (void)0);
    CHECK("without grad_logsumexp", p.grad_logsumexp = false);
    CHECK("heads 6/3", p.query_heads = 6, p.kv_heads = 3, p.value_dim = 5);
    CHECK("heads 8/1", p.query_heads = 8, p.kv_heads = 1, p.batch = 1);
    CHECK("one of all",
          p.batch = p.query_heads = p.kv_heads = p.query_length = p.key_length = p.head_dim = p.value_dim = 1);
    CHECK("more rows than keys", p.query_length = 9, p.key_length = 4);
    CHECK("scale 0", p.has_scale = true, p.scale = 0);
    CHECK("scale negative", p.has_scale = true, p.scale = -0.75);
}
END_TEST

static void set_offsets(gradient_case *c) {
    c->lengths[2][0] = -2, c->lengths[2][1] = 3;
}

static void set_lengths(gradient_case *c) {
    static const int64_t rows[5] = { 0, 3, 5, 4, 2 }, keys[5] = { 4, 0, 7, 3, 0 };
    for (int b = 0; b < 5; b++) {
        c->lengths[0][b] = rows[b], c->lengths[1][b] = keys[b];
    }
}

START_TEST(test_positions) {
    CHECK("causal, top left", p.causal = true, p.alignment = CLATTN_ALIGN_TOP_LEFT);
    CHECK("causal, bottom right", p.causal = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("causal, past", p.causal = true, p.alignment = CLATTN_ALIGN_PAST, p.past_length = 2);
    CHECK("causal, offset", p.causal = true, p.alignment = CLATTN_ALIGN_OFFSET, p.offset = -2);
    CHECK_WITH(set_offsets, "causal, offsets", p.causal = true, p.alignment = CLATTN_ALIGN_OFFSETS);
    CHECK("more rows than keys, bottom right", p.query_length = 8, p.key_length = 5, p.causal = true,
          p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("window", p.window_left = 1, p.window_right = 2, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("window, one side", p.window_left = 2, p.causal = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("diagonal", p.window_left = p.window_right = 0, p.alignment = CLATTN_ALIGN_TOP_LEFT);
    CHECK("prefix", p.window_left = p.window_right = 1, p.prefix = 2, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("prefix, causal", p.window_left = 0, p.causal = true, p.prefix = 3, p.alignment = CLATTN_ALIGN_TOP_LEFT);
    CHECK_WITH(set_lengths, "lengths", p.batch = 5, p.query_lengths = p.key_lengths = true);
    CHECK_WITH(set_lengths, "lengths, causal, sinks", p.batch = 5,
               p.query_lengths = p.key_lengths = p.sinks = p.causal = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
}
END_TEST

/* Every third, and no key for rows of one kind. */
static void set_mask(gradient_case *c) {
    int64_t keys = c->forward.key_length;
    for (int64_t n = 0; n < c->rows * keys; n++) {
        c->mask[n] = n % 3 != 1 && n / keys % 4 != 2;
    }
}

static void set_bits(gradient_case *c) {
    for (int64_t n = 0; n < c->rows; n++) {
        c->mask[n] = (unsigned char)(n * 37 + 5);
    }
}

START_TEST(test_mask) {
    CHECK_WITH(set_mask, "mask", p.mask = CLATTN_MASK_BYTES);
    CHECK_WITH(set_mask, "mask and sinks", p.mask = CLATTN_MASK_BYTES, p.sinks = true);
    CHECK_WITH(set_mask, "mask of keys", p.mask = CLATTN_MASK_BYTES,
               p.mask_shape[0] = p.mask_shape[1] = p.mask_shape[2] = 1);
    CHECK_WITH(set_bits, "bits", p.mask = CLATTN_MASK_BITS);
}
END_TEST

/* Some biases forbid. */
static void set_bias(gradient_case *c) {
    for (int64_t n = 3; n < c->inputs[3].count; n += 7) {
        clattn_set_element(c->inputs[3].type, c->inputs[3].data, n, -(double)INFINITY);
    }
}

START_TEST(test_bias) {
    for (int shape = 0; shape < 16; shape++) {
        char what[64];
        snprintf(what, sizeof what, "bias, broadcast %d", shape);
        CHECK_WITH(set_bias, what, p.bias = CLATTN_BIAS_STORAGE;
                   for (int k = 0; k < 4; k++) p.bias_shape[k] = shape >> k & 1 ? 1 : CLATTN_SAME);
    }
    CHECK("bias of fp32", p.bias = CLATTN_BIAS_FP32, p.bias_shape[0] = 1);
}
END_TEST

/* Large enough that scores are some 3 times the softcap. */
static void set_large(gradient_case *c) {
    gradient_fill(CLATTN_FP64, c->inputs[0].data, c->inputs[0].count, 3, 31);
    gradient_fill(CLATTN_FP64, c->inputs[1].data, c->inputs[1].count, 3, 32);
}

START_TEST(test_scores) {
    CHECK("softcap", p.softcap = 1);
    CHECK_WITH(set_large, "softcap, large scores", p.softcap = 0.75);
    CHECK("alibi", p.alibi = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK("alibi, softcap, bias", p.alibi = true, p.softcap = 0.5, p.bias = CLATTN_BIAS_STORAGE, p.bias_shape[1] = 1,
          p.alignment = CLATTN_ALIGN_TOP_LEFT);
    CHECK("sinks", p.sinks = true);
}
END_TEST

static void set_seed(gradient_case *c) {
    c->tensors.dropout_seed = UINT64_C(0x123456789abcdef0);
}

static void set_places(gradient_case *c) {
    static const int64_t rows[2] = { 100, 3 }, keys[2] = { 6, INT64_C(1) << 33 };
    c->tensors.dropout_seed = 9;
    c->tensors.first_entry = 4, c->tensors.first_head = 2;
    c->tensors.first_rows = (clattn_integers){ rows, 0, CLATTN_INT64 };
    c->tensors.first_keys = (clattn_integers){ keys, 0, CLATTN_INT64 };
}

START_TEST(test_dropout) {
    CHECK_WITH(set_seed, "dropout", p.dropout = 0.3);
    CHECK_WITH(set_seed, "dropout, much", p.dropout = 0.9, p.sinks = true);
    CHECK_WITH(set_seed, "dropout, causal, softcap, bias", p.dropout = 0.4, p.causal = true, p.softcap = 2,
               p.bias = CLATTN_BIAS_STORAGE, p.bias_shape[0] = 1, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT);
    CHECK_WITH(set_places, "dropout of a piece", p.dropout = 0.3);
}
END_TEST

/* grad_output of a sum: one number, or one row, for all. */
START_TEST(test_strides_of_zero) {
    for (int which = 0; which < 16; which++) {
        clattn_problem p = gradient_problem();
        clattn_runtime *runtime = gradient_runtime();
        gradient_case c;
        gradient_make(&c, &p, 6);
        clattn_tensor *g = &c.tensors.grad_output;
        g->layout = CLATTN_STRIDED;
        g->batch_stride = which & 1 ? 0 : p.query_heads * p.query_length * p.value_dim;
        g->head_stride = which & 2 ? 0 : p.query_length * p.value_dim;
        g->length_stride = which & 4 ? 0 : p.value_dim;
        gradient_run(runtime, &c, engines[which / 8]);
        gradient_check_differences(runtime, &c, "strides of 0");
        gradient_free(&c);
        clattn_runtime_destroy(runtime);
    }
}
END_TEST

/* Delta in place of the output gives the same gradients. */
static void check_delta(const char *engine) {
    clattn_problem p = gradient_problem();
    clattn_runtime *runtime = gradient_runtime();
    gradient_case c;
    p.sinks = true;
    gradient_make(&c, &p, 7);
    gradient_run(runtime, &c, engine);
    for (int64_t row = 0; row < c.rows; row++) {
        double sum = -clattn_get_element(CLATTN_FP64, c.grad_logsumexp, row);
        for (int64_t d = 0; d < p.value_dim; d++) {
            sum += ((double *)c.grad_output)[row * p.value_dim + d] * ((double *)c.output)[row * p.value_dim + d];
        }
        ((double *)c.delta)[row] = sum;
    }
    memset(c.output, 0xff, (size_t)c.outputs * 8); /* not read */
    c.backward.delta = true, c.backward.grad_logsumexp = false;
    EXPECT_STATUS(gradient_run_backward(runtime, &c, engine, &report), CLATTN_OK, &report);
    gradient_check_differences(runtime, &c, "delta");
    gradient_free(&c);
    clattn_runtime_destroy(runtime);
}

START_TEST(test_delta) {
    check_delta("reference");
    check_delta("cpu");
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_shapes,  test_positions,       test_mask, test_bias, test_scores,
                                   test_dropout, test_strides_of_zero, test_delta };
    return suite_run(SUITE_OF("gradients", tests, 120), SUITE_FORK);
}
