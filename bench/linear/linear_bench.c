/*
 * Times the matrix product of clattn_linear.h on the CPU beside those of libraries that it could have been made of, and
 * beside the probe of multiply-adds, turn by turn in one process. Libraries are opened at run time; each is asked for which
 * kernels to take by its own variable, so several copies of one are open at once. Usage: bench/linear/run.sh.
 * To add a library: a function for its product, and its lines in candidates[].
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/median.h"
#include "bench/machine_limits.h"
#include "cpu/cpu_features.h"
#include "cpu/threads.h"
#include "engines/linear/linear_cpu.h"

enum { AVX2 = 1, AVX512 = 2, ROUNDS = 7, MOST_THREADS = 64 };
#define SLOT 0.012 /* seconds of calls in a turn, at least one call */

typedef struct shape {
    int64_t rows, in, out;
} shape;

/* Squares, and the products of layers: projections and feed-forward of width 768, one token, a head's. */
static const shape shapes[] = { { 256, 256, 256 },  { 512, 512, 512 }, { 1024, 1024, 1024 }, { 2048, 2048, 2048 },
                                { 128, 768, 768 },  { 512, 768, 768 }, { 512, 768, 3072 },   { 512, 3072, 768 },
                                { 4096, 768, 768 }, { 1, 768, 768 },   { 8, 768, 768 },      { 32, 768, 768 },
                                { 512, 64, 64 } };
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct candidate candidate;
struct candidate {
    const char *name, *variable, *value; /* the library's name on the command line; the variable that chooses kernels */
    int level;                           /* of the probe it is compared with */
    bool (*open)(candidate *c, int threads);
    void (*product)(const candidate *c, shape s, const float *x, const float *w, float *y);
    void *library, *call;
    char told[128]; /* what it says of its version and kernels */
    const attn_linear_kernel *kernel;
};

static double seconds(int threads) { /* one thread: its own time, so that others on the machine count little */
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A function by name; the cast between kinds of pointers goes through memory. */
#define FUNCTION(library, name, variable)                                                                              \
    do {                                                                                                               \
        void *found = dlsym(library, name);                                                                            \
        memcpy(&(variable), &found, sizeof found);                                                                     \
    } while (0)

static attn_threads *pool;
static float *scratch;

typedef struct own_work {
    attn_linear_job job;
    const attn_linear_kernel *kernel;
    int64_t scratch_size;
} own_work;

static void own_tiles(void *user, int64_t item, int64_t worker) {
    const own_work *w = user;
    w->kernel->tiles(&w->job, item, scratch + worker * w->scratch_size);
}

static void own_dots(void *user, int64_t item, int64_t worker) {
    const own_work *w = user;
    (void)worker;
    w->kernel->dots(&w->job, item);
}

static void own_product(const candidate *c, shape s, const float *x, const float *w, float *y) {
    clattn_linear_problem problem = { .in_dim = s.in, .out_dim = s.out };
    attn_linear_call call = { .rows = s.rows, .input = x, .w = w, .output = y };
    own_work work = { .job = { .call = &call, .in_dim = s.in, .out_dim = s.out }, .kernel = c->kernel };
    bool tiled;
    int64_t items = attn_linear_cut(c->kernel, attn_threads_count(pool), &work.job, &tiled);
    work.scratch_size = attn_linear_scratch(c->kernel, &problem);
    attn_threads_run(pool, items, tiled ? own_tiles : own_dots, &work);
}

static bool own_open(candidate *c, int threads) {
    (void)threads;
    c->kernel = c->level == AVX512 ? attn_linear_kernel_avx512() : attn_linear_kernel_avx2();
    snprintf(c->told, sizeof c->told, "%s", c->kernel ? c->kernel->name : "");
    return c->kernel;
}

typedef void (*cblas_sgemm_t)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                              const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 }; /* of every cblas.h */

static void cblas_product(const candidate *c, shape s, const float *x, const float *w, float *y) {
    cblas_sgemm_t sgemm;
    memcpy(&sgemm, &c->call, sizeof sgemm);
    int in = (int)s.in, out = (int)s.out;
    sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, (int)s.rows, out, in, 1, x, in, w, in, 0, y, out);
}

static bool openblas_open(candidate *c, int threads) {
    void (*set_threads)(int) = NULL;
    char *(*core)(void) = NULL, *(*config)(void) = NULL;
    FUNCTION(c->library, "openblas_set_num_threads", set_threads);
    FUNCTION(c->library, "openblas_get_corename", core);
    FUNCTION(c->library, "openblas_get_config", config);
    c->call = dlsym(c->library, "cblas_sgemm");
    if (!c->call || !set_threads || !core || !config) {
        return false;
    }
    set_threads(threads);
    snprintf(c->told, sizeof c->told, "%.15s %s", config(), core());
    return true;
}

static bool blis_open(candidate *c, int threads) {
    void (*set_threads)(int64_t) = NULL;
    int (*arch)(void) = NULL;
    const char *(*arch_name)(int) = NULL, *(*version)(void) = NULL;
    FUNCTION(c->library, "bli_thread_set_num_threads", set_threads);
    FUNCTION(c->library, "bli_arch_query_id", arch);
    FUNCTION(c->library, "bli_arch_string", arch_name);
    FUNCTION(c->library, "bli_info_get_version_str", version);
    c->call = dlsym(c->library, "cblas_sgemm");
    if (!c->call || !set_threads || !arch || !arch_name || !version) {
        return false;
    }
    set_threads(threads);
    snprintf(c->told, sizeof c->told, "BLIS %s %s", version(), arch_name(arch()));
    return true;
}

typedef int (*dnnl_sgemm_t)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                            const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                            int64_t ldc);

static void dnnl_product(const candidate *c, shape s, const float *x, const float *w, float *y) {
    dnnl_sgemm_t sgemm;
    memcpy(&sgemm, &c->call, sizeof sgemm);
    sgemm('N', 'T', s.rows, s.out, s.in, 1, x, s.in, w, s.in, 0, y, s.out);
}

static bool dnnl_open(candidate *c, int threads) {
    const int *(*version)(void) = NULL; /* its structure begins with these three */
    int (*isa)(void) = NULL;
    void (*set_threads)(int) = NULL;
    FUNCTION(c->library, "dnnl_version", version);
    FUNCTION(c->library, "dnnl_get_effective_cpu_isa", isa);
    FUNCTION(c->library, "omp_set_num_threads", set_threads); /* of the OpenMP that it needs */
    c->call = dlsym(c->library, "dnnl_sgemm");
    if (!c->call || !version || !isa || !set_threads) {
        return false;
    }
    set_threads(threads);
    snprintf(c->told, sizeof c->told, "oneDNN %d.%d.%d isa 0x%x", version()[0], version()[1], version()[2],
             (unsigned)isa());
    return true;
}

#define ROW(its_name, its_variable, its_value, its_level, its_open, its_product)                                       \
    {                                                                                                                  \
        .name = its_name, .variable = its_variable, .value = its_value, .level = its_level, .open = its_open,          \
        .product = its_product                                                                                         \
    }

static candidate candidates[] = {
    ROW("clattn", NULL, NULL, AVX512, own_open, own_product),
    ROW("openblas", NULL, NULL, AVX512, openblas_open, cblas_product), /* as it chooses itself */
    ROW("openblas", "OPENBLAS_CORETYPE", "SkylakeX", AVX512, openblas_open, cblas_product),
    ROW("blis", NULL, NULL, AVX512, blis_open, cblas_product),
    ROW("blis", "BLIS_ARCH_TYPE", "0", AVX512, blis_open, cblas_product), /* its number of Skylake-X */
    ROW("onednn", NULL, NULL, AVX512, dnnl_open, dnnl_product),
    ROW("clattn", NULL, NULL, AVX2, own_open, own_product),
    ROW("openblas", "OPENBLAS_CORETYPE", "Haswell", AVX2, openblas_open, cblas_product),
    ROW("blis", "BLIS_ARCH_TYPE", "3", AVX2, blis_open, cblas_product), /* of Haswell */
    ROW("onednn", "DNNL_MAX_CPU_ISA", "AVX2", AVX2, dnnl_open, dnnl_product),
};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

/* A copy of the file, opened: the same file would only be opened once, with one choice of kernels. */
static void *open_copy(const char *path) {
    char name[] = "/tmp/linear_bench_XXXXXX", buffer[1 << 16];
    FILE *from = fopen(path, "rb");
    int to = mkstemp(name);
    size_t n;
    while (from && to >= 0 && (n = fread(buffer, 1, sizeof buffer, from)) > 0) {
        if (write(to, buffer, n) != (ssize_t)n) {
            break;
        }
    }
    if (from) {
        fclose(from);
    }
    close(to);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
    }
    unlink(name);
    return library;
}

/* Opens what the command line names as NAME=PATH. A candidate that cannot be had stays without a library. */
static void open_candidates(int count, char **words, int threads, const float *x) {
    float y[4];
    for (candidate *c = candidates; c < candidates + CANDIDATES; c++) {
        size_t length = strlen(c->name);
        for (int k = 0; k < count; k++) {
            if (strncmp(words[k], c->name, length) == 0 && words[k][length] == '=') {
                if (c->variable) {
                    setenv(c->variable, c->value, 1);
                }
                c->library = open_copy(words[k] + length + 1);
                if (c->library && c->open(c, threads)) {
                    c->product(c, (shape){ 2, 2, 2 }, x, x, y); /* it chooses its kernels now at the latest */
                } else {
                    c->library = NULL;
                }
                if (c->variable) {
                    unsetenv(c->variable);
                }
            }
        }
        c->library = c->open != own_open                                       ? c->library
                     : c->level <= attn_vector_level() && own_open(c, threads) ? c
                                                                               : NULL;
    }
}

typedef struct probe {
    int level, threads;
    pthread_barrier_t *start;
    double rate;
} probe;

static void *run_probe(void *user) {
    probe *p = user;
    float sink = 0;
    pthread_barrier_wait(p->start);
    double start = seconds(p->threads), work = attn_fma_fp32_at(p->level, 1 << 19, &sink);
    p->rate = work / (seconds(p->threads) - start);
    return NULL;
}

/* Operations a second on all threads at once: as many times the slowest of them. */
static double probe_rate(int level, int threads) {
    probe probes[MOST_THREADS];
    pthread_t handles[MOST_THREADS];
    pthread_barrier_t start;
    double least = INFINITY;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int t = 0; t < threads; t++) {
        probes[t] = (probe){ level, threads, &start, 0 };
        if (t > 0 && pthread_create(&handles[t], NULL, run_probe, &probes[t]) != 0) {
            exit(1);
        }
    }
    run_probe(&probes[0]);
    for (int t = 0; t < threads; t++) {
        if (t > 0) {
            pthread_join(handles[t], NULL);
        }
        least = probes[t].rate < least ? probes[t].rate : least;
    }
    pthread_barrier_destroy(&start);
    return least * threads;
}

typedef struct results {
    double rate[CANDIDATES][ROUNDS], of_probe[CANDIDATES][ROUNDS], of_own[CANDIDATES][ROUNDS], probe[3][ROUNDS];
} results;

static double time_turn(const candidate *c, shape s, int threads, const float *x, const float *w, float *y) {
    double work = 2.0 * (double)s.rows * (double)s.in * (double)s.out;
    c->product(c, s, x, w, y);
    double start = seconds(threads), end;
    int64_t calls = 0;
    do {
        c->product(c, s, x, w, y);
        calls++;
        end = seconds(threads);
    } while (end - start < SLOT);
    if (threads > 1) { /* threads of a library that wait awake must not take part in the next turn */
        nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    }
    return work * (double)calls / (end - start);
}

/* Whether some of the outputs are right: a candidate that computes something else is not to be compared. */
static bool is_right(shape s, const float *x, const float *w, const float *y) {
    for (int64_t k = 0; k < 100; k++) {
        int64_t r = k * 7919 % s.rows, o = k * 104729 % s.out;
        double sum = 0;
        for (int64_t i = 0; i < s.in; i++) {
            sum += (double)x[r * s.in + i] * (double)w[o * s.in + i];
        }
        if (!(fabs(sum - (double)y[r * s.out + o]) <= 1e-4 * sqrt((double)s.in))) {
            return false;
        }
    }
    return true;
}

static void measure(shape s, int threads, const float *x, const float *w, float *y, results *r) {
    for (int round = 0; round < ROUNDS; round++) {
        for (int level = AVX2; level <= attn_vector_level(); level++) {
            r->probe[level][round] = probe_rate(level, threads);
        }
        for (int n = 0; n < CANDIDATES; n++) {
            int which = round % 2 ? CANDIDATES - 1 - n : n;
            candidate *c = &candidates[which];
            if (!c->library) {
                continue;
            }
            memset(y, 0, (size_t)(s.rows * s.out) * sizeof *y);
            r->rate[which][round] = time_turn(c, s, threads, x, w, y);
            r->of_probe[which][round] = r->rate[which][round] / r->probe[c->level][round];
            if (round == 0 && !is_right(s, x, w, y)) {
                fprintf(stderr, "%s (%s): wrong results, left out\n", c->name, c->told);
                c->library = NULL;
            }
        }
        for (int n = 0; n < CANDIDATES; n++) {
            int own = candidates[n].level == AVX512 ? 0 : 6;
            r->of_own[n][round] = r->rate[n][round] / r->rate[own][round];
        }
    }
}

static void report(shape s, int threads, const char *facts, results *r, FILE *csv) {
    for (int n = 0; n < CANDIDATES; n++) {
        const candidate *c = &candidates[n];
        if (!c->library) {
            continue;
        }
        double probe[ROUNDS];
        memcpy(probe, r->probe[c->level], sizeof probe);
        double rate = attn_median(r->rate[n], ROUNDS), of_own = attn_median(r->of_own[n], ROUNDS);
        double of_probe = attn_median(r->of_probe[n], ROUNDS);
        fprintf(csv, "%s,%d,%" PRId64 ",%" PRId64 ",%" PRId64 ",%s,%s%s%s,\"%s\",%.1f,%.1f,%.3f,%.3f,%.3f,%.3f\n",
                facts, threads, s.rows, s.in, s.out, c->level == AVX512 ? "avx512" : "avx2", c->name,
                c->variable ? " " : "", c->variable ? c->value : "", c->told, rate / 1e9,
                attn_median(probe, ROUNDS) / 1e9, of_probe, r->of_probe[n][0], r->of_probe[n][ROUNDS - 1], of_own);
        printf("%5" PRId64 " x %4" PRId64 " -> %4" PRId64
               "  %d %s  %-7s %-9s %7.1f GFLOP/s  %5.1f %% of the probe  %5.2f of clattn\n",
               s.rows, s.in, s.out, threads, threads == 1 ? "thread " : "threads",
               c->level == AVX512 ? "avx512" : "avx2", c->name, rate / 1e9, 100 * of_probe, of_own);
    }
    fflush(NULL);
}

static float *draw(int64_t count) {
    float *x = aligned_alloc(64, ((size_t)count * sizeof *x + 63) / 64 * 64);
    for (int64_t k = 0; x && k < count; k++) {
        x[k] = (float)(k * 2654435761u % 1000003) / 500001.5f - 1;
    }
    return x;
}

/* linear_bench CSV FACTS THREADS [NAME=PATH...]: appends to CSV lines that begin with FACTS. */
int main(int argc, char **argv) {
    enum { MOST = 2048 * 2048 > 4096 * 3072 ? 2048 * 2048 : 4096 * 3072 };
    FILE *csv = argc > 3 ? fopen(argv[1], "a") : NULL;
    int threads = argc > 3 ? atoi(argv[3]) : 0;
    float *x = draw(MOST), *w = draw(MOST), *y = draw(MOST);
    clattn_runtime_options options = { .struct_size = sizeof options, .threads = threads };
    attn_memory memory;
    attn_memory_init(&memory, &options.allocator);
    if (!csv || threads < 1 || threads > MOST_THREADS || !x || !w || !y ||
        attn_threads_create(&memory, &options, &pool) != CLATTN_OK) {
        fprintf(stderr, "linear_bench CSV FACTS THREADS [openblas=PATH] [blis=PATH] [onednn=PATH]\n");
        return 2;
    }
    clattn_linear_problem large = { .in_dim = 1 << 20, .out_dim = 1 << 20 };
    const attn_linear_kernel *kernel =
        attn_vector_level() == AVX512 ? attn_linear_kernel_avx512() : attn_linear_kernel_avx2();
    scratch = kernel ? aligned_alloc(64, (size_t)attn_linear_scratch(kernel, &large) * 4 * (size_t)threads) : NULL;
    if (!scratch) {
        fprintf(stderr, "linear_bench: this processor has no AVX2\n");
        return 2;
    }
    open_candidates(argc - 4, argv + 4, threads, x);
    for (int k = 0; k < SHAPES; k++) {
        static results r;
        measure(shapes[k], threads, x, w, y, &r);
        report(shapes[k], threads, argv[2], &r, csv);
    }
    free(x), free(w), free(y), free(scratch);
    attn_threads_destroy(pool);
    return fclose(csv) == 0 ? 0 : 1;
}
