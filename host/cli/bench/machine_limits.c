/*
 * Runs the probes on all threads at once and takes the best of several short rounds: multiply-adds, copying, reading,
 * and the library's own matrix product. A limit is only a limit if nothing measured is above it, so the larger counts.
 */
#define _POSIX_C_SOURCE 200809L
#include "bench/machine_limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_linear.h"

enum { ATTN_PROBE_THREADS = 256, ATTN_PROBE_ROUNDS = 8 };

typedef enum attn_probe_kind { ATTN_PROBE_FP32, ATTN_PROBE_FP64, ATTN_PROBE_COPY, ATTN_PROBE_READ } attn_probe_kind;

/* Threads wait here until all have started. */
typedef struct start_gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
} start_gate;

/* One thread of a probe. */
typedef struct fma_probe {
    attn_probe_kind kind;
    start_gate *go;
    uint64_t *memory; /* two halves */
    size_t words;     /* of a half */
    int64_t repeats;  /* of reading */
    double work, seconds, sink;
} fma_probe;

static double probe_work(fma_probe *probe) {
    float sum = 0;
    double work = 0;
    switch (probe->kind) {
        case ATTN_PROBE_FP32:
            work = attn_fma_fp32(1 << 20, &sum);
            probe->sink += (double)sum;
            return work;
        case ATTN_PROBE_FP64: return attn_fma_fp64(1 << 20, &probe->sink);
        case ATTN_PROBE_COPY:
            memcpy(probe->memory, probe->memory + probe->words, 8 * probe->words);
            return 16.0 * (double)probe->words;
        default:
            for (int64_t n = 0; n < probe->repeats; n++) {
                work += attn_read_memory(probe->memory, (int64_t)(16 * probe->words), &probe->sink);
            }
            return work;
    }
}

static void open_start(start_gate *go) {
    pthread_mutex_lock(&go->mutex);
    go->open = true;
    pthread_cond_broadcast(&go->changed);
    pthread_mutex_unlock(&go->mutex);
}

static void *probe_thread(void *argument) {
    fma_probe *probe = argument;
    pthread_mutex_lock(&probe->go->mutex);
    while (!probe->go->open) {
        pthread_cond_wait(&probe->go->changed, &probe->go->mutex);
    }
    pthread_mutex_unlock(&probe->go->mutex);
    double start = attn_seconds();
    probe->work = probe_work(probe);
    probe->seconds = attn_seconds() - start;
    return NULL;
}

/* One round on all threads: work a second, by the slowest of them. Threads that do not start are not counted. */
static double probe_round(fma_probe *probes, int64_t threads) {
    pthread_t handles[ATTN_PROBE_THREADS];
    start_gate go = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
    int64_t begun = 0;
    double work = 0, slowest = 0;
    for (; begun < threads - 1; begun++) {
        probes[begun].go = &go;
        if (pthread_create(&handles[begun], NULL, probe_thread, &probes[begun]) != 0) {
            break;
        }
    }
    open_start(&go);
    probes[begun].go = &go;
    probe_thread(&probes[begun]);
    for (int64_t t = 0; t < begun; t++) {
        pthread_join(handles[t], NULL);
    }
    for (int64_t t = 0; t <= begun; t++) {
        work += probes[t].work;
        slowest = probes[t].seconds > slowest ? probes[t].seconds : slowest;
    }
    return slowest > 0 ? work / slowest : 0;
}

static double best_of(fma_probe *probes, int64_t threads, attn_probe_kind kind) {
    double best = 0;
    for (int round = 0; round < ATTN_PROBE_ROUNDS; round++) {
        for (int64_t t = 0; t < threads; t++) {
            probes[t].kind = kind;
        }
        double rate = probe_round(probes, threads);
        best = rate > best ? rate : best;
    }
    return best / 1e9;
}

/* Times a product of square matrices; answers 0 where there is no memory for it. */
static double time_product(clattn_runtime *runtime, clattn_linear_plan *plan, int64_t n) {
    double best = 0;
    float *matrices = clattn_allocate(runtime, 3 * n * n * (int64_t)sizeof(float));
    for (int64_t k = 0; matrices && k < 2 * n * n; k++) {
        matrices[k] = (float)(k % 7) - 3;
    }
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    tensors.input = matrices;
    for (int round = 0; matrices && round < ATTN_PROBE_ROUNDS; round++) {
        tensors.w = matrices + n * n;
        tensors.output = matrices + 2 * n * n;
        double start = attn_seconds();
        if (clattn_linear_execute(plan, &tensors) != CLATTN_OK) {
            break;
        }
        double rate = 2.0 * (double)(n * n * n) / (attn_seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    clattn_release(runtime, matrices);
    return best;
}

/* The library's own matrix product, 1024 x 1024 x 1024; 0 where it cannot be made ready. */
static double measure_product(int64_t threads) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options how = CLATTN_PLAN_OPTIONS_INIT;
    clattn_runtime *runtime = NULL;
    clattn_linear_plan *plan = NULL;
    double best = 0;
    options.threads = threads;
    options.without_opencl = true;
    problem.rows = problem.in_dim = problem.out_dim = 1024;
    how.engine = "cpu";
    if (clattn_runtime_create(&options, &runtime) == CLATTN_OK &&
        clattn_linear_plan_create(runtime, &problem, &how, &plan, NULL) == CLATTN_OK) {
        best = time_product(runtime, plan, problem.rows);
    }
    clattn_linear_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
    return best;
}

void attn_measure_limits(int64_t threads, attn_limits *limits) {
    static fma_probe probes[ATTN_PROBE_THREADS];
    threads = threads > ATTN_PROBE_THREADS ? ATTN_PROBE_THREADS : threads < 1 ? 1 : threads;
    size_t words = ((size_t)192 << 20) / 16 / (size_t)threads; /* 192 MiB in all: beyond the caches */
    uint64_t *memory = malloc((size_t)threads * 2 * words * 8);
    *limits = (attn_limits){ .instructions = attn_fma_instructions() };
    for (int64_t t = 0; t < threads; t++) {
        probes[t] = (fma_probe){ .memory = memory + (size_t)t * 2 * words, .words = words, .repeats = 1 };
    }
    limits->fma_gflops = best_of(probes, threads, ATTN_PROBE_FP32);
    limits->fma_gflops_fp64 = best_of(probes, threads, ATTN_PROBE_FP64);
    if (memory) {
        memset(memory, 1, (size_t)threads * 2 * words * 8);
        limits->copy_gbytes = best_of(probes, threads, ATTN_PROBE_COPY);
        limits->read_gbytes = best_of(probes, threads, ATTN_PROBE_READ);
    }
    free(memory);
    limits->product_gflops = measure_product(threads);
}

double attn_measure_reading(int64_t threads, double bytes) {
    static fma_probe probes[ATTN_PROBE_THREADS];
    threads = threads > ATTN_PROBE_THREADS ? ATTN_PROBE_THREADS : threads < 1 ? 1 : threads;
    bytes = bytes > 256e6 ? 256e6 : bytes < 65536 ? 65536 : bytes;
    size_t words = (size_t)(bytes / 16 / (double)threads) / 64 * 64 + 64;
    uint64_t *memory = malloc((size_t)threads * 16 * words);
    if (!memory) {
        return 0;
    }
    memset(memory, 1, (size_t)threads * 16 * words);
    for (int64_t t = 0; t < threads; t++) {
        probes[t] = (fma_probe){ .memory = memory + (size_t)t * 2 * words, .words = words };
        probes[t].repeats = (int64_t)(64e6 / bytes) + 1;
    }
    double rate = best_of(probes, threads, ATTN_PROBE_READ);
    free(memory);
    return rate;
}

double attn_limit_gflops(const attn_limits *limits, clattn_type type) {
    if (type == CLATTN_FP64) {
        return limits->fma_gflops_fp64;
    }
    return limits->product_gflops > limits->fma_gflops ? limits->product_gflops : limits->fma_gflops;
}

double attn_limit_gbytes(const attn_limits *limits) {
    return limits->copy_gbytes > limits->read_gbytes ? limits->copy_gbytes : limits->read_gbytes;
}
