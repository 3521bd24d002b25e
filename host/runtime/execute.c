/*
 * Calls of attention: check the tensors, let the plan run them. Nothing is allocated here.
 */
#include <inttypes.h>

#include "base/visit.h"
#include "runtime/runtime.h"

static clattn_status check_workspace(const clattn_plan *plan, const attn_call *call) {
    if (plan->core.options.caller_workspace && plan->problem.memory == CLATTN_MEMORY_HOST &&
        !attn_fits_address(call->workspace, attn_max(call->workspace_size, 0))) {
        return attn_refuse(call->report, CLATTN_OVERFLOW, "workspace: its last byte lies beyond the address space");
    }
    if (!plan->core.options.caller_workspace || plan->core.info.workspace_size == 0) {
        return CLATTN_OK;
    }
    if (!call->workspace || call->workspace_size < plan->core.info.workspace_size) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "workspace: %lld bytes given, the plan needs %lld",
                           call->workspace ? (long long)call->workspace_size : 0LL, (long long)plan->core.info.workspace_size);
    }
    if (plan->problem.memory == CLATTN_MEMORY_HOST && (uintptr_t)call->workspace % ATTN_ALIGNMENT != 0) {
        return attn_refuse(call->report, CLATTN_INVALID_TENSORS, "workspace: must start at a multiple of %d bytes", ATTN_ALIGNMENT);
    }
    return CLATTN_OK;
}

static clattn_status run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission) {
    attn_call call;
    ATTN_TRY(attn_call_resolve(&plan->problem, tensors, plan->core.options.caller_workspace, &call));
    ATTN_TRY(check_workspace(plan, &call));
    const attn_plan_call under_way = {
        .call = &call, .workspace = call.workspace, .submission = *submission, .report = call.report
    };
    return attn_plan_run(&plan->core, &under_way);
}

clattn_status attn_attention_run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission) {
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
    return attn_attention_run(plan, tensors, &blocking);
}

clattn_status clattn_attention(clattn_runtime *runtime, const clattn_problem *problem, const clattn_plan_options *options,
                               const clattn_tensors *tensors, clattn_report *report) {
    clattn_plan *plan = NULL;
    ATTN_TRY(clattn_plan_create(runtime, problem, options, &plan, report));
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
