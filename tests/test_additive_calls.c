/*
 * Calls of additive attention: one step against all at once, several callers, memory, refusals, nothing to do.
 */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/additive_case.h"
#include "support/suite.h"

/* A plan made for the largest lengths serves shorter calls, and one step of a decoder equals a row of all at once. */
START_TEST(steps_equal_all_at_once) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        if (!additive_is_here(runtime, e)) {
            continue;
        }
        additive_case all = additive_make(1, 6, 50, 24, 16);
        additive_run(runtime, &all, additive_engines[e]);
        clattn_report report;
        clattn_additive_plan *plan = NULL;
        const clattn_plan_options options = suite_on(additive_engines[e], CLATTN_ANY_DEVICE);
        EXPECT_STATUS(clattn_additive_plan_create(runtime, &all.problem, &options, &plan, &report), CLATTN_OK, &report);
        for (int64_t i = 0; i < 6; i++) {
            float *output = additive_guarded(16), *weights = additive_guarded(50), logsumexp = 0;
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
        additive_free(&all);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

typedef struct caller {
    clattn_additive_plan *plan;
    additive_case c;
    clattn_status status;
} caller;

static void *call_often(void *user) {
    caller *one = user;
    for (int n = 0; n < 5 && one->status == CLATTN_OK; n++) {
        one->status = clattn_additive_execute(one->plan, &one->c.tensors);
    }
    return NULL;
}

START_TEST(several_callers) {
    clattn_runtime *runtime = suite_runtime(NULL);
    additive_case gold = additive_make(2, 5, 60, 17, 16);
    clattn_additive_plan *plan = NULL;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &gold.problem, NULL, &plan, NULL), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_additive_execute(plan, &gold.tensors), CLATTN_OK, NULL);
    caller callers[3];
    pthread_t threads[3];
    for (int k = 0; k < 3; k++) {
        callers[k] = (caller){ plan, additive_make(2, 5, 60, 17, 16), CLATTN_OK };
        ck_assert_int_eq(pthread_create(&threads[k], NULL, call_often, &callers[k]), 0);
    }
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(pthread_join(threads[k], NULL), 0);
        EXPECT_STATUS(callers[k].status, CLATTN_OK, NULL);
        ck_assert_mem_eq(callers[k].c.tensors.output, gold.tensors.output, (size_t)gold.outputs * sizeof(float));
        additive_free(&callers[k].c);
    }
    clattn_additive_plan_destroy(plan);
    additive_free(&gold);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(memory_is_linear) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 1; e < ADDITIVE_ENGINES; e++) {
        int64_t bytes[2];
        for (int k = 0; k < 2 && additive_is_here(runtime, e); k++) {
            additive_case c = additive_make(1, 256 << k, 1024 << k, 32, 32);
            clattn_additive_plan *plan = NULL;
            clattn_memory_use use;
            const clattn_plan_options options = suite_on(additive_engines[e], CLATTN_ANY_DEVICE);
            c.problem.weights = false;
            clattn_inspect_memory_reset(runtime);
            EXPECT_STATUS(clattn_additive_plan_create(runtime, &c.problem, &options, &plan, NULL), CLATTN_OK, NULL);
            EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_OK, NULL);
            clattn_inspect_memory(runtime, &use);
            bytes[k] = use.peak;
            ck_assert_int_lt(use.peak, (int64_t)(256 << k) * (1024 << k) * 4);
            clattn_additive_plan_destroy(plan);
            additive_free(&c);
        }
        ck_assert_msg(!additive_is_here(runtime, e) || bytes[1] <= 2 * bytes[0] + 4096, "%s: %" PRId64 ", then %" PRId64 " bytes",
                      additive_engines[e], bytes[0], bytes[1]);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void expect_refusal_of(clattn_runtime *runtime, const clattn_additive_problem *p,
                              const clattn_plan_options *options, clattn_status status, const char *word) {
    clattn_report report;
    clattn_additive_plan *plan = (clattn_additive_plan *)&report;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, p, options, &plan, &report), status, &report);
    ck_assert_ptr_null(plan);
    ck_assert_msg(strstr(report.text, word), "\"%s\" does not name %s", report.text, word);
}

static void expect_refusal(clattn_runtime *runtime, const clattn_additive_problem *p, clattn_status status,
                           const char *word) {
    expect_refusal_of(runtime, p, NULL, status, word);
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
    clattn_plan_options options = suite_on("nobody", CLATTN_ANY_DEVICE);
    expect_refusal_of(runtime, &good, &options, CLATTN_INVALID_ARGUMENT, "nobody");
    options = suite_on(NULL, 99);
    expect_refusal_of(runtime, &good, &options, CLATTN_NO_DEVICE, "99");
    options = suite_on(NULL, CLATTN_ANY_DEVICE), options.caller_workspace = true;
    expect_refusal_of(runtime, &good, &options, CLATTN_UNSUPPORTED, "caller_workspace");
    options = suite_on(NULL, CLATTN_ANY_DEVICE), options.concurrency = 0;
    expect_refusal_of(runtime, &good, &options, CLATTN_INVALID_ARGUMENT, "concurrency");
    options = suite_on(NULL, CLATTN_ANY_DEVICE), options.struct_size--;
    expect_refusal_of(runtime, &good, &options, CLATTN_INVALID_ARGUMENT, "struct_size");
    p = good, p.query_length = INT64_MAX / 2, p.hidden = 16;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "2^63");
    p = good, p.batch = 0, p.hidden = INT64_MAX; /* an empty dimension hides nothing */
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "query: [0, 1,");
    p = good, p.query_length = p.batch = 0, p.value_dim = INT64_C(1) << 60;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "value:");
    p = good, p.query_length = 0, p.key_length = INT64_C(1) << 40, p.value_dim = INT64_C(1) << 30;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "value:");
    p = good, p.query_length = p.key_length = INT64_C(1) << 32, p.mask = CLATTN_MASK_BYTES;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "mask:");
    p = good, p.query_length = p.key_length = INT64_C(1) << 30, p.weights = true;
    expect_refusal(runtime, &p, CLATTN_OVERFLOW, "weights:");
    p = good, p.struct_size = 1;
    expect_refusal(runtime, &p, CLATTN_INVALID_ARGUMENT, "struct_size");
    additive_case c = additive_make(2, 3, 4, 5, 6);
    clattn_report report;
    clattn_additive_plan *plan = NULL;
    c.problem.key_lengths = true;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &c.problem, NULL, &plan, &report), CLATTN_OK, &report);
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
    additive_free(&c);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void refused(clattn_additive_plan *plan, const clattn_additive_tensors *tensors, clattn_status status,
                    const char *word, int line) {
    clattn_status got = clattn_additive_execute(plan, tensors);
    ck_assert_msg(got == status && strncmp(tensors->report->text, word, strlen(word)) == 0, "line %d: %s: %s", line,
                  clattn_status_name(got), tensors->report->text);
    for (int n = 0; n < 2 * 3 * 6; n++) {
        ck_assert_msg(isnan(tensors->output[n]), "line %d: written though refused", line);
    }
}

#define REFUSED(status, word, ...)                             \
    do {                                                       \
        clattn_additive_tensors t = c.tensors;                 \
        __VA_ARGS__;                                           \
        refused(plan, &t, status, word, __LINE__);             \
    } while (0)

START_TEST(tensors_refused) {
    clattn_runtime *runtime = suite_runtime(NULL);
    additive_case c = additive_make(2, 3, 4, 5, 6);
    clattn_report report;
    clattn_additive_plan *plan = NULL;
    static const int32_t lengths[] = { 3, 3 };
    c.problem.query_lengths = c.problem.key_lengths = true;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &c.problem, NULL, &plan, &report), CLATTN_OK, &report);
    c.tensors.query_lengths = c.tensors.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    c.tensors.report = &report;
    REFUSED(CLATTN_INVALID_TENSORS, "key_lengths: offset", t.key_lengths.offset = -1);
    REFUSED(CLATTN_INVALID_TENSORS, "query_lengths: type", t.query_lengths.type = (clattn_int_type)2);
    REFUSED(CLATTN_INVALID_TENSORS, "query_lengths: type", t.query_lengths.type = (clattn_int_type)-1);
    REFUSED(CLATTN_OVERFLOW, "key_lengths:", t.key_lengths.offset = INT64_MAX);
    REFUSED(CLATTN_OVERFLOW, "key_lengths:", t.key_lengths.offset = INT64_MAX / 4);
    REFUSED(CLATTN_OVERFLOW, "query_lengths:", t.query_lengths.data = (void *)(UINTPTR_MAX - 3));
    REFUSED(CLATTN_OVERFLOW, "value:", t.value = (const float *)(UINTPTR_MAX - 63));
    REFUSED(CLATTN_INVALID_TENSORS, "output: overlaps query", t.query = t.output + 1);
    REFUSED(CLATTN_INVALID_TENSORS, "output: overlaps value", t.value = t.output);
    REFUSED(CLATTN_INVALID_TENSORS, "output: overlaps logsumexp", t.logsumexp = t.output + 2 * 3 * 6 - 1);
    REFUSED(CLATTN_INVALID_TENSORS, "weights: overlaps key", t.key = t.weights);
    memset(c.tensors.output, 0, 2 * sizeof(int32_t)); /* lengths that are no more than they may be */
    c.tensors.query_lengths.data = c.tensors.output;
    EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_INVALID_TENSORS, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "output: overlaps query_lengths"));
    clattn_additive_plan_destroy(plan);
    additive_free(&c);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* However many entries there are: without rows a call has nothing to do. */
START_TEST(many_empty_entries) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        clattn_additive_problem p = CLATTN_ADDITIVE_PROBLEM_INIT;
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
        clattn_additive_plan *plan = NULL;
        p.batch = INT64_C(1) << 40;
        p.hidden = p.value_dim = 1;
        options.engine = additive_engines[e];
        t.query_length = 0;
        if (additive_is_here(runtime, e)) {
            EXPECT_STATUS(clattn_additive_plan_create(runtime, &p, &options, &plan, NULL), CLATTN_OK, NULL);
            EXPECT_STATUS(clattn_additive_execute(plan, &t), CLATTN_OK, NULL);
            clattn_additive_plan_destroy(plan);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(nothing_to_do) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        if (additive_is_here(runtime, e)) {
            additive_case none = additive_make(0, 3, 4, 5, 6), no_rows = additive_make(2, 0, 4, 5, 6),
                          no_keys = additive_make(2, 3, 0, 5, 6);
            additive_run(runtime, &none, additive_engines[e]);
            additive_run(runtime, &no_rows, additive_engines[e]);
            additive_run(runtime, &no_keys, additive_engines[e]);
            ck_assert(no_keys.tensors.output[0] == 0 && no_keys.tensors.logsumexp[5] == -INFINITY);
            additive_free(&none);
            additive_free(&no_rows);
            additive_free(&no_keys);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { steps_equal_all_at_once, several_callers, memory_is_linear, refusals,
                                   tensors_refused, many_empty_entries, nothing_to_do };
    return suite_run(SUITE_OF("additive_calls", tests, 120), SUITE_NO_FORK);
}
