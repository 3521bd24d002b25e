/*
 * Additive attention on the host's processors: blocks of query rows over the runtime's threads, the kernel of the best
 * instruction set. Takes scratch at creation, none in a call. Knows nothing of vectors (additive_cpu_body.h does).
 */
#include <inttypes.h>
#include <string.h>

#include "cpu/cpu_features.h"
#include "cpu/threads.h"
#include "engines/additive/additive_cpu.h"

typedef struct cpu_state {
    clattn_additive_problem problem;
    attn_memory *memory;
    struct attn_threads *threads;
    const attn_additive_kernel *kernel;
    float *scratch;
    int64_t scratch_size; /* floats of a worker */
} cpu_state;

static const attn_additive_kernel *choose_kernel(void) {
    const attn_additive_kernel *kernel = NULL;
    attn_isa isa = attn_cpu_best_isa();
    if (isa >= ATTN_ISA_AVX512) {
        kernel = attn_additive_kernel_avx512();
    }
    if (!kernel && isa >= ATTN_ISA_AVX2) {
        kernel = attn_additive_kernel_avx2();
    }
    return kernel ? kernel : attn_additive_kernel_generic();
}

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the cpu engine runs on the CPU");
        return false;
    }
    return true;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report) {
    const clattn_additive_problem *p = problem;
    int64_t hidden = attn_round_up(p->hidden, ATTN_ADDITIVE_LANES),
            keys = attn_round_up(p->key_length, ATTN_ADDITIVE_LANES);
    int64_t floats, bytes;
    if (!attn_multiply(hidden, ATTN_ADDITIVE_ROWS + 1, &floats) ||
        !attn_add(floats, keys * ATTN_ADDITIVE_ROWS, &floats) ||
        !attn_multiply(floats, (int64_t)sizeof(float) * attn_threads_count(device->threads), &bytes)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "hidden, key_length: scratch does not fit 63 bits");
    }
    cpu_state *made = attn_allocate_zeroed(device->memory, sizeof *made);
    float *scratch = attn_allocate(device->memory, bytes);
    if (!made || !scratch) {
        attn_release(device->memory, made);
        attn_release(device->memory, scratch);
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "no memory for %" PRId64 " bytes of scratch", bytes);
    }
    *made = (cpu_state){ *p, device->memory, device->threads, choose_kernel(), scratch, floats };
    strcpy(info->kernel, made->kernel->name);
    info->workspace_size = bytes;
    *state = made;
    return CLATTN_OK;
}

static void release(void *state) {
    cpu_state *s = state;
    attn_release(s->memory, s->scratch);
    attn_release(s->memory, s);
}

typedef struct work {
    attn_additive_job job;
    const attn_additive_kernel *kernel;
} work;

static void run_item(void *user, int64_t item, int64_t worker) {
    const work *w = user;
    w->kernel->item(&w->job, item, w->job.scratch + worker * w->job.scratch_size);
}

static clattn_status execute(void *state, const void *call) {
    const cpu_state *s = state;
    const attn_additive_call *c = call;
    work w = { .kernel = s->kernel,
               .job = { .problem = &s->problem,
                        .call = c,
                        .blocks = attn_divide_up(c->query_length, ATTN_ADDITIVE_ROWS),
                        .hidden_pitch = attn_round_up(s->problem.hidden, ATTN_ADDITIVE_LANES),
                        .score_pitch = attn_round_up(s->problem.key_length, ATTN_ADDITIVE_LANES),
                        .scratch = s->scratch,
                        .scratch_size = s->scratch_size } };
    attn_threads_run(s->threads, s->problem.batch * w.job.blocks, run_item, &w);
    return CLATTN_OK;
}

const attn_operation_engine attn_additive_cpu = { "cpu", false, supports, prepare, execute, release };
