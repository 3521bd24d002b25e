/*
 * What the library's own threads leave alone in their program: signals, and the affinity of who calls; and how many of
 * them there may be.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/guest_work.h"
#include "support/suite.h"
#include "support/tasks.h"

static unsigned char got[GUEST_BYTES];

/* ------------------------------------------------------------------------------------------------ signals */

/* Work until the threads have surely begun: libc and the library set their masks at their beginning. */
static void settle(clattn_runtime *runtime) {
    for (int round = 0; round < 3; round++) {
        guest_run(&guest_works[0], runtime, got);
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    }
}

static int take_a_signal(void *user) {
    (void)user;
    clattn_runtime *runtime = guest_runtime(3);
    sigset_t all, pending;
    settle(runtime);
    sigfillset(&all); /* after the workers have begun: they would inherit it */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGUSR1);
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    guest_run(&guest_works[0], runtime, got);
    clattn_runtime_destroy(runtime);
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) == 1 && sigismember(&pending, SIGUSR1) == 1 ? 0 : 1;
}

START_TEST(test_signals_are_the_programs) {
    ck_assert_int_eq(guest_in_child(take_a_signal, NULL), 0);
}
END_TEST

START_TEST(test_masks_of_threads) {
    sigset_t before, after;
    static task tasks[TASKS_MOST], others[TASKS_MOST];
    int other_count = tasks_list(others);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    clattn_runtime *runtime = guest_runtime(3);
    settle(runtime);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < SIGRTMAX; number++) {
        ck_assert_int_eq(sigismember(&before, number), sigismember(&after, number));
    }
    int count = tasks_list(tasks);
    ck_assert_int_ge(count, other_count + 2);
    for (int k = 0; k < count; k++) {
        bool is_worker = true;
        for (int n = 0; n < other_count; n++) {
            is_worker = is_worker && others[n].id != tasks[k].id;
        }
        if (!is_worker || SUITE_THREAD_SANITIZER) { /* which has a thread of its own, begun now or before */
            continue;
        }
        static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
        uint64_t open = ~tasks[k].blocked;
        for (size_t n = 0; n < sizeof own / sizeof *own; n++) {
            ck_assert_msg(open >> (own[n] - 1) & 1, "signal %d is blocked: a crash would end in silence", own[n]);
            open &= ~(UINT64_C(1) << (own[n] - 1));
        }
        open &= ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1) | UINT64_C(3) << 31); /* libc's own */
        ck_assert_msg(open == 0, "a worker takes signals: %llx", (unsigned long long)open);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ affinity */

static cpu_set_t one_processor(void) {
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int k = CPU_SETSIZE - 1; k >= 0 && CPU_COUNT(&one) == 0; k--) {
        if (CPU_ISSET(k, &all)) {
            CPU_SET(k, &one);
        }
    }
    return one;
}

static void *call_pinned(void *user) {
    cpu_set_t one = one_processor();
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    guest_run(&guest_works[0], user, got);
    return NULL;
}

/* Whoever makes the first call: workers run where the thread that made the runtime might. */
START_TEST(test_affinity_of_the_creator) {
    pthread_t thread;
    cpu_set_t mine, theirs;
    clattn_runtime *runtime = guest_runtime(3);
    task tasks[TASKS_MOST];
    ck_assert_int_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, call_pinned, runtime), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    settle(runtime);
    int count = tasks_list(tasks);
    for (int k = 0; k < count; k++) {
        ck_assert_int_eq(sched_getaffinity((pid_t)tasks[k].id, sizeof theirs, &theirs), 0);
        ck_assert_msg(CPU_EQUAL(&mine, &theirs), "a worker has the mask of the first caller, %d processors of %d",
                      CPU_COUNT(&theirs), CPU_COUNT(&mine));
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void *create_pinned(void *user) {
    cpu_set_t one = one_processor();
    (void)user;
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    clattn_runtime *runtime = guest_runtime(0);
    clattn_device_info info;
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.compute_units, 1);
    clattn_runtime_destroy(runtime);
    return NULL;
}

START_TEST(test_threads_by_affinity) {
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, create_pinned, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

START_TEST(test_too_many_threads) {
    static clattn_report report;
    clattn_runtime *runtime = NULL;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.report = &report;
    options.threads = 99999;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_null(runtime);
    ck_assert_ptr_nonnull(strstr(report.text, "threads: 99999"));
    options.threads = -1;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "threads: -1"));
    options.threads = 1;
    options.parallel_user = &options;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "parallel_user:"));
    options.struct_size =
        offsetof(clattn_runtime_options, report); /* of an older header: what follows is not looked at */
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_OK, NULL);
    clattn_runtime_destroy(runtime);
    options = (clattn_runtime_options)CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.threads = CLATTN_MOST_THREADS;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_OK, NULL);
    clattn_device_info info;
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.compute_units, CLATTN_MOST_THREADS);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_signals_are_the_programs, test_masks_of_threads, test_affinity_of_the_creator,
                                   test_threads_by_affinity, test_too_many_threads };
    guest_begin();
    return suite_run(SUITE_OF("guest", tests, 30), SUITE_FORK);
}
