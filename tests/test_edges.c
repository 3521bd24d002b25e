/*
 * What broke for others, on every engine, with numbers known beforehand: keys past some count ignored, low biases, products
 * that overflow fp16, strides of 0, rows with nothing allowed, NaN where nobody may look.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/every_engine.h"

enum { DIM = 32, WIDE = 256, MOST_KEYS = 70000 };

static float query[8 * WIDE], key[MOST_KEYS * DIM], value[MOST_KEYS * DIM], output[16 * WIDE], logsumexp[64], bias[8 * 1024];

static clattn_problem make_problem(int64_t rows, int64_t keys) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_length = rows;
    p.key_length = keys;
    p.head_dim = DIM;
    p.logsumexp = true;
    return p;
}

static clattn_tensors tensors(void) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    memset(output, 0xff, sizeof output);
    memset(logsumexp, 0xff, sizeof logsumexp);
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output, t.bias.data = bias;
    t.logsumexp.data = logsumexp;
    return t;
}

static void fill(float *x, int64_t count, float with) {
    for (int64_t n = 0; n < count; n++) {
        x[n] = with;
    }
}

static void expect_rows(const engine_at *at, const char *what, int64_t first, int64_t rows, int64_t dim, float expected, float tolerance) {
    for (int64_t n = first * dim; n < (first + rows) * dim; n++) {
        ck_assert_msg(fabsf(output[n] - expected) <= tolerance, "%s, %s: output[%" PRId64 "] is %g, not %g", at->name, what, n,
                      (double)output[n], (double)expected);
    }
}

/* All scores equal: the output is the mean of the values. Then one key alone counts. */
static void check_decisive(const engine_at *at, int64_t keys, int64_t which) {
    char what[64];
    snprintf(what, sizeof what, "key %" PRId64 " of %" PRId64, which, keys);
    fill(query, 2 * DIM, 1);
    fill(key, keys * DIM, 0.25F);
    fill(value, keys * DIM, 0);
    fill(value + which * DIM, DIM, (float)keys);
    clattn_tensors t = tensors();
    engine_execute(at, make_problem(2, keys), &t);
    expect_rows(at, what, 0, 2, DIM, 1, 1e-4F);
    fill(key + which * DIM, DIM, 8); /* 44 above the others after scaling */
    fill(value, keys * DIM, -1);
    fill(value + which * DIM, DIM, 3);
    engine_execute(at, make_problem(2, keys), &t);
    expect_rows(at, what, 0, 2, DIM, 3, 1e-5F);
    double score = 8 * DIM / sqrt(DIM);
    ck_assert_msg(fabs((double)logsumexp[1] - score) < 1e-4, "%s, %s: logsumexp is %g", at->name, what, (double)logsumexp[1]);
}

static void check_last_key(const engine_at *at) {
    static const int64_t lengths[] = { 1, 31, 32, 33, 511, 512, 513, 4097, MOST_KEYS };
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        check_decisive(at, lengths[n], lengths[n] - 1);
        check_decisive(at, lengths[n], 0);
    }
    check_decisive(at, MOST_KEYS, 65536);
}

START_TEST(test_last_key) {
    for_every_engine(false, check_last_key);
}
END_TEST

/* Row 0: half the keys low. Row 1: all low. Row 2: all -inf. Row 3: -inf but one, which is low. Row 4: ordinary. */
static void check_low_bias(const engine_at *at, float low) {
    enum { ROWS = 5, KEYS = 100 };
    for (int j = 0; j < KEYS; j++) {
        fill(value + j * DIM, DIM, j < KEYS / 2 ? 7 : 2);
        fill(key + j * DIM, DIM, (float)(j % 7) - 3);
        bias[0 * KEYS + j] = j < KEYS / 2 ? low : 0;
        bias[1 * KEYS + j] = low;
        bias[2 * KEYS + j] = -INFINITY;
        bias[3 * KEYS + j] = j == 77 ? low : -INFINITY;
        bias[4 * KEYS + j] = 0;
    }
    fill(query, ROWS * DIM, 0.5F);
    clattn_problem p = make_problem(ROWS, KEYS);
    p.bias = CLATTN_BIAS_FP32;
    clattn_tensors t = tensors();
    engine_execute(at, p, &t);
    expect_rows(at, "low bias on the first half", 0, 1, DIM, 2, 1e-5F);
    for (int d = 0; d < DIM; d++) {
        ck_assert_msg(output[DIM + d] >= 1.9999F && output[DIM + d] <= 7.0001F, "%s: a row of biases %g gives %g", at->name,
                      (double)low, (double)output[DIM + d]);
    }
    expect_rows(at, "all -inf", 2, 1, DIM, 0, 0);
    ck_assert_msg(logsumexp[2] == -INFINITY, "%s: logsumexp of an empty row is %g", at->name, (double)logsumexp[2]);
    expect_rows(at, "one low key among -inf", 3, 1, DIM, 2, 1e-5F);
    ck_assert_msg(fabsf(logsumexp[3] - low) <= 1e-6F * fabsf(low) + 100, "%s: logsumexp %g", at->name, (double)logsumexp[3]);
    ck_assert_msg(isfinite(logsumexp[0]) && isfinite(logsumexp[4]), "%s: logsumexp is not finite", at->name);
}

static void check_low_biases(const engine_at *at) {
    check_low_bias(at, -FLT_MAX);
    check_low_bias(at, -3.0e38F);
    check_low_bias(at, -1e9F);
    check_low_bias(at, -65504);
}

START_TEST(test_low_biases) {
    for_every_engine(false, check_low_biases);
}
END_TEST

/* Raw products of 10 million, in types that hold 65504 at most: the even keys share the weight. */
static void check_large_products(const engine_at *at) {
    static const clattn_type types[] = { CLATTN_FP32, CLATTN_FP16, CLATTN_BF16 };
    enum { ROWS = 4, KEYS = 66 };
    static uint16_t place[3][MOST_KEYS];
    for (int n = 0; n < 3; n++) {
        clattn_problem p = make_problem(ROWS, KEYS);
        clattn_tensors t = tensors();
        p.type = types[n];
        p.head_dim = WIDE;
        p.value_dim = DIM;
        if (n > 0) {
            t.query.data = place[0], t.key.data = place[1], t.value.data = place[2];
        }
        for (int64_t i = 0; i < ROWS * WIDE; i++) {
            clattn_set_element(p.type, t.query.data, i, 200);
        }
        for (int64_t j = 0; j < KEYS * WIDE; j++) {
            clattn_set_element(p.type, t.key.data, j, j / WIDE % 2 == 0 ? 200 : -200);
        }
        for (int64_t j = 0; j < KEYS * DIM; j++) {
            clattn_set_element(p.type, t.value.data, j, j / DIM % 2 == 0 ? (double)(j / DIM / 2 % 3) : 9.0);
        }
        engine_execute(at, p, &t);
        for (int64_t i = 0; i < ROWS * DIM; i++) {
            double got = clattn_get_element(p.type, output, i);
            ck_assert_msg(fabs(got - 1) < 0.01, "%s, %s: %g", at->name, clattn_type_name(p.type), got);
        }
        ck_assert_msg(fabs((double)logsumexp[0] / 640000 - 1) < 1e-5, "%s: logsumexp %g", at->name, (double)logsumexp[0]);
    }
}

START_TEST(test_large_products) {
    for_every_engine(false, check_large_products);
}
END_TEST

/* One key row and one query row for all, by strides of 0. */
static void check_stride_zero(const engine_at *at) {
    enum { ROWS = 6, KEYS = 45 };
    clattn_problem p = make_problem(ROWS, KEYS);
    clattn_tensors t = tensors();
    fill(query, DIM, 0.7F);
    fill(query + DIM, 5 * DIM, NAN);
    fill(key, DIM, -1.3F);
    fill(key + DIM, KEYS * DIM, NAN);
    for (int j = 0; j < KEYS; j++) {
        fill(value + j * DIM, DIM, (float)(j - 22));
    }
    t.query.layout = t.key.layout = CLATTN_STRIDED;
    engine_execute(at, p, &t);
    expect_rows(at, "stride 0", 0, ROWS, DIM, 0, 1e-5F);
}

START_TEST(test_stride_zero) {
    for_every_engine(false, check_stride_zero);
}
END_TEST

/* More rows than keys, causal and bottom right: the first rows may attend to nothing. */
static void check_empty_rows(const engine_at *at) {
    enum { ROWS = 7, KEYS = 4 };
    clattn_problem p = make_problem(ROWS, KEYS);
    clattn_tensors t = tensors();
    p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    fill(query, ROWS * DIM, 1);
    fill(key, KEYS * DIM, 1);
    fill(value, KEYS * DIM, 5);
    engine_execute(at, p, &t);
    expect_rows(at, "rows before the first key", 0, 3, DIM, 0, 0);
    expect_rows(at, "rows with keys", 3, 4, DIM, 5, 1e-5F);
    for (int i = 0; i < ROWS; i++) {
        ck_assert_msg((logsumexp[i] == -INFINITY) == (i < 3), "%s: logsumexp[%d] is %g", at->name, i, (double)logsumexp[i]);
    }
}

START_TEST(test_empty_rows) {
    for_every_engine(false, check_empty_rows);
}
END_TEST

/* NaN in keys and values beyond the length, in masked keys, and in a key that only the last row may see. */
static void check_unused_memory(const engine_at *at) {
    enum { ROWS = 4, KEYS = 70, USED = 67 };
    static uint8_t mask[KEYS];
    int32_t used = USED;
    clattn_problem p = make_problem(ROWS, KEYS);
    clattn_tensors t = tensors();
    p.key_lengths = true;
    p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    p.mask = CLATTN_MASK_BYTES;
    p.mask_shape[2] = 1;
    t.key_lengths.data = &used;
    t.mask.data = mask;
    fill(query, ROWS * DIM, 0.1F);
    fill(key, KEYS * DIM, 0.2F);
    fill(value, KEYS * DIM, 4);
    memset(mask, 1, sizeof mask);
    mask[3] = mask[40] = 0;
    fill(key + 3 * DIM, DIM, NAN);
    fill(key + 40 * DIM, DIM, INFINITY);
    fill(key + (USED - 1) * DIM, DIM, NAN);
    fill(key + USED * DIM, (KEYS - USED) * DIM, NAN);
    fill(value + USED * DIM, (KEYS - USED) * DIM, NAN);
    engine_execute(at, p, &t);
    expect_rows(at, "rows that see no NaN", 0, ROWS - 1, DIM, 4, 1e-5F);
    ck_assert_msg(isnan(output[(ROWS - 1) * DIM]), "%s: a NaN that the inputs made is lost: %g", at->name,
                  (double)output[(ROWS - 1) * DIM]);
}

START_TEST(test_unused_memory) {
    for_every_engine(false, check_unused_memory);
}
END_TEST

/* A NaN query spoils its own row alone; no key or value is touched when a length is 0. */
static void check_rows_apart(const engine_at *at) {
    enum { ROWS = 5, KEYS = 40 };
    int64_t used = 0;
    clattn_problem p = make_problem(ROWS, KEYS);
    clattn_tensors t = tensors();
    fill(query, ROWS * DIM, 0.1F);
    fill(query + 2 * DIM, DIM, NAN);
    fill(key, KEYS * DIM, 0.2F);
    fill(value, KEYS * DIM, -6);
    engine_execute(at, p, &t);
    expect_rows(at, "rows beside a NaN row", 0, 2, DIM, -6, 1e-5F);
    expect_rows(at, "rows beside a NaN row", 3, 2, DIM, -6, 1e-5F);
    ck_assert_msg(isnan(output[2 * DIM]), "%s: a NaN query gives %g", at->name, (double)output[2 * DIM]);
    p.key_lengths = true;
    t.key_lengths = (clattn_integers){ &used, 0, CLATTN_INT64 };
    fill(key, KEYS * DIM, NAN);
    fill(value, KEYS * DIM, NAN);
    engine_execute(at, p, &t);
    expect_rows(at, "no keys", 0, ROWS, DIM, 0, 0);
}

START_TEST(test_rows_apart) {
    for_every_engine(false, check_rows_apart);
}
END_TEST

/* With batch_invariant, an entry has the same bits alone and among others. */
static void check_batch_invariance(const engine_at *at) {
    enum { ROWS = 3, KEYS = 700, BATCH = 3 };
    static float together[BATCH * ROWS * DIM];
    for (int n = 0; n < BATCH * KEYS * DIM; n++) {
        key[n] = (float)(n * 37 % 101) / 50 - 1;
        value[n] = (float)(n * 53 % 97) / 48 - 1;
        query[n % (BATCH * ROWS * DIM)] = (float)(n % 89) / 44 - 1;
    }
    clattn_problem p = make_problem(ROWS, KEYS);
    clattn_tensors t = tensors();
    engine_at invariant = *at;
    invariant.batch_invariant = true;
    p.logsumexp = false;
    p.batch = BATCH;
    t.output.data = together;
    engine_execute(&invariant, p, &t);
    p.batch = 1;
    t.output.data = output;
    for (int b = 0; b < BATCH; b++) {
        t.query.offset = b * ROWS * DIM;
        t.key.offset = t.value.offset = b * KEYS * DIM;
        engine_execute(&invariant, p, &t);
        ck_assert_msg(memcmp(output, together + b * ROWS * DIM, ROWS * DIM * sizeof *output) == 0, "%s: entry %d has other bits alone",
                      at->name, b);
    }
}

START_TEST(test_batch_invariance) {
    for_every_engine(false, check_batch_invariance);
}
END_TEST

/* Weights lie as the problem's largest lengths say; keys beyond a shorter call are written as 0. */
static void check_shorter_call(const engine_at *at) {
    enum { ROWS = 2, KEYS = 40, USED = 17 };
    static float weights[ROWS * KEYS];
    for (int stage = CLATTN_WEIGHTS_RAW; stage <= CLATTN_WEIGHTS_SOFTMAX; stage++) {
        fill(query, ROWS * DIM, 1);
        fill(key, KEYS * DIM, 0.25F);
        fill(value, KEYS * DIM, 1);
        clattn_problem p = make_problem(ROWS, KEYS);
        clattn_tensors t = tensors();
        p.weights = (clattn_weights_stage)stage;
        const clattn_plan_options options = engine_options(at);
        if (clattn_engine_supports(at->runtime, &p, &options, NULL) != CLATTN_OK) {
            return; /* no weights out */
        }
        t.weights.data = weights, t.key_length = USED;
        memset(weights, 0xff, sizeof weights);
        engine_execute(at, p, &t);
        double used = stage == CLATTN_WEIGHTS_SOFTMAX ? 1.0 / USED : 0.25 * DIM / sqrt(DIM);
        for (int n = 0; n < ROWS * KEYS; n++) {
            double expected = n % KEYS < USED ? used : 0;
            ck_assert_msg(fabs((double)weights[n] - expected) < 1e-5, "%s, stage %d: weights[%d] is %g, not %g", at->name, stage, n,
                          (double)weights[n], expected);
        }
    }
}

START_TEST(test_shorter_call) {
    for_every_engine(false, check_shorter_call);
}
END_TEST

/* A key whose score is -Inf by what it holds has weight 0, and spoils nothing. */
static void check_infinite_key(const engine_at *at) {
    enum { KEYS = 40, ROWS = 3 };
    fill(query, ROWS * DIM, 1);
    fill(key, KEYS * DIM, 0.25F);
    fill(key + 3 * DIM, DIM, -INFINITY);
    fill(value, KEYS * DIM, 2);
    fill(value + 3 * DIM, DIM, 100);
    clattn_tensors t = tensors();
    engine_execute(at, make_problem(ROWS, KEYS), &t);
    expect_rows(at, "a key of -Inf", 0, ROWS, DIM, 2, 1e-5F);
    const double sum = 0.25 * sqrt(DIM) + log(KEYS - 1);
    ck_assert_msg(fabs((double)logsumexp[2] - sum) < 1e-4, "%s: logsumexp is %g", at->name, (double)logsumexp[2]);
}

/* Also in the body on matrix units, whose numbers are split: Inf has no second part. */
static void check_infinite_keys(const engine_at *at) {
    const clattn_block_override matrix = { .body = "matrix" };
    check_infinite_key(at);
    if (strcmp(at->engine, "opencl-fused") == 0) {
        engine_at with = *at;
        with.blocks = &matrix;
        check_infinite_key(&with);
    }
}

START_TEST(test_infinite_keys) {
    for_every_engine(false, check_infinite_keys);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_last_key,      test_low_biases,    test_large_products, test_stride_zero,
                                   test_empty_rows,    test_unused_memory, test_rows_apart,     test_batch_invariance,
                                   test_shorter_call,  test_infinite_keys };
    return suite_run(SUITE_OF("edges", tests, 0), SUITE_NO_FORK);
}
