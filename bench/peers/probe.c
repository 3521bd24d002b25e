/*
 * Two probes of what the machine gives at this moment: multiply-adds in registers, and reading memory. The script
 * compiles this file for the processor it runs on and calls it between the measured slots; it is no part of clattn.
 * More accumulators than these 12 do not help any processor with two multiply-add units of latency 4 or 5.
 *
 * The threads take the time themselves: from the earliest start to the latest end, once all of them run. Each is bound
 * to a processor of its own: the kernel often starts a new thread on the processor of its creator, though another one
 * is idle, and moves it only milliseconds later. A probe of 10 ms then takes 18.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define CHAINS 12
#define MAX_THREADS 256

typedef float lanes __attribute__((vector_size(LANES * 4)));
typedef uint64_t words __attribute__((vector_size(64), aligned(8), may_alias));

typedef struct work {
    void (*step)(struct work *);
    atomic_int *missing; /* threads that do not run yet */
    int64_t rounds;
    const char *first, *last;
    double sink, start, end;
} work;

static void multiply_add(work *w) {
    lanes a[CHAINS], x, y;
    for (int i = 0; i < LANES; i++) {
        x[i] = 0.999f;
        y[i] = 0.001f;
    }
    for (int c = 0; c < CHAINS; c++) {
        a[c] = x * (float)c;
    }
    for (int64_t r = 0; r < w->rounds; r++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) {
            a[c] = a[c] * x + y;
        }
    }
    for (int c = 0; c < CHAINS; c++) {
        w->sink += a[c][0];
    }
}

/* Without prefetch instructions: with them it was slower, from the third cache and from memory. */
static void read_once(work *w) {
    words a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    for (const char *p = w->first; p + 256 <= w->last; p += 256) {
        a += *(const words *)p;
        b += *(const words *)(p + 64);
        c += *(const words *)(p + 128);
        d += *(const words *)(p + 192);
    }
    a += b + c + d;
    w->sink = (double)(a[0] & 1);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *thread(void *argument) {
    work *w = argument;
    atomic_fetch_sub(w->missing, 1);
    while (atomic_load(w->missing) > 0) {
        sched_yield(); /* where threads share a processor, the others must get it to arrive here */
    }
    w->start = seconds();
    w->step(w);
    w->end = seconds();
    return 0;
}

/* Starts one thread, on processor number `index` of those that this process may use; anywhere if they are too few. */
static int start(pthread_t *id, work *part, int index, int threads) {
    pthread_attr_t attributes;
    cpu_set_t allowed, one;
    pthread_attr_init(&attributes);
    if (!sched_getaffinity(0, sizeof allowed, &allowed) && threads <= CPU_COUNT(&allowed)) {
        int cpu = 0;
        for (int left = index; left > 0 || !CPU_ISSET(cpu, &allowed); cpu++) {
            left -= CPU_ISSET(cpu, &allowed) != 0;
        }
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_attr_setaffinity_np(&attributes, sizeof one, &one);
    }
    int failed = pthread_create(id, &attributes, thread, part);
    pthread_attr_destroy(&attributes);
    return failed;
}

/* Seconds from the earliest start to the latest end of the parts, each in a thread; negative: not all threads began. */
static double run(work *parts, int threads) {
    pthread_t id[MAX_THREADS];
    atomic_int missing = threads;
    int started = 0;
    for (int i = 0; i < threads; i++) {
        parts[i].missing = &missing;
    }
    while (started < threads && !start(&id[started], &parts[started], started, threads)) {
        started++;
    }
    atomic_fetch_sub(&missing, threads - started);
    for (int i = 0; i < started; i++) {
        pthread_join(id[i], 0);
    }
    double first = parts[0].start, last = parts[0].end;
    for (int i = 1; i < started; i++) {
        first = parts[i].start < first ? parts[i].start : first;
        last = parts[i].end > last ? parts[i].end : last;
    }
    return started == threads ? last - first : -1;
}

/* Floating-point operations of one round of one thread. */
int64_t probe_operations(void) {
    return 2 * LANES * CHAINS;
}

/* Seconds that so many rounds take on each of so many threads. */
double probe_multiply_add(int threads, int64_t rounds) {
    work parts[MAX_THREADS] = { { 0 } };
    for (int i = 0; i < threads && i < MAX_THREADS; i++) {
        parts[i].step = multiply_add;
        parts[i].rounds = rounds;
    }
    return threads <= MAX_THREADS ? run(parts, threads) : -1;
}

/* Seconds in which so many threads together read the memory once. */
double probe_read(int threads, const char *memory, int64_t size) {
    work parts[MAX_THREADS] = { { 0 } };
    int64_t share = size / threads / 256 * 256;
    for (int i = 0; i < threads && i < MAX_THREADS; i++) {
        parts[i].step = read_once;
        parts[i].first = memory + i * share;
        parts[i].last = parts[i].first + share;
    }
    return threads <= MAX_THREADS ? run(parts, threads) : -1;
}
