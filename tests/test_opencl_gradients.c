/*
 * Gradients on the OpenCL engines that serve them: the reference's numbers, however the rows are cut into parts; each gradient
 * by itself; the same bits, whatever the workspace holds; and what takes no part may hold NaN.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/every_engine.h"
#include "support/gradient_case.h"

static clattn_report report;

/* Features of every kind, with more rows a head than some cuts have. */
static clattn_problem rich_problem(void) {
    clattn_problem p = gradient_problem();
    p.type = CLATTN_FP32, p.batch = 2, p.query_heads = 4, p.kv_heads = 2;
    p.query_length = 11, p.key_length = 23, p.head_dim = 8, p.value_dim = 6;
    p.bias = CLATTN_BIAS_STORAGE, p.alibi = p.sinks = p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT, p.softcap = 2;
    p.dropout = 0.125, p.window_left = 9, p.prefix = 3;
    return p;
}

static void forget(gradient_case *c) {
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        memset(c->inputs[k].grad ? c->inputs[k].grad : c->mask, 0x5a,
               c->inputs[k].grad ? (size_t)(c->inputs[k].count * clattn_type_size(c->inputs[k].grad_type)) : 0);
    }
}

static void compare(const engine_at *at, const char *what, const gradient_case *got, const gradient_case *expected) {
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        const gradient_input *g = &got->inputs[k], *e = &expected->inputs[k];
        double size = 0;
        for (int64_t n = 0; n < g->count; n++) {
            size = fmax(size, fabs(clattn_get_element(e->grad_type, e->grad, n)));
        }
        for (int64_t n = 0; n < g->count; n++) {
            double x = clattn_get_element(g->grad_type, g->grad, n), y = clattn_get_element(e->grad_type, e->grad, n);
            ck_assert_msg(fabs(x - y) <= 1e-5 * (1 + size), "%s, %s: grad_%s[%" PRId64 "] is %g, expected %g", at->name,
                          what, g->name, n, x, y);
        }
    }
}

static bool serves(const engine_at *at, const clattn_problem *p) {
    const clattn_plan_options options = engine_options(at);
    return strncmp(at->engine, "opencl", 6) == 0 &&
           clattn_engine_supports(at->runtime, p, &options, NULL) == CLATTN_OK;
}

/* The problem's forward and backward by the reference, and its backward by the engine, cut to so many rows (0 = uncut). */
static void check_against_reference(const engine_at *at, const char *what, const clattn_problem *p, int64_t rows) {
    gradient_case expected, got;
    gradient_make(&expected, p, 17);
    gradient_make(&got, p, 17);
    if (serves(at, &got.backward)) {
        const clattn_block_override blocks = { .block_query = rows };
        engine_at cut = *at;
        cut.blocks = &blocks;
        gradient_run(at->runtime, &expected, "reference");
        gradient_run(at->runtime, &got, "reference");
        forget(&got);
        if (rows == 0 || serves(&cut, &got.backward)) {
            engine_execute(rows > 0 ? &cut : at, got.backward, &got.tensors);
            compare(at, what, &got, &expected);
        }
    }
    gradient_free(&expected);
    gradient_free(&got);
}

static void check_biases(const engine_at *at) {
    static const int64_t cuts[] = { 0, 1, 4, 13 };
    for (int shape = 0; shape < 16; shape++) {
        clattn_problem p = rich_problem();
        char what[64];
        for (int k = 0; k < 4; k++) {
            p.bias_shape[k] = shape >> k & 1 ? 1 : CLATTN_SAME;
        }
        for (size_t n = 0; n < sizeof cuts / sizeof *cuts; n++) {
            snprintf(what, sizeof what, "bias, broadcast %d, parts of %d rows", shape, (int)cuts[n]);
            if (strcmp(at->engine, "opencl-unfused") == 0 || cuts[n] == 0) { /* only there a cut is a number of rows */
                check_against_reference(at, what, &p, cuts[n]);
            }
        }
    }
}

START_TEST(test_biases_and_parts) {
    for_every_engine(false, check_biases);
}
END_TEST

/* In 16 bits nothing may be added to the gradient itself from part to part. */
static void check_narrow(const engine_at *at) {
    clattn_problem p = rich_problem();
    gradient_case whole, cut;
    const clattn_block_override blocks = { .block_query = 1 };
    engine_at of_rows = *at;
    of_rows.blocks = &blocks;
    p.type = CLATTN_BF16, p.bias_shape[0] = p.bias_shape[1] = 1;
    gradient_make(&whole, &p, 18);
    gradient_make(&cut, &p, 18);
    if (serves(at, &cut.backward) && strcmp(at->engine, "opencl-unfused") == 0) {
        gradient_run(at->runtime, &whole, "reference");
        gradient_run(at->runtime, &cut, "reference");
        forget(&cut);
        engine_execute(&of_rows, cut.backward, &cut.tensors);
        for (int k = 0; k < GRADIENT_INPUTS; k++) {
            for (int64_t n = 0; n < cut.inputs[k].count; n++) {
                double x = clattn_get_element(cut.inputs[k].grad_type, cut.inputs[k].grad, n);
                double y = clattn_get_element(cut.inputs[k].grad_type, whole.inputs[k].grad, n);
                ck_assert_msg(fabs(x - y) <= 0x1p-7 * fabs(y) + 1e-5, "%s: grad_%s[%" PRId64 "] is %g, expected %g",
                              at->name, cut.inputs[k].name, n, x, y);
            }
        }
    }
    gradient_free(&whole);
    gradient_free(&cut);
}

START_TEST(test_narrow_parts) {
    for_every_engine(false, check_narrow);
}
END_TEST

/* Each gradient by itself, and nothing else is written. */
static void check_alone(const engine_at *at) {
    clattn_problem p = rich_problem();
    gradient_case all, one;
    p.bias_shape[1] = 1;
    gradient_make(&all, &p, 12);
    if (serves(at, &all.backward)) {
        gradient_run(at->runtime, &all, "reference");
        forget(&all);
        engine_execute(at, all.backward, &all.tensors);
        gradient_make(&one, &p, 12);
        gradient_run(at->runtime, &one, "reference");
        for (int k = 0; k < GRADIENT_INPUTS; k++) {
            forget(&one);
            one.backward.gradients = one.inputs[k].bit;
            engine_execute(at, one.backward, &one.tensors);
            for (int n = 0; n < GRADIENT_INPUTS; n++) {
                for (int64_t m = 0; m < one.inputs[n].count; m++) {
                    uint32_t got = ((uint32_t *)one.inputs[n].grad)[m], expected = ((uint32_t *)all.inputs[n].grad)[m];
                    ck_assert_msg(got == (n == k ? expected : 0x5a5a5a5au), "%s: grad_%s alone, grad_%s[%" PRId64 "]",
                                  at->name, one.inputs[k].name, one.inputs[n].name, m);
                }
            }
        }
        gradient_free(&one);
    }
    gradient_free(&all);
}

START_TEST(test_one_by_one) {
    for_every_engine(false, check_alone);
}
END_TEST

/* Twenty runs with a workspace that is full of NaN, or of ones. */
static void check_bits(const engine_at *at) {
    clattn_problem p = rich_problem();
    gradient_case c;
    p.bias_shape[0] = 1, p.query_length = 20, p.key_length = 77;
    gradient_make(&c, &p, 13);
    if (serves(at, &c.backward)) {
        static float first[GRADIENT_INPUTS][1 << 14];
        clattn_plan *plan = NULL;
        clattn_plan_info info;
        clattn_plan_options options = engine_options(at);
        options.caller_workspace = true;
        gradient_run(at->runtime, &c, "reference");
        EXPECT_STATUS(clattn_plan_create(at->runtime, &c.backward, &options, &plan, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
        c.tensors.workspace = clattn_allocate(at->runtime, info.workspace_size);
        c.tensors.workspace_size = info.workspace_size;
        for (int run = 0; run < 20; run++) {
            memset(c.tensors.workspace, run % 2 ? 0x3f : 0xff, (size_t)info.workspace_size);
            forget(&c);
            EXPECT_STATUS(clattn_execute(plan, &c.tensors), CLATTN_OK, &report);
            for (int k = 0; k < GRADIENT_INPUTS; k++) {
                const size_t bytes = (size_t)c.inputs[k].count * 4;
                ck_assert(bytes <= sizeof first[k]);
                ck_assert_msg(run == 0 || memcmp(first[k], c.inputs[k].grad, bytes) == 0, "%s, run %d: grad_%s", at->name,
                              run, c.inputs[k].name);
                memcpy(first[k], c.inputs[k].grad, bytes);
            }
        }
        clattn_release(at->runtime, c.tensors.workspace);
        clattn_plan_destroy(plan);
    }
    gradient_free(&c);
}

START_TEST(test_same_bits) {
    for_every_engine(false, check_bits);
}
END_TEST

static void spoil(gradient_case *c, int input, int64_t row, int64_t dim) {
    for (int64_t d = 0; d < dim; d++) {
        ((float *)c->inputs[input].data)[row * dim + d] = NAN;
    }
}

/* Key 3 is hidden from all rows, key 4 from some, and row 2 of grad_output and query sees keys 0 and 1 alone. */
static void hide(gradient_case *c) {
    const int64_t keys = c->forward.key_length;
    for (int64_t row = 0; row < c->rows; row++) {
        const int64_t i = row % c->forward.query_length;
        c->mask[row * keys + 3] = 0;
        c->mask[row * keys + 4] = i % 2 == 0 && i != 2;
        for (int64_t j = 2; i == 2 && j < keys; j++) {
            c->mask[row * keys + j] = 0;
        }
    }
}

/* NaN where nobody looks, and in what some look at: only their gradients are spoilt. */
static void check_clean(const engine_at *at) {
    clattn_problem p = gradient_problem();
    gradient_case expected, got;
    p.type = CLATTN_FP32, p.mask = CLATTN_MASK_BYTES, p.grad_logsumexp = false;
    p.batch = p.query_heads = p.kv_heads = 1, p.query_length = 6, p.key_length = 9, p.head_dim = 8, p.value_dim = 5;
    gradient_make(&expected, &p, 19);
    gradient_make(&got, &p, 19);
    if (serves(at, &got.backward)) {
        for (int n = 0; n < 2; n++) {
            gradient_case *c = n ? &got : &expected;
            hide(c);
            gradient_run(at->runtime, c, "reference");
            spoil(c, 1, 3, p.head_dim);
            spoil(c, 2, 3, p.value_dim);
            spoil(c, 2, 4, p.value_dim);
            spoil(c, 0, 2, p.head_dim);
            ((float *)c->grad_output)[2 * p.value_dim + 1] = NAN;
            forget(c);
        }
        EXPECT_STATUS(gradient_run_backward(at->runtime, &expected, "reference", &report), CLATTN_OK, &report);
        engine_execute(at, got.backward, &got.tensors);
        int spoilt = 0;
        for (int k = 0; k < 3; k++) {
            for (int64_t n = 0; n < got.inputs[k].count; n++) {
                float x = ((float *)got.inputs[k].grad)[n], y = ((float *)expected.inputs[k].grad)[n];
                spoilt += isnan(y) ? 1 : 0;
                ck_assert_msg((isnan(x) && isnan(y)) || fabsf(x - y) <= 1e-5F, "%s: grad_%s[%" PRId64 "] is %g, expected %g",
                              at->name, got.inputs[k].name, n, (double)x, (double)y);
            }
        }
        ck_assert_int_gt(spoilt, 0);
    }
    gradient_free(&expected);
    gradient_free(&got);
}

START_TEST(test_clean) {
    for_every_engine(false, check_clean);
}
END_TEST

/* No keys, no rows: gradients are 0, or what was there. */
static void check_nothing(const engine_at *at) {
    for (int n = 0; n < 8; n++) {
        clattn_problem p = rich_problem();
        p.softcap = 0, p.bias_shape[2] = n & 2 ? 1 : CLATTN_SAME, p.bias_shape[3] = n & 4 ? 1 : CLATTN_SAME;
        *(n & 1 ? &p.key_length : &p.query_length) = 0;
        check_against_reference(at, n & 1 ? "no keys" : "no rows", &p, 0);
    }
}

START_TEST(test_nothing) {
    for_every_engine(false, check_nothing);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_biases_and_parts, test_narrow_parts, test_one_by_one,
                                   test_same_bits,        test_clean,        test_nothing };
    return suite_run(SUITE_OF("opencl_gradients", tests, 300), SUITE_NO_FORK);
}
