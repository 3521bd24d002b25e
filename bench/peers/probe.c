/*
 * Two probes of what the machine gives at this moment: multiply-adds in registers, and reading memory. The script
 * compiles this file for the processor it runs on and calls it between the measured slots; it is no part of clattn.
 * More accumulators than these 12 do not help any processor with two multiply-add units of latency 4 or 5.
 */
#include <pthread.h>
#include <stdint.h>

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
    int64_t rounds;
    const char *first, *last;
    int passes;
    double sink;
} work;

static void *multiply_add(void *argument) {
    work *w = argument;
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
    return 0;
}

static void *read_once(void *argument) {
    work *w = argument;
    words a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    for (int pass = 0; pass < w->passes; pass++) {
        for (const char *p = w->first; p + 256 <= w->last; p += 256) {
            __builtin_prefetch(p + 4096);
            a += *(const words *)p;
            b += *(const words *)(p + 64);
            c += *(const words *)(p + 128);
            d += *(const words *)(p + 192);
        }
    }
    a += b + c + d;
    w->sink = (double)(a[0] & 1);
    return 0;
}

static double run(void *(*step)(void *), work *parts, int threads) {
    pthread_t id[MAX_THREADS];
    int started = 0;
    double sum = 0;
    while (started < threads - 1 && !pthread_create(&id[started], 0, step, &parts[started])) {
        started++;
    }
    for (int i = started; i < threads; i++) {
        step(&parts[i]);
    }
    for (int i = 0; i < started; i++) {
        pthread_join(id[i], 0);
    }
    for (int i = 0; i < threads; i++) {
        sum += parts[i].sink;
    }
    return sum;
}

/* Floating-point operations of one round of one thread. */
int64_t probe_operations(void) {
    return 2 * LANES * CHAINS;
}

double probe_multiply_add(int threads, int64_t rounds) {
    work parts[MAX_THREADS] = { { 0 } };
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    for (int i = 0; i < threads; i++) {
        parts[i].rounds = rounds;
    }
    return run(multiply_add, parts, threads);
}

double probe_read(int threads, const char *memory, int64_t size, int passes) {
    work parts[MAX_THREADS] = { { 0 } };
    threads = threads < MAX_THREADS ? threads : MAX_THREADS;
    int64_t share = size / threads / 256 * 256;
    for (int i = 0; i < threads; i++) {
        parts[i].first = memory + i * share;
        parts[i].last = parts[i].first + share;
        parts[i].passes = passes;
    }
    return run(read_once, parts, threads);
}
