/*
 * Choices of the cpu engine that all paths share, and the paths' own: pure functions from a problem and the number of threads.
 * Nothing here or in the paths' plans looks at a call's pointers. Measured reasons stand beside the numbers.
 */
#include "engines/cpu/cpu_plan.h"

#include <inttypes.h>
#include <math.h>

#include "cpu/threads.h"
#include "engines/cpu/cpu_bodies.h"

/** Numbers that single precision takes without overflow or lost digits before anything is known of the inputs. */
static bool is_moderate(double x) {
    return x == 0 || (fabs(x) >= 1e-12 && fabs(x) <= 1e12);
}

static clattn_status choose_kernels(attn_cpu_plan *plan, clattn_report *report) {
    const clattn_problem *problem = &plan->problem;
    attn_cpu_body body;
    if (!attn_cpu_body_choose(plan->blocks.body, problem, &body)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "body: %s cannot run here", plan->blocks.body);
    }
    plan->kernels = body.kernels;
    plan->unit = body.unit;
    plan->single = problem->type != CLATTN_FP64 && is_moderate(problem->scale) && is_moderate(problem->softcap);
    if (plan->single && (plan->blocks.splits < 0 || plan->blocks.splits > 4096)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.splits: %" PRId64 " is outside 1..4096",
                           plan->blocks.splits);
    }
    plan->block_key = plan->blocks.block_key ? plan->blocks.block_key : ATTN_CPU_BLOCK_KEY;
    return CLATTN_OK;
}

static clattn_status add_parts(attn_cpu_plan *plan, clattn_report *report) {
    for (int i = 0; attn_cpu_paths[i]; i++) {
        const attn_cpu_path *path = attn_cpu_paths[i];
        bool backward = plan->problem.direction == CLATTN_BACKWARD;
        if ((path->result == ATTN_CPU_GRADIENTS) != backward || !path->serves(plan)) {
            continue;
        }
        plan->parts[i] = attn_allocate_zeroed(plan->memory, path->part_size);
        if (!plan->parts[i]) {
            return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "no memory for a plan of %" PRId64 " bytes",
                               path->part_size);
        }
        if (path->plan) {
            ATTN_TRY(path->plan(plan, plan->parts[i], report));
        }
    }
    return CLATTN_OK;
}

/** Paths run one after another, so scratch is as large as the largest of them wants. */
static clattn_status size_memory(attn_cpu_plan *plan, clattn_report *report) {
    bool fits = true;
    for (int i = 0; attn_cpu_paths[i]; i++) {
        attn_cpu_taker worker = { 0, false }, call = { 0, false };
        if (plan->parts[i]) {
            attn_cpu_paths[i]->scratch(plan, plan->parts[i], &worker, &call);
        }
        fits = fits && !worker.overflow && !call.overflow;
        plan->scratch_size = attn_max(plan->scratch_size, worker.end);
        plan->call_size = attn_max(plan->call_size, call.end);
    }
    int64_t scratch, all;
    if (!fits || !attn_multiply(plan->scratch_size, plan->workers, &scratch) ||
        !attn_add(scratch, plan->call_size, &all)) {
        return attn_refuse(report, CLATTN_OVERFLOW,
                           "key_length, head_dim, value_dim: the workspace has more than 2^63 - 1 bytes");
    }
    return CLATTN_OK;
}

int64_t attn_cpu_plan_workspace(const attn_cpu_plan *plan) {
    return plan->workers * plan->scratch_size + plan->call_size;
}

void attn_cpu_plan_free(attn_cpu_plan *plan) {
    for (int i = 0; plan && i < ATTN_CPU_MOST_PATHS; i++) {
        attn_release(plan->memory, plan->parts[i]);
    }
    if (plan) {
        attn_release(plan->memory, plan);
    }
}

clattn_status attn_cpu_plan_make(const clattn_problem *problem, const attn_device *device, attn_cpu_plan **plan,
                                 clattn_report *report) {
    attn_cpu_plan *made = attn_allocate_zeroed(device->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    made->memory = device->memory;
    made->threads = device->threads;
    made->workers = attn_threads_count(device->threads);
    made->problem = *problem;
    made->blocks = device->blocks;
    made->batch_invariant = device->batch_invariant;
    clattn_status status = choose_kernels(made, report);
    status = status == CLATTN_OK ? add_parts(made, report) : status;
    status = status == CLATTN_OK ? size_memory(made, report) : status;
    if (status != CLATTN_OK) {
        attn_cpu_plan_free(made);
        return status;
    }
    made->blocks.body = NULL; /* the device's string is not kept */
    *plan = made;
    return CLATTN_OK;
}
