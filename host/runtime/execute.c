/*
 * Calls: check the tensors, lease a slot, let the engine run. Nothing is allocated here.
 */
#include "runtime/runtime.h"

/** The free slot that has rested longest; waits while all are in use. */
static attn_slot *lease(clattn_plan *plan) {
    pthread_mutex_lock(&plan->lock);
    attn_slot *slot = NULL;
    while (!slot) {
        for (int64_t i = 0; i < plan->slot_count; i++) {
            attn_slot *other = &plan->slots[i];
            if (!other->leased && (!slot || other->last_lease < slot->last_lease)) {
                slot = other;
            }
        }
        if (!slot) {
            pthread_cond_wait(&plan->returned, &plan->lock);
        }
    }
    slot->leased = true;
    slot->last_lease = ++plan->leases;
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

clattn_status attn_plan_run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission) {
    attn_call call;
    ATTN_TRY(attn_call_resolve(&plan->problem, tensors, &call));
    ATTN_TRY(check_workspace(plan, &call));
    attn_slot *slot = lease(plan);
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
