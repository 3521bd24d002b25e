/*
 * The careful path for whole calls, and its weights: a row an item, in double. Takes what is not in single precision, but for
 * what fp64 has a path of its own for. Other paths take it for single rows.
 */
#include <stdio.h>

#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/cpu_path.h"

typedef struct careful_part {
    int64_t row; /* in a worker's scratch */
} careful_part;

static bool serves(const attn_cpu_plan *plan) {
    return !plan->single;
}

static bool serves_weights(const attn_cpu_plan *plan) {
    return !plan->single && plan->problem.weights != CLATTN_WEIGHTS_NONE;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    careful_part *own = part;
    (void)call;
    own->row = attn_cpu_take_careful(plan, worker);
}

static int64_t count_rows(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    (void)part;
    return plan->problem.batch * plan->problem.query_heads * call->query_length;
}

static int64_t count_weights(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    (void)part;
    return plan->problem.batch * plan->problem.weights_heads * attn_cpu_weights_rows(&plan->problem, call);
}

typedef struct careful_job {
    const clattn_problem *problem;
    const attn_call *call;
    int64_t row;
} careful_job;

static void work_row(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    int64_t i = item % own->call->query_length, head = item / own->call->query_length;
    attn_cpu_row_output(own->problem, own->call, head / own->problem->query_heads, head % own->problem->query_heads, i,
                        (char *)scratch + own->row);
}

static void work_weights(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    const clattn_problem *problem = own->problem;
    int64_t i = item % problem->weights_rows, head = item / problem->weights_rows;
    attn_cpu_row_weights(problem, own->call, head / problem->weights_heads,
                         problem->weights_first_head + head % problem->weights_heads, problem->weights_first_row + i,
                         (char *)scratch + own->row);
}

static careful_job start_job(const attn_cpu_run *run, const careful_part *own) {
    return (careful_job){ .problem = &run->plan->problem, .call = run->call, .row = own->row };
}

static clattn_status run_rows(const attn_cpu_run *run, const void *part) {
    const careful_job job = start_job(run, part);
    return attn_cpu_share(run, count_rows(run->plan, part, run->call), work_row, &job);
}

static clattn_status run_weights(const attn_cpu_run *run, const void *part) {
    const careful_job job = start_job(run, part);
    return attn_cpu_share(run, count_weights(run->plan, part, run->call), work_weights, &job);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    (void)plan;
    (void)part;
    snprintf(info->kernel, sizeof info->kernel, "rows in double");
}

const attn_cpu_path attn_cpu_careful_path = {
    .result = ATTN_CPU_OUTPUT,
    .part_size = (int64_t)sizeof(careful_part),
    .serves = serves,
    .scratch = take_scratch,
    .items = count_rows,
    .run = run_rows,
    .describe = describe,
};

const attn_cpu_path attn_cpu_careful_weights_path = {
    .result = ATTN_CPU_WEIGHTS,
    .part_size = (int64_t)sizeof(careful_part),
    .serves = serves_weights,
    .scratch = take_scratch,
    .items = count_weights,
    .run = run_weights,
};
