/*
 * The gradient of merging: against differences of the merge, through the backward of each part against that of the whole,
 * with parts that saw nothing; and what is refused.
 */
#include <math.h>

#include "support/gradient_case.h"

enum { PARTS = 3, ROWS = 4, DIM = 5 };

static double outputs[PARTS][ROWS * DIM], sums[PARTS][ROWS], grads[PARTS][ROWS * DIM], grad_sums[PARTS][ROWS];
static double grad_output[ROWS * DIM], grad_sum[ROWS];

static void fill(void) {
    for (uint64_t k = 0; k < PARTS; k++) {
        gradient_fill(CLATTN_FP64, outputs[k], ROWS * DIM, 1, 1 + k);
        gradient_fill(CLATTN_FP64, sums[k], ROWS, 2, 11 + k);
    }
    gradient_fill(CLATTN_FP64, grad_output, ROWS * DIM, 1, 21);
    gradient_fill(CLATTN_FP64, grad_sum, ROWS, 1, 22);
}

static void make_parts(clattn_merge_part parts[PARTS], clattn_merge_part part_gradients[PARTS]) {
    for (int k = 0; k < PARTS; k++) {
        parts[k] = (clattn_merge_part){ CLATTN_FP64, outputs[k], DIM, sums[k] };
        part_gradients[k] = (clattn_merge_part){ CLATTN_FP64, grads[k], DIM, grad_sums[k] };
    }
}

static double loss(const clattn_merge_part *parts) {
    static double output[ROWS * DIM], sum[ROWS];
    const clattn_merge_part result = { CLATTN_FP64, output, DIM, sum };
    double total = 0;
    EXPECT_STATUS(clattn_merge(parts, PARTS, ROWS, DIM, &result), CLATTN_OK, NULL);
    for (int n = 0; n < ROWS * DIM; n++) {
        total += grad_output[n] * output[n];
    }
    for (int i = 0; i < ROWS; i++) {
        total += isinf(sum[i]) ? 0 : grad_sum[i] * sum[i];
    }
    return total;
}

static double difference(const clattn_merge_part *parts, double *x) {
    const double here = *x, step = 0x1p-12;
    *x = here + step;
    double above = loss(parts);
    *x = here - step;
    double below = loss(parts);
    *x = here;
    return (above - below) / (2 * step);
}

START_TEST(test_differences) {
    clattn_merge_part parts[PARTS], part_gradients[PARTS];
    const clattn_merge_part gradient = { CLATTN_FP64, grad_output, DIM, grad_sum };
    fill();
    make_parts(parts, part_gradients);
    sums[1][2] = -(double)INFINITY; /* saw nothing */
    outputs[1][2 * DIM] = (double)NAN;
    sums[0][3] = sums[1][3] = sums[2][3] = -(double)INFINITY;
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, &gradient, part_gradients), CLATTN_OK, NULL);
    for (int k = 0; k < PARTS; k++) {
        for (int n = 0; n < ROWS * DIM; n++) {
            bool nothing = isinf(sums[k][n / DIM]);
            double expected = nothing ? 0 : difference(parts, &outputs[k][n]);
            ck_assert_double_eq_tol(grads[k][n], expected, nothing ? 1e-300 : 1e-6);
        }
        for (int i = 0; i < ROWS; i++) {
            bool nothing = isinf(sums[k][i]);
            double expected = nothing ? 0 : difference(parts, &sums[k][i]);
            ck_assert_double_eq_tol(grad_sums[k][i], expected, nothing ? 1e-300 : 1e-6);
        }
    }
}
END_TEST

/* Without a gradient of logsumexp, and with one of the two members asked for at a time. */
START_TEST(test_optional) {
    clattn_merge_part parts[PARTS], part_gradients[PARTS];
    const clattn_merge_part gradient = { CLATTN_FP64, grad_output, DIM, NULL };
    double before[ROWS * DIM];
    fill();
    make_parts(parts, part_gradients);
    memset(grad_sum, 0, sizeof grad_sum);
    part_gradients[0].logsumexp = NULL, part_gradients[1].output = NULL;
    memset(grads, 0x5a, sizeof grads);
    memset(grad_sums, 0x5a, sizeof grad_sums);
    memcpy(before, grads[1], sizeof before);
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, &gradient, part_gradients), CLATTN_OK, NULL);
    ck_assert(memcmp(grads[1], before, sizeof before) == 0 && memcmp(grad_sums[0], before, sizeof grad_sums[0]) == 0);
    ck_assert_double_eq_tol(grads[0][3], difference(parts, &outputs[0][3]), 1e-6);
    ck_assert_double_eq_tol(grad_sums[1][1], difference(parts, &sums[1][1]), 1e-6);
    EXPECT_STATUS(clattn_merge_backward(NULL, 0, ROWS, DIM, &gradient, NULL), CLATTN_OK, NULL);
}
END_TEST

/* Keys in two parts: forward of each, merge, its gradient, backward of each part, equals backward of the whole. */
START_TEST(test_through_attention) {
    enum { KEYS = 10, CUT = 4 };
    static double merged[ROWS * DIM], merged_sum[ROWS];
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_problem p = CLATTN_PROBLEM_INIT;
    gradient_case whole, part[2];
    clattn_merge_part parts[2], part_gradients[2], result = { CLATTN_FP64, merged, DIM, merged_sum };
    p.type = CLATTN_FP64, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM, p.grad_logsumexp = true;
    gradient_make(&whole, &p, 3);
    gradient_run(runtime, &whole, "reference");
    for (int k = 0; k < 2; k++) {
        int64_t first = k == 0 ? 0 : CUT;
        p.key_length = k == 0 ? CUT : KEYS - CUT;
        gradient_make(&part[k], &p, 3);
        part[k].tensors.query.data = whole.inputs[0].data;
        part[k].tensors.key.data = (double *)whole.inputs[1].data + first * DIM;
        part[k].tensors.value.data = (double *)whole.inputs[2].data + first * DIM;
        gradient_run(runtime, &part[k], "reference");
        parts[k] = (clattn_merge_part){ CLATTN_FP64, part[k].output, DIM, part[k].logsumexp };
        part_gradients[k] = (clattn_merge_part){ CLATTN_FP64, part[k].grad_output, DIM, part[k].grad_logsumexp };
    }
    const clattn_merge_part gradient = { CLATTN_FP64, whole.grad_output, DIM, whole.grad_logsumexp };
    EXPECT_STATUS(clattn_merge(parts, 2, ROWS, DIM, &result), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_merge_backward(parts, 2, ROWS, DIM, &gradient, part_gradients), CLATTN_OK, NULL);
    for (int k = 0; k < 2; k++) {
        static clattn_report report;
        EXPECT_STATUS(gradient_run_backward(runtime, &part[k], "reference", &report), CLATTN_OK, &report);
    }
    for (int n = 0; n < ROWS * DIM; n++) {
        double sum = ((double *)part[0].inputs[0].grad)[n] + ((double *)part[1].inputs[0].grad)[n];
        ck_assert_double_eq_tol(sum, ((double *)whole.inputs[0].grad)[n], 1e-14);
    }
    for (int n = 0; n < KEYS * DIM; n++) {
        for (int k = 1; k < 3; k++) {
            const double *from = n < CUT * DIM ? part[0].inputs[k].grad : part[1].inputs[k].grad;
            ck_assert_double_eq_tol(from[n < CUT * DIM ? n : n - CUT * DIM], ((double *)whole.inputs[k].grad)[n],
                                    1e-14);
        }
    }
    gradient_free(&whole);
    gradient_free(&part[0]);
    gradient_free(&part[1]);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_refusals) {
    clattn_merge_part parts[PARTS], g[PARTS], good[PARTS];
    clattn_merge_part gradient = { CLATTN_FP64, grad_output, DIM, grad_sum }, bad = gradient;
    fill();
    make_parts(parts, good);
#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        memcpy(g, good, sizeof g);                                                                                     \
        bad = gradient;                                                                                                \
        __VA_ARGS__;                                                                                                   \
        EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, &bad, g), CLATTN_INVALID_ARGUMENT, NULL);         \
    } while (0)
    REFUSED(g[1].type = (clattn_type)9);
    REFUSED(g[1].row_stride = DIM - 1);
    REFUSED(g[1].output = outputs[0]);
    REFUSED(g[1].output = grads[0]);
    REFUSED(g[1].logsumexp = grad_sum);
    REFUSED(g[1].logsumexp = grads[2]);
    REFUSED(g[2].output = grad_output);
    REFUSED(g[0].logsumexp = g[0].output);
    REFUSED(bad.output = NULL);
    REFUSED(bad.row_stride = 0);
    REFUSED(bad.type = (clattn_type)-1);
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, -1, DIM, &gradient, good), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, NULL, good), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, &gradient, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge_backward(NULL, PARTS, ROWS, DIM, &gradient, good), CLATTN_INVALID_ARGUMENT, NULL);
    parts[1].logsumexp = NULL;
    EXPECT_STATUS(clattn_merge_backward(parts, PARTS, ROWS, DIM, &gradient, good), CLATTN_INVALID_ARGUMENT, NULL);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_differences, test_optional, test_through_attention, test_refusals };
    return suite_run(SUITE_OF("merge_backward", tests, 20), SUITE_FORK);
}
