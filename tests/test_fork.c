/*
 * A process that forks after work in it: the child computes with what the parent made, with the same bits, makes new
 * plans and runtimes, and ends all of them; the parent goes on. With OpenCL the child is refused, and ends all of it too.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/guest_work.h"
#include "support/suite.h"

enum { HEADS = 4, ROWS = 32, KEYS = 128, DIM = 32, OUTPUT = HEADS * ROWS * DIM, INPUT = HEADS * KEYS * DIM };

static unsigned char expected[GUEST_BYTES], again[GUEST_BYTES];

/** A plan and its call, made by the parent. */
typedef struct prepared {
    clattn_runtime *runtime;
    clattn_plan *plan;
    clattn_tensors tensors;
    float query[OUTPUT], key[INPUT], value[INPUT], output[OUTPUT], right[OUTPUT];
} prepared;

static void prepare(prepared *p, clattn_runtime *runtime) {
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_report report;
    p->runtime = runtime;
    p->tensors = (clattn_tensors)CLATTN_TENSORS_INIT;
    for (int n = 0; n < INPUT; n++) {
        p->key[n] = (float)(n % 37) / 37 - 0.5f;
        p->value[n] = (float)(n % 53) / 53 - 0.5f;
        p->query[n % OUTPUT] = (float)(n % 29) / 29 - 0.5f;
    }
    p->tensors.query.data = p->query, p->tensors.key.data = p->key, p->tensors.value.data = p->value;
    p->tensors.output.data = p->output;
    problem.query_heads = HEADS, problem.query_length = ROWS, problem.key_length = KEYS, problem.head_dim = DIM;
    options.engine = "cpu";
    EXPECT_STATUS(clattn_plan_create(runtime, &problem, &options, &p->plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_execute(p->plan, &p->tensors), CLATTN_OK, NULL);
    memcpy(p->right, p->output, sizeof p->right);
}

static int destroy_all(void *user) {
    prepared *p = user;
    clattn_plan_destroy(p->plan);
    clattn_runtime_destroy(p->runtime);
    return 0;
}

static int execute_and_destroy(void *user) {
    prepared *p = user;
    for (int k = 0; k < 3; k++) {
        memset(p->output, 0xff, sizeof p->output);
        if (clattn_execute(p->plan, &p->tensors) != CLATTN_OK) {
            return 1;
        }
        if (memcmp(p->output, p->right, sizeof p->right) != 0) {
            return 2;
        }
    }
    return destroy_all(user);
}

static int child_of_child(void *user) {
    prepared *p = user;
    if (clattn_execute(p->plan, &p->tensors) != CLATTN_OK) {
        return 3;
    }
    int answer = guest_in_child(execute_and_destroy, user);
    return answer != 0 ? answer : execute_and_destroy(user);
}

START_TEST(test_plan_of_the_parent) {
    static prepared p;
    for (int64_t threads = 1; threads <= 4; threads += 3) {
        prepare(&p, guest_runtime(threads));
        ck_assert_int_eq(guest_in_child(destroy_all, &p), 0);
        ck_assert_int_eq(guest_in_child(execute_and_destroy, &p), 0);
        ck_assert_int_eq(guest_in_child(child_of_child, &p), 0);
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* threads that have gone to sleep */
        ck_assert_int_eq(guest_in_child(execute_and_destroy, &p), 0);
        ck_assert_int_eq(execute_and_destroy(&p), 0); /* the parent goes on */
    }
}
END_TEST

typedef struct one_work {
    const guest_work *work;
    clattn_runtime *runtime;
} one_work;

static int work_and_destroy(void *user) {
    const one_work *one = user;
    memset(again, 0, sizeof again);
    clattn_status status = one->work->run(one->runtime, again);
    clattn_runtime_destroy(one->runtime);
    return status != CLATTN_OK ? 1 : memcmp(again, expected, sizeof again) != 0 ? 2 : 0;
}

START_TEST(test_every_work_in_a_child) {
    clattn_runtime *runtime = guest_runtime(3);
    for (int k = 0; k < guest_work_count; k++) {
        guest_run(&guest_works[k], runtime, expected);
        int answer = guest_in_child(work_and_destroy, &(one_work){ &guest_works[k], runtime });
        ck_assert_msg(answer == 0, "%s: the child answers %d", guest_works[k].name, answer);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

typedef struct busy_thread {
    prepared *p;
    atomic_bool stop;
    atomic_int rounds;
    int failed;
} busy_thread;

static void *keep_busy(void *user) {
    busy_thread *busy = user;
    while (!atomic_load(&busy->stop)) {
        busy->failed += clattn_execute(busy->p->plan, &busy->p->tensors) != CLATTN_OK;
        atomic_fetch_add(&busy->rounds, 1);
    }
    return NULL;
}

/* Another thread is inside a job at the moment of the fork; in the child its threads are gone in the middle of it. */
START_TEST(test_threads_at_work) {
    static prepared mine, theirs;
    pthread_t thread;
    clattn_runtime *runtime = guest_runtime(3);
    prepare(&mine, runtime);
    prepare(&theirs, runtime);
    busy_thread busy = { .p = &theirs };
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_busy, &busy), 0);
    for (int k = 0; k < 30; k++) {
        int before = atomic_load(&busy.rounds);
        while (atomic_load(&busy.rounds) < before + 2) {
            nanosleep(&(struct timespec){ 0, 10000 + k * 1000 }, NULL);
        }
        ck_assert_int_eq(guest_in_child(execute_and_destroy, &mine), 0);
    }
    atomic_store(&busy.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(busy.failed, 0);
    clattn_plan_destroy(theirs.plan);
    ck_assert_int_eq(execute_and_destroy(&mine), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ OpenCL */

typedef struct on_device {
    prepared host;
    clattn_plan *plan;
    int64_t device;
} on_device;

static int opencl_in_child(void *user) {
    on_device *d = user;
    clattn_report report;
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    d->host.tensors.report = &report;
    if (clattn_execute(d->plan, &d->host.tensors) != CLATTN_NO_DEVICE || !strstr(report.text, "device")) {
        return 10;
    }
    problem.query_length = problem.head_dim = 8;
    options.device = d->device;
    if (clattn_plan_create(d->host.runtime, &problem, &options, &plan, &report) != CLATTN_NO_DEVICE ||
        !strstr(report.text, "fork")) {
        return 11;
    }
    clattn_plan_destroy(d->plan);
    return execute_and_destroy(&d->host);
}

START_TEST(test_opencl) {
    static on_device d;
    clattn_report report;
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_runtime *runtime = suite_runtime(NULL);
    d.device = suite_opencl_device(runtime);
    if (d.device < 0) {
        clattn_runtime_destroy(runtime);
        return;
    }
    prepare(&d.host, runtime);
    problem.query_heads = HEADS, problem.query_length = ROWS, problem.key_length = KEYS, problem.head_dim = DIM;
    options.device = d.device;
    options.engine = "opencl-fused";
    EXPECT_STATUS(clattn_plan_create(runtime, &problem, &options, &d.plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_execute(d.plan, &d.host.tensors), CLATTN_OK, NULL);
    ck_assert_int_eq(guest_in_child(opencl_in_child, &d), 0);
    d.host.tensors.report = NULL;
    EXPECT_STATUS(clattn_execute(d.plan, &d.host.tensors), CLATTN_OK, NULL); /* the parent goes on */
    clattn_plan_destroy(d.plan);
    ck_assert_int_eq(execute_and_destroy(&d.host), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_plan_of_the_parent, test_every_work_in_a_child, test_threads_at_work,
                                   test_opencl };
    if (SUITE_THREAD_SANITIZER) {
        return SUITE_SKIPPED;
    }
    guest_begin();
    return suite_run(SUITE_OF("fork", tests, 120), SUITE_FORK);
}
