/*
 * The careful path of gradients for whole calls, in double: problems that single precision does not hold. Each row,
 * key, row of the bias and head is an item.
 */
#include <stdio.h>

#include "engines/cpu/backward/cpu_backward_careful.h"
#include "engines/cpu/cpu_path.h"
#include "problem/training.h"

typedef struct careful_part {
    int64_t row;    /* in a worker's scratch */
    int64_t deltas; /* in the call's memory */
} careful_part;

typedef struct careful_job {
    attn_cpu_careful_gradients call;
    double *deltas;
    int64_t row;
} careful_job;

static bool serves(const attn_cpu_plan *plan) {
    return !plan->single && plan->problem.type != CLATTN_FP64;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    careful_part *own = part;
    const clattn_problem *p = &plan->problem;
    int64_t bytes = 0, rows = 0;
    worker->overflow |= !attn_cpu_gradient_scratch(p, &bytes);
    own->row = attn_cpu_take(worker, bytes, 1);
    call->overflow |= !attn_multiply(p->batch, p->query_heads, &rows) || !attn_multiply(rows, p->query_length, &rows);
    own->deltas = attn_cpu_take(call, rows, (int64_t)sizeof(double));
}

/** A place of [outer, inner, innermost] by its number. */
static void split(int64_t number, int64_t inner, int64_t innermost, int64_t place[3]) {
    place[0] = number / innermost / inner;
    place[1] = number / innermost % inner;
    place[2] = number % innermost;
}

static int64_t bias_rows(const clattn_problem *p, const attn_call *c) {
    return p->bias_shape[2] == 1 ? 1 : c->query_length;
}

static void work_delta(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    int64_t at[3];
    (void)scratch;
    split(item, own->call.problem->query_heads, own->call.call->query_length, at);
    own->deltas[item] = attn_cpu_careful_delta(own->call.problem, own->call.call, at[0], at[1], at[2]);
}

static void work_query(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    int64_t at[3];
    split(item, own->call.problem->query_heads, own->call.call->query_length, at);
    attn_cpu_careful_grad_query(&own->call, at[0], at[1], at[2], (char *)scratch + own->row);
}

static void work_key(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    const attn_call *c = own->call.call;
    int64_t at[3];
    split(item, own->call.problem->kv_heads, c->key_length, at);
    attn_cpu_careful_grad_key(&own->call, at[0], at[1], at[2], c->grad_key.data, c->grad_value.data,
                              (char *)scratch + own->row);
}

static void work_bias(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    int64_t at[3];
    split(item, own->call.problem->bias_shape[1], bias_rows(own->call.problem, own->call.call), at);
    attn_cpu_careful_grad_bias(&own->call, at[0], at[1], at[2], (char *)scratch + own->row);
}

static void work_head(const void *job, int64_t item, void *scratch) {
    const careful_job *own = job;
    if (own->call.call->grad_alibi_slopes.data) {
        attn_cpu_careful_grad_slope(&own->call, item, (char *)scratch + own->row);
    }
    if (own->call.call->grad_sinks.data) {
        attn_cpu_careful_grad_sink(&own->call, item);
    }
}

/** Items of each of the steps. */
typedef struct careful_items {
    int64_t rows, query, key, bias, heads;
} careful_items;

static careful_items count_each(const clattn_problem *p, const attn_call *c) {
    const int64_t rows = p->batch * p->query_heads * c->query_length, keys = p->batch * p->kv_heads * c->key_length;
    return (careful_items){
        .rows = rows,
        .query = attn_wants_gradient(p, CLATTN_GRADIENT_QUERY) ? rows : 0,
        .key = (p->gradients & (CLATTN_GRADIENT_KEY | CLATTN_GRADIENT_VALUE)) ? keys : 0,
        .bias =
            attn_wants_gradient(p, CLATTN_GRADIENT_BIAS) ? p->bias_shape[0] * p->bias_shape[1] * bias_rows(p, c) : 0,
        .heads = (p->gradients & (CLATTN_GRADIENT_ALIBI_SLOPES | CLATTN_GRADIENT_SINKS)) ? p->query_heads : 0,
    };
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    const careful_items n = count_each(&plan->problem, call);
    (void)part;
    return n.rows + n.query + n.key + n.bias + n.heads;
}

static clattn_status run_careful(const attn_cpu_run *run, const void *part) {
    const careful_part *own = part;
    const clattn_problem *p = &run->plan->problem;
    double *deltas = (double *)(void *)(run->shared + own->deltas);
    const careful_job job = { { p, run->call, deltas }, deltas, own->row };
    const careful_items n = count_each(p, run->call);
    ATTN_TRY(attn_cpu_share(run, n.rows, work_delta, &job));
    ATTN_TRY(attn_cpu_share(run, n.query, work_query, &job));
    ATTN_TRY(attn_cpu_share(run, n.key, work_key, &job));
    ATTN_TRY(attn_cpu_share(run, n.bias, work_bias, &job));
    return attn_cpu_share(run, n.heads, work_head, &job);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    (void)plan;
    (void)part;
    snprintf(info->kernel, sizeof info->kernel, "backward, rows and keys in double");
}

const attn_cpu_path attn_cpu_backward_careful_path = {
    .result = ATTN_CPU_GRADIENTS,
    .part_size = (int64_t)sizeof(careful_part),
    .serves = serves,
    .scratch = take_scratch,
    .items = count_items,
    .run = run_careful,
    .describe = describe,
};
