/*
 * Additive attention on every engine: PyTorch's numbers, the reference on awkward sizes, what may not be read,
 * refusals, and that memory does not grow with query_length * key_length.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "clattn/clattn_inspect.h"
#include "support/layers_golden.h"
#include "support/suite.h"

static const char *const engines[] = { "reference", "cpu", "opencl" };
enum { ENGINES = 3 };

static bool is_here(clattn_runtime *runtime, int engine) {
    return engine < 2 || suite_opencl_device(runtime) >= 0;
}

/* All arrays of a case, drawn by seeds; guards of NaN after the outputs. */
typedef struct additive_case {
    clattn_additive_problem problem;
    clattn_additive_tensors tensors;
    float *memory[7];
    int64_t outputs, weights, rows;
} additive_case;

static float *guarded(int64_t count) {
    float *x = malloc((size_t)(count + 8) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int64_t k = 0; k < count + 8; k++) {
        x[k] = NAN;
    }
    return x;
}

static float *draw(uint64_t seed, int64_t count, float size) {
    float *x = malloc((size_t)count * sizeof *x + 1);
    ck_assert_ptr_nonnull(x);
    for (int64_t k = 0; k < count; k++) { /* clattn_fill's numbers, restated: this suite also runs without the layers */
        uint64_t z = seed + (uint64_t)(k + 1) * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        x[k] = (2 * (float)((double)((z ^ (z >> 31)) >> 11) * 0x1p-53) - 1) * size;
    }
    return x;
}

static additive_case make_case(int64_t batch, int64_t queries, int64_t keys, int64_t hidden, int64_t dim) {
    additive_case c = { .problem = CLATTN_ADDITIVE_PROBLEM_INIT, .tensors = CLATTN_ADDITIVE_TENSORS_INIT };
    clattn_additive_problem *p = &c.problem;
    p->batch = batch, p->query_length = queries, p->key_length = keys, p->hidden = hidden, p->value_dim = dim;
    p->logsumexp = p->weights = true;
    c.rows = batch * queries, c.outputs = c.rows * dim, c.weights = c.rows * keys;
    c.tensors.query = c.memory[0] = draw(61, c.rows * hidden, 3);
    c.tensors.key = c.memory[1] = draw(62, batch * keys * hidden, 3);
    c.tensors.v = c.memory[2] = draw(63, hidden, 2);
    c.tensors.value = c.memory[3] = draw(64, batch * keys * dim, 2);
    c.tensors.output = c.memory[4] = guarded(c.outputs);
    c.tensors.weights = c.memory[5] = guarded(c.weights);
    c.tensors.logsumexp = c.memory[6] = guarded(c.rows);
    return c;
}

static void free_case(additive_case *c) {
    for (int k = 0; k < 7; k++) {
        free(c->memory[k]);
    }
}

static void check_guards(const additive_case *c) {
    for (int k = 0; k < 8; k++) {
        ck_assert_msg(isnan(c->tensors.output[c->outputs + k]), "output: written beyond its end");
        ck_assert_msg(isnan(c->tensors.weights[c->weights + k]), "weights: written beyond their end");
        ck_assert_msg(isnan(c->tensors.logsumexp[c->rows + k]), "logsumexp: written beyond its end");
    }
}

static void run_case(clattn_runtime *runtime, additive_case *c, const char *engine) {
    clattn_report report;
    clattn_additive_plan *plan = NULL;
    c->problem.engine = engine;
    c->tensors.report = &report;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &c->problem, &plan, &report), CLATTN_OK, &report);
    clattn_operation_info info;
    EXPECT_STATUS(clattn_additive_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, engine);
    ck_assert_int_gt((int)strlen(info.kernel), 0);
    EXPECT_STATUS(clattn_additive_execute(plan, &c->tensors), CLATTN_OK, &report);
    check_guards(c);
    clattn_additive_plan_destroy(plan);
}

/* Bound 1 of docs/numerics.md in this operation's terms: 16 roundings of |v|, those of the sums, the maximum's and the
 * score's. */
static void compare(const additive_case *gold, const additive_case *c, const char *engine) {
    const clattn_additive_problem *p = &c->problem;
    double size = 0, u = 0x1p-24;
    for (int64_t h = 0; h < p->hidden; h++) {
        size += fabs((double)c->tensors.v[h]);
    }
    double relative = u * (16 + (double)p->key_length / 128 + 8 * size + 16 * size);
    for (int64_t row = 0; row < c->rows; row++) {
        float wanted = gold->tensors.logsumexp[row], got = c->tensors.logsumexp[row];
        ck_assert_msg(wanted == got || fabs((double)wanted - (double)got) <= relative,
                      "%s: logsumexp of row %lld: %g, not %g", engine, (long long)row, (double)got, (double)wanted);
        double allowed = 0;
        const float *value = c->tensors.value + row / p->query_length * p->key_length * p->value_dim;
        for (int64_t j = 0; j < p->key_length; j++) {
            double w = (double)gold->tensors.weights[row * p->key_length + j];
            double error = fabs((double)c->tensors.weights[row * p->key_length + j] - w);
            ck_assert_msg(error <= relative * w + 0x1p-126, "%s: weight %lld of row %lld is off by %g", engine,
                          (long long)j, (long long)row, error);
            for (int64_t d = 0; w > 0 && d < p->value_dim; d++) {
                allowed = fmax(allowed, fabs((double)value[j * p->value_dim + d]));
            }
        }
        for (int64_t d = 0; d < p->value_dim; d++) {
            int64_t at = row * p->value_dim + d;
            double error = fabs((double)c->tensors.output[at] - (double)gold->tensors.output[at]);
            ck_assert_msg(error <= 2 * relative * allowed, "%s: output %lld of row %lld is off by %g", engine,
                          (long long)d, (long long)row, error);
        }
    }
}

#if CLATTN_HAVE_LAYERS
static void mask_case(additive_case *c, uint8_t *mask, const int32_t *query_lengths, const int64_t *key_lengths) {
    float *drawn = draw(65, c->weights, 1);
    for (int64_t k = 0; k < c->weights; k++) {
        mask[k] = (drawn[k] + 1) / 2 < 0.6f;
    }
    free(drawn);
    memset(mask + (5 + 2) * 70, 0, 70);
    c->problem.mask = CLATTN_MASK_BYTES;
    c->problem.query_lengths = c->problem.key_lengths = true;
    c->tensors.mask = mask;
    c->tensors.query_lengths = (clattn_integers){ query_lengths, 0, CLATTN_INT32 };
    c->tensors.key_lengths = (clattn_integers){ key_lengths, 0, CLATTN_INT64 };
}

START_TEST(numbers_of_pytorch) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ENGINES; e++) {
        if (!is_here(runtime, e)) {
            continue;
        }
        additive_case c = make_case(3, 5, 70, 19, 37);
        run_case(runtime, &c, engines[e]);
        layers_compare("additive_output", engines[e], c.tensors.output, c.outputs);
        layers_compare("additive_weights", engines[e], c.tensors.weights, c.weights);
        layers_compare("additive_logsumexp", engines[e], c.tensors.logsumexp, c.rows);
        uint8_t mask[3 * 5 * 70];
        static const int32_t query_lengths[] = { 5, 4, 5 };
        static const int64_t key_lengths[] = { 70, 33, 0 };
        mask_case(&c, mask, query_lengths, key_lengths);
        for (int64_t k = 33 * 19; k < 70 * 19; k++) { /* beyond the used keys: never read */
            c.memory[1][70 * 19 + k] = NAN;
        }
        for (int64_t k = 33 * 37; k < 70 * 37; k++) {
            c.memory[3][70 * 37 + k] = INFINITY;
        }
        run_case(runtime, &c, engines[e]);
        layers_compare("additive_masked_output", engines[e], c.tensors.output, c.outputs);
        layers_compare("additive_masked_weights", engines[e], c.tensors.weights, c.weights);
        layers_compare("additive_masked_logsumexp", engines[e], c.tensors.logsumexp, c.rows);
        free_case(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST
#endif

START_TEST(awkward_sizes_match_the_reference) {
    static const int64_t sizes[][5] = { { 1, 1, 1, 1, 1 },     { 1, 1, 513, 33, 65 }, { 2, 3, 31, 16, 64 },
                                        { 1, 4, 64, 17, 15 },  { 3, 9, 129, 64, 3 },  { 1, 2, 4097, 7, 16 },
                                        { 1, 1, 70000, 5, 4 }, { 2, 5, 255, 100, 80 } };
    clattn_runtime *runtime = suite_runtime(NULL);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int64_t *s = sizes[k];
        additive_case gold = make_case(s[0], s[1], s[2], s[3], s[4]);
        run_case(runtime, &gold, "reference");
        for (int e = 1; e < ENGINES; e++) {
            if (is_here(runtime, e)) {
                additive_case c = make_case(s[0], s[1], s[2], s[3], s[4]);
                run_case(runtime, &c, engines[e]);
                compare(&gold, &c, engines[e]);
                free_case(&c);
            }
        }
        free_case(&gold);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* tanh itself, over all its range: one hidden unit, v = 1, one key at 0: logsumexp is the score. */
START_TEST(tanh_is_as_exact_as_told) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 1; e < ENGINES; e++) {
        if (!is_here(runtime, e)) {
            continue;
        }
        additive_case c = make_case(1, 20000, 1, 1, 1);
        c.memory[2][0] = 1;
        c.memory[1][0] = 0;
        for (int64_t i = 0; i < c.rows; i++) {
            c.memory[0][i] = ((float)i - 10000) / 800 * ((float)i - 10000) / 10000 * (i < 10000 ? -1.0f : 1.0f);
        }
        run_case(runtime, &c, engines[e]);
        for (int64_t i = 0; i < c.rows; i++) {
            double exact = tanh((double)c.memory[0][i]), got = (double)c.tensors.logsumexp[i];
            ck_assert_msg(fabs(got - exact) <= 5e-7, "%s: tanh(%.9g) is %.9g, not %.9g", engines[e],
                          (double)c.memory[0][i], got, exact);
        }
        free_case(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* What is masked may hold anything; a NaN that is attended to reaches its row and no other. */
START_TEST(masked_values_and_nan) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ENGINES; e++) {
        if (!is_here(runtime, e)) {
            continue;
        }
        additive_case c = make_case(1, 5, 40, 8, 20);
        uint8_t mask[5 * 40];
        memset(mask, 1, sizeof mask);
        for (int64_t i = 0; i < 5; i++) {
            mask[i * 40 + 7] = i == 3; /* key 7 is row 3's alone */
            mask[i * 40 + 9] = 0;
        }
        c.problem.mask = CLATTN_MASK_BYTES;
        c.tensors.mask = mask;
        c.memory[1][9 * 8] = NAN;
        c.memory[3][7 * 20] = c.memory[3][9 * 20] = NAN;
        run_case(runtime, &c, engines[e]);
        for (int64_t k = 0; k < c.outputs; k++) {
            ck_assert_msg(!isnan(c.tensors.output[k]) == (k != 3 * 20), "%s: output %lld", engines[e], (long long)k);
        }
        c.memory[0][8] = NAN; /* of row 1's query */
        run_case(runtime, &c, engines[e]);
        ck_assert(isnan(c.tensors.output[20]) && isnan(c.tensors.logsumexp[1]) && !isnan(c.tensors.output[0]));
        free_case(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A plan made for the largest lengths serves shorter calls, and one step of a decoder equals a row of all at once. */
START_TEST(steps_equal_all_at_once) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ENGINES; e++) {
        if (!is_here(runtime, e)) {
            continue;
        }
        additive_case all = make_case(1, 6, 50, 24, 16);
        run_case(runtime, &all, engines[e]);
        clattn_report report;
        clattn_additive_plan *plan = NULL;
        EXPECT_STATUS(clattn_additive_plan_create(runtime, &all.problem, &plan, &report), CLATTN_OK, &report);
        for (int64_t i = 0; i < 6; i++) {
            float *output = guarded(16), *weights = guarded(50), logsumexp = 0;
            clattn_additive_tensors step = all.tensors;
            step.query_length = 1, step.query += i * 24;
            step.output = output, step.weights = weights, step.logsumexp = &logsumexp;
            EXPECT_STATUS(clattn_additive_execute(plan, &step), CLATTN_OK, &report);
            for (int64_t d = 0; d < 16; d++) {
                ck_assert_float_eq_tol(output[d], all.tensors.output[i * 16 + d], 1e-6f);
            }
            ck_assert(isnan(output[16]) && isnan(weights[50]));
            free(output);
            free(weights);
        }
        clattn_additive_plan_destroy(plan);
        free_case(&all);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(memory_is_linear) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 1; e < ENGINES; e++) {
        int64_t bytes[2];
        for (int k = 0; k < 2 && is_here(runtime, e); k++) {
            additive_case c = make_case(1, 256 << k, 1024 << k, 32, 32);
            clattn_additive_plan *plan = NULL;
            clattn_memory_use use;
            c.problem.engine = engines[e];
            c.problem.weights = false;
            clattn_inspect_memory_reset(runtime);
            EXPECT_STATUS(clattn_additive_plan_create(runtime, &c.problem, &plan, NULL), CLATTN_OK, NULL);
            EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_OK, NULL);
            clattn_inspect_memory(runtime, &use);
            bytes[k] = use.peak;
            ck_assert_int_lt(use.peak, (int64_t)(256 << k) * (1024 << k) * 4);
            clattn_additive_plan_destroy(plan);
            free_case(&c);
        }
        ck_assert_msg(!is_here(runtime, e) || bytes[1] <= 2 * bytes[0] + 4096, "%s: %lld, then %lld bytes", engines[e],
                      (long long)bytes[0], (long long)bytes[1]);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void expect_refusal(clattn_runtime *runtime, const clattn_additive_problem *p, clattn_status status,
                           const char *word) {
    clattn_report report;
    clattn_additive_plan *plan = (clattn_additive_plan *)&report;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, p, &plan, &report), status, &report);
    ck_assert_ptr_null(plan);
    ck_assert_msg(strstr(report.text, word) != NULL, "\"%s\" does not name %s", report.text, word);
}

START_TEST(refusals) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_additive_problem good = CLATTN_ADDITIVE_PROBLEM_INIT, p;
    good.key_length = good.hidden = good.value_dim = 1;
    p = good, p.hidden = 0;
    expect_refusal(runtime, &p, CLATTN_INVALID_PROBLEM, "hidden");
    p = good, p.key_length = -1;
    expect_refusal(runtime, &p, CLATTN_INVALID_PROBLEM, "key_length");
    p = good, p.mask = CLATTN_MASK_BITS;
    expect_refusal(runtime, &p, CLATTN_INVALID_PROBLEM, "mask");
    p = good, p.mask = CLATTN_MASK_BYTES, p.mask_shape[1] = 7;
    expect_refusal(runtime, &p, CLATTN_INVALID_PROBLEM, "mask_shape[1]");
    p = good, p.engine = "nobody";
    expect_refusal(runtime, &p, CLATTN_INVALID_PROBLEM, "nobody");
    p = good, p.device = 99;
    expect_refusal(runtime, &p, CLATTN_NO_DEVICE, "99");
    p = good, p.query_length = INT64_MAX / 2, p.hidden = 16;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "2^63");
    p = good, p.struct_size = 1;
    expect_refusal(runtime, &p, CLATTN_INVALID_ARGUMENT, "struct_size");
    additive_case c = make_case(2, 3, 4, 5, 6);
    clattn_report report;
    clattn_additive_plan *plan = NULL;
    c.problem.key_lengths = true;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &c.problem, &plan, &report), CLATTN_OK, &report);
    c.tensors.report = &report;
    EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_INVALID_TENSORS, &report);
    static const int32_t lengths[] = { 4, 5 };
    c.tensors.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_INVALID_TENSORS, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "key_lengths[1]"));
    c.tensors.value = NULL;
    EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_INVALID_TENSORS, &report);
    ck_assert(isnan(c.tensors.output[0]));
    clattn_additive_plan_destroy(plan);
    free_case(&c);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(nothing_to_do) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ENGINES; e++) {
        if (is_here(runtime, e)) {
            additive_case none = make_case(0, 3, 4, 5, 6), no_rows = make_case(2, 0, 4, 5, 6),
                          no_keys = make_case(2, 3, 0, 5, 6);
            run_case(runtime, &none, engines[e]);
            run_case(runtime, &no_rows, engines[e]);
            run_case(runtime, &no_keys, engines[e]);
            ck_assert(no_keys.tensors.output[0] == 0 && no_keys.tensors.logsumexp[5] == -INFINITY);
            free_case(&none);
            free_case(&no_rows);
            free_case(&no_keys);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
#if CLATTN_HAVE_LAYERS
        numbers_of_pytorch,
#endif
        awkward_sizes_match_the_reference,
        tanh_is_as_exact_as_told,
        masked_values_and_nan,
        steps_equal_all_at_once,
        memory_is_linear,
        refusals,
        nothing_to_do
    };
    return suite_run(SUITE_OF("additive", tests, 120), SUITE_NO_FORK);
}
