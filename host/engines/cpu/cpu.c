/*
 * The cpu engine: threads and SIMD, instruction set chosen at run time, every feature of the forward direction. This file is
 * the engine's face: it refuses, plans (cpu_plan.c) and spreads a call's items over the threads. The kernels are in
 * the folders beside it, compiled once per instruction set; cpu_careful.c is the careful path. An instruction set is added as one
 * isa/cpu_<isa>.c, one line in cpu_plan.c, one in cpu_features.h and its flags in cmake/CompileFlags.cmake.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cpu/threads.h"
#include "engines/cpu/cpu_plan.h"
#include "engines/cpu/cpu_bodies.h"
#include "engines/cpu/cpu_careful.h"
#include "problem/problem.h"

/* Multiply-adds below which waking threads costs more than it brings. */
#define ALONE_BELOW 400000.0
/* Keys and values of a thread that may still lie in its L2 from the call before. */
#define NEAR_BYTES 786432

/** One phase of a call: items of one kind. */
typedef struct cpu_phase {
    const attn_cpu_plan *plan;
    const attn_cpu_job *job;
    const attn_cpu_kernels *kernels;
    char *workspace;
    void (*work)(const struct cpu_phase *phase, int64_t item, void *scratch);
    int64_t items, before, total; /* of this phase, done before it, of the call */
    pthread_t caller;             /* progress is told on its thread */
    atomic_int_least64_t done;
    atomic_bool cancelled;
} cpu_phase;

static void work_prefill(const cpu_phase *phase, int64_t item, void *scratch) {
    if (phase->plan->matrix) {
        phase->plan->matrix->prefill(phase->job, item, scratch);
    } else {
        phase->kernels->prefill(phase->job, item, scratch);
    }
}

static void work_decode(const cpu_phase *phase, int64_t item, void *scratch) {
    phase->kernels->decode(phase->job, item, scratch);
}

static void work_merge(const cpu_phase *phase, int64_t item, void *scratch) {
    phase->kernels->merge(phase->job, item, scratch);
}

static void work_row(const cpu_phase *phase, int64_t item, void *scratch) {
    const clattn_problem *problem = phase->job->problem;
    const attn_call *call = phase->job->call;
    int64_t i = item % call->query_length, head = item / call->query_length;
    attn_cpu_row_output(problem, call, head / problem->query_heads, head % problem->query_heads, i,
                        (char *)scratch + phase->plan->layout.row);
}

static void work_doubles(const cpu_phase *phase, int64_t item, void *scratch) {
    phase->plan->doubles->doubles(phase->job, item, scratch);
}

static void work_weights(const cpu_phase *phase, int64_t item, void *scratch) {
    const clattn_problem *problem = phase->job->problem;
    if (phase->plan->weights_rows > 0) {
        phase->kernels->weights(phase->job, item, scratch);
        return;
    }
    int64_t i = item % problem->weights_rows, head = item / problem->weights_rows;
    attn_cpu_row_weights(problem, phase->job->call, head / problem->weights_heads,
                         problem->weights_first_head + head % problem->weights_heads, problem->weights_first_row + i,
                         (char *)scratch + phase->plan->layout.row);
}

/** Runs one item on one worker. Progress is told by the calling thread, whichever worker it is. */
static void run_item(void *user, int64_t item, int64_t worker) {
    cpu_phase *phase = user;
    const attn_call *call = phase->job->call;
    if (atomic_load_explicit(&phase->cancelled, memory_order_relaxed)) {
        return;
    }
    phase->work(phase, item, phase->workspace + worker * phase->plan->layout.total);
    if (call->progress) {
        int64_t done = phase->before + 1 + atomic_fetch_add(&phase->done, 1);
        if (pthread_equal(pthread_self(), phase->caller) &&
            !call->progress(call->progress_user, (double)done / (double)phase->total)) {
            atomic_store(&phase->cancelled, true);
        }
    }
}

static clattn_status run_phase(cpu_phase *phase, bool alone) {
    atomic_store(&phase->done, 0);
    if (alone) {
        for (int64_t item = 0; item < phase->items; item++) {
            run_item(phase, item, 0);
        }
    } else {
        attn_threads_run(phase->plan->threads, phase->items, run_item, phase);
    }
    phase->before += phase->items;
    /* The calling thread may have had no item: it asks once more here. */
    const attn_call *call = phase->job->call;
    if (call->progress && phase->items > 0 && !atomic_load(&phase->cancelled) &&
        !call->progress(call->progress_user, (double)phase->before / (double)phase->total)) {
        atomic_store(&phase->cancelled, true);
    }
    return atomic_load(&phase->cancelled) ? CLATTN_CANCELLED : CLATTN_OK;
}

/** Whether the kernels must copy values: other types, half vectors, memory not at a multiple of a vector. */
static bool must_copy_values(const clattn_problem *problem, const attn_call *call, int64_t lanes) {
    const attn_view *value = &call->value;
    bool strides = value->stride[0] % lanes == 0 && value->stride[1] % lanes == 0 && value->stride[2] % lanes == 0;
    uintptr_t address = (uintptr_t)value->data + (uintptr_t)value->offset * sizeof(float);
    return problem->type != CLATTN_FP32 || problem->value_dim % lanes != 0 || !strides ||
           address % ((uintptr_t)lanes * sizeof(float)) != 0;
}

/** Bytes of keys and values. */
static double key_bytes(const clattn_problem *problem, const attn_call *call) {
    double each = (double)(problem->head_dim + problem->value_dim) * (double)clattn_type_size(problem->type);
    return each * (double)problem->batch * (double)problem->kv_heads * (double)call->key_length;
}

static attn_cpu_job make_job(const attn_cpu_plan *plan, const attn_execution *execution) {
    const clattn_problem *problem = execution->problem;
    attn_cpu_job job = { .problem = problem, .call = execution->call, .layout = plan->layout };
    job.stepped = problem->softcap > 0 || problem->mask != CLATTN_MASK_NONE || problem->bias != CLATTN_BIAS_NONE ||
                  problem->alibi;
    job.weights_rows = plan->weights_rows;
    if (plan->doubles) {
        job.rows = ATTN_CPU_DOUBLE_ROWS;
        job.chunks = (execution->call->query_length + job.rows - 1) / job.rows;
    }
    if (!plan->kernels) {
        return job;
    }
    job.near = plan->calls_near || key_bytes(problem, execution->call) <= (double)(plan->workers * NEAR_BYTES);
    job.copy_values = must_copy_values(problem, execution->call, plan->kernels->lanes);
    job.key_factor = (float)(problem->scale * (problem->softcap > 0 ? 1 : 1.44269504088896340736));
    job.value_pitch = attn_round_up(problem->value_dim, plan->kernels->lanes);
    job.block_key = plan->block_key;
    bool kept = (execution->call->key_length - 1) / plan->block_key < plan->slots;
    job.slots = kept ? plan->slots : 1; /* one that is always in L2 beats many that are sometimes */
    job.rows = attn_cpu_plan_rows(plan, problem, execution->call->query_length);
    job.chunks = (execution->call->query_length + job.rows - 1) / job.rows;
    job.splits = plan->splits;
    job.partials = (float *)(void *)((char *)execution->workspace + plan->workers * plan->layout.total);
    return job;
}

/** No worker's scratch holds a block of this call yet. */
static void forget_blocks(const attn_cpu_plan *plan, char *workspace) {
    for (int64_t worker = 0; worker < plan->workers; worker++) {
        memset(workspace + worker * plan->layout.total + plan->layout.tags, 0xff,
               (size_t)plan->slots * sizeof(int64_t));
    }
}

static clattn_status run_call(const attn_cpu_plan *plan, const attn_execution *execution) {
    const clattn_problem *problem = execution->problem;
    const attn_call *call = execution->call;
    attn_cpu_job job = make_job(plan, execution);
    int64_t heads = problem->batch * problem->query_heads, groups = problem->batch * problem->kv_heads;
    bool doubles = plan->doubles && call->query_length >= ATTN_CPU_DOUBLE_FEWEST;
    int64_t step = attn_max(1, plan->weights_rows), heads_out = problem->batch * problem->weights_heads;
    bool none = problem->weights == CLATTN_WEIGHTS_NONE || problem->key_length == 0 ||
                problem->weights_first_row >= call->query_length; /* no weight to write, however many entries */
    int64_t weights = none ? 0 : heads_out * ((problem->weights_rows + step - 1) / step);
    bool decodes = attn_cpu_plan_decodes(plan, problem, call->query_length);
    double work = (double)heads * (double)call->query_length * (double)call->key_length *
                  (double)(problem->head_dim + problem->value_dim);
    bool alone = work + (double)weights * (double)step * (double)(call->key_length * problem->head_dim) < ALONE_BELOW;
    cpu_phase phase = { .plan = plan, .job = &job, .kernels = plan->kernels, .workspace = execution->workspace,
                        .caller = pthread_self() };
    const struct {
        void (*work)(const cpu_phase *phase, int64_t item, void *scratch);
        int64_t items;
    } phases[] = {
        { work_row, plan->kernels || doubles || call->query_length == 0 ? 0 : heads * call->query_length },
        { work_doubles, doubles ? heads * job.chunks : 0 },
        { work_prefill, plan->kernels && !decodes ? heads * job.chunks : 0 },
        { work_decode, decodes && call->query_length > 0 ? groups * job.splits : 0 },
        { work_merge, decodes && call->query_length > 0 ? groups : 0 },
        { work_weights, weights },
    };
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        phase.total += phases[i].items;
    }
    if (phases[2].items > 0) {
        forget_blocks(plan, execution->workspace);
    }
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        phase.work = phases[i].work;
        phase.items = phases[i].items;
        ATTN_TRY(run_phase(&phase, alone));
    }
    return CLATTN_OK;
}

static bool supports(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the cpu engine runs on the CPU itself, without OpenCL");
        return false;
    }
    if (problem->direction != CLATTN_FORWARD) {
        attn_report_line(why_not, "direction: backward is not served by this version");
        return false;
    }
    if (problem->memory != CLATTN_MEMORY_HOST) {
        attn_report_line(why_not, "memory: the cpu engine takes host memory");
        return false;
    }
    return true;
}

static int preference(const clattn_problem *problem, const attn_device *device) {
    (void)problem;
    (void)device;
    return ATTN_PREFER_CPU;
}

static void describe(const clattn_problem *problem, const attn_cpu_plan *plan, clattn_plan_info *info) {
    const attn_cpu_kernels *kernels = plan->kernels;
    bool matrix = plan->matrix && !attn_cpu_plan_decodes(plan, problem, problem->query_length);
    if (!kernels && plan->doubles && problem->query_length >= ATTN_CPU_DOUBLE_FEWEST) {
        info->block_query = ATTN_CPU_DOUBLE_ROWS;
        info->block_key = ATTN_CPU_DOUBLE_KEYS;
        snprintf(info->kernel, sizeof info->kernel, "doubles %s, keys packed in blocks of %d", plan->doubles->name,
                 (int)ATTN_CPU_DOUBLE_KEYS);
    } else if (!kernels) {
        snprintf(info->kernel, sizeof info->kernel, "rows in double");
    } else if (attn_cpu_plan_decodes(plan, problem, problem->query_length)) {
        info->block_query = ATTN_CPU_DECODE_ROWS;
        info->block_key = ATTN_CPU_PART;
        snprintf(info->kernel, sizeof info->kernel, "decode %s, keys in place, %lld parts", kernels->name,
                 (long long)plan->splits);
    } else {
        info->block_query = attn_cpu_plan_rows(plan, problem, problem->query_length);
        info->block_key = plan->block_key;
        snprintf(info->kernel, sizeof info->kernel, "prefill %s %lldx%lld, keys packed in blocks of %lld",
                 matrix ? plan->matrix->name : kernels->name,
                 (long long)(matrix ? plan->matrix->tile_rows : kernels->tile_rows),
                 (long long)(matrix ? plan->matrix->tile_keys : kernels->tile_keys),
                 (long long)plan->block_key);
    }
    info->accumulate = kernels ? "fp32" : "fp64";
    info->weights_rounded = matrix && problem->type != CLATTN_FP32;
    info->sum_running = false;
    info->clean_values = true;
    info->workspace_size = plan->workspace_size;
    info->private_memory = info->local_memory = -1;
}

static clattn_status prepare(const clattn_problem *problem, const attn_device *device, void **state,
                             clattn_plan_info *info, clattn_report *report) {
    attn_cpu_plan *plan = attn_allocate_zeroed(device->memory, sizeof *plan);
    if (!plan) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = attn_cpu_plan_make(problem, device, plan, report);
    if (status != CLATTN_OK) {
        attn_release(device->memory, plan);
        return status;
    }
    describe(problem, plan, info);
    *state = plan;
    return CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    clattn_timing *timing = execution->call->timing;
    struct timespec begin, end;
    if (!timing) {
        return run_call(state, execution);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    clattn_status status = run_call(state, execution);
    clock_gettime(CLOCK_MONOTONIC, &end);
    timing->count = 1;
    snprintf(timing->steps[0].name, sizeof timing->steps[0].name, "attention");
    timing->steps[0].seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    return status;
}

static void release(void *state) {
    attn_cpu_plan *plan = state;
    attn_release(plan->memory, plan);
}

const attn_engine attn_engine_cpu = {
    .name = "cpu",
    .bodies = attn_cpu_bodies,
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
