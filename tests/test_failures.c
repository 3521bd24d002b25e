/*
 * The host allocator fails at its first, second, third ... request in turn: each time the call answers OUT_OF_MEMORY,
 * nothing leaks and nothing crashes; and what was made before still works. To cover more, add a story.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "clattn/clattn_inspect.h"
#include "support/suite.h"

/* An allocator that knows what it gave, and refuses request number `fail_at` (counted from 1; 0 = none). */
typedef struct ledger {
    int requests, fail_at, live;
} ledger;

static void *take(void *user, size_t size, size_t alignment) {
    ledger *l = user;
    if (__atomic_add_fetch(&l->requests, 1, __ATOMIC_SEQ_CST) == l->fail_at) {
        return NULL;
    }
    void *memory = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    __atomic_add_fetch(&l->live, 1, __ATOMIC_SEQ_CST);
    return memory;
}

static void give(void *user, void *memory) {
    __atomic_sub_fetch(&((ledger *)user)->live, 1, __ATOMIC_SEQ_CST);
    free(memory);
}

enum { ROWS = 9, KEYS = 21, DIM = 12, HEADS = 2 };

static float query[HEADS * ROWS * DIM], key[HEADS * KEYS * DIM], value[HEADS * KEYS * DIM], output[HEADS * ROWS * DIM],
    logsumexp[HEADS * ROWS], expected[HEADS * ROWS * DIM];
static clattn_report report;

static clattn_problem make_problem(bool weights) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_heads = HEADS;
    p.query_length = ROWS;
    p.key_length = KEYS;
    p.head_dim = DIM;
    p.logsumexp = true;
    p.weights = weights ? CLATTN_WEIGHTS_SOFTMAX : CLATTN_WEIGHTS_NONE;
    return p;
}

static clattn_plan_options two_calls(const char *engine) {
    clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    options.concurrency = 2;
    return options;
}

static float weights_memory[HEADS * ROWS * KEYS];

static clattn_tensors tensors(void) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output;
    t.logsumexp.data = logsumexp;
    t.weights.data = weights_memory;
    t.report = &report;
    return t;
}

/* The whole life: runtime, plan, two calls. The first status that is not OK. */
static clattn_status live(ledger *l, const clattn_problem *p, const char *engine, bool opencl) {
    const clattn_plan_options how = two_calls(engine);
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_runtime *runtime = NULL;
    clattn_plan *plan = NULL;
    options.threads = 2;
    options.without_opencl = !opencl;
    options.allocator = (clattn_allocator){ take, give, l };
    clattn_status status = clattn_runtime_create(&options, &runtime);
    ck_assert((status == CLATTN_OK) == (runtime != NULL));
    if (status == CLATTN_OK) {
        status = clattn_plan_create(runtime, p, &how, &plan, &report);
        ck_assert((status == CLATTN_OK) == (plan != NULL));
    }
    clattn_tensors t = tensors();
    for (int n = 0; n < 2 && status == CLATTN_OK; n++) {
        memset(output, 0xff, sizeof output);
        status = clattn_execute(plan, &t);
    }
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
    return status;
}

static void fail_each(const char *engine, bool opencl, bool weights) {
    clattn_problem p = make_problem(weights);
    ledger whole = { 0, 0, 0 };
    EXPECT_STATUS(live(&whole, &p, engine, opencl), CLATTN_OK, &report);
    ck_assert_int_eq(whole.live, 0);
    ck_assert_msg(whole.requests > 3, "the allocator is hardly used: %d requests", whole.requests);
    memcpy(expected, output, sizeof expected);
    int refused = 0;
    for (int n = 1; n <= whole.requests; n++) {
        ledger l = { 0, n, 0 };
        clattn_status status = live(&l, &p, engine, opencl);
        ck_assert_msg(l.live == 0, "%s, request %d refused: %d blocks leak", engine, n, l.live);
        /* A cache that cannot be kept is no error; but then the numbers are the same. */
        if (status == CLATTN_OK) {
            ck_assert_msg(memcmp(expected, output, sizeof output) == 0, "%s, request %d: other numbers", engine, n);
            continue;
        }
        ck_assert_msg(status == CLATTN_OUT_OF_MEMORY || status == CLATTN_DEVICE_OUT_OF_MEMORY, "%s, request %d: %s: %s", engine, n,
                      clattn_status_name(status), report.text);
        refused++;
    }
    ck_assert_msg(refused > whole.requests / 2, "only %d of %d refusals are reported", refused, whole.requests);
}

START_TEST(test_reference) {
    fail_each("reference", false, true);
}
END_TEST

START_TEST(test_cpu) {
    fail_each("cpu", false, false);
    fail_each("cpu", false, true);
}
END_TEST

START_TEST(test_opencl) {
    for (int64_t e = 0; suite_has_opencl() && e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) == 0 && clattn_engine_built(engine)) {
            fail_each(engine, true, false);
        }
    }
}
END_TEST

/* The CPU engines take nothing from the allocator once the plan stands. */
START_TEST(test_execute_takes_nothing) {
    static const char *const engines[] = { "reference", "cpu" };
    for (int n = 0; n < 2; n++) {
        ledger l = { 0, 0, 0 };
        clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
        clattn_runtime *runtime;
        clattn_plan *plan;
        clattn_problem p = make_problem(false);
        const clattn_plan_options how = two_calls(engines[n]);
        clattn_tensors t = tensors();
        options.threads = 2;
        options.without_opencl = true;
        options.allocator = (clattn_allocator){ take, give, &l };
        EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_plan_create(runtime, &p, &how, &plan, &report), CLATTN_OK, &report);
        int before = l.requests;
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
        ck_assert_msg(l.requests == before, "%s takes memory during a call", engines[n]);
        clattn_plan_destroy(plan);
        clattn_runtime_destroy(runtime);
        ck_assert_int_eq(l.live, 0);
    }
}
END_TEST

/* Which engine serves a problem of additive attention, or a status. */
static clattn_status additive_engine(clattn_runtime *runtime, const char **engine) {
    clattn_additive_problem p = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_additive_plan *plan = NULL;
    clattn_operation_info info;
    p.key_length = p.hidden = p.value_dim = 5;
    clattn_status status = clattn_additive_plan_create(runtime, &p, NULL, &plan, &report);
    if (status == CLATTN_OK) {
        EXPECT_STATUS(clattn_additive_plan_get_info(plan, &info), CLATTN_OK, NULL);
        *engine = info.engine;
        clattn_additive_plan_destroy(plan);
    }
    return status;
}

static clattn_status attention_engine(clattn_runtime *runtime, const char **engine) {
    clattn_problem p = make_problem(false);
    const clattn_plan_options how = two_calls(NULL);
    clattn_plan *plan = NULL;
    clattn_plan_info info;
    clattn_status status = clattn_plan_create(runtime, &p, &how, &plan, &report);
    if (status == CLATTN_OK) {
        EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
        *engine = info.engine;
        clattn_plan_destroy(plan);
    }
    return status;
}

/*
 * When the best engine gets no memory, the next one serves, and the report says why. Only three requests are refused for good,
 * because every engine needs them: the plan's own memory, the list of devices and the list of candidates.
 */
static void check_next_engine(const char *what, clattn_status (*create)(clattn_runtime *runtime, const char **engine)) {
    ledger l = { 0, 0, 0 };
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_runtime *runtime;
    const char *best, *engine;
    int others = 0, before;
    options.threads = 2;
    options.allocator = (clattn_allocator){ take, give, &l };
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_OK, NULL);
    EXPECT_STATUS(create(runtime, &best), CLATTN_OK, &report);
    ck_assert_msg(report.length == 0, "%s: nothing was better, but: %s", what, report.text);
    before = l.requests;
    EXPECT_STATUS(create(runtime, &best), CLATTN_OK, &report);
    const int requests = l.requests - before;
    for (int n = 1; n <= requests; n++) {
        l.fail_at = l.requests + n;
        clattn_status status = create(runtime, &engine);
        if (status == CLATTN_OK && strcmp(engine, best) != 0) {
            char line[64];
            snprintf(line, sizeof line, "%s on device 0: out of host memory", best);
            ck_assert_msg(strstr(report.text, line), "%s, request %d: %s serves, but why: %s", what, n, engine, report.text);
            others++;
        } else {
            ck_assert_msg(status == CLATTN_OUT_OF_MEMORY, "%s, request %d: %s", what, n, clattn_status_name(status));
            ck_assert_msg(n <= 3, "%s, request %d: nobody else serves: %s", what, n, report.text);
        }
    }
    ck_assert_msg(others > 0, "%s: no other engine was tried", what);
    clattn_runtime_destroy(runtime);
    ck_assert_int_eq(l.live, 0);
}

START_TEST(test_next_engine) {
    if (suite_has_opencl()) {
        check_next_engine("attention", attention_engine);
        check_next_engine("additive", additive_engine);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_reference, test_cpu, test_opencl, test_execute_takes_nothing, test_next_engine };
    for (int n = 0; n < HEADS * KEYS * DIM; n++) {
        key[n] = (float)(n % 17) / 16 - 0.5F;
        value[n] = (float)(n % 13) / 8 - 0.7F;
        query[n % (HEADS * ROWS * DIM)] = (float)(n % 19) / 12 - 0.6F;
    }
    return suite_run(SUITE_OF("failures", tests, 120), SUITE_NO_FORK);
}
