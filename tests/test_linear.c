/*
 * Linear maps on the CPU: the kernels of every instruction set that this processor has, at every kind of edge, against
 * sums in double; nothing outside the tensors or the scratch is touched; threads change no bit. To add an instruction
 * set, add it to kernels().
 */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clattn/clattn_inspect.h"
#include "cpu/cpu_features.h"
#include "engines/linear/linear_cpu.h"
#include "support/suite.h"

enum { KERNELS = 3 };

static int kernels(const attn_linear_kernel **list) {
    const attn_linear_kernel *built[KERNELS] = { attn_linear_kernel_generic(), attn_linear_kernel_avx2(),
                                                 attn_linear_kernel_avx512() };
    int count = 0;
    for (int isa = 0; isa < KERNELS; isa++) {
        if (built[isa] && attn_cpu_best_isa() >= (attn_isa)isa) {
            list[count++] = built[isa];
        }
    }
    return count;
}

/** Memory that ends where a page begins that nobody may touch. */
typedef struct fenced {
    char *pages;
    size_t size;
    float *floats;
} fenced;

static fenced fence(int64_t count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)count * sizeof(float);
    size_t room = (bytes + page - 1) / page * page;
    fenced f = { .size = room + page };
    f.pages = mmap(NULL, f.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(f.pages != MAP_FAILED);
    ck_assert_int_eq(mprotect(f.pages + room, page, PROT_NONE), 0);
    f.floats = (float *)(void *)(f.pages + room - bytes);
    return f;
}

static void fenced_free(fenced *f) {
    munmap(f->pages, f->size);
}

static void draw(uint64_t seed, int64_t count, float *x) {
    for (int64_t k = 0; k < count; k++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[k] = (float)(int32_t)(seed >> 32) * 0x1p-31f;
    }
}

typedef struct shape {
    int64_t rows, in, out;
} shape;

typedef struct memory {
    fenced x, w, b, before, output, scratch;
} memory;

static memory make_memory(shape s, const attn_linear_kernel *kernel) {
    clattn_linear_problem problem = { .rows = s.rows, .in_dim = s.in, .out_dim = s.out };
    memory m = { fence(s.rows * s.in),  fence(s.out * s.in),   fence(s.out),
                 fence(s.rows * s.out), fence(s.rows * s.out), fence(attn_linear_scratch(kernel, &problem)) };
    draw(1, s.rows * s.in, m.x.floats);
    draw(2, s.out * s.in, m.w.floats);
    draw(3, s.out, m.b.floats);
    draw(4, s.rows * s.out, m.before.floats);
    return m;
}

static void free_memory(memory *m) {
    fenced *all[] = { &m->x, &m->w, &m->b, &m->before, &m->output, &m->scratch };
    for (int k = 0; k < 6; k++) {
        fenced_free(all[k]);
    }
}

/* A sum of n products is off by (n + 2) roundings of the sum of their sizes at most, however it is ordered. */
static void check(shape s, const memory *m, const attn_linear_call *c, const char *what) {
    for (int64_t r = 0; r < s.rows; r++) {
        for (int64_t o = 0; o < s.out; o++) {
            double before = c->add ? (double)m->before.floats[r * s.out + o] : 0, bias = c->b ? (double)c->b[o] : 0;
            double sum = before + bias, size = fabs(before) + fabs(bias);
            for (int64_t i = 0; i < s.in; i++) {
                double product = (double)c->input[r * s.in + i] * (double)c->w[o * s.in + i];
                sum += product;
                size += fabs(product);
            }
            double error = fabs((double)c->output[r * s.out + o] - sum);
            ck_assert_msg(error <= (double)(s.in + 2) * 0x1p-24 * size,
                          "%s, %" PRId64 " x %" PRId64 " -> %" PRId64 ": output %" PRId64 " of row %" PRId64 " is off by %g", what, s.rows,
                          s.in, s.out, o, r, error);
        }
    }
}

/* All items of a call, one after the other. */
static void run(const attn_linear_kernel *kernel, const attn_linear_job *job, int64_t items, bool tiled,
                float *scratch) {
    for (int64_t item = 0; item < items; item++) {
        if (tiled) {
            kernel->tiles(job, item, scratch);
        } else {
            kernel->dots(job, item);
        }
    }
}

static void one_shape(const attn_linear_kernel *kernel, shape s, int64_t threads) {
    memory m = make_memory(s, kernel);
    for (int kind = 0; kind < 4; kind++) {
        attn_linear_call c = { .rows = s.rows, .input = m.x.floats, .w = m.w.floats, .output = m.output.floats };
        c.b = kind & 1 ? m.b.floats : NULL;
        c.add = kind & 2;
        attn_linear_job job = { .call = &c, .in_dim = s.in, .out_dim = s.out };
        bool tiled;
        int64_t items = attn_linear_cut(kernel, threads, &job, &tiled);
        for (int64_t k = 0; k < s.rows * s.out; k++) {
            c.output[k] = c.add ? m.before.floats[k] : NAN;
        }
        run(kernel, &job, items, tiled, m.scratch.floats);
        check(s, &m, &c, kernel->name);
        if (items == 1) { /* the other kernel, with the same cut */
            memcpy(c.output, m.before.floats, (size_t)(s.rows * s.out) * sizeof(float));
            job.columns = s.out < ATTN_LINEAR_COLUMNS ? s.out : 0;
            if (job.columns > 0) {
                run(kernel, &job, 1, !tiled, m.scratch.floats);
                check(s, &m, &c, "the other kernel");
            }
        }
    }
    free_memory(&m);
}

START_TEST(edges) {
    static const shape shapes[] = {
        { 1, 1, 1 },     { 1, 768, 70 },  { 1, 5000, 3 },  { 2, 33, 9 },    { 3, 100, 37 },
        { 4, 65, 32 },   { 5, 17, 31 },   { 6, 16, 33 },   { 7, 400, 5 },   { 8, 1, 64 },
        { 11, 50, 300 }, { 12, 385, 48 }, { 13, 384, 16 }, { 24, 15, 257 }, { 25, 769, 65 },
        { 40, 640, 40 }, { 41, 31, 1 },   { 97, 64, 64 },  { 130, 7, 33 },  { 70, 1000, 8 }
    };
    const attn_linear_kernel *list[KERNELS];
    int count = kernels(list);
    for (int k = 0; k < count; k++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            one_shape(list[k], shapes[s], 1);
            one_shape(list[k], shapes[s], 5);
        }
    }
}
END_TEST

START_TEST(every_small_shape) {
    const attn_linear_kernel *list[KERNELS];
    int count = kernels(list);
    for (int k = 0; k < count; k++) {
        for (int64_t rows = 1; rows <= 26; rows += 1 + rows / 14) {
            for (int64_t out = 1; out <= 34; out += 1 + out / 9) {
                one_shape(list[k], (shape){ rows, 18, out }, 1);
            }
        }
    }
}
END_TEST

/* What is not finite stays in its row and its column: nothing is multiplied with what fills a tile. */
START_TEST(not_finite) {
    const attn_linear_kernel *list[KERNELS];
    int count = kernels(list);
    const shape s = { 29, 50, 45 };
    for (int k = 0; k < count; k++) {
        memory m = make_memory(s, list[k]);
        m.x.floats[5 * s.in + 7] = NAN;
        m.w.floats[44 * s.in + 49] = INFINITY;
        attn_linear_call c = { .rows = s.rows, .input = m.x.floats, .w = m.w.floats, .output = m.output.floats };
        attn_linear_job job = { .call = &c, .in_dim = s.in, .out_dim = s.out };
        bool tiled;
        int64_t items = attn_linear_cut(list[k], 3, &job, &tiled);
        run(list[k], &job, items, tiled, m.scratch.floats);
        for (int64_t r = 0; r < s.rows; r++) {
            for (int64_t o = 0; o < s.out; o++) {
                float y = c.output[r * s.out + o];
                ck_assert_msg(r == 5    ? isnan(y)
                              : o == 44 ? isinf(y)
                                        : isfinite(y),
                              "%s: output %" PRId64 " of row %" PRId64 " is %g", list[k]->name, o, r,
                              (double)y);
            }
        }
        free_memory(&m);
    }
}
END_TEST

static clattn_linear_plan *plan_of(clattn_runtime *runtime, shape s, clattn_operation_info *info) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *plan = NULL;
    clattn_report report;
    problem.rows = s.rows, problem.in_dim = s.in, problem.out_dim = s.out, options.engine = "cpu";
    EXPECT_STATUS(clattn_linear_plan_create(runtime, &problem, &options, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_linear_plan_get_info(plan, info), CLATTN_OK, NULL);
    return plan;
}

static clattn_linear_tensors tensors_of(const memory *m, float *output) {
    clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
    t.input = m->x.floats, t.w = m->w.floats, t.b = m->b.floats, t.output = output;
    return t;
}

START_TEST(threads_change_no_bit) {
    static const shape shapes[] = { { 1, 768, 768 }, { 9, 768, 200 }, { 300, 768, 96 }, { 64, 64, 64 } };
    static const int64_t threads[] = { 1, 2, 7 };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        shape s = shapes[k];
        memory m = make_memory(s, attn_linear_kernel_generic());
        for (int n = 0; n < 3; n++) {
            clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
            options.without_opencl = true;
            options.threads = threads[n];
            clattn_runtime *runtime = suite_runtime(&options);
            clattn_operation_info info;
            clattn_linear_plan *plan = plan_of(runtime, s, &info);
            ck_assert_str_eq(info.engine, "cpu");
            clattn_linear_tensors t = tensors_of(&m, n == 0 ? m.before.floats : m.output.floats);
            clattn_memory_use before, after;
            clattn_inspect_memory(runtime, &before);
            for (int round = 0; round < 5; round++) {
                memset(t.output, 0xff, (size_t)(s.rows * s.out) * sizeof(float));
                EXPECT_STATUS(clattn_linear_execute(plan, &t), CLATTN_OK, NULL);
                ck_assert_msg(memcmp(m.before.floats, t.output, (size_t)(s.rows * s.out) * sizeof(float)) == 0,
                              "%" PRId64 " rows: other bits on %" PRId64 " threads", s.rows, threads[n]);
            }
            clattn_inspect_memory(runtime, &after);
            ck_assert_msg(before.peak == after.peak, "a call took memory");
            clattn_linear_plan_destroy(plan);
            clattn_runtime_destroy(runtime);
        }
        free_memory(&m);
    }
}
END_TEST

typedef struct caller {
    clattn_linear_plan *plan;
    clattn_linear_tensors tensors;
    clattn_status status;
} caller;

static void *call_often(void *user) {
    caller *c = user;
    for (int round = 0; round < 20 && c->status == CLATTN_OK; round++) {
        c->status = clattn_linear_execute(c->plan, &c->tensors);
    }
    return NULL;
}

START_TEST(several_callers) {
    enum { CALLERS = 3 };
    const shape s = { 50, 70, 90 };
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.threads = 2;
    clattn_runtime *runtime = suite_runtime(&options);
    clattn_operation_info info;
    clattn_linear_plan *plans[2] = { plan_of(runtime, s, &info), plan_of(runtime, s, &info) };
    memory m = make_memory(s, attn_linear_kernel_generic());
    float *outputs = calloc((size_t)(CALLERS * s.rows * s.out), sizeof *outputs);
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    for (int k = 0; k < CALLERS; k++) { /* two of them on one plan */
        callers[k] = (caller){ plans[k % 2], tensors_of(&m, outputs + k * s.rows * s.out), CLATTN_OK };
        ck_assert_int_eq(pthread_create(&threads[k], NULL, call_often, &callers[k]), 0);
    }
    for (int k = 0; k < CALLERS; k++) {
        pthread_join(threads[k], NULL);
        EXPECT_STATUS(callers[k].status, CLATTN_OK, NULL);
        attn_linear_call c = { .input = m.x.floats, .w = m.w.floats, .b = m.b.floats };
        c.output = outputs + k * s.rows * s.out;
        check(s, &m, &c, "several callers");
    }
    free(outputs);
    free_memory(&m);
    clattn_linear_plan_destroy(plans[0]);
    clattn_linear_plan_destroy(plans[1]);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { edges, every_small_shape, not_finite, threads_change_no_bit, several_callers };
    return suite_run(SUITE_OF("linear", tests, 60), SUITE_FORK);
}
