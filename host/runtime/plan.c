/*
 * Plans: the best engine makes the problem ready, and each call under way gets a slot. The same for every operation; knows
 * engines only by their interface.
 */
#include "runtime/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/visit.h"
#include "runtime/runtime.h"

static clattn_status open_slots(attn_plan *plan, clattn_report *report) {
    attn_memory *memory = &plan->runtime->memory;
    int64_t concurrency = plan->options.concurrency;
    plan->slots = attn_allocate_zeroed(memory, concurrency * (int64_t)sizeof *plan->slots);
    if (!plan->slots) {
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "concurrency: no memory for %" PRId64 " calls at once",
                           concurrency);
    }
    for (; plan->slot_count < concurrency; plan->slot_count++) {
        attn_slot *slot = &plan->slots[plan->slot_count];
        if (plan->engine->slot_open) {
            ATTN_TRY(plan->engine->slot_open(plan->state, &slot->engine_slot, report));
        }
        if (!plan->device.opencl && !plan->options.caller_workspace) {
            slot->workspace = attn_allocate(memory, plan->info.workspace_size);
            if (!slot->workspace) {
                if (plan->engine->slot_close) {
                    plan->engine->slot_close(plan->state, slot->engine_slot);
                }
                return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "workspace: no memory for %" PRId64 " bytes",
                                   plan->info.workspace_size);
            }
        }
    }
    return CLATTN_OK;
}

static void close_plan(attn_plan *plan) {
    bool lost = attn_device_is_lost(&plan->device); /* then what the engine made is left to the process that made it */
    for (int64_t i = 0; i < plan->slot_count; i++) {
        attn_release(&plan->runtime->memory, plan->slots[i].workspace);
        if (plan->engine->slot_close && !lost) {
            plan->engine->slot_close(plan->state, plan->slots[i].engine_slot);
        }
    }
    attn_release(&plan->runtime->memory, plan->slots);
    plan->slots = NULL;
    plan->slot_count = 0;
    if (plan->state && !lost) {
        plan->engine->release(plan->state);
    }
    plan->state = NULL;
}

static clattn_status ready(attn_plan *plan, const attn_candidate *candidate, clattn_report *report) {
    plan->engine = candidate->engine;
    plan->device = candidate->device;
    plan->info = (clattn_plan_info){ .engine = candidate->engine->name,
                                     .device = candidate->device.index,
                                     .accumulate = "fp32",
                                     .private_memory = -1,
                                     .local_memory = -1 };
    clattn_status status = plan->engine->prepare(plan->problem, &plan->device, &plan->state, &plan->info, report);
    if (status == CLATTN_OK) {
        status = open_slots(plan, report);
    }
    if (status != CLATTN_OK) {
        attn_report_line(report, "%s on device %" PRId64 ": %s", candidate->engine->name, candidate->device.index,
                         clattn_status_message(status));
        close_plan(plan);
    }
    return status;
}

/* Makes the plan with the best candidate that can be made ready; else answers why the very best could not. */
static clattn_status ready_first(attn_plan *plan, const attn_choice *choice, clattn_report *report) {
    clattn_status first = CLATTN_UNSUPPORTED;
    for (int64_t i = 0; i < choice->count; i++) {
        clattn_status status = ready(plan, &choice->candidates[i], report);
        if (status == CLATTN_OK || !attn_choice_goes_on(status)) {
            return status;
        }
        first = i == 0 ? status : first;
    }
    return first;
}

static clattn_status fill(attn_plan *plan, const attn_engine_list *engines, const attn_plan_options *options,
                          clattn_report *report) {
    attn_choice choice;
    clattn_report declined; /* reported only when nobody serves */
    attn_report_clear(&declined);
    clattn_status status = attn_choice_make(plan->runtime, engines, plan->problem, options, &choice, &declined, report);
    if (status == CLATTN_OK) {
        status = ready_first(plan, &choice, report);
    }
    if (status != CLATTN_OK) {
        attn_report_append(report, &declined);
    }
    attn_choice_release(plan->runtime, &choice);
    return status;
}

static clattn_status create(clattn_runtime *runtime, const attn_plan_kind *kind, const void *problem,
                            const attn_plan_options *options, void **plan, clattn_report *report) {
    char *memory = attn_allocate_zeroed(&runtime->memory, kind->plan_size);
    if (!memory) {
        return CLATTN_OUT_OF_MEMORY;
    }
    attn_plan *made = (attn_plan *)(void *)memory;
    memcpy(memory + kind->problem_at, problem, (size_t)kind->problem_size);
    made->runtime = runtime;
    made->problem = memory + kind->problem_at;
    made->options = *options;
    made->options.engine = NULL;
    clattn_status status = fill(made, kind->engines, options, report);
    if (status != CLATTN_OK) {
        attn_release(&runtime->memory, memory);
        return status;
    }
    made->process = getpid();
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->returned, NULL);
    *plan = memory;
    return CLATTN_OK;
}

clattn_status attn_plan_create(clattn_runtime *runtime, const attn_plan_kind *kind, const void *problem,
                               const attn_plan_options *options, void **plan, clattn_report *report) {
    attn_visit visit = attn_visit_begin();
    clattn_status status = create(runtime, kind, problem, options, plan, report);
    attn_visit_end(&visit);
    return status;
}

void attn_plan_destroy(void *plan) {
    attn_plan *p = plan;
    if (p) {
        attn_visit visit = attn_visit_begin();
        close_plan(p);
        if (p->process == getpid()) { /* else threads of another process may stand in them as waiting */
            pthread_cond_destroy(&p->returned);
            pthread_mutex_destroy(&p->lock);
        }
        attn_release(&p->runtime->memory, p);
        attn_visit_end(&visit);
    }
}

clattn_status attn_plan_get_operation_info(const void *plan, clattn_operation_info *info) {
    const attn_plan *p = plan;
    if (!p || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *info = (clattn_operation_info){ .engine = p->info.engine,
                                     .device = p->info.device,
                                     .workspace_size = p->info.workspace_size };
    snprintf(info->kernel, sizeof info->kernel, "%.*s", (int)sizeof info->kernel - 1, p->info.kernel);
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ calls */

/* The free slot that has rested longest, or NULL; then *inside says whether this thread has one of them. */
static attn_slot *find_free(attn_plan *plan, bool *inside) {
    const pthread_t self = pthread_self();
    attn_slot *slot = NULL;
    *inside = false;
    for (int64_t i = 0; i < plan->slot_count; i++) {
        attn_slot *other = &plan->slots[i];
        if (!other->leased && (!slot || other->last_lease < slot->last_lease)) {
            slot = other;
        }
        *inside = *inside || (other->leased && pthread_equal(other->holder, self));
    }
    return slot;
}

/* Waits while all slots are in use; NULL when one of them is in use by this very thread, which calls from a callback. */
static attn_slot *lease(attn_plan *plan) {
    bool inside;
    pthread_mutex_lock(&plan->lock);
    attn_slot *slot = find_free(plan, &inside);
    while (!slot && !inside) {
        pthread_cond_wait(&plan->returned, &plan->lock);
        slot = find_free(plan, &inside);
    }
    if (slot) {
        slot->leased = true;
        slot->holder = pthread_self();
        slot->last_lease = ++plan->leases;
    }
    pthread_mutex_unlock(&plan->lock);
    return slot;
}

static void give_back(attn_plan *plan, attn_slot *slot) {
    pthread_mutex_lock(&plan->lock);
    slot->leased = false;
    pthread_cond_signal(&plan->returned);
    pthread_mutex_unlock(&plan->lock);
}

static clattn_status run(attn_plan *plan, const attn_plan_call *call) {
    if (attn_device_is_lost(&plan->device)) {
        return attn_refuse(call->report, CLATTN_NO_DEVICE, "device: OpenCL does not survive a fork");
    }
    attn_slot *slot = lease(plan);
    if (!slot) {
        return attn_refuse(call->report, CLATTN_DEADLOCK,
                           "concurrency: called from inside a call of the same plan, and none of %" PRId64 " is free",
                           plan->options.concurrency);
    }
    attn_execution execution = {
        .problem = plan->problem,
        .call = call->call,
        .slot = slot->engine_slot,
        .workspace = plan->options.caller_workspace ? call->workspace : slot->workspace,
        .submission = call->submission,
    };
    clattn_status status = plan->engine->execute(plan->state, &execution);
    give_back(plan, slot);
    return status;
}

clattn_status attn_plan_run(attn_plan *plan, const attn_plan_call *call) {
    attn_visit visit = attn_visit_begin();
    clattn_status status = run(plan, call);
    attn_visit_end(&visit);
    return status;
}
