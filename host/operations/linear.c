/*
 * Linear maps: checks problem and tensors, hands over to an engine. Knows no device. Its engines stand in
 * engines/engine_list.c.
 */
#include "clattn/clattn_linear.h"

#include <stddef.h>

#include "engines/linear/linear_engines.h"
#include "operations/dense_memory.h"
#include "runtime/runtime.h"

struct clattn_linear_plan {
    attn_plan core;
    clattn_linear_problem problem;
};

static clattn_status check(const clattn_linear_problem *p, clattn_report *report) {
    int64_t size;
    if (!p) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "problem: is NULL");
    }
    if (p->struct_size != sizeof *p) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT,
                           "struct_size: %zu, no clattn_linear_problem has that size (%zu); start from "
                           "CLATTN_LINEAR_PROBLEM_INIT",
                           p->struct_size, sizeof *p);
    }
    if (p->rows < 0) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "rows: %lld is negative", (long long)p->rows);
    }
    if (p->in_dim < 1 || p->out_dim < 1 || p->in_dim > INT32_MAX || p->out_dim > INT32_MAX) {
        return attn_refuse(report, CLATTN_INVALID_PROBLEM, "in_dim, out_dim: %lld, %lld; each is 1 to 2^31 - 1",
                           (long long)p->in_dim, (long long)p->out_dim);
    }
    if (!attn_multiply(attn_max(p->rows, p->out_dim), attn_max(p->in_dim, p->out_dim), &size) ||
        !attn_multiply(size, (int64_t)sizeof(float), &size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "rows, in_dim, out_dim: a tensor of more than 2^63 - 1 bytes");
    }
    return CLATTN_OK;
}

static const attn_plan_kind kind = {
    .engines = &attn_linear_engines,
    .plan_size = sizeof(clattn_linear_plan),
    .problem_at = offsetof(clattn_linear_plan, problem),
    .problem_size = sizeof(clattn_linear_problem),
};

/* Options that have no meaning here. */
static clattn_status check_options(const attn_plan_options *options, clattn_report *report) {
    if (options->caller_workspace) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "caller_workspace: only calls of attention bring one");
    }
    if (options->batch_invariant) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "batch_invariant: how a row is summed depends on the number of rows");
    }
    return CLATTN_OK;
}

clattn_status clattn_linear_plan_create(clattn_runtime *runtime, const clattn_linear_problem *problem,
                                        const clattn_plan_options *options, clattn_linear_plan **plan, clattn_report *report) {
    clattn_linear_problem resolved;
    attn_plan_options how;
    void *made = NULL;
    attn_report_clear(report);
    if (plan) {
        *plan = NULL;
    }
    if (!runtime || !plan) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: is NULL", runtime ? "plan" : "runtime");
    }
    ATTN_TRY(check(problem, report));
    resolved = *problem;
    ATTN_TRY(attn_plan_options_resolve(options, &how, report));
    ATTN_TRY(check_options(&how, report));
    ATTN_TRY(attn_plan_create(runtime, &kind, &resolved, &how, &made, report));
    *plan = made;
    return CLATTN_OK;
}

void clattn_linear_plan_destroy(clattn_linear_plan *plan) {
    attn_plan_destroy(plan);
}

clattn_status clattn_linear_plan_get_info(const clattn_linear_plan *plan, clattn_operation_info *info) {
    return attn_plan_get_operation_info(plan, info);
}

clattn_status clattn_linear_execute(clattn_linear_plan *plan, const clattn_linear_tensors *tensors) {
    if (!plan || !tensors || tensors->struct_size != sizeof *tensors) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const clattn_linear_tensors *t = tensors;
    attn_linear_call call = { .rows = t->rows == CLATTN_SAME ? plan->problem.rows : t->rows,
                              .input = t->input,
                              .w = t->w,
                              .b = t->b,
                              .add = t->add,
                              .output = t->output,
                              .report = t->report };
    attn_report_clear(t->report);
    if (call.rows < 0 || call.rows > plan->problem.rows) {
        return attn_refuse(t->report, CLATTN_INVALID_TENSORS, "rows: %lld is not within 0 and %lld", (long long)t->rows,
                           (long long)plan->problem.rows);
    }
    if (call.rows == 0) {
        return CLATTN_OK;
    }
    if (!t->input || !t->w || !t->output) {
        return attn_refuse(t->report, CLATTN_INVALID_TENSORS, "%s: missing",
                           !t->input ? "input"
                           : !t->w   ? "w"
                                     : "output");
    }
    const clattn_linear_problem *p = &plan->problem;
    int64_t number = (int64_t)sizeof(float);
    const attn_dense_memory list[] = {
        { "output", t->output, call.rows * p->out_dim * number, true },
        { "input", t->input, call.rows * p->in_dim * number, false },
        { "w", t->w, p->out_dim * p->in_dim * number, false },
        { "b", t->b, p->out_dim * number, false },
    };
    ATTN_TRY(attn_check_dense(list, sizeof list / sizeof *list, t->report));
    const attn_plan_call under_way = { .call = &call, .report = t->report };
    return attn_plan_run(&plan->core, &under_way);
}

void clattn_linear_problem_init(clattn_linear_problem *problem, size_t size) {
    static const clattn_linear_problem start = CLATTN_LINEAR_PROBLEM_INIT;
    attn_init_structure(problem, size, &start, sizeof start);
}

void clattn_linear_tensors_init(clattn_linear_tensors *tensors, size_t size) {
    static const clattn_linear_tensors start = CLATTN_LINEAR_TENSORS_INIT;
    attn_init_structure(tensors, size, &start, sizeof start);
}
