/*
 * Persistent threads that share the items of one job. Knows nothing of attention. A job is open while its caller works on
 * it; a thread that wakes too late finds it closed and is not waited for, so a small job never costs a wake-up. Each worker
 * owns a contiguous range of items and helps the others when its own is done.
 */
#define _GNU_SOURCE
#include "cpu/threads.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#define ATTN_PAUSE() __builtin_ia32_pause()
#else
#define ATTN_PAUSE() ((void)0)
#endif

enum {
    SPINS = 2000, /* of a caller, before it lets others run */
    MOST_THREADS = 1024,
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

typedef struct worker {
    attn_threads *threads;
    int64_t index;
    pthread_t handle;
} worker;

struct attn_threads {
    attn_memory *memory;
    int64_t count;   /* the caller's thread included */
    int64_t started; /* threads running, without the caller's */
    worker_range *ranges;
    worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_flag busy;       /* a caller owns the threads */
    atomic_uint generation; /* jobs so far */
    atomic_uint inside;     /* JOB_OPEN, and the number of workers inside the job */
    atomic_bool stop;
    int64_t participants;
    void (*work)(void *user, int64_t item, int64_t worker);
    void *user;
};

static int64_t processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return CPU_COUNT(&set);
    }
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1;
}

static void run_items(attn_threads *threads, int64_t self) {
    int64_t participants = threads->participants;
    for (int64_t step = 0; step < participants; step++) {
        worker_range *range = &threads->ranges[(self + step) % participants];
        while (atomic_load_explicit(&range->next, memory_order_relaxed) < range->end) {
            int64_t item = atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed);
            if (item < range->end) {
                threads->work(threads->user, item, self);
            }
        }
    }
}

/** Joins the open job, if there is one; leaving it makes its results visible to the caller. */
static void join_job(attn_threads *threads, int64_t self) {
    unsigned state = atomic_load(&threads->inside);
    while (state & JOB_OPEN) {
        if (atomic_compare_exchange_weak(&threads->inside, &state, state + 1)) {
            run_items(threads, self);
            atomic_fetch_sub(&threads->inside, 1);
            return;
        }
    }
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/** Waits awake for a while; whether there is another job than `seen`. */
static bool is_called_soon(attn_threads *threads, unsigned seen) {
    const int64_t end = nanoseconds() + AWAKE_NANOSECONDS;
    do {
        for (int spin = 0; spin < SPINS_A_LOOK; spin++) {
            if (atomic_load(&threads->generation) != seen) return true;
            ATTN_PAUSE();
        }
    } while (nanoseconds() < end);
    return false;
}

static void *worker_main(void *argument) {
    worker *self = argument;
    attn_threads *threads = self->threads;
    unsigned seen = 0;
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

clattn_status attn_threads_create(attn_memory *memory, int64_t count, attn_threads **result) {
    *result = NULL;
    attn_threads *threads = attn_allocate_zeroed(memory, sizeof *threads);
    if (!threads) {
        return CLATTN_OUT_OF_MEMORY;
    }
    threads->memory = memory;
    threads->count = attn_min(count > 0 ? count : processors(), MOST_THREADS);
    threads->ranges = attn_allocate_zeroed(memory, threads->count * (int64_t)sizeof(worker_range));
    threads->workers = attn_allocate_zeroed(memory, threads->count * (int64_t)sizeof(worker));
    if (!threads->ranges || !threads->workers) {
        attn_release(memory, threads->ranges);
        attn_release(memory, threads->workers);
        attn_release(memory, threads);
        return CLATTN_OUT_OF_MEMORY;
    }
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->wake, NULL);
    atomic_flag_clear(&threads->busy);
    *result = threads;
    return CLATTN_OK;
}

void attn_threads_destroy(attn_threads *threads) {
    if (!threads) {
        return;
    }
    atomic_store(&threads->stop, true);
    wake_all(threads);
    for (int64_t i = 0; i < threads->started; i++) {
        pthread_join(threads->workers[i].handle, NULL);
    }
    pthread_cond_destroy(&threads->wake);
    pthread_mutex_destroy(&threads->lock);
    attn_release(threads->memory, threads->ranges);
    attn_release(threads->memory, threads->workers);
    attn_release(threads->memory, threads);
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
        if (pthread_create(&next->handle, NULL, worker_main, next) != 0) {
            return;
        }
        threads->started++;
    }
}

static void share_items(attn_threads *threads, int64_t items) {
    int64_t n = threads->started + 1, part = items / n, rest = items % n, next = 0;
    threads->participants = n;
    for (int64_t i = 0; i < n; i++) {
        atomic_store_explicit(&threads->ranges[i].next, next, memory_order_relaxed);
        next += part + (i < rest);
        threads->ranges[i].end = next;
    }
}

void attn_threads_run(attn_threads *threads, int64_t items, void (*work)(void *user, int64_t item, int64_t worker),
                      void *user) {
    if (threads->count == 1 || items <= 1 || atomic_flag_test_and_set(&threads->busy)) {
        for (int64_t item = 0; item < items; item++) {
            work(user, item, 0);
        }
        return;
    }
    start_threads(threads);
    threads->work = work;
    threads->user = user;
    share_items(threads, items);
    atomic_store(&threads->inside, JOB_OPEN);
    wake_all(threads);
    run_items(threads, 0);
    atomic_fetch_and(&threads->inside, ~JOB_OPEN);
    for (int spin = 0; atomic_load(&threads->inside) != 0; spin++) {
        if (spin < SPINS) {
            ATTN_PAUSE();
        } else {
            sched_yield();
        }
    }
    atomic_flag_clear(&threads->busy);
}
