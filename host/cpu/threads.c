/*
 * Persistent threads that share the items of one job. Knows nothing of attention. A job is open while its caller works on
 * it; a thread that wakes too late finds it closed and is not waited for, so a small job never costs a wake-up. Each worker
 * owns a contiguous range of items and helps the others when its own is done. With a pool of the caller's the same shares
 * are handed to it, and no thread is started here.
 *
 * A fork copies this structure but not the threads. The process is kept beside them, and the first job in another process
 * begins anew.
 */
#define _GNU_SOURCE
#include "cpu/threads.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/visit.h"
#include "cpu/processors.h"

#if defined(__x86_64__) || defined(__i386__)
#define ATTN_PAUSE() __builtin_ia32_pause()
#else
#define ATTN_PAUSE() ((void)0)
#endif

enum {
    SPINS = 2000,   /* of a caller, before it lets others run */
    POOL_JOBS = 16, /* that callers may hand to their pool at once; another runs on its caller's thread alone */
    AWAKE_NANOSECONDS = 100000, /* that a thread looks for the next job before it sleeps: waking it costs some 50000 */
    SPINS_A_LOOK = 32           /* at the clock: a spin takes 10 to 60 nanoseconds, by processor */
};

#define JOB_OPEN 0x80000000u

/** Items next <= item < end of one worker, on a cache line of its own. */
typedef struct worker_range {
    atomic_int_least64_t next;
    int64_t end;
    char pad[ATTN_ALIGNMENT - 16];
} worker_range;

/** Items shared by participants. */
typedef struct job {
    atomic_flag busy; /* a caller owns it */
    int64_t participants;
    worker_range *ranges; /* one a participant */
    void (*work)(void *user, int64_t item, int64_t worker);
    void *user;
} job;

typedef struct worker {
    attn_threads *threads;
    int64_t index;
    pthread_t handle;
} worker;

struct attn_threads {
    attn_memory *memory;
    attn_processors processors;
    clattn_parallel_for parallel_for; /* the caller's pool, or NULL */
    void *parallel_user;
    atomic_int_least64_t process; /* whose threads these are; negative while that process begins anew */
    int64_t count;                /* the caller's thread included */
    int64_t started;              /* threads running, without the caller's */
    int64_t job_count;
    job *jobs;
    worker_range *ranges;
    worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint generation; /* jobs so far */
    atomic_uint inside;     /* JOB_OPEN, and the number of workers inside the job */
    atomic_bool stop;
};

static void run_items(job *job, int64_t self) {
    int64_t participants = job->participants;
    for (int64_t step = 0; step < participants; step++) {
        worker_range *range = &job->ranges[(self + step) % participants];
        while (atomic_load_explicit(&range->next, memory_order_relaxed) < range->end) {
            int64_t item = atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed);
            if (item < range->end) {
                job->work(job->user, item, self);
            }
        }
    }
}

/** On whatever thread it runs, a share computes in the one environment and is not cancelled meanwhile. */
static void run_share(job *job, int64_t self) {
    attn_visit visit = attn_visit_begin();
    run_items(job, self);
    attn_visit_end(&visit);
}

/** Joins the open job, if there is one; leaving it makes its results visible to the caller. */
static void join_job(attn_threads *threads, int64_t self) {
    unsigned state = atomic_load(&threads->inside);
    while (state & JOB_OPEN) {
        if (atomic_compare_exchange_weak(&threads->inside, &state, state + 1)) {
            run_share(&threads->jobs[0], self);
            atomic_fetch_sub(&threads->inside, 1);
            return;
        }
    }
}

/** Waits awake for a while; whether there is another job than `seen`. */
static bool is_called_soon(attn_threads *threads, unsigned seen) {
    const int64_t end = attn_clock_now() + AWAKE_NANOSECONDS;
    do {
        for (int spin = 0; spin < SPINS_A_LOOK; spin++) {
            if (atomic_load(&threads->generation) != seen) {
                return true;
            }
            ATTN_PAUSE();
        }
    } while (attn_clock_now() < end);
    return false;
}

static void *worker_main(void *argument) {
    worker *self = argument;
    attn_threads *threads = self->threads;
    unsigned seen = 0;
    attn_processors_take(&threads->processors);
    for (;;) {
        if (!is_called_soon(threads, seen)) {
            pthread_mutex_lock(&threads->lock);
            while (atomic_load(&threads->generation) == seen) {
                pthread_cond_wait(&threads->wake, &threads->lock);
            }
            pthread_mutex_unlock(&threads->lock);
        }
        seen = atomic_load(&threads->generation);
        if (atomic_load(&threads->stop)) {
            return NULL;
        }
        join_job(threads, self->index);
    }
}

static void wake_all(attn_threads *threads) {
    pthread_mutex_lock(&threads->lock);
    atomic_fetch_add(&threads->generation, 1);
    pthread_cond_broadcast(&threads->wake);
    pthread_mutex_unlock(&threads->lock);
}

/** All that a job or a thread changes, as it is before the first. */
static void begin_anew(attn_threads *threads) {
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->wake, NULL);
    atomic_store(&threads->generation, 0);
    atomic_store(&threads->inside, 0);
    threads->started = 0;
    for (int64_t k = 0; k < threads->job_count; k++) {
        atomic_flag_clear(&threads->jobs[k].busy);
    }
}

/** Whether the threads are this process's. After a fork one caller begins anew; others see false meanwhile. */
static bool is_ready(attn_threads *threads) {
    int64_t self = getpid(), process = atomic_load(&threads->process);
    if (process == self) {
        return true;
    }
    if (process == -self || !atomic_compare_exchange_strong(&threads->process, &process, -self)) {
        return false;
    }
    begin_anew(threads);
    atomic_store(&threads->process, self);
    return true;
}

static void release(attn_threads *threads) {
    attn_release(threads->memory, threads->jobs);
    attn_release(threads->memory, threads->ranges);
    attn_release(threads->memory, threads->workers);
    attn_release(threads->memory, threads);
}

clattn_status attn_threads_create(attn_memory *memory, const clattn_runtime_options *options, attn_threads **result) {
    *result = NULL;
    attn_threads *threads = attn_allocate_zeroed(memory, sizeof *threads);
    if (!threads) {
        return CLATTN_OUT_OF_MEMORY;
    }
    threads->memory = memory;
    threads->parallel_for = options->parallel_for;
    threads->parallel_user = options->parallel_user;
    attn_processors_ask(&threads->processors);
    int64_t count = options->threads > 0 ? options->threads : attn_processors_threads(&threads->processors, "");
    threads->count = attn_min(count, CLATTN_MOST_THREADS);
    threads->job_count = threads->parallel_for ? POOL_JOBS : 1;
    int64_t range_count = threads->job_count * threads->count;
    threads->jobs = attn_allocate_zeroed(memory, threads->job_count * (int64_t)sizeof(job));
    threads->ranges = attn_allocate_zeroed(memory, range_count * (int64_t)sizeof(worker_range));
    threads->workers = attn_allocate_zeroed(memory, threads->count * (int64_t)sizeof(worker));
    if (!threads->jobs || !threads->ranges || !threads->workers) {
        release(threads);
        return CLATTN_OUT_OF_MEMORY;
    }
    for (int64_t k = 0; k < threads->job_count; k++) {
        threads->jobs[k].ranges = threads->ranges + k * threads->count;
    }
    begin_anew(threads);
    atomic_store(&threads->process, getpid());
    *result = threads;
    return CLATTN_OK;
}

void attn_threads_destroy(attn_threads *threads) {
    if (!threads) {
        return;
    }
    if (atomic_load(&threads->process) == getpid()) { /* else there is nobody to stop: a fork copies no thread */
        atomic_store(&threads->stop, true);
        wake_all(threads);
        for (int64_t i = 0; i < threads->started; i++) {
            pthread_join(threads->workers[i].handle, NULL);
        }
        pthread_cond_destroy(&threads->wake);
        pthread_mutex_destroy(&threads->lock);
    }
    release(threads);
}

int64_t attn_threads_count(const attn_threads *threads) {
    return threads->count;
}

/** Starts what is missing. A thread that cannot be started is done without. */
static void start_threads(attn_threads *threads) {
    while (threads->started < threads->count - 1) {
        worker *next = &threads->workers[threads->started];
        next->threads = threads;
        next->index = threads->started + 1;
        if (attn_processors_start(&next->handle, worker_main, next) != 0) {
            return;
        }
        threads->started++;
    }
}

static void share_items(job *job, int64_t items, int64_t participants) {
    int64_t part = items / participants, rest = items % participants, next = 0;
    job->participants = participants;
    for (int64_t i = 0; i < participants; i++) {
        atomic_store_explicit(&job->ranges[i].next, next, memory_order_relaxed);
        next += part + (i < rest);
        job->ranges[i].end = next;
    }
}

static void run_on_workers(attn_threads *threads, job *job, int64_t items) {
    start_threads(threads);
    share_items(job, items, threads->started + 1);
    atomic_store(&threads->inside, JOB_OPEN);
    wake_all(threads);
    run_share(job, 0);
    atomic_fetch_and(&threads->inside, ~JOB_OPEN);
    for (int spin = 0; atomic_load(&threads->inside) != 0; spin++) {
        if (spin < SPINS) {
            ATTN_PAUSE();
        } else {
            sched_yield();
        }
    }
}

static void run_of_pool(void *argument, int64_t index) {
    job *job = argument;
    if (index >= 0 && index < job->participants) {
        run_share(job, index);
    }
}

static void run_on_pool(attn_threads *threads, job *job, int64_t items) {
    share_items(job, items, attn_min(threads->count, items));
    threads->parallel_for(threads->parallel_user, job->participants, run_of_pool, job);
    run_share(job, 0); /* what a pool left out; nothing else is at work any more */
}

/** A job for the caller to fill; NULL when others have them all. */
static job *take_job(attn_threads *threads) {
    const int64_t count = is_ready(threads) ? threads->job_count : 0;
    for (int64_t k = 0; k < count; k++) {
        if (!atomic_flag_test_and_set(&threads->jobs[k].busy)) {
            return &threads->jobs[k];
        }
    }
    return NULL;
}

void attn_threads_run(attn_threads *threads, int64_t items, void (*work)(void *user, int64_t item, int64_t worker),
                      void *user) {
    job *job = threads->count == 1 || items <= 1 ? NULL : take_job(threads);
    if (!job) {
        attn_visit visit = attn_visit_begin();
        for (int64_t item = 0; item < items; item++) {
            work(user, item, 0);
        }
        attn_visit_end(&visit);
        return;
    }
    job->work = work;
    job->user = user;
    if (threads->parallel_for) {
        run_on_pool(threads, job, items);
    } else {
        run_on_workers(threads, job, items);
    }
    atomic_flag_clear(&job->busy);
}
