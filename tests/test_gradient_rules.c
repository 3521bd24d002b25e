/*
 * Rules of gradients, on the reference and on the cpu engine: rows that point away from every key, in every type
 * against fp64; what must be exactly 0; adding; each gradient by itself; the same bits again and again, whatever the
 * workspace holds; linear memory.
 */
#include <inttypes.h>
#include <math.h>

#include "support/gradient_case.h"

static clattn_report report;

/* Rows whose scores are all near -100, so that exp(0 - logsumexp) does not fit a float. */
static void check_far(const char *engine, clattn_type type, clattn_result_type result, double tolerance) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = gradient_problem();
    gradient_case narrow, wide;
    p.head_dim = 4, p.has_scale = true, p.scale = 1, p.query_lengths = p.key_lengths = true;
    gradient_make(&wide, &p, 8);
    p.type = type;
    p.output_type = p.gradient_type = result;
    gradient_make(&narrow, &p, 8);
    for (int64_t n = 0; n < wide.inputs[0].count; n++) {
        clattn_set_element(type, narrow.inputs[0].data, n, -5 + 0.1 * sin((double)n));
        ((double *)wide.inputs[0].data)[n] = clattn_get_element(type, narrow.inputs[0].data, n);
    }
    for (int64_t n = 0; n < wide.inputs[1].count; n++) {
        clattn_set_element(type, narrow.inputs[1].data, n, 5 + 0.1 * cos((double)n));
        ((double *)wide.inputs[1].data)[n] = clattn_get_element(type, narrow.inputs[1].data, n);
    }
    for (int64_t n = 0; n < wide.inputs[2].count; n++) {
        ((double *)wide.inputs[2].data)[n] = clattn_get_element(type, narrow.inputs[2].data, n);
    }
    for (int64_t n = 0; n < wide.outputs; n++) {
        ((double *)wide.grad_output)[n] = clattn_get_element(narrow.output_type, narrow.grad_output, n);
    }
    narrow.lengths[1][0] = wide.lengths[1][0] = 3;
    narrow.lengths[0][1] = wide.lengths[0][1] = 2;
    gradient_run(runtime, &narrow, engine);
    gradient_run(runtime, &wide, engine);
    ck_assert_double_lt(clattn_get_element(CLATTN_FP32, narrow.logsumexp, 0), -88.7);
    for (int k = 0; k < 3; k++) {
        for (int64_t n = 0; n < wide.inputs[k].count; n++) {
            double got = clattn_get_element(narrow.inputs[k].grad_type, narrow.inputs[k].grad, n);
            double expected = ((double *)wide.inputs[k].grad)[n];
            ck_assert_msg(fabs(got - expected) <= tolerance * (1 + fabs(expected)),
                          "%s: grad_%s[%" PRId64 "] is %g, expected %g", clattn_type_name(type), wide.inputs[k].name, n,
                          got, expected);
        }
    }
    gradient_free(&narrow);
    gradient_free(&wide);
    clattn_runtime_destroy(runtime);
}

static void check_rows_that_point_away(const char *engine) {
    check_far(engine, CLATTN_FP32, CLATTN_RESULT_STORAGE,
              2e-4); /* logsumexp is some -100, rounded to fp32: 4e-6, times 5 in grad_query */
    check_far(engine, CLATTN_FP16, CLATTN_RESULT_FP32, 2e-4);
    check_far(engine, CLATTN_BF16, CLATTN_RESULT_FP32, 2e-4);
    check_far(engine, CLATTN_FP16, CLATTN_RESULT_STORAGE, 2e-2);
    check_far(engine, CLATTN_BF16, CLATTN_RESULT_STORAGE, 2e-1);
}

static bool is_zero(const gradient_input *input, int64_t n) {
    return clattn_get_element(input->grad_type, input->grad, n) == 0;
}

/* Rows and keys beyond a length, rows with nothing allowed: 0, though what lies there is NaN. */
static void check_exactly_zero(const char *engine) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = gradient_problem();
    gradient_case c;
    p.query_lengths = p.key_lengths = p.sinks = p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT, p.dropout = 0.25;
    gradient_make(&c, &p, 9);
    c.lengths[0][0] = 4, c.lengths[1][0] = 2; /* rows 0 and 1 see nothing */
    c.lengths[0][1] = 0, c.lengths[1][1] = 6;
    static clattn_report forward_report;
    p = c.forward;
    const clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &c.tensors, &forward_report), CLATTN_OK, &forward_report);
    for (int64_t row = 0; row < c.rows; row++) {
        int64_t b = row / p.query_length / p.query_heads, i = row % p.query_length;
        if (i >= c.lengths[0][b]) { /* not read */
            ((double *)c.logsumexp)[row] = ((double *)c.grad_logsumexp)[row] = (double)NAN;
            memset((double *)c.output + row * p.value_dim, 0xff, (size_t)p.value_dim * 8);
            memset((double *)c.grad_output + row * p.value_dim, 0xff, (size_t)p.value_dim * 8);
            memset((double *)c.inputs[0].data + row * p.head_dim, 0xff, (size_t)p.head_dim * 8);
        }
    }
    EXPECT_STATUS(gradient_run_backward(runtime, &c, engine, &report), CLATTN_OK, &report);
    for (int64_t n = 0; n < c.inputs[0].count; n++) {
        int64_t row = n / p.head_dim, b = row / p.query_length / p.query_heads, i = row % p.query_length;
        ck_assert(!isnan(((double *)c.inputs[0].grad)[n]));
        ck_assert(is_zero(&c.inputs[0], n) || (b == 0 && i >= 2 && i < 4));
    }
    for (int k = 1; k < 3; k++) {
        int64_t dim = k == 1 ? p.head_dim : p.value_dim;
        for (int64_t n = 0; n < c.inputs[k].count; n++) {
            int64_t row = n / dim, b = row / p.key_length / p.kv_heads, j = row % p.key_length;
            ck_assert(!isnan(((double *)c.inputs[k].grad)[n]));
            ck_assert(is_zero(&c.inputs[k], n) || (b == 0 && j < 2));
        }
    }
    gradient_free(&c);
    clattn_runtime_destroy(runtime);
}

/* A row with nothing allowed gives its sink its grad_logsumexp. */
static void check_sink_of_an_empty_row(const char *engine) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = gradient_problem();
    gradient_case c;
    p.batch = 1, p.query_heads = p.kv_heads = 1, p.query_length = 3, p.key_length = 0, p.sinks = true;
    gradient_make(&c, &p, 10);
    gradient_run(runtime, &c, engine);
    const double *g = c.grad_logsumexp;
    ck_assert_double_eq_tol(*(double *)c.inputs[5].grad, g[0] + g[1] + g[2], 1e-15);
    ((float *)c.inputs[5].data)[0] = -INFINITY; /* none */
    gradient_run(runtime, &c, engine);
    ck_assert(*(double *)c.inputs[5].grad == 0);
    gradient_free(&c);
    clattn_runtime_destroy(runtime);
}

static void check_add(const char *engine) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = gradient_problem();
    gradient_case once, twice;
    p.bias = CLATTN_BIAS_FP32, p.alibi = p.sinks = true, p.alignment = CLATTN_ALIGN_TOP_LEFT;
    p.type = CLATTN_FP16, p.gradient_type = CLATTN_RESULT_FP32, p.bias_shape[2] = 1;
    gradient_make(&once, &p, 11);
    gradient_make(&twice, &p, 11);
    gradient_run(runtime, &once, engine);
    gradient_run(runtime, &twice, engine);
    twice.backward.gradients_add = true;
    EXPECT_STATUS(gradient_run_backward(runtime, &twice, engine, &report), CLATTN_OK, &report);
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        for (int64_t n = 0; n < once.inputs[k].count; n++) {
            float one = ((float *)once.inputs[k].grad)[n], two = ((float *)twice.inputs[k].grad)[n];
            ck_assert_double_eq_tol((double)two, 2 * (double)one, 1e-7 * (1 + fabs((double)one)));
        }
    }
    gradient_free(&once);
    gradient_free(&twice);
    clattn_runtime_destroy(runtime);
}

/* Each gradient by itself has the bits that it has beside the others, and nothing else is written. */
static void check_one_by_one(const char *engine) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = gradient_problem();
    gradient_case all, one;
    p.bias = CLATTN_BIAS_STORAGE, p.alibi = p.sinks = true, p.alignment = CLATTN_ALIGN_TOP_LEFT, p.type = CLATTN_FP32;
    gradient_make(&all, &p, 12);
    gradient_run(runtime, &all, engine);
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        gradient_make(&one, &p, 12);
        gradient_run(runtime, &one, engine);
        for (int n = 0; n < GRADIENT_INPUTS; n++) {
            memset(one.inputs[n].grad, 0x5a, (size_t)one.inputs[n].count * 4);
        }
        one.backward.gradients = one.inputs[k].bit;
        EXPECT_STATUS(gradient_run_backward(runtime, &one, engine, &report), CLATTN_OK, &report);
        for (int n = 0; n < GRADIENT_INPUTS; n++) {
            const unsigned char *got = one.inputs[n].grad, *expected = all.inputs[n].grad;
            for (int64_t byte = 0; byte < one.inputs[n].count * 4; byte++) {
                ck_assert_int_eq(got[byte], n == k ? expected[byte] : 0x5a);
            }
        }
        gradient_free(&one);
    }
    gradient_free(&all);
    clattn_runtime_destroy(runtime);
}

/* Twenty runs, on one to three threads, with a workspace full of NaN. */
static void check_same_bits(const char *engine) {
    clattn_problem p = gradient_problem();
    gradient_case first, again;
    p.type = CLATTN_BF16, p.bias = CLATTN_BIAS_STORAGE, p.bias_shape[0] = p.bias_shape[1] = 1,
    p.alibi = p.sinks = p.causal = true;
    p.dropout = 0.1, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT, p.query_length = 20, p.key_length = 33;
    clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    options.caller_workspace = true;
    for (int run = 0; run < 20; run++) {
        clattn_runtime *runtime =
            suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1 + run % 3, true, { 0 } });
        gradient_case *c = run == 0 ? &first : &again;
        clattn_plan *plan = NULL;
        clattn_plan_info info;
        gradient_make(c, &p, 13);
        gradient_run(runtime, c, engine);
        EXPECT_STATUS(clattn_plan_create(runtime, &c->backward, &options, &plan, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
        void *workspace = clattn_allocate(runtime, info.workspace_size);
        memset(workspace, 0xff, (size_t)info.workspace_size);
        c->tensors.workspace = workspace, c->tensors.workspace_size = info.workspace_size;
        for (int k = 0; k < GRADIENT_INPUTS; k++) {
            memset(c->inputs[k].grad, 0xff, (size_t)(c->inputs[k].count * clattn_type_size(c->inputs[k].grad_type)));
        }
        EXPECT_STATUS(clattn_execute(plan, &c->tensors), CLATTN_OK, &report);
        for (int k = 0; k < GRADIENT_INPUTS && run > 0; k++) {
            if (!first.inputs[k].grad) {
                continue; /* not asked for */
            }
            size_t bytes = (size_t)(c->inputs[k].count * clattn_type_size(c->inputs[k].grad_type));
            ck_assert_msg(memcmp(first.inputs[k].grad, c->inputs[k].grad, bytes) == 0, "run %d: grad_%s", run,
                          c->inputs[k].name);
        }
        clattn_release(runtime, workspace);
        clattn_plan_destroy(plan);
        clattn_runtime_destroy(runtime);
        if (run > 0) {
            gradient_free(&again);
        }
    }
    gradient_free(&first);
}

/* Long enough for slices and blocks: the same bits on one to four threads, again and again. */
START_TEST(test_same_bits_of_slices) {
    clattn_problem p = gradient_problem();
    gradient_case first, again;
    p.type = CLATTN_FP32, p.batch = 1, p.query_heads = 2, p.kv_heads = 1, p.query_length = 1030, p.key_length = 1100,
    p.head_dim = p.value_dim = 8, p.bias = CLATTN_BIAS_STORAGE, p.bias_shape[1] = 1, p.alibi = p.causal = true,
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    for (int run = 0; run < 8; run++) {
        clattn_runtime *runtime =
            suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1 + run % 4, true, { 0 } });
        gradient_case *c = run == 0 ? &first : &again;
        gradient_make(c, &p, 14);
        gradient_run(runtime, c, "cpu");
        for (int k = 0; k < GRADIENT_INPUTS && run > 0; k++) {
            if (!first.inputs[k].grad) {
                continue; /* not asked for */
            }
            ck_assert_msg(memcmp(first.inputs[k].grad, c->inputs[k].grad, (size_t)c->inputs[k].count * 4) == 0,
                          "run %d: grad_%s", run, c->inputs[k].name);
        }
        if (run > 0) {
            gradient_free(&again);
        }
        clattn_runtime_destroy(runtime);
    }
    gradient_free(&first);
}
END_TEST

/* Memory is linear in the lengths: 65,536 tokens of one head in less than 200 MB. */
static void check_workspace(const char *engine) {
    clattn_runtime *runtime = gradient_runtime();
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan *plan = NULL;
    clattn_plan_info info, forward;
    p.query_length = 65536, p.head_dim = 64;
    const clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_plan_get_info(plan, &forward), CLATTN_OK, NULL);
    clattn_plan_destroy(plan);
    p.direction = CLATTN_BACKWARD;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_int_lt(info.workspace_size, 200000000);
    ck_assert(info.flops == 2.5 * forward.flops);
    ck_assert(info.bytes > 2 * forward.bytes - 1 && info.bytes < 3 * forward.bytes);
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}

#define ON_BOTH(name)                                                                                                  \
    START_TEST(test_##name) {                                                                                          \
        check_##name("reference");                                                                                     \
        check_##name("cpu");                                                                                           \
    }                                                                                                                  \
    END_TEST

ON_BOTH(rows_that_point_away)
ON_BOTH(exactly_zero)
ON_BOTH(sink_of_an_empty_row)
ON_BOTH(add)
ON_BOTH(one_by_one)
ON_BOTH(same_bits)
ON_BOTH(workspace)

int main(void) {
    const TTest *const tests[] = { test_rows_that_point_away,
                                   test_exactly_zero,
                                   test_sink_of_an_empty_row,
                                   test_add,
                                   test_one_by_one,
                                   test_same_bits,
                                   test_same_bits_of_slices,
                                   test_workspace };
    return suite_run(SUITE_OF("gradient_rules", tests, 60), SUITE_FORK);
}
