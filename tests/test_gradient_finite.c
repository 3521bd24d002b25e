/*
 * Gradients of inputs that are not finite, or too large for products in single precision: the cpu engine's against those
 * of the reference, element by element. What a row may not attend to never reaches its gradient, whatever it holds.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/gradient_case.h"

static clattn_report report;
static clattn_runtime *runtime;

enum { KINDS = 9 };

static const char *const kinds[KINDS] = { "plain", "causal",  "mask",  "window, prefix", "dropout",
                                          "bias",  "softcap", "alibi", "bias of rows" };

/* The problem, by what it has. */
static clattn_problem problem_of(int kind, clattn_type type) {
    clattn_problem p = gradient_problem();
    p.type = type;
    p.query_length = 23, p.key_length = 41, p.head_dim = 9, p.value_dim = 12, p.sinks = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    p.causal = kind == 1 || kind == 4 || kind == 5;
    p.mask = kind == 2 || kind == 8 ? CLATTN_MASK_BYTES : CLATTN_MASK_NONE;
    p.window_left = kind == 3 ? 4 : CLATTN_OPEN;
    p.prefix = kind == 3 ? 3 : 0;
    p.dropout = kind == 4 ? 0.3 : 0;
    p.bias = kind == 5 || kind == 8 ? CLATTN_BIAS_FP32 : CLATTN_BIAS_NONE;
    if (kind == 8) {
        p.bias_shape[0] = p.bias_shape[1] = p.bias_shape[3] = 1;
    }
    p.softcap = kind == 6 ? 3 : 0;
    p.alibi = kind == 7;
    return p;
}

static void set_mask(gradient_case *c) {
    int64_t keys = c->forward.key_length;
    for (int64_t n = 0; c->mask && n < c->rows * keys; n++) {
        c->mask[n] = n * 7 % 5 != 1 && n / keys % 6 != 2;
    }
}

static const char *class_of(double x) {
    return isnan(x) ? "NaN" : isinf(x) ? x > 0 ? "Inf" : "-Inf" : "finite";
}

/*
 * large: scores have no digits left behind the point, so weights are what rounding made of them; but what is finite in
 * the reference must be so.
 */
static void compare(const gradient_case *c, void *const expected[GRADIENT_INPUTS], bool large, const char *what) {
    double tolerance = c->forward.type == CLATTN_FP64 ? 1e-9 : c->forward.type == CLATTN_FP32 ? 1e-3 : 6e-2;
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        const gradient_input *input = &c->inputs[k];
        for (int64_t n = 0; n < input->count; n++) {
            double x = clattn_get_element(input->grad_type, expected[k], n),
                   got = clattn_get_element(input->grad_type, input->grad, n);
            bool same = class_of(x) == class_of(got) || (large && (isfinite(got) || !isfinite(x)));
            ck_assert_msg(same && (large || !isfinite(x) || fabs(got - x) <= tolerance * (1 + fabs(x))),
                          "%s: grad_%s[%" PRId64 "] is %g (%s), of the reference %g", what, input->name, n, got,
                          class_of(got), x);
        }
    }
}

/* Puts x into the input, or into grad_output, at a few places; then both engines. */
static void check(int kind, clattn_type type, int which, double x) {
    const clattn_problem p = problem_of(kind, type);
    gradient_case c;
    void *expected[GRADIENT_INPUTS] = { NULL };
    char what[160];
    gradient_make(&c, &p, 21);
    set_mask(&c);
    snprintf(what, sizeof what, "%s, %s, %g in %s", kinds[kind], clattn_type_name(type), x,
             which < 0 ? "grad_output" : c.inputs[which].name);
    int64_t count = which < 0 ? c.outputs : c.inputs[which].count;
    clattn_type of = which < 0 ? c.output_type : c.inputs[which].type;
    void *data = which < 0 ? c.grad_output : c.inputs[which].data;
    for (int64_t n = count / 3; n < count; n += count / 2 + 1) {
        clattn_set_element(of, data, n, x);
    }
    gradient_run(runtime, &c, "reference");
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        size_t bytes = (size_t)(c.inputs[k].count * clattn_type_size(c.inputs[k].grad_type));
        expected[k] = malloc(bytes + 1);
        ck_assert_ptr_nonnull(expected[k]);
        if (bytes > 0) {
            memcpy(expected[k], c.inputs[k].grad, bytes);
            memset(c.inputs[k].grad, 0x5a, bytes);
        }
    }
    EXPECT_STATUS(gradient_run_backward(runtime, &c, "cpu", &report), CLATTN_OK, &report);
    compare(&c, expected, isfinite(x), what);
    for (int k = 0; k < GRADIENT_INPUTS; k++) {
        free(expected[k]);
    }
    gradient_free(&c);
}

static void check_type(clattn_type type, double large) {
    const double numbers[] = { (double)NAN, (double)INFINITY, -(double)INFINITY, large };
    runtime = gradient_runtime();
    for (int kind = 0; kind < KINDS; kind++) {
        const clattn_problem p = problem_of(kind, type);
        for (int which = -1; which < GRADIENT_INPUTS; which++) {
            bool there = which < 3 || (which == 3 && p.bias != CLATTN_BIAS_NONE) || (which == 4 && p.alibi) ||
                         (which == 5 && p.sinks);
            for (int n = 0; n < 4 && there; n++) {
                check(kind, type, which, numbers[n]);
            }
        }
    }
    clattn_runtime_destroy(runtime);
}

START_TEST(test_fp32) {
    check_type(CLATTN_FP32, 1e25);
}
END_TEST

START_TEST(test_bf16) {
    check_type(CLATTN_BF16, 1e25);
}
END_TEST

START_TEST(test_fp16) {
    check_type(CLATTN_FP16, 65504);
}
END_TEST

START_TEST(test_fp64) {
    check_type(CLATTN_FP64, 1e160);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_fp32, test_bf16, test_fp16, test_fp64 };
    return suite_run(SUITE_OF("gradient_finite", tests, 60), SUITE_FORK);
}
