/*
 * Numbers at the ends of what the interface allows, on every engine and body: positions near 2^61, scales and softcaps that
 * no float holds, sinks that are not finite, sums that a float does not hold though the result is one. Answers are known
 * beforehand.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/every_engine.h"

enum { DIM = 16, ROWS = 3, MOST_ROWS = 20, KEYS = 24 };

static const int64_t FAR = INT64_C(1) << 61;

static double query[MOST_ROWS * DIM], key[KEYS * DIM], value[KEYS * DIM], output[MOST_ROWS * DIM], logsumexp[MOST_ROWS],
    weights[MOST_ROWS * KEYS];
static float sinks[1], slopes[1];
static int64_t offsets[1];

/* A body of an engine, and what to call it. */
typedef struct body {
    const engine_at *at;
    clattn_type type;
    char name[300];
} body;

/* Bodies that take long to build come once, with one type, or not at all. */
static bool is_slow(const char *body, clattn_type type) {
    if (!body || strcmp(body, "cpu-shaped") == 0) {
        return type > CLATTN_BF16;
    }
    return strcmp(body, "gpu-shaped") == 0 ? type > CLATTN_FP32 : strcmp(body, "matrix") != 0 || type > CLATTN_FP16;
}

/* check(body) for every body that the engine has here. */
static void for_every_body(const engine_at *at, const char *what, void (*check)(const body *b)) {
    const bool opencl = strncmp(at->engine, "opencl", 6) == 0;
    for (int type = CLATTN_FP32; type <= CLATTN_FP64; type++) {
        clattn_block_override blocks;
        for (int64_t n = 0; engine_take_body(at, n, &blocks); n++) {
            const char *name = blocks.body;
            engine_at with = *at;
            with.blocks = &blocks;
            const clattn_plan_options options = engine_options(&with);
            if (opencl && is_slow(name, (clattn_type)type)) {
                continue;
            }
            clattn_problem p = CLATTN_PROBLEM_INIT;
            p.query_length = ROWS, p.head_dim = DIM, p.type = (clattn_type)type;
            if (clattn_engine_supports(at->runtime, &p, &options, NULL) != CLATTN_OK) {
                continue;
            }
            body b = { &with, (clattn_type)type, "" };
            snprintf(b.name, sizeof b.name, "%s, %s, %s, %s", at->name, name ? name : "chosen", clattn_type_name(b.type), what);
            check(&b);
        }
    }
}

/* Queries of 1; keys of `key_of(j)`, values of j. */
static clattn_problem start(const body *b, int64_t rows, double query_is, double key_is) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = b->type, p.query_length = rows, p.key_length = KEYS, p.head_dim = DIM, p.logsumexp = true;
    for (int64_t n = 0; n < KEYS * DIM; n++) {
        clattn_set_element(p.type, query, n % (rows * DIM), query_is);
        clattn_set_element(p.type, key, n, key_is);
        clattn_set_element(p.type, value, n, (double)(n / DIM));
    }
    return p;
}

static bool execute(const body *b, const clattn_problem *p, clattn_report *report) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output, t.logsumexp.data = logsumexp;
    t.sinks.data = sinks, t.alibi_slopes.data = slopes, t.weights.data = weights;
    t.offsets = (clattn_integers){ offsets, 0, CLATTN_INT64 };
    t.report = report;
    memset(output, 0xff, sizeof output);
    memset(logsumexp, 0xff, sizeof logsumexp);
    const clattn_plan_options options = engine_options(b->at);
    return clattn_attention(b->at->runtime, p, &options, &t, report) == CLATTN_OK;
}

static double logsumexp_of(const clattn_problem *p, int64_t i) {
    return p->type == CLATTN_FP64 ? logsumexp[i] : (double)((const float *)logsumexp)[i];
}

/* Row i is the mean of the values first .. end - 1 (0 without any), and its logsumexp says how many. */
static void expect_keys(const body *b, const clattn_problem *p, int64_t i, int64_t first, int64_t end) {
    double mean = end > first ? (double)(first + end - 1) / 2 : 0, sum = logsumexp_of(p, i);
    for (int64_t d = 0; d < DIM; d++) {
        double x = clattn_get_element(p->type, output, i * DIM + d);
        ck_assert_msg(fabs(x - mean) <= 0.01 * (1 + mean), "%s: row %d is %g, keys %d to %d make %g", b->name, (int)i, x,
                      (int)first, (int)end, mean);
    }
    ck_assert_msg(end > first ? fabs(sum - log((double)(end - first))) < 1e-4 : sum == -INFINITY,
                  "%s: logsumexp of row %d is %g, for keys %d to %d", b->name, (int)i, sum, (int)first, (int)end);
}

static void run(const body *b, const clattn_problem *p) {
    static clattn_report report;
    ck_assert_msg(execute(b, p, &report), "%s: %s", b->name, report.text);
}

/* Offset and window, and which keys row i may attend to: first + i * step_first .. end + i * step_end, cut to those there. */
typedef struct far_case {
    bool causal;
    int64_t offset, left, right, first, step_first, end, step_end;
} far_case;

static const far_case far_cases[] = {
    { true, INT64_C(1) << 61, CLATTN_OPEN, CLATTN_OPEN, 0, 0, KEYS, 0 },
    { true, -(INT64_C(1) << 61), CLATTN_OPEN, CLATTN_OPEN, 0, 0, 0, 0 },
    { true, INT64_C(1) << 61, (INT64_C(1) << 61) - 2, CLATTN_OPEN, 2, 1, KEYS, 0 },
    { false, INT64_C(1) << 61, INT64_C(1) << 61, CLATTN_OPEN, 0, 1, KEYS, 0 },
    { false, (INT64_C(1) << 61) - 1, INT64_C(1) << 61, 5, -1, 1, KEYS, 0 },
    { false, INT64_C(1) << 61, (INT64_C(1) << 61) + 1, CLATTN_OPEN, -1, 1, KEYS, 0 },
    { false, INT64_C(1) << 61, (INT64_C(1) << 62) - 1, CLATTN_OPEN, 0, 0, KEYS, 0 },
    { false, INT64_C(1) << 61, INT64_MAX, INT64_MAX, 0, 0, KEYS, 0 },
    { false, INT64_C(1) << 61, 100, 100, 0, 0, 0, 0 },
    { false, -(INT64_C(1) << 61), 0, (INT64_C(1) << 61) + 5, 0, 0, 6, 1 },
    { false, -(INT64_C(1) << 61), CLATTN_OPEN, INT64_C(1) << 61, 0, 0, 1, 1 },
    { false, -(INT64_C(1) << 61), CLATTN_OPEN, (INT64_C(1) << 62) - 1, 0, 0, KEYS, 0 },
    { false, -(INT64_C(1) << 61), INT64_MAX, INT64_MAX, 0, 0, KEYS, 0 },
    { true, -(INT64_C(1) << 61), 3, INT64_MAX, 0, 0, 0, 0 },
    { true, 5, (INT64_C(1) << 62) - 1, CLATTN_OPEN, 0, 0, 6, 1 },
};

static int64_t inside(int64_t j) {
    return j < 0 ? 0 : j > KEYS ? KEYS : j;
}

static void check_far_rows(const body *b, int64_t rows) {
    for (size_t n = 0; n < sizeof far_cases / sizeof *far_cases; n++) {
        const far_case *c = &far_cases[n];
        for (int arrays = 0; arrays < 2; arrays++) {
            clattn_problem p = start(b, rows, 1, 0);
            p.causal = c->causal, p.window_left = c->left, p.window_right = c->right;
            p.alignment = arrays ? CLATTN_ALIGN_OFFSETS : CLATTN_ALIGN_OFFSET;
            p.offset = offsets[0] = c->offset;
            run(b, &p);
            for (int64_t i = 0; i < rows; i++) {
                expect_keys(b, &p, i, inside(c->first + i * c->step_first), inside(c->end + i * c->step_end));
            }
        }
    }
}

/* Slopes so small that even 2^61 positions are a score of 2: the same for all keys, as far as a float can show. */
static void check_far_alibi(const body *b) {
    for (int sign = -1; sign <= 1; sign += 2) {
        clattn_problem p = start(b, ROWS, 1, 0);
        p.alibi = true, p.alignment = CLATTN_ALIGN_OFFSET, p.offset = sign * FAR;
        slopes[0] = ldexpf(1, -60);
        run(b, &p);
        for (int64_t i = 0; i < ROWS; i++) {
            double x = clattn_get_element(p.type, output, i * DIM), sum = logsumexp_of(&p, i);
            ck_assert_msg(fabs(x - (KEYS - 1) / 2.0) < 0.1, "%s: %g", b->name, x);
            ck_assert_msg(fabs(sum - (log(KEYS) - 2)) < 1e-4, "%s: logsumexp %g", b->name, sum);
        }
    }
}

static void check_far(const body *b) {
    check_far_rows(b, ROWS);
    if (strcmp(b->at->engine, "cpu") == 0) { /* prefill beside decode */
        check_far_rows(b, MOST_ROWS);
    }
    check_far_alibi(b);
}

static void far_positions(const engine_at *at) {
    for_every_body(at, "far positions", check_far);
}

START_TEST(test_far_positions) {
    for_every_engine(false, far_positions);
}
END_TEST

/* Refused by name at plan creation, or served; answers which. */
static bool serves(const body *b, const clattn_problem *p, const char *field) {
    static clattn_report report;
    bool served = execute(b, p, &report);
    ck_assert_msg(served || strstr(report.text, field), "%s: refused without naming %s: %s", b->name, field, report.text);
    ck_assert_msg(served || strncmp(b->at->engine, "opencl", 6) == 0, "%s: refused: %s", b->name, report.text);
    return served;
}

/* Scores of `first` at key 0 and 0 elsewhere by inputs of 1 at key 0: what the scale says. */
static void check_scale(const body *b, double scale, double query_is, double key_is) {
    clattn_problem p = start(b, ROWS, query_is, 0);
    for (int64_t d = 0; d < DIM; d++) {
        clattn_set_element(p.type, key, d, key_is);
    }
    p.has_scale = true, p.scale = scale;
    if (!serves(b, &p, "scale:")) {
        return;
    }
    double q = clattn_get_element(p.type, query, 0), score = scale * q * key_is * DIM, w = exp(score - fmax(score, 0));
    double rest = exp(-fmax(score, 0)), expected = rest * KEYS * (KEYS - 1) / 2 / (w + rest * (KEYS - 1));
    for (int64_t n = 0; n < ROWS * DIM; n++) {
        double x = clattn_get_element(p.type, output, n);
        ck_assert_msg(fabs(x - expected) <= 0.01 * (1 + expected), "%s: scale %g gives %g, not %g", b->name, scale, x, expected);
    }
}

static void check_softcap(const body *b, double softcap) {
    clattn_problem p = start(b, ROWS, 1, 0);
    for (int64_t d = 0; d < DIM; d++) {
        clattn_set_element(p.type, key, d, 0.25);
    }
    p.has_scale = true, p.scale = 0.5, p.softcap = softcap;
    if (!serves(b, &p, "softcap:")) {
        return;
    }
    double w = exp(softcap * tanh(2 / softcap)), expected = KEYS * (KEYS - 1) / 2.0 / (w + KEYS - 1);
    for (int64_t n = 0; n < ROWS * DIM; n++) {
        double x = clattn_get_element(p.type, output, n);
        ck_assert_msg(fabs(x - expected) <= 0.01 * (1 + expected), "%s: softcap %g gives %g, not %g", b->name, softcap, x, expected);
    }
}

static void check_numbers(const body *b) {
    static const double scales[] = { 1e300, 1e39, 3.5e38, 1e-300, 5e-324, 1e-46, 1e-40 };
    for (size_t n = 0; n < sizeof scales / sizeof *scales; n++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            check_scale(b, sign * scales[n], 1, 1);
            check_softcap(b, scales[n]);
        }
    }
    check_scale(b, 1e-30, 1, 1);
    check_scale(b, 0, 1, 1);
    if (b->type == CLATTN_FP32 || b->type == CLATTN_BF16) { /* sizes that meet the scale half way */
        check_scale(b, ldexp(1, -110), ldexp(1, 54), ldexp(1, 53));
        check_scale(b, ldexp(1, -127), ldexp(1, 63), ldexp(1, 61));
        check_scale(b, ldexp(1, 100), ldexp(1, -60), ldexp(1, -43));
    }
    check_softcap(b, 1e-30);
    check_softcap(b, 1e30);
}

static void numbers_beyond_float(const engine_at *at) {
    for_every_body(at, "numbers", check_numbers);
}

START_TEST(test_numbers_beyond_float) {
    for_every_engine(false, numbers_beyond_float);
}
END_TEST

/* What no float holds is refused by the OpenCL engines, and the planner takes one that serves it. */
START_TEST(test_numbers_find_an_engine) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan *plan = NULL;
    clattn_plan_info info;
    p.query_length = ROWS, p.head_dim = DIM, p.has_scale = true, p.scale = 1e300;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, NULL, &plan, NULL), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, "cpu");
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

static bool same(double a, double b) {
    return isnan(a) ? isnan(b) : a == b;
}

/* Rows 0 and 1 may attend to nothing, the others to some keys. */
static void check_sink(const body *b, float sink, bool with_weights, int64_t rows) {
    clattn_problem p = start(b, rows, 1, 0);
    p.sinks = true, p.causal = true, p.alignment = CLATTN_ALIGN_OFFSET, p.offset = -2;
    p.weights = with_weights ? CLATTN_WEIGHTS_SOFTMAX : CLATTN_WEIGHTS_NONE;
    const clattn_plan_options options = engine_options(b->at);
    if (clattn_engine_supports(b->at->runtime, &p, &options, NULL) != CLATTN_OK) {
        return; /* no weights out */
    }
    sinks[0] = sink;
    run(b, &p);
    for (int64_t i = 0; i < rows; i++) {
        const bool nothing = i < 2;
        double x = clattn_get_element(p.type, output, i * DIM), sum = logsumexp_of(&p, i);
        ck_assert_msg(nothing ? x == 0 : isnan(x), "%s: sink %g, row %d: output %g", b->name, (double)sink, (int)i, x);
        ck_assert_msg(nothing ? same((double)sink, sum) : isnan(sum), "%s: sink %g, row %d: logsumexp %g", b->name,
                      (double)sink, (int)i, sum);
        for (int64_t j = 0; with_weights && j < KEYS; j++) {
            double w = clattn_get_element(p.type, weights, i * KEYS + j);
            ck_assert_msg(nothing ? w == 0 : j + 2 > i || isnan(w), "%s: sink %g, row %d, key %d: weight %g", b->name,
                          (double)sink, (int)i, (int)j, w);
        }
    }
}

static void check_sinks(const body *b) {
    for (int with_weights = 0; with_weights < 2; with_weights++) {
        check_sink(b, NAN, with_weights, ROWS);
        check_sink(b, INFINITY, with_weights, ROWS);
        check_sink(b, NAN, with_weights, MOST_ROWS);
        check_sink(b, INFINITY, with_weights, MOST_ROWS);
    }
}

static void sinks_not_finite(const engine_at *at) {
    for_every_body(at, "sinks", check_sinks);
}

START_TEST(test_sinks_not_finite) {
    for_every_engine(false, sinks_not_finite);
}
END_TEST

/*
 * Rows whose result is the mean of the values, a float. Engines in double say so; the others may say Inf or NaN, and 0 where
 * their scores become -inf in between (docs/numerics.md); nothing else.
 */
static void expect_mean(const body *b, const clattn_problem *p, double mean, const char *what) {
    const bool must = strncmp(b->at->engine, "opencl", 6) != 0, may_be_empty = strcmp(what, "values") != 0;
    run(b, p);
    for (int64_t n = 0; n < p->query_length * DIM; n++) {
        double x = clattn_get_element(p->type, output, n);
        const bool excused = !must && (!isfinite(x) || (may_be_empty && x == 0));
        ck_assert_msg(fabs(x - mean) <= 0.01 * mean || excused, "%s: %s: %g, not %g", b->name, what, x, mean);
    }
}

static void check_overflow(const body *b) {
    if (b->type == CLATTN_FP16 || b->type == CLATTN_FP64) {
        return;
    }
    for (int64_t rows = ROWS; rows <= MOST_ROWS; rows += MOST_ROWS - ROWS) {
        clattn_problem p = start(b, rows, 1, 0);
        for (int64_t n = 0; n < KEYS * DIM; n++) {
            clattn_set_element(p.type, value, n, 3e38);
        }
        expect_mean(b, &p, 3e38, "values");
        p = start(b, rows, 3e19, 3e19);
        for (int64_t n = 0; n < KEYS * DIM; n += 2) {
            clattn_set_element(p.type, key, n, -3e19); /* products of 9e38 that cancel */
        }
        expect_mean(b, &p, (KEYS - 1) / 2.0, "products");
        p = start(b, rows, 3e19, 3e19); /* all scores beyond, and equal */
        expect_mean(b, &p, (KEYS - 1) / 2.0, "scores");
    }
}

static void sums_beyond_float(const engine_at *at) {
    for_every_body(at, "overflow", check_overflow);
}

START_TEST(test_sums_beyond_float) {
    for_every_engine(false, sums_beyond_float);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_far_positions, test_numbers_beyond_float, test_numbers_find_an_engine,
                                   test_sinks_not_finite, test_sums_beyond_float };
    return suite_run(SUITE_OF("limits", tests, 0), SUITE_NO_FORK);
}
