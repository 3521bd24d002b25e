/*
 * The cpu engine: threads and SIMD, instruction set chosen at run time, all of the forward direction. This file is the
 * engine's face. Each way through it is a path: the list is in cpu_path.c, the paths are in the folders beside it with
 * their kernels, which are compiled once per instruction set; cpu_careful.c is the careful path. An instruction set is added
 * as one isa/cpu_<isa>.c, its body in cpu_bodies.c, one line in cpu_features.h and its flags in cmake/CompileFlags.cmake.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "engines/cpu/cpu_bodies.h"
#include "engines/cpu/cpu_plan.h"
#include "engines/cpu/cpu_progress.h"
#include "engines/unserved.h"

/* Multiply-adds below which waking threads costs more than it brings. */
#define ALONE_BELOW 400000.0

static double multiply_adds(const clattn_problem *problem, const attn_call *call) {
    double scores =
        (double)problem->batch * (double)problem->query_heads * (double)call->query_length * (double)call->key_length;
    double weights = (double)problem->batch * (double)problem->weights_heads *
                     (double)attn_cpu_weights_rows(problem, call) * (double)call->key_length;
    double products = problem->direction == CLATTN_BACKWARD ? 2.5 : 1;
    return products * scores * (double)(problem->head_dim + problem->value_dim) + weights * (double)problem->head_dim;
}

static clattn_status run_call(const attn_cpu_plan *plan, const attn_execution *execution) {
    const attn_call *call = execution->call;
    attn_cpu_progress progress = { .caller = pthread_self() };
    attn_cpu_run run = { .plan = plan, .call = call, .scratch = execution->workspace, .progress = &progress };
    run.shared = run.scratch + plan->workers * plan->scratch_size;
    progress.alone = multiply_adds(&plan->problem, call) < ALONE_BELOW;
    for (int result = 0; result < ATTN_CPU_RESULTS; result++) {
        int i = attn_cpu_path_find(plan, (attn_cpu_result)result, call->query_length);
        progress.total += i < 0 ? 0 : attn_cpu_paths[i]->items(plan, plan->parts[i], call);
    }
    for (int result = 0; result < ATTN_CPU_RESULTS; result++) {
        int i = attn_cpu_path_find(plan, (attn_cpu_result)result, call->query_length);
        if (i >= 0 && attn_cpu_paths[i]->items(plan, plan->parts[i], call) > 0) {
            ATTN_TRY(attn_cpu_paths[i]->run(&run, plan->parts[i]));
        }
    }
    return CLATTN_OK;
}

/* What training asks for and this engine serves: ATTN_SERVES_ bits. */
enum { SERVES = ATTN_SERVES_BACKWARD | ATTN_SERVES_DROPOUT | ATTN_SERVES_PREFIX | ATTN_SERVES_OUTPUT_TYPE };

static bool supports(const void *asked, const attn_device *device, clattn_report *why_not) {
    const clattn_problem *problem = asked;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the cpu engine runs on the CPU itself, without OpenCL");
        return false;
    }
    if (attn_is_unserved(problem, SERVES, why_not)) {
        return false;
    }
    if (problem->memory != CLATTN_MEMORY_HOST) {
        attn_report_line(why_not, "memory: the cpu engine takes host memory");
        return false;
    }
    return true;
}

static int preference(const void *problem, const attn_device *device) {
    (void)problem;
    (void)device;
    return ATTN_PREFER_CPU;
}

static clattn_status prepare(const void *asked, const attn_device *device, void **state,
                             clattn_plan_info *info, clattn_report *report) {
    const clattn_problem *problem = asked;
    attn_cpu_plan *plan = NULL;
    ATTN_TRY(attn_cpu_plan_make(problem, device, &plan, report));
    attn_cpu_result result = problem->direction == CLATTN_BACKWARD ? ATTN_CPU_GRADIENTS : ATTN_CPU_OUTPUT;
    int i = attn_cpu_path_find(plan, result, problem->query_length);
    info->accumulate = plan->single ? "fp32" : "fp64";
    info->weights_rounded = false;
    info->sum_running = false;
    info->clean_values = true;
    info->workspace_size = attn_cpu_plan_workspace(plan);
    info->private_memory = info->local_memory = -1;
    attn_cpu_paths[i]->describe(plan, plan->parts[i], info);
    *state = plan;
    return CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const attn_call *call = execution->call;
    int64_t start = attn_clock_now();
    clattn_status status = run_call(state, execution);
    if (call->timing) {
        call->timing->count = 1;
        snprintf(call->timing->steps[0].name, sizeof call->timing->steps[0].name, "attention");
        call->timing->steps[0].seconds = attn_clock_seconds_since(start);
    }
    return status;
}

static void release(void *state) {
    attn_cpu_plan_free(state);
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
