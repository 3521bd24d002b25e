/*
 * Threads that are cancelled inside a call, or while they wait for one, and calls that would wait for themselves. A test
 * that hangs fails by its time limit.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clattn/clattn_inspect.h"
#include "support/guest_work.h"
#include "support/suite.h"

/* ------------------------------------------------------------------------------------------------ cancelling */

/** A plan of one slot, its call, and what its progress does. */
typedef struct waiting {
    clattn_plan *plan;
    clattn_tensors tensors;
    float query[32 * 8], output[32 * 8];
    sem_t inside, go; /* posted by progress, waited for by it */
    clattn_status status, nested;
    clattn_plan *again; /* progress executes it */
    bool told;
} waiting;

static void prepare(waiting *w, clattn_runtime *runtime, int64_t concurrency) {
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    memset(w, 0, sizeof *w);
    for (int n = 0; n < 32 * 8; n++) {
        w->query[n] = (float)(n % 31) / 31;
    }
    w->tensors = (clattn_tensors)CLATTN_TENSORS_INIT;
    w->tensors.query.data = w->tensors.key.data = w->tensors.value.data = w->query;
    w->tensors.output.data = w->output;
    problem.query_length = 32, problem.head_dim = 8, options.engine = "cpu", options.concurrency = concurrency;
    EXPECT_STATUS(clattn_plan_create(runtime, &problem, &options, &w->plan, NULL), CLATTN_OK, NULL);
    ck_assert_int_eq(sem_init(&w->inside, 0, 0), 0);
    ck_assert_int_eq(sem_init(&w->go, 0, 0), 0);
}

static bool wait_inside(void *user, double done) {
    waiting *w = user;
    (void)done;
    if (!w->told) {
        w->told = true;
        sem_post(&w->inside);
        sem_wait(&w->go);
    }
    return true;
}

static void *execute(void *user) {
    waiting *w = user;
    w->status = clattn_execute(w->plan, &w->tensors);
    return NULL;
}

static void *execute_quietly(void *user) { /* the same plan; waits for its slot */
    waiting *w = user;
    float output[32 * 8];
    clattn_tensors tensors = w->tensors;
    tensors.progress = NULL;
    tensors.output.data = output;
    w->nested = clattn_execute(w->plan, &tensors);
    pthread_testcancel();
    return NULL;
}

/* AddressSanitizer takes the frames that a cancelled thread left behind for live ones, and stops the program. */
static bool leaves_frames(void) {
#ifdef __SANITIZE_ADDRESS__
    fprintf(stderr, "cancelled threads: skipped under AddressSanitizer\n");
    return true;
#else
    return false;
#endif
}

START_TEST(test_cancelled_while_waiting) {
    if (leaves_frames()) {
        return;
    }
    static waiting w;
    pthread_t first, second;
    void *ended;
    clattn_runtime *runtime = guest_runtime(2);
    prepare(&w, runtime, 1);
    w.tensors.progress = wait_inside;
    w.tensors.progress_user = &w;
    ck_assert_int_eq(pthread_create(&first, NULL, execute, &w), 0);
    sem_wait(&w.inside);
    ck_assert_int_eq(pthread_create(&second, NULL, execute_quietly, &w), 0);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* it waits for the slot */
    ck_assert_int_eq(pthread_cancel(second), 0);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    sem_post(&w.go);
    ck_assert_int_eq(pthread_join(first, NULL), 0);
    ck_assert_int_eq(pthread_join(second, &ended), 0);
    ck_assert(ended == PTHREAD_CANCELED); /* after its call */
    EXPECT_STATUS(w.status, CLATTN_OK, NULL);
    EXPECT_STATUS(w.nested, CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_execute(w.plan, &w.tensors), CLATTN_OK, NULL); /* the plan is as it was */
    clattn_plan_destroy(w.plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

static bool rest(void *user, double done) {
    (void)user;
    (void)done;
    nanosleep(&(struct timespec){ 0, 1000 }, NULL); /* where a cancelled thread would end */
    return true;
}

static void *execute_cancelled(void *user) {
    waiting *w = user;
    pthread_cancel(pthread_self()); /* takes hold at the next such place */
    w->status = clattn_execute(w->plan, &w->tensors);
    pthread_testcancel();
    return NULL;
}

START_TEST(test_cancelled_in_progress) {
    static waiting w;
    pthread_t thread;
    void *ended;
    clattn_runtime *runtime = guest_runtime(2);
    prepare(&w, runtime, 1);
    w.status = CLATTN_INTERNAL;
    w.tensors.progress = rest;
    ck_assert_int_eq(pthread_create(&thread, NULL, execute_cancelled, &w), 0);
    ck_assert_int_eq(pthread_join(thread, &ended), 0);
    ck_assert(ended == PTHREAD_CANCELED);
    EXPECT_STATUS(w.status, CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_execute(w.plan, &w.tensors), CLATTN_OK, NULL);
    clattn_plan_destroy(w.plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void *make_cancelled(void *user) {
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    waiting *w = user;
    clattn_runtime *runtime = NULL;
    pthread_cancel(pthread_self());
    w->status = clattn_runtime_create(NULL, &runtime); /* opens files, asks OpenCL */
    problem.query_length = problem.head_dim = 8;
    if (w->status == CLATTN_OK) {
        w->status = clattn_plan_create(runtime, &problem, NULL, &w->plan, NULL);
        w->nested = clattn_runtime_load_tuning(runtime, "/nonexistent", NULL);
        clattn_plan_destroy(w->plan);
        clattn_runtime_destroy(runtime);
    }
    w->told = true;
    pthread_testcancel();
    return NULL;
}

START_TEST(test_cancelled_while_making) {
    if (leaves_frames()) {
        return;
    }
    static waiting w;
    pthread_t thread;
    void *ended;
    w = (waiting){ 0 };
    ck_assert_int_eq(pthread_create(&thread, NULL, make_cancelled, &w), 0);
    ck_assert_int_eq(pthread_join(thread, &ended), 0);
    ck_assert(ended == PTHREAD_CANCELED);
    ck_assert_msg(w.told, "cancelled inside a call");
    EXPECT_STATUS(w.status, CLATTN_OK, NULL);
    EXPECT_STATUS(w.nested, CLATTN_INVALID_ARGUMENT, NULL);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ waiting for oneself */

static bool execute_inside(void *user, double done) {
    waiting *w = user;
    float output[32 * 8];
    static clattn_report report;
    clattn_tensors tensors = w->tensors;
    (void)done;
    tensors.progress = NULL;
    tensors.output.data = output;
    tensors.report = &report;
    w->nested = clattn_execute(w->again, &tensors);
    ck_assert(w->nested == CLATTN_OK || strstr(report.text, "concurrency:"));
    return true;
}

START_TEST(test_progress_that_executes) {
    static waiting w, other;
    clattn_runtime *runtime = guest_runtime(2);
    prepare(&other, runtime, 1);
    for (int64_t concurrency = 1; concurrency <= 2; concurrency++) {
        prepare(&w, runtime, concurrency);
        w.tensors.progress = execute_inside;
        w.tensors.progress_user = &w;
        w.again = w.plan;
        EXPECT_STATUS(clattn_execute(w.plan, &w.tensors), CLATTN_OK, NULL);
        EXPECT_STATUS(w.nested, concurrency == 1 ? CLATTN_DEADLOCK : CLATTN_OK, NULL);
        w.again = other.plan;
        EXPECT_STATUS(clattn_execute(w.plan, &w.tensors), CLATTN_OK, NULL);
        EXPECT_STATUS(w.nested, CLATTN_OK, NULL);
        clattn_plan_destroy(w.plan);
    }
    clattn_plan_destroy(other.plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

typedef struct asking {
    clattn_runtime *runtime;
    int asked;
} asking;

static void *allocate_and_ask(void *user, size_t size, size_t alignment) {
    asking *a = user;
    clattn_device_info info;
    clattn_memory_use use;
    if (a->runtime) {
        a->asked += clattn_runtime_device_count(a->runtime) >= 1;
        if (clattn_runtime_get_device(a->runtime, 0, &info) != CLATTN_OK) {
            return NULL;
        }
        clattn_inspect_memory(a->runtime, &use);
    }
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

START_TEST(test_allocator_that_asks) {
    asking a = { 0 };
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan *plan;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.allocator = (clattn_allocator){ allocate_and_ask, release, &a };
    a.runtime = NULL;
    clattn_runtime *runtime = suite_runtime(&options);
    a.runtime = runtime;
    problem.query_length = problem.head_dim = 8;
    EXPECT_STATUS(clattn_plan_create(runtime, &problem, NULL, &plan, NULL), CLATTN_OK, NULL);
    ck_assert_int_gt(a.asked, 1);
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_cancelled_while_waiting, test_cancelled_in_progress,
                                   test_cancelled_while_making, test_progress_that_executes, test_allocator_that_asks };
    return suite_run(SUITE_OF("waiting", tests, 30), SUITE_FORK);
}
