/*
 * The oracle itself: against numbers of other implementations (tests/golden), against numbers worked out by hand, and its
 * row form against its whole form. Knows the public interface only.
 */
#include <math.h>
#include <stdlib.h>

#include "clattn/clattn_inspect.h"
#include "support/golden_check.h"
#include "support/suite.h"

static clattn_report report;

START_TEST(test_golden_numbers) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    golden g;
    int count = 0;
    for (long position = 0; golden_next(&position, &g); count++) {
        EXPECT_STATUS(golden_check(runtime, &g, "reference", CLATTN_ANY_DEVICE, &report), CLATTN_OK, &report);
        golden_free(&g);
    }
    ck_assert_int_ge(count, 30);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A small problem in fp64 whose arrays the test holds: 1 head, dims 1, executed by the reference. */
static void run_small(clattn_problem *p, clattn_tensors *t, double *query, double *key, double *value, double *output) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    p->type = CLATTN_FP64;
    p->head_dim = 1;
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    t->query.data = query;
    t->key.data = key;
    t->value.data = value;
    t->output.data = output;
    EXPECT_STATUS(clattn_attention(runtime, p, &options, t, &report), CLATTN_OK, &report);
    clattn_runtime_destroy(runtime);
}

#define EXPECT_NEAR(got, expected) ck_assert_double_eq_tol(got, expected, 1e-15 * (1 + fabs((double)(expected))))

START_TEST(test_two_keys) {
    double query[] = { 1 }, key[] = { log(3), 0 }, value[] = { 8, 4 }, output[1], logsumexp[1];
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.query_length = 1;
    p.key_length = 2;
    p.logsumexp = true;
    t.logsumexp.data = logsumexp;
    run_small(&p, &t, query, key, value, output);
    EXPECT_NEAR(output[0], 7); /* weights 3/4 and 1/4 */
    EXPECT_NEAR(logsumexp[0], log(4));
}
END_TEST

START_TEST(test_sink_and_empty_row) {
    double query[] = { 1, 1 }, key[] = { 0, 0 }, value[] = { 8, 4 }, output[2], logsumexp[2];
    uint8_t mask[] = { 1, 1, 0, 0 };
    float sink = (float)log(2);
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.query_length = p.key_length = 2;
    p.logsumexp = p.sinks = true;
    p.mask = CLATTN_MASK_BYTES;
    t.mask.data = mask;
    t.sinks.data = &sink;
    t.logsumexp.data = logsumexp;
    run_small(&p, &t, query, key, value, output);
    double e = exp((double)sink);
    EXPECT_NEAR(output[0], 12 / (2 + e));
    EXPECT_NEAR(logsumexp[0], log(2 + e));
    ck_assert_double_eq(output[1], 0);
    EXPECT_NEAR(logsumexp[1], (double)sink);
}
END_TEST

START_TEST(test_empty_row_without_sink) {
    double query[] = { 1, 1, 1 }, key[] = { 2, 3 }, value[] = { 8, 4 }, output[3], logsumexp[3];
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.query_length = 3;
    p.key_length = 2;
    p.causal = p.logsumexp = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT; /* offset -1 */
    t.logsumexp.data = logsumexp;
    run_small(&p, &t, query, key, value, output);
    ck_assert_double_eq(output[0], 0);
    ck_assert(logsumexp[0] == -INFINITY);
    EXPECT_NEAR(output[1], 8);
    EXPECT_NEAR(logsumexp[1], 2);
    EXPECT_NEAR(output[2], (8 + 4 * exp(1)) / (1 + exp(1)));
}
END_TEST

START_TEST(test_bias_alibi_softcap_order) {
    /* score = cap * tanh(q k / cap) + bias - slope * |j - (i + offset)|, one row at offset 1 */
    double query[] = { 2 }, key[] = { 1, -1, 3 }, value[] = { 1, 0, 0 }, output[1], logsumexp[1];
    float bias[] = { 0.5F, -0.25F, 1 }, slope = 0.125F;
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.query_length = 1;
    p.key_length = 3;
    p.bias = CLATTN_BIAS_FP32;
    p.alibi = p.logsumexp = true;
    p.softcap = 4;
    p.alignment = CLATTN_ALIGN_OFFSET;
    p.offset = 1;
    t.bias.data = bias;
    t.alibi_slopes.data = &slope;
    t.logsumexp.data = logsumexp;
    run_small(&p, &t, query, key, value, output);
    double s[] = { 4 * tanh(0.5) + 0.5 - 0.125, 4 * tanh(-0.5) - 0.25, 4 * tanh(1.5) + 1 - 0.125 };
    double sum = exp(s[0]) + exp(s[1]) + exp(s[2]);
    EXPECT_NEAR(output[0], exp(s[0]) / sum);
    EXPECT_NEAR(logsumexp[0], log(sum));
}
END_TEST

START_TEST(test_bit_mask_rows_start_on_bytes) {
    double query[] = { 1, 1 }, key[9] = { 0 }, value[9], output[2];
    uint8_t bits[] = { 0x81, 0x00, 0x02, 0x01 }; /* row 0: keys 0 and 7; row 1: keys 1 and 8 */
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    for (int j = 0; j < 9; j++) {
        value[j] = 1 << j;
    }
    p.query_length = 2;
    p.key_length = 9;
    p.mask = CLATTN_MASK_BITS;
    t.mask.data = bits;
    run_small(&p, &t, query, key, value, output);
    EXPECT_NEAR(output[0], (1 + 128) / 2.0);
    EXPECT_NEAR(output[1], (2 + 256) / 2.0);
}
END_TEST

START_TEST(test_row_form_agrees) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    golden g;
    for (long position = 0; golden_next(&position, &g); golden_free(&g)) {
        clattn_problem *p = &g.problem;
        void *output = g.tensors.output.data = malloc((size_t)g.output.count * 8);
        void *logsumexp = g.tensors.logsumexp.data = malloc((size_t)(g.output.count + 1) * 8);
        g.tensors.weights.data = malloc((size_t)(g.weights.count + 1) * 8);
        const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
        EXPECT_STATUS(clattn_attention(runtime, p, &options, &g.tensors, &report), CLATTN_OK, &report);
        int64_t dim = g.output.shape[3], keys = p->key_length, b = p->batch - 1, h = p->query_heads - 1, i = p->query_length - 1;
        long double *row_output = calloc((size_t)(dim + 4 * keys), sizeof *row_output);
        clattn_reference_row row = { .output = row_output };
        EXPECT_STATUS(clattn_reference_get_row(p, &g.tensors, b, h, i, &row, row_output + dim), CLATTN_OK, &report);
        for (int64_t d = 0; d < dim; d++) { /* the last row: the last dim elements */
            double whole = clattn_get_element(p->type, output, g.output.count - dim + d);
            double rounded;
            uint8_t place[8];
            clattn_set_element(p->type, place, 0, (double)row_output[d]);
            rounded = clattn_get_element(p->type, place, 0);
            ck_assert_msg(whole == rounded, "%s: whole %g, row %g", g.name, whole, rounded);
        }
        free(row_output);
        free(output);
        free(logsumexp);
        free(g.tensors.weights.data);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_golden_numbers,
                                   test_two_keys,
                                   test_sink_and_empty_row,
                                   test_empty_row_without_sink,
                                   test_bias_alibi_softcap_order,
                                   test_bit_mask_rows_start_on_bytes,
                                   test_row_form_agrees };
    return suite_run(SUITE_OF("reference", tests, 60), SUITE_FORK);
}
