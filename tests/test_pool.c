/*
 * A caller's own pool of threads: in order, backwards, on threads, one that leaves work out, several calls at once, calls
 * from inside the pool. Every result has the bits of so many threads of the library's own, which starts none then.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "support/guest_work.h"
#include "support/suite.h"
#include "support/tasks.h"

enum { THREADS = 4 };

static unsigned char expected[GUEST_BYTES], got[GUEST_BYTES];

typedef struct pool {
    atomic_int calls;
    atomic_int_least64_t most; /* shares of a call */
    atomic_int wrong;
    /* of the pool that calls from inside */
    clattn_runtime *runtime;
    bool inside;
} pool;

typedef void share_body(void *share, int64_t index);

static void note(pool *p, int64_t count) {
    atomic_fetch_add(&p->calls, 1);
    if (count > atomic_load(&p->most)) {
        atomic_store(&p->most, count);
    }
    if (count < 1 || count > THREADS) {
        atomic_fetch_add(&p->wrong, 1);
    }
}

static void in_order(void *user, int64_t count, share_body *body, void *share) {
    note(user, count);
    for (int64_t k = 0; k < count; k++) {
        body(share, k);
    }
}

static void backwards(void *user, int64_t count, share_body *body, void *share) {
    note(user, count);
    for (int64_t k = count - 1; k >= 0; k--) {
        body(share, k);
    }
}

static void some_of_it(void *user, int64_t count, share_body *body, void *share) {
    note(user, count);
    body(share, count - 1);
}

static void nothing(void *user, int64_t count, share_body *body, void *share) {
    note(user, count);
    (void)body;
    (void)share;
}

typedef struct share_of_thread {
    share_body *body;
    void *share;
    int64_t index;
} share_of_thread;

static void *run_share(void *user) {
    const share_of_thread *s = user;
    s->body(s->share, s->index);
    return NULL;
}

/* None of it on the calling thread. */
static void on_threads(void *user, int64_t count, share_body *body, void *share) {
    pthread_t threads[THREADS];
    share_of_thread shares[THREADS];
    note(user, count);
    for (int64_t k = 0; k < count; k++) {
        shares[k] = (share_of_thread){ body, share, k };
        if (pthread_create(&threads[k], NULL, run_share, &shares[k]) != 0) {
            abort();
        }
    }
    for (int64_t k = 0; k < count; k++) {
        pthread_join(threads[k], NULL);
    }
}

/* A scheduler that does other work while it waits: a whole call, on the same runtime, before and after the shares. */
static void with_other_work(void *user, int64_t count, share_body *body, void *share) {
    static unsigned char other[GUEST_BYTES];
    pool *p = user;
    note(p, count);
    if (!p->inside) {
        p->inside = true;
        memset(other, 0, sizeof other);
        p->wrong += guest_works[guest_work_count - 1].run(p->runtime, other) != CLATTN_OK;
        p->inside = false;
    }
    for (int64_t k = 0; k < count; k++) {
        body(share, k);
    }
}

/** A plan of additive attention that the pool executes again from inside its call. */
typedef struct additive_call {
    clattn_additive_plan *plan;
    clattn_additive_tensors tensors;
    clattn_status nested;
} additive_call;

static void with_the_same_plan(void *user, int64_t count, share_body *body, void *share) {
    additive_call *c = user;
    static float output[64 * 8];
    clattn_additive_tensors tensors = c->tensors;
    tensors.output = output;
    c->nested = clattn_additive_execute(c->plan, &tensors);
    for (int64_t k = 0; k < count; k++) {
        body(share, k);
    }
}

static const struct {
    const char *name;
    clattn_parallel_for run;
} pools[] = { { "in order", in_order },
              { "backwards", backwards },
              { "some of it", some_of_it },
              { "nothing", nothing },
              { "on threads", on_threads } };
enum { POOLS = sizeof pools / sizeof *pools };

static clattn_runtime *pool_runtime(clattn_parallel_for run, pool *p) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = THREADS;
    options.without_opencl = true;
    options.parallel_for = run;
    options.parallel_user = p;
    return suite_runtime(&options);
}

START_TEST(test_same_bits) {
    clattn_runtime *own = guest_runtime(THREADS);
    for (int w = 0; w < guest_work_count; w++) {
        guest_run(&guest_works[w], own, expected);
        for (int k = 0; k < POOLS; k++) {
            pool p = { 0 };
            clattn_runtime *runtime = pool_runtime(pools[k].run, &p);
            guest_run(&guest_works[w], runtime, got);
            ck_assert_msg(memcmp(got, expected, sizeof got) == 0, "%s, %s: other bits", guest_works[w].name,
                          pools[k].name);
            ck_assert_msg((atomic_load(&p.calls) > 0) == guest_works[w].shared, "%s, %s: the pool was called %d times",
                          guest_works[w].name, pools[k].name, atomic_load(&p.calls));
            ck_assert_int_eq(atomic_load(&p.wrong), 0);
            clattn_runtime_destroy(runtime);
        }
    }
    clattn_runtime_destroy(own);
}
END_TEST

START_TEST(test_starts_no_thread) {
    pool p = { 0 };
    task tasks[TASKS_MOST];
    int before = tasks_list(tasks);
    clattn_runtime *runtime = pool_runtime(in_order, &p);
    for (int w = 0; w < guest_work_count; w++) {
        guest_run(&guest_works[w], runtime, got);
        ck_assert_int_eq(tasks_list(tasks), before);
    }
    ck_assert_int_eq(atomic_load(&p.most), THREADS);
    clattn_device_info info;
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.compute_units, THREADS);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ one plan, many calls */

enum { HEADS = 4, ROWS = 32, KEYS = 160, DIM = 32, OUTPUT = HEADS * ROWS * DIM, INPUT = HEADS * KEYS * DIM };

static float query[INPUT], right[OUTPUT];

typedef struct call {
    clattn_plan *plan;
    clattn_tensors tensors;
    float output[OUTPUT];
    int told, elsewhere; /* progress, and on another thread than the call's */
    pthread_t thread;
    int wrong;
} call;

static bool tell(void *user, double done) {
    call *c = user;
    c->told++;
    c->elsewhere += !pthread_equal(c->thread, pthread_self()) || done < 0 || done > 1;
    return true;
}

static void make_call(call *c, clattn_runtime *runtime, int64_t concurrency) {
    clattn_problem problem = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    *c = (call){ .tensors = CLATTN_TENSORS_INIT, .thread = pthread_self() };
    problem.query_heads = HEADS, problem.query_length = ROWS, problem.key_length = KEYS, problem.head_dim = DIM;
    options.engine = "cpu", options.concurrency = concurrency;
    c->tensors.query.data = c->tensors.key.data = c->tensors.value.data = query;
    c->tensors.output.data = c->output;
    EXPECT_STATUS(clattn_plan_create(runtime, &problem, &options, &c->plan, NULL), CLATTN_OK, NULL);
}

static void begin_calls(void) {
    call c;
    clattn_runtime *runtime = guest_runtime(THREADS);
    for (int n = 0; n < INPUT; n++) {
        query[n] = (float)(n * 7 % 41) / 41 - 0.5f;
    }
    make_call(&c, runtime, 1);
    EXPECT_STATUS(clattn_execute(c.plan, &c.tensors), CLATTN_OK, NULL);
    memcpy(right, c.output, sizeof right);
    clattn_plan_destroy(c.plan);
    clattn_runtime_destroy(runtime);
}

static void *repeat(void *user) {
    call *c = user;
    c->tensors.output.data = c->output;
    for (int k = 0; k < 10; k++) {
        memset(c->output, 0xff, sizeof c->output);
        c->wrong += clattn_execute(c->plan, &c->tensors) != CLATTN_OK || memcmp(c->output, right, sizeof right) != 0;
    }
    return NULL;
}

/* More callers at once than jobs have room: two plans, twenty threads, all of them on the pool. */
START_TEST(test_calls_at_once) {
    enum { CALLERS = 20 };
    static call calls[CALLERS];
    pthread_t threads[CALLERS];
    pool p = { 0 };
    begin_calls();
    clattn_runtime *runtime = pool_runtime(on_threads, &p);
    make_call(&calls[0], runtime, CALLERS / 2);
    make_call(&calls[1], runtime, CALLERS / 2);
    for (int k = 2; k < CALLERS; k++) {
        calls[k] = calls[k % 2];
    }
    for (int k = 0; k < CALLERS; k++) {
        ck_assert_int_eq(pthread_create(&threads[k], NULL, repeat, &calls[k]), 0);
    }
    for (int k = 0; k < CALLERS; k++) {
        ck_assert_int_eq(pthread_join(threads[k], NULL), 0);
        ck_assert_int_eq(calls[k].wrong, 0);
    }
    ck_assert_int_gt(atomic_load(&p.calls), 0);
    clattn_plan_destroy(calls[0].plan);
    clattn_plan_destroy(calls[1].plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_call_from_inside) {
    call c;
    pool p = { 0 };
    begin_calls();
    clattn_runtime *runtime = pool_runtime(with_other_work, &p);
    p.runtime = runtime;
    make_call(&c, runtime, 1);
    repeat(&c);
    ck_assert_int_eq(c.wrong, 0);
    ck_assert_int_eq(atomic_load(&p.wrong), 0);
    ck_assert_int_ge(atomic_load(&p.calls), 10);
    clattn_plan_destroy(c.plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_same_plan_from_inside) {
    static float numbers[64 * 8], output[64 * 8];
    additive_call c = { .nested = CLATTN_OK };
    clattn_additive_problem problem = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_plan_options how = CLATTN_PLAN_OPTIONS_INIT;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = THREADS;
    options.without_opencl = true;
    options.parallel_for = with_the_same_plan;
    options.parallel_user = &c;
    clattn_runtime *runtime = suite_runtime(&options);
    problem.query_length = problem.key_length = 64, problem.hidden = problem.value_dim = 8;
    how.engine = "cpu";
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &problem, &how, &c.plan, NULL), CLATTN_OK, NULL);
    c.tensors = (clattn_additive_tensors)CLATTN_ADDITIVE_TENSORS_INIT;
    c.tensors.query = c.tensors.key = c.tensors.v = c.tensors.value = numbers;
    c.tensors.output = output;
    EXPECT_STATUS(clattn_additive_execute(c.plan, &c.tensors), CLATTN_OK, NULL);
    EXPECT_STATUS(c.nested, CLATTN_DEADLOCK, NULL);
    clattn_additive_plan_destroy(c.plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Progress is reported on the calling thread, also when the pool runs everything elsewhere. */
START_TEST(test_progress) {
    begin_calls();
    for (int k = 0; k < POOLS; k++) {
        call c;
        pool p = { 0 };
        clattn_runtime *runtime = pool_runtime(pools[k].run, &p);
        make_call(&c, runtime, 1);
        c.tensors.progress = tell;
        c.tensors.progress_user = &c;
        repeat(&c);
        ck_assert_int_eq(c.wrong, 0);
        ck_assert_int_eq(c.elsewhere, 0);
        ck_assert_int_ge(c.told, 10);
        clattn_plan_destroy(c.plan);
        clattn_runtime_destroy(runtime);
    }
}
END_TEST

static int work_in_child(void *user) {
    call *c = user;
    repeat(c);
    clattn_plan_destroy(c->plan);
    return c->wrong;
}

START_TEST(test_fork) {
    call c;
    pool p = { 0 };
    begin_calls();
    clattn_runtime *runtime = pool_runtime(on_threads, &p);
    make_call(&c, runtime, 1);
    repeat(&c);
    ck_assert_int_eq(guest_in_child(work_in_child, &c), 0);
    ck_assert_int_eq(work_in_child(&c), 0);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_same_bits,
                                   test_starts_no_thread,
                                   test_calls_at_once,
                                   test_call_from_inside,
                                   test_same_plan_from_inside,
                                   test_progress,
                                   test_fork };
    guest_begin();
    return suite_run(SUITE_OF("pool", tests, 120), SUITE_FORK);
}
