/*
 * What the layers share among threads: the same bits on 1, 2 and 3 threads of the library's own, on a pool that works
 * backwards, and without a runtime; and the pool is asked. Numbers against libm. clattn_share() itself.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "clattn/clattn_learning.h"
#include "support/layers_golden.h"
#include "support/suite.h"

enum { ROWS = 1203, DIM = 67, COUNT = ROWS * DIM, PLACES = 4 * COUNT + 4 * DIM + 16 };

/* Where each work leaves all its results, and what it reads. */
static float *x, *with, *gain, *results[5];
static atomic_int asked; /* how often the pool was */

static void backwards(void *user, int64_t count, void (*body)(void *share, int64_t index), void *share) {
    (void)user;
    atomic_fetch_add(&asked, 1);
    for (int64_t k = count - 1; k >= 0; k--) {
        body(share, k);
    }
}

/* Where a work runs: 0, 1 and 2 on so many threads and one, 3 on the pool, 4 without a runtime. */
static clattn_runtime *place(int n) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = n == 3 ? 3 : n + 1, options.without_opencl = true;
    options.parallel_for = n == 3 ? backwards : NULL;
    return n == 4 ? NULL : suite_runtime(&options);
}

static void norm(clattn_runtime *r, float *y) {
    EXPECT_STATUS(clattn_layer_norm(r, ROWS, DIM, 1e-5, gain, gain + DIM, x, y), CLATTN_OK, NULL);
}

static void norm_backward(clattn_runtime *r, float *y) {
    float *sums = y + COUNT;
    memset(sums, 0, 2 * DIM * sizeof *sums);
    EXPECT_STATUS(clattn_layer_norm_backward(r, ROWS, DIM, 1e-5, gain, x, with, y, sums, sums + DIM), CLATTN_OK, NULL);
}

static void gelu(clattn_runtime *r, float *y) {
    EXPECT_STATUS(clattn_gelu(r, COUNT, x, y), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_gelu_backward(r, COUNT, x, with, y + COUNT), CLATTN_OK, NULL);
}

static void softmax(clattn_runtime *r, float *y) {
    EXPECT_STATUS(clattn_softmax(r, ROWS, DIM, x, y), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_softmax_backward(r, ROWS, DIM, y, with, y + COUNT), CLATTN_OK, NULL);
}

static void cross_entropy(clattn_runtime *r, float *y) {
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT;
    static int64_t labels[ROWS];
    double loss;
    for (int64_t k = 0; k < ROWS; k++) {
        labels[k] = k % 9 == 4 ? CLATTN_IGNORED_LABEL : k * k % DIM;
    }
    io.rows = ROWS, io.classes = DIM, io.logits = x, io.labels = labels, io.loss = &loss, io.grad_logits = y;
    io.runtime = r;
    EXPECT_STATUS(clattn_cross_entropy(&io), CLATTN_OK, NULL);
    memcpy(y + COUNT, &loss, sizeof loss);
}

static void linear_backward(clattn_runtime *r, float *y) {
    const clattn_linear_problem problem = { sizeof problem, ROWS, DIM, DIM };
    const clattn_plan_options options = suite_on("cpu", CLATTN_ANY_DEVICE);
    clattn_linear_gradients g = CLATTN_LINEAR_GRADIENTS_INIT;
    clattn_linear_backward *backward = NULL;
    memset(y + COUNT, 0, (DIM * DIM + DIM) * sizeof *y);
    g.grad_output = with, g.input = x, g.w = x;
    g.grad_input = y, g.grad_w = y + COUNT, g.grad_b = y + COUNT + DIM * DIM;
    EXPECT_STATUS(clattn_linear_backward_create(r, &problem, &options, &backward, NULL), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_linear_backward_execute(backward, &g), CLATTN_OK, NULL);
    clattn_linear_backward_destroy(backward);
}

/* Clipping and three steps; the value and the norm are the results. */
static void optimiser(clattn_runtime *r, float *y) {
    clattn_parameters *list = NULL;
    clattn_parameter p;
    EXPECT_STATUS(clattn_parameters_create(r, &list), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_parameters_add(list, "w", 2, (const int64_t[]){ ROWS, DIM }, &p, NULL), CLATTN_OK, NULL);
    for (int kind = 0; kind < 2; kind++) {
        clattn_optimiser_options options = CLATTN_OPTIMISER_OPTIONS_INIT;
        clattn_optimiser *o = NULL;
        double lengths[2];
        options.kind = kind == 0 ? CLATTN_ADAMW : CLATTN_SGD, options.decay = 0.1;
        EXPECT_STATUS(clattn_optimiser_create(list, &options, &o, NULL), CLATTN_OK, NULL);
        memcpy(p.value, with, COUNT * sizeof *with);
        for (int step = 0; step < 2; step++) {
            memcpy(p.gradient, x, COUNT * sizeof *x);
            EXPECT_STATUS(clattn_parameters_clip(list, 10, &lengths[step]), CLATTN_OK, NULL);
            EXPECT_STATUS(clattn_optimiser_step(o, 0.01, NULL), CLATTN_OK, NULL);
        }
        memcpy(y + kind * COUNT, p.value, COUNT * sizeof *y);
        memcpy(y + (2 + kind) * COUNT, lengths, sizeof lengths);
        clattn_optimiser_destroy(o);
    }
    clattn_parameters_clear(list);
    for (int64_t k = 0; k < COUNT; k++) {
        ck_assert(p.gradient[k] == 0);
    }
    clattn_parameters_destroy(list);
}

static const struct {
    const char *name;
    void (*run)(clattn_runtime *r, float *y);
    bool alone; /* can do without a runtime */
} works[] = { { "layer normalisation", norm, true },
              { "its derivative", norm_backward, true },
              { "GELU", gelu, true },
              { "softmax", softmax, true },
              { "cross-entropy", cross_entropy, true },
              { "linear backward", linear_backward, false },
              { "optimisers", optimiser, false } };

START_TEST(same_bits) {
    x = layers_draw(901, COUNT, 3), with = layers_draw(902, COUNT, 1), gain = layers_draw(903, 2 * DIM, 1);
    for (int n = 0; n < 5; n++) {
        results[n] = malloc(PLACES * sizeof(float));
    }
    for (size_t w = 0; w < sizeof works / sizeof *works; w++) {
        for (int n = 0; n < (works[w].alone ? 5 : 4); n++) {
            clattn_runtime *runtime = place(n);
            memset(results[n], 0, PLACES * sizeof(float));
            atomic_store(&asked, 0);
            works[w].run(runtime, results[n]);
            ck_assert_msg(memcmp(results[n], results[0], PLACES * sizeof(float)) == 0, "%s: other bits at place %d",
                          works[w].name, n);
            ck_assert_msg((atomic_load(&asked) > 0) == (n == 3), "%s: the pool was asked %d times", works[w].name,
                          atomic_load(&asked));
            clattn_runtime_destroy(runtime);
        }
    }
    for (int n = 0; n < 5; n++) {
        free(results[n]);
    }
    free(x), free(with), free(gain);
}
END_TEST

/* Within one unit in the last place of what libm says in double; a sweep, and edges. */
START_TEST(gelu_numbers) {
    enum { SWEEP = 40001 };
    float *in = malloc(SWEEP * sizeof *in), *out = malloc(SWEEP * sizeof *out), *one = malloc(SWEEP * sizeof *one);
    for (int k = 0; k < SWEEP; k++) {
        in[k] = (float)(k - 20000) / 1000, one[k] = 1;
    }
    EXPECT_STATUS(clattn_gelu(NULL, SWEEP, in, out), CLATTN_OK, NULL);
    for (int k = 0; k < SWEEP; k++) {
        double expected = (double)in[k] * 0.5 * erfc(-(double)in[k] * 0.70710678118654752440);
        ck_assert_msg(fabs((double)out[k] - expected) <= 6.1e-8 * fabs(expected) + 1e-44, "gelu(%g): %g, not %g",
                      (double)in[k], (double)out[k], expected);
    }
    EXPECT_STATUS(clattn_gelu_backward(NULL, SWEEP, in, one, out), CLATTN_OK, NULL);
    for (int k = 0; k < SWEEP; k++) {
        double t = (double)in[k], share = 0.5 * erfc(-t * 0.70710678118654752440);
        double along = t * 0.39894228040143267794 * exp(-0.5 * t * t);
        ck_assert_msg(fabs((double)out[k] - (share + along)) <=
                          6.1e-8 * fabs(share + along) + 1e-11 * fabs(along) + 1e-44,
                      "slope at %g: %g, not %g", t, (double)out[k], share + along);
    }
    const float edges[] = { INFINITY, -INFINITY, NAN, -0.0f, 3e38f, -3e38f };
    EXPECT_STATUS(clattn_gelu(NULL, 6, edges, out), CLATTN_OK, NULL);
    ck_assert(out[0] == INFINITY && isnan(out[1]) && isnan(out[2]) && out[3] == 0 && out[4] == 3e38f && out[5] == 0);
    EXPECT_STATUS(clattn_gelu_backward(NULL, 6, edges, one, out), CLATTN_OK, NULL);
    ck_assert(out[0] == 1 && out[1] == 0 && isnan(out[2]) && out[3] == 0.5f && out[4] == 1 && out[5] == 0);
    free(in), free(out), free(one);
}
END_TEST

/* Exponentials over the whole range of floats, and rows that are not finite, as with libm's. */
START_TEST(softmax_numbers) {
    float row[100], y[100];
    for (int scale = 0; scale < 4; scale++) {
        double sum = 0;
        for (int k = 0; k < 100; k++) {
            row[k] = (float)(k * 37 % 100) * -(float[]){ 0.01f, 1, 30, 3e36f }[scale];
            sum += exp((double)row[k]);
        }
        EXPECT_STATUS(clattn_softmax(NULL, 1, 100, row, y), CLATTN_OK, NULL);
        for (int k = 0; k < 100; k++) {
            double expected = exp((double)row[k]) / sum;
            ck_assert_msg(fabs((double)y[k] - expected) <= 6.1e-8 * expected + 1e-44, "exp(%g): %g, not %g",
                          (double)row[k], (double)y[k], expected);
        }
    }
    const float odd[][4] = { { -INFINITY, 0, 0, -INFINITY },
                             { NAN, 0, 0, 0 },
                             { INFINITY, 0, 0, 0 },
                             { -INFINITY, -INFINITY, -INFINITY, -INFINITY } };
    EXPECT_STATUS(clattn_softmax(NULL, 4, 4, &odd[0][0], y), CLATTN_OK, NULL);
    ck_assert(y[0] == 0 && y[1] == 0.5f && y[2] == 0.5f && y[3] == 0);
    for (int k = 4; k < 16; k++) {
        ck_assert(isnan(y[k])); /* of a row with inf all are: their sum is NaN */
    }
}
END_TEST

/* More rows than are transposed at once, and a call with fewer; one late row has no gradient, and NaN for an input. */
START_TEST(linear_chunks) {
    enum { MOST = 700, USED = 650, IN = 5, OUT = 3, ODD = 600 };
    clattn_runtime *runtime = place(1);
    for (int n = 0; n < 2; n++) {
        const clattn_linear_problem problem = { sizeof problem, MOST, IN, OUT };
        const clattn_plan_options options = suite_on(n == 0 ? "cpu" : "reference", CLATTN_ANY_DEVICE);
        float *in = layers_draw(911, USED * IN, 1), *g = layers_draw(912, USED * OUT, 1), grad_w[OUT * IN] = { 0 };
        double expected[OUT * IN] = { 0 };
        clattn_linear_gradients call = CLATTN_LINEAR_GRADIENTS_INIT;
        clattn_linear_backward *backward = NULL;
        memset(g + ODD * OUT, 0, OUT * sizeof *g);
        for (int64_t k = 0; k < USED * OUT * IN; k++) {
            int64_t r = k / (OUT * IN), o = k / IN % OUT, i = k % IN;
            expected[o * IN + i] += (double)g[r * OUT + o] * (double)in[r * IN + i];
        }
        in[ODD * IN + 2] = NAN;
        call.rows = USED, call.grad_output = g, call.input = in, call.grad_w = grad_w;
        EXPECT_STATUS(clattn_linear_backward_create(runtime, &problem, &options, &backward, NULL), CLATTN_OK, NULL);
        for (int again = 1; again <= 2; again++) { /* what the call before left behind is not seen */
            EXPECT_STATUS(clattn_linear_backward_execute(backward, &call), CLATTN_OK, NULL);
            for (int k = 0; k < OUT * IN; k++) {
                ck_assert_double_eq_tol((double)grad_w[k], again * expected[k], 2e-4);
            }
        }
        clattn_linear_backward_destroy(backward);
        free(in), free(g);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void count_index(void *share, int64_t index) {
    atomic_fetch_add(&((atomic_int *)share)[index], 1);
}

START_TEST(sharing) {
    enum { ITEMS = 1000 };
    static atomic_int counts[ITEMS];
    for (int n = 0; n < 5; n++) {
        clattn_runtime *runtime = place(n);
        atomic_store(&asked, 0);
        clattn_share(runtime, ITEMS, count_index, counts);
        clattn_share(runtime, 1, count_index, counts);
        clattn_share(runtime, 0, count_index, counts);
        clattn_share(runtime, -5, count_index, counts);
        clattn_share(runtime, ITEMS, NULL, counts);
        for (int k = 0; k < ITEMS; k++) {
            ck_assert_int_eq(atomic_exchange(&counts[k], 0), k == 0 ? 2 : 1);
        }
        ck_assert_int_eq(atomic_load(&asked), n == 3);
        clattn_runtime_destroy(runtime);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { same_bits, gelu_numbers, softmax_numbers, linear_chunks, sharing };
    return suite_run(SUITE_OF("learning_threads", tests, 120), SUITE_FORK);
}
