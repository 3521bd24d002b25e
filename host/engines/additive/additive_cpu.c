/*
 * Additive attention on the host's processors: blocks of query rows over the runtime's threads, the kernel of one
 * instruction set. Knows nothing of vectors (additive_cpu_body.h does).
 */
#include <string.h>

#include "cpu/threads.h"
#include "engines/additive/additive_cpu.h"
#include "engines/isa_bodies.h"

typedef struct cpu_state {
    attn_memory *memory;
    struct attn_threads *threads;
    const attn_additive_kernel *kernel;
    int64_t scratch_size; /* floats of a worker */
} cpu_state;

static const attn_additive_kernel *(*const kernels[ATTN_ISA_COUNT])(void) = {
    [ATTN_ISA_GENERIC] = attn_additive_kernel_generic,
    [ATTN_ISA_AVX2] = attn_additive_kernel_avx2,
    [ATTN_ISA_AVX512] = attn_additive_kernel_avx512,
};

ATTN_ISA_BODIES(bodies, kernels);

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    return attn_isa_supports(device, why_not);
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    const clattn_additive_problem *p = problem;
    int64_t hidden = attn_round_up(p->hidden, ATTN_ADDITIVE_LANES),
            keys = attn_round_up(p->key_length, ATTN_ADDITIVE_LANES);
    int64_t floats;
    if (!attn_multiply(hidden, ATTN_ADDITIVE_ROWS + 1, &floats) ||
        !attn_add(floats, keys * ATTN_ADDITIVE_ROWS, &floats) ||
        !attn_multiply(floats, (int64_t)sizeof(float) * attn_threads_count(device->threads), &info->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "hidden, key_length: scratch does not fit 63 bits");
    }
    cpu_state *made = attn_allocate(device->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (cpu_state){ device->memory, device->threads, kernels[attn_body_choose(bodies, device)](), floats };
    strcpy(info->kernel, made->kernel->name);
    *state = made;
    return CLATTN_OK;
}

static void release(void *state) {
    cpu_state *s = state;
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

static clattn_status execute(void *state, const attn_execution *execution) {
    const cpu_state *s = state;
    const clattn_additive_problem *p = execution->problem;
    const attn_additive_call *c = execution->call;
    work w = { .kernel = s->kernel,
               .job = { .problem = p,
                        .call = c,
                        .blocks = attn_divide_up(c->query_length, ATTN_ADDITIVE_ROWS),
                        .hidden_pitch = attn_round_up(p->hidden, ATTN_ADDITIVE_LANES),
                        .score_pitch = attn_round_up(p->key_length, ATTN_ADDITIVE_LANES),
                        .scratch = execution->workspace,
                        .scratch_size = s->scratch_size } };
    attn_threads_run(s->threads, p->batch * w.job.blocks, run_item, &w);
    return CLATTN_OK;
}

const attn_engine attn_additive_cpu = {
    .name = "cpu",
    .bodies = bodies,
    .supports = supports,
    .preference = attn_prefer_by_kind,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
