/*
 * Several threads at once: one plan shared (more callers than its concurrency), distinct plans on one runtime, distinct
 * runtimes. Every result has the bits of a call made alone. Run under the thread sanitizer by the tsan preset.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/suite.h"

enum { THREADS = 4, ROUNDS = 12, HEADS = 3, ROWS = 40, KEYS = 77, DIM = 24, OUTPUT = HEADS * ROWS * DIM };

static float query[HEADS * ROWS * DIM], key[HEADS * KEYS * DIM], value[HEADS * KEYS * DIM], alone[OUTPUT];

typedef struct worker {
    clattn_runtime *runtime; /* to make plans of its own, or NULL */
    clattn_plan *plan;       /* shared, or NULL */
    clattn_problem problem;
    clattn_plan_options options;
    clattn_status status;
    int wrong;
    float output[OUTPUT];
} worker;

static void draw(float *x, int count, uint32_t seed) {
    for (int n = 0; n < count; n++) {
        seed = seed * 1664525u + 1013904223u;
        x[n] = (float)(seed >> 8) * 0x1p-23F - 1;
    }
}

static clattn_tensors tensors(float *output) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output;
    return t;
}

static clattn_problem make_problem(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_heads = HEADS;
    p.query_length = ROWS;
    p.key_length = KEYS;
    p.head_dim = DIM;
    p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    return p;
}

static clattn_status one_round(worker *w) {
    clattn_tensors t = tensors(w->output);
    memset(w->output, 0xff, sizeof w->output);
    return w->plan ? clattn_execute(w->plan, &t) : clattn_attention(w->runtime, &w->problem, &w->options, &t, NULL);
}

static void *work(void *argument) {
    worker *w = argument;
    clattn_runtime *own = NULL;
    if (!w->runtime && !w->plan) {
        w->status = clattn_runtime_create(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } }, &own);
        w->runtime = own;
    }
    for (int n = 0; n < (w->plan ? ROUNDS : 3) && w->status == CLATTN_OK; n++) {
        w->status = one_round(w);
        w->wrong += memcmp(w->output, alone, sizeof alone) != 0;
    }
    clattn_runtime_destroy(own);
    return NULL;
}

static void run_workers(const worker *like) {
    pthread_t threads[THREADS];
    worker *workers = calloc(THREADS, sizeof *workers);
    ck_assert_ptr_nonnull(workers);
    for (int n = 0; n < THREADS; n++) {
        workers[n] = *like;
        ck_assert_int_eq(pthread_create(&threads[n], NULL, work, &workers[n]), 0);
    }
    for (int n = 0; n < THREADS; n++) {
        ck_assert_int_eq(pthread_join(threads[n], NULL), 0);
    }
    for (int n = 0; n < THREADS; n++) {
        EXPECT_STATUS(workers[n].status, CLATTN_OK, NULL);
        ck_assert_msg(workers[n].wrong == 0, "%d of the results of thread %d differ", workers[n].wrong, n);
    }
    free(workers);
}

static void compute_alone(clattn_runtime *runtime, clattn_problem p, clattn_plan_options options) {
    clattn_report report;
    clattn_tensors t = tensors(alone);
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
}

static void share_a_plan(clattn_runtime *runtime, clattn_problem p, clattn_plan_options options, int64_t concurrency) {
    clattn_report report;
    worker like = { .problem = p };
    options.concurrency = concurrency;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &like.plan, &report), CLATTN_OK, &report);
    run_workers(&like);
    clattn_plan_destroy(like.plan);
}

START_TEST(test_cpu_engine) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
    clattn_problem p = make_problem();
    const clattn_plan_options options = suite_on("cpu", CLATTN_ANY_DEVICE);
    compute_alone(runtime, p, options);
    share_a_plan(runtime, p, options, 1);
    share_a_plan(runtime, p, options, 3);
    run_workers(&(worker){ .problem = p, .options = options, .runtime = runtime });
    run_workers(&(worker){ .problem = p, .options = options }); /* a runtime each */
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_reference_engine) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
    clattn_problem p = make_problem();
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    compute_alone(runtime, p, options);
    share_a_plan(runtime, p, options, 2);
    run_workers(&(worker){ .problem = p, .options = options, .runtime = runtime });
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_opencl_engines) {
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = suite_opencl_device(runtime);
    for (int64_t e = 0; device >= 0 && e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) != 0 || !clattn_engine_built(engine)) {
            continue;
        }
        clattn_problem p = make_problem();
        const clattn_plan_options options = suite_on(engine, device);
        compute_alone(runtime, p, options);
        share_a_plan(runtime, p, options, 1);
        share_a_plan(runtime, p, options, 3);
        run_workers(&(worker){ .problem = p, .options = options, .runtime = runtime });
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_number_of_threads_changes_nothing) {
    clattn_problem p = make_problem();
    const clattn_plan_options options = suite_on("cpu", CLATTN_ANY_DEVICE);
    for (int64_t threads = 1; threads <= 5; threads++) {
        clattn_runtime *runtime =
            suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), threads, true, { 0 } });
        float output[OUTPUT];
        clattn_tensors t = tensors(output);
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, NULL), CLATTN_OK, NULL);
        if (threads == 1) {
            memcpy(alone, output, sizeof alone);
        }
        ck_assert_msg(memcmp(alone, output, sizeof alone) == 0, "%d threads give other bits", (int)threads);
        clattn_runtime_destroy(runtime);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_cpu_engine, test_reference_engine, test_opencl_engines,
                                   test_number_of_threads_changes_nothing };
    draw(query, HEADS * ROWS * DIM, 1);
    draw(key, HEADS * KEYS * DIM, 2);
    draw(value, HEADS * KEYS * DIM, 3);
    return suite_run(SUITE_OF("threads", tests, 60), SUITE_NO_FORK);
}
