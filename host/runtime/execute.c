/*
 * Calls: check the tensors, lease a slot, let the engine run. Nothing is allocated here.
 */
#include <inttypes.h>

#include "base/visit.h"
#include "runtime/runtime.h"

/** The free slot that has rested longest, or NULL; then *inside says whether this thread has one of them. */
static attn_slot *find_free(clattn_plan *plan, bool *inside) {
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

/** Waits while all slots are in use; NULL when one of them is in use by this very thread, which calls from a callback. */
static attn_slot *lease(clattn_plan *plan) {
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

static void give_back(clattn_plan *plan, attn_slot *slot) {
    pthread_mutex_lock(&plan->lock);
    slot->leased = false;
    pthread_cond_signal(&plan->returned);
    pthread_mutex_unlock(&plan->lock);
}

static clattn_status check_workspace(const clattn_plan *plan, const attn_call *call) {
    if (plan->problem.caller_workspace && plan->problem.memory == CLATTN_MEMORY_HOST &&
        !attn_fits_address(call->workspace, attn_max(call->workspace_size, 0))) {
        return attn_refuse(call->report, CLATTN_OVERFLOW, "workspace: its last byte lies beyond the address space");
    }
    if (!plan->problem.caller_workspace || plan->info.workspace_size == 0) {
        return CLATTN_OK;
    }
    if (!call->workspace || call->workspace_size < plan->info.workspace_size) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "workspace: %lld bytes given, the plan needs %lld",
                           call->workspace ? (long long)call->workspace_size : 0LL, (long long)plan->info.workspace_size);
    }
    if (plan->problem.memory == CLATTN_MEMORY_HOST && (uintptr_t)call->workspace % ATTN_ALIGNMENT != 0) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "workspace: must start at a multiple of %d bytes", ATTN_ALIGNMENT);
    }
    return CLATTN_OK;
}

static clattn_status run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission) {
    attn_call call;
    ATTN_TRY(attn_call_resolve(&plan->problem, tensors, &call));
    ATTN_TRY(check_workspace(plan, &call));
    if (attn_device_is_lost(&plan->device)) {
        return attn_refuse(call.report, CLATTN_NO_DEVICE, "device: OpenCL does not survive a fork");
    }
    attn_slot *slot = lease(plan);
    if (!slot) {
        return attn_refuse(call.report, CLATTN_DEADLOCK,
                           "concurrency: called from inside a call of the same plan, and none of %" PRId64 " is free",
                           plan->problem.concurrency);
    }
    attn_execution execution = {
        .problem = &plan->problem,
        .call = &call,
        .slot = slot->engine_slot,
        .workspace = plan->problem.caller_workspace ? call.workspace : slot->workspace,
        .submission = *submission,
    };
    clattn_status status = plan->engine->execute(plan->state, &execution);
    give_back(plan, slot);
    return status;
}

clattn_status attn_plan_run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission) {
    attn_visit visit = attn_visit_begin();
    clattn_status status = run(plan, tensors, submission);
    attn_visit_end(&visit);
    return status;
}

clattn_status clattn_execute(clattn_plan *plan, const clattn_tensors *tensors) {
    if (!plan || !tensors) {
        return CLATTN_INVALID_ARGUMENT;
    }
    if (plan->problem.memory != CLATTN_MEMORY_HOST) {
        return CLATTN_INVALID_ARGUMENT; /* cl_mem: clattn_enqueue() */
    }
    const attn_submission blocking = {NULL, 0, NULL, NULL};
    return attn_plan_run(plan, tensors, &blocking);
}

clattn_status clattn_attention(clattn_runtime *runtime, const clattn_problem *problem, const clattn_tensors *tensors,
                               clattn_report *report) {
    clattn_plan *plan = NULL;
    ATTN_TRY(clattn_plan_create(runtime, problem, &plan, report));
    clattn_tensors own = CLATTN_TENSORS_INIT;
    const clattn_tensors *used = tensors;
    if (tensors && tensors->struct_size == sizeof own && !tensors->report) {
        own = *tensors;
        own.report = report; /* why the tensors were refused belongs into the same report */
        used = &own;
    }
    clattn_status status = clattn_execute(plan, used);
    clattn_plan_destroy(plan);
    return status;
}
