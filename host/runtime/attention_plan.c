/*
 * Plans of attention: checks the problem, and counts its work.
 */
#include <stddef.h>

#include "base/visit.h"
#include "runtime/runtime.h"

static const attn_plan_kind kind = {
    .engines = &attn_attention_engines,
    .plan_size = sizeof(clattn_plan),
    .problem_at = offsetof(clattn_plan, problem),
    .problem_size = sizeof(clattn_problem),
};

static void count_work(clattn_plan *plan) {
    const clattn_problem *p = &plan->problem;
    clattn_plan_info *info = &plan->core.info;
    double size = (double)clattn_type_size(p->type), batch = (double)p->batch;
    double query = (double)p->query_heads * (double)p->query_length, key = (double)p->kv_heads * (double)p->key_length;
    info->flops = 2 * (double)(p->head_dim + p->value_dim) * attn_problem_scores(p);
    info->bytes = size * batch * (query + key) * (double)(p->head_dim + p->value_dim);
    if (p->direction == CLATTN_BACKWARD) { /* five products where the forward has two */
        info->flops *= 2.5;
        info->bytes += attn_gradient_bytes(p);
    }
}

static clattn_status create(clattn_runtime *runtime, const clattn_problem *problem, const clattn_plan_options *options, clattn_plan **plan,
                            clattn_report *report) {
    clattn_problem resolved;
    attn_plan_options how;
    void *made = NULL;
    ATTN_TRY(attn_problem_resolve(problem, &resolved, report));
    ATTN_TRY(attn_plan_options_resolve(options, &how, report));
    ATTN_TRY(attn_plan_create(runtime, &kind, &resolved, &how, &made, report));
    *plan = made;
    count_work(*plan);
    return CLATTN_OK;
}

clattn_status clattn_plan_create(clattn_runtime *runtime, const clattn_problem *problem, const clattn_plan_options *options, clattn_plan **plan,
                                 clattn_report *report) {
    attn_report_clear(report);
    if (plan) {
        *plan = NULL;
    }
    if (!runtime || !plan) {
        return attn_refuse(report, CLATTN_INVALID_ARGUMENT, "%s: is NULL", runtime ? "plan" : "runtime");
    }
    attn_visit visit = attn_visit_begin();
    clattn_status status = create(runtime, problem, options, plan, report);
    attn_visit_end(&visit);
    return status;
}

void clattn_plan_destroy(clattn_plan *plan) {
    attn_plan_destroy(plan);
}

clattn_status clattn_plan_get_info(const clattn_plan *plan, clattn_plan_info *info) {
    if (!plan || !info) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *info = plan->core.info;
    return CLATTN_OK;
}
