/*
 * The derivatives of linear maps, embeddings, layer normalisation, GELU, softmax and cross-entropy: PyTorch's numbers
 * (tests/golden/make_learning_golden.py), central differences, and what is refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "support/differences.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static clattn_report report;

/* ------------------------------------------------------------------------------------------------ linear maps */

enum { ROWS = 7, IN = 29, OUT = 13, MOST = 9 };

static clattn_linear_backward *linear(clattn_runtime *runtime, const char *engine) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_backward *backward = NULL;
    problem.rows = MOST, problem.in_dim = IN, problem.out_dim = OUT;
    options.engine = engine;
    EXPECT_STATUS(clattn_linear_backward_create(runtime, &problem, &options, &backward, &report), CLATTN_OK, &report);
    return backward;
}

static clattn_linear_gradients linear_call(const float *x, const float *w, const float *g) {
    clattn_linear_gradients call = CLATTN_LINEAR_GRADIENTS_INIT;
    call.rows = ROWS, call.input = x, call.w = w, call.grad_output = g, call.report = &report;
    return call;
}

START_TEST(linear_goldens) {
    clattn_runtime *runtime = suite_runtime(NULL);
    float *x = layers_draw(201, ROWS * IN, 1), *w = layers_draw(202, OUT * IN, 1), *g = layers_draw(204, ROWS * OUT, 1);
    for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
        clattn_linear_backward *backward = linear(runtime, *engine);
        float grad_x[ROWS * IN], grad_w[OUT * IN] = { 0 }, grad_b[OUT] = { 0 };
        clattn_linear_gradients call = linear_call(x, w, g);
        call.grad_input = grad_x, call.grad_w = grad_w, call.grad_b = grad_b;
        EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
        layers_compare("learn_linear_input", *engine, grad_x, ROWS * IN);
        layers_compare("learn_linear_w", *engine, grad_w, OUT * IN);
        layers_compare("learn_linear_b", *engine, grad_b, OUT);
        call.add = true;
        EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
        for (int k = 0; k < ROWS * IN; k++) {
            grad_x[k] /= 2;
        }
        for (int k = 0; k < OUT * IN; k++) {
            grad_w[k] /= 2;
        }
        layers_compare("learn_linear_input", *engine, grad_x, ROWS * IN);
        layers_compare("learn_linear_w", *engine, grad_w, OUT * IN);
        clattn_linear_backward_destroy(backward);
    }
    free(x);
    free(w);
    free(g);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A row without gradient may hold anything: rows beyond a length do. */
START_TEST(linear_rows_without_gradient) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    float *x = layers_draw(201, ROWS * IN, 1), *g = layers_draw(204, ROWS * OUT, 1);
    float with[OUT * IN] = { 0 }, without[OUT * IN] = { 0 };
    clattn_linear_backward *backward = linear(runtime, "cpu");
    clattn_linear_gradients call = linear_call(x, NULL, g);
    memset(g + 3 * OUT, 0, OUT * sizeof *g);
    call.grad_w = without;
    EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
    for (int k = 0; k < IN; k++) {
        x[3 * IN + k] = k % 2 ? NAN : INFINITY;
    }
    call.grad_w = with;
    EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
    ck_assert_mem_eq(with, without, sizeof with);
    call.rows = 0;
    EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
    ck_assert_mem_eq(with, without, sizeof with);
    clattn_linear_backward_destroy(backward);
    free(x);
    free(g);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The same bits on any number of threads. */
START_TEST(linear_threads) {
    enum { MANY = 70, WIDE = 90 };
    float *x = layers_draw(1, MANY * WIDE, 1), *w = layers_draw(2, WIDE * WIDE, 1), *g = layers_draw(3, MANY * WIDE, 1);
    static float results[3][MANY * WIDE + WIDE * WIDE + WIDE];
    for (int k = 0; k < 3; k++) {
        clattn_runtime_options options = { sizeof options, 1 + 2 * k, true, { 0 } };
        clattn_runtime *runtime = suite_runtime(&options);
        clattn_linear_problem problem = { sizeof problem, MANY, WIDE, WIDE };
        clattn_linear_backward *backward = NULL;
        EXPECT_STATUS(clattn_linear_backward_create(runtime, &problem, NULL, &backward, &report), CLATTN_OK, &report);
        clattn_linear_gradients call = linear_call(x, w, g);
        call.rows = CLATTN_SAME, call.grad_input = results[k], call.grad_w = results[k] + MANY * WIDE;
        call.grad_b = results[k] + MANY * WIDE + WIDE * WIDE;
        EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, &report);
        ck_assert_mem_eq(results[k], results[0], sizeof results[0]);
        clattn_linear_backward_destroy(backward);
        clattn_runtime_destroy(runtime);
    }
    free(x);
    free(w);
    free(g);
}
END_TEST

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

START_TEST(linear_refuses) {
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_linear_problem problem = { sizeof problem, INT64_C(1) << 31, 1, 1 };
    clattn_linear_backward *none = (clattn_linear_backward *)&report;
    said(clattn_linear_backward_create(runtime, &problem, NULL, &none, &report), CLATTN_INVALID_PROBLEM, "rows",
         __LINE__);
    ck_assert_ptr_null(none);
    problem.rows = 3, problem.in_dim = 0;
    said(clattn_linear_backward_create(runtime, &problem, NULL, &none, &report), CLATTN_INVALID_PROBLEM, "in_dim",
         __LINE__);
    static float room[6][IN * OUT];
    clattn_linear_backward *backward = linear(runtime, "reference");
    static const char *const words[] = {
        "grad_output: missing",    "input: missing",       "w: missing", "rows: 10", "grad_input: overlaps grad_output",
        "grad_w: overlaps grad_b", "grad_output: its last"
    };
    for (int n = 0; n < 7; n++) {
        clattn_linear_gradients call = linear_call(n == 1 ? NULL : room[0], n == 2 ? NULL : room[1], room[2]);
        memset(room, 0x5a, sizeof room);
        call.rows = n == 3 ? 10 : ROWS;
        call.grad_output = n == 0 ? NULL : n == 6 ? (const float *)(UINTPTR_MAX - 3) : call.grad_output;
        call.grad_input = n == 4 ? room[2] + 5 : room[3], call.grad_w = room[4],
        call.grad_b = n == 5 ? room[4] + 8 : room[5];
        said(clattn_linear_backward_execute(backward, &call), n == 6 ? CLATTN_OVERFLOW : CLATTN_INVALID_TENSORS,
             words[n], __LINE__);
        for (size_t k = 0; k < sizeof room; k++) {
            ck_assert_int_eq(((const unsigned char *)room)[k], 0x5a);
        }
    }
    clattn_linear_backward_destroy(backward);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ embeddings */

START_TEST(embedding) {
    static const int64_t ids[] = { 4, 0, 4, 2, 4 }, wrong[] = { 0, 6 };
    float *g = layers_draw(212, 25, 1), table[30] = { 0 };
    EXPECT_STATUS(clattn_embedding_backward(6, 5, ids, 5, g, table, &report), CLATTN_OK, &report);
    layers_compare("learn_embedding_table", "the host", table, 30);
    ck_assert_float_eq(table[4 * 5], g[0] + g[2 * 5] + g[4 * 5]); /* in the order of the rows */
    said(clattn_embedding_backward(6, 5, wrong, 2, g, table, &report), CLATTN_INVALID_ARGUMENT, "ids[1]: 6", __LINE__);
    said(clattn_embedding_backward(6, 5, ids, 5, table + 3, table, &report), CLATTN_INVALID_ARGUMENT, "grad_table",
         __LINE__);
    said(clattn_embedding_backward(6, INT64_MAX, ids, 5, g, table, &report), CLATTN_INVALID_ARGUMENT, "words",
         __LINE__);
    layers_compare("learn_embedding_table", "the host, after refusals", table, 30);
    free(g);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ row by row */

/* A layer of rows with its loss, for central differences. */
typedef struct row_case {
    int64_t rows, dim;
    float *x, *gain, *bias, *with, *output;
} row_case;

static double norm_loss(void *user) {
    const row_case *c = user;
    EXPECT_STATUS(clattn_layer_norm(NULL, c->rows, c->dim, 1e-5, c->gain, c->bias, c->x, c->output), CLATTN_OK, NULL);
    return differences_sum(c->rows * c->dim, c->output, c->with);
}

START_TEST(layer_norm) {
    enum { N = 5 * 300 };
    static float output[N], grad_x[N], grad_gain[300], grad_bias[300];
    row_case c = {
        5,     300, layers_draw(221, N, 3), layers_draw(222, 300, 1), layers_draw(223, 300, 1), layers_draw(224, N, 1),
        output
    };
    EXPECT_STATUS(clattn_layer_norm_backward(NULL, 5, 300, 1e-5, c.gain, c.x, c.with, grad_x, grad_gain, grad_bias),
                  CLATTN_OK, NULL);
    layers_compare("learn_norm_input", "the host", grad_x, N);
    layers_compare("learn_norm_gain", "the host", grad_gain, 300);
    layers_compare("learn_norm_bias", "the host", grad_bias, 300);
    differences_check("norm, input", norm_loss, &c, c.x, N, grad_x);
    differences_check("norm, gain", norm_loss, &c, c.gain, 300, grad_gain);
    memcpy(output, c.with, sizeof output); /* in place */
    EXPECT_STATUS(clattn_layer_norm_backward(NULL, 5, 300, 1e-5, c.gain, c.x, output, output, NULL, grad_bias), CLATTN_OK,
                  NULL);
    ck_assert_mem_eq(output, grad_x, sizeof output);
    for (int k = 0; k < 300; k++) {
        grad_bias[k] /= 2; /* added to */
    }
    layers_compare("learn_norm_bias", "the host, twice", grad_bias, 300);
    EXPECT_STATUS(clattn_layer_norm_backward(NULL, 5, 0, 1e-5, NULL, c.x, c.with, grad_x, NULL, NULL),
                  CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_layer_norm_backward(NULL, 5, 9, NAN, NULL, c.x, c.with, grad_x, NULL, NULL), CLATTN_INVALID_ARGUMENT,
                  NULL);
    EXPECT_STATUS(clattn_layer_norm_backward(NULL, 5, 9, 0, NULL, NULL, c.with, grad_x, NULL, NULL), CLATTN_INVALID_ARGUMENT,
                  NULL);
    free(c.x), free(c.gain), free(c.bias), free(c.with);
}
END_TEST

static double gelu_loss(void *user) {
    const row_case *c = user;
    EXPECT_STATUS(clattn_gelu(NULL, c->rows, c->x, c->output), CLATTN_OK, NULL);
    return differences_sum(c->rows, c->output, c->with);
}

static double softmax_loss(void *user) {
    const row_case *c = user;
    EXPECT_STATUS(clattn_softmax(NULL, c->rows, c->dim, c->x, c->output), CLATTN_OK, NULL);
    return differences_sum(c->rows * c->dim, c->output, c->with);
}

START_TEST(gelu_and_softmax) {
    float output[64], grad_x[64];
    row_case c = { 64, 1, layers_draw(231, 64, 6), NULL, NULL, layers_draw(232, 64, 1), output };
    EXPECT_STATUS(clattn_gelu_backward(NULL, 64, c.x, c.with, grad_x), CLATTN_OK, NULL);
    layers_compare("learn_gelu_input", "the host", grad_x, 64);
    differences_check("gelu", gelu_loss, &c, c.x, 64, grad_x);
    const float edges[] = { INFINITY, -INFINITY, 200 }, ones[] = { 1, 1, 1 };
    EXPECT_STATUS(clattn_gelu_backward(NULL, 3, edges, ones, grad_x), CLATTN_OK, NULL);
    ck_assert(grad_x[0] == 1 && grad_x[1] == 0 && grad_x[2] == 1);
    EXPECT_STATUS(clattn_gelu_backward(NULL, -1, c.x, c.with, grad_x), CLATTN_INVALID_ARGUMENT, NULL);
    free(c.x), free(c.with);
    c = (row_case){ 4, 9, layers_draw(241, 36, 3), NULL, NULL, layers_draw(242, 36, 1), output };
    EXPECT_STATUS(clattn_softmax(NULL, 4, 9, c.x, output), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_softmax_backward(NULL, 4, 9, output, c.with, grad_x), CLATTN_OK, NULL);
    layers_compare("learn_softmax_input", "the host", grad_x, 36);
    differences_check("softmax", softmax_loss, &c, c.x, 36, grad_x);
    EXPECT_STATUS(clattn_softmax_backward(NULL, 4, 9, NULL, c.with, grad_x), CLATTN_INVALID_ARGUMENT, NULL);
    free(c.x), free(c.with);
}
END_TEST

static double entropy_loss(void *user) {
    double loss = 0;
    clattn_cross_entropy_io io = *(const clattn_cross_entropy_io *)user;
    io.loss = &loss, io.grad_logits = NULL;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, NULL);
    return loss;
}

START_TEST(cross_entropy) {
    static const int64_t labels[] = { 3, 10, -100, 0, 3, -100 }, wrong[] = { 3, 11, 0, 0, 0, 0 },
                         none[] = { 9, 9, 9, 9, 9, 9 };
    float *x = layers_draw(251, 66, 4), gradient[66], half[66];
    double loss = 0;
    int64_t counted = 0;
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT, bad;
    io.rows = 6, io.classes = 11, io.logits = x, io.labels = labels, io.loss = &loss, io.counted = &counted;
    io.grad_logits = gradient, io.report = &report;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, &report);
    layers_compare("learn_entropy_loss", "the host", (const float[]){ (float)loss }, 1);
    layers_compare("learn_entropy_logits", "the host", gradient, 66);
    ck_assert_int_eq(counted, 4);
    differences_check("cross-entropy", entropy_loss, &io, x, 66, gradient);
    io.factor = 0.5, io.grad_logits = half;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, &report);
    for (int k = 0; k < 66; k++) {
        ck_assert_float_eq_tol(half[k], gradient[k] / 2, 1e-7f);
    }
    double before = loss;
#define REFUSED(word, ...)                                                                                             \
    bad = io, __VA_ARGS__, said(clattn_cross_entropy(&bad), CLATTN_INVALID_ARGUMENT, word, __LINE__)
    memset(half, 0x5a, sizeof half);
    REFUSED("labels[1]: 11", bad.labels = wrong);
    REFUSED("labels: missing", bad.labels = NULL);
    REFUSED("logits: missing", bad.logits = NULL);
    REFUSED("loss: missing", bad.loss = NULL);
    REFUSED("classes", bad.classes = 0);
    REFUSED("rows", bad.rows = INT64_MAX / 8);
    REFUSED("factor", bad.factor = NAN);
    REFUSED("grad_logits: overlaps", bad.grad_logits = x + 1);
    ck_assert(loss == before && memcmp(half, half + 1, sizeof half - sizeof *half) == 0);
    io.grad_logits = x, io.factor = 1; /* in place */
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, &report);
    ck_assert_mem_eq(x, gradient, sizeof gradient);
    io.labels = none, io.ignore = 9;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, &report);
    ck_assert(loss == 0 && counted == 0 && x[0] == 0 && x[65] == 0);
    free(x);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_linear_gradients, CLATTN_LINEAR_GRADIENTS_INIT, clattn_linear_gradients_init);
    EXPECT_START(clattn_cross_entropy_io, CLATTN_CROSS_ENTROPY_IO_INIT, clattn_cross_entropy_io_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { linear_rows_without_gradient,
                                   linear_threads,
                                   linear_refuses,
                                   embedding,
                                   layer_norm,
                                   gelu_and_softmax,
                                   cross_entropy,
                                   starts,
                                   linear_goldens };
    return suite_run(SUITE_OF("learning_parts", tests, 120), SUITE_NO_FORK);
}
