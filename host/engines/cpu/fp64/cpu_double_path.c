/* The path of fp64: as prefill, in doubles and smaller blocks. Calls of very few rows take the careful path. */
#include <stdio.h>

#include "engines/cpu/cpu_path.h"
#include "engines/cpu/fp64/cpu_double_job.h"

enum { FEWEST_ROWS = 3 /* that pay for packing keys */ };

typedef struct double_part {
    attn_cpu_double_layout at;
} double_part;

static bool serves(const attn_cpu_plan *plan) {
    return plan->problem.type == CLATTN_FP64;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    double_part *own = part;
    attn_cpu_double_layout *at = &own->at;
    (void)call;
    if (!attn_cpu_dims_fit(plan, worker)) {
        return;
    }
    const int64_t size = (int64_t)sizeof(double), lanes = plan->kernels->lanes, rows = ATTN_CPU_DOUBLE_ROWS;
    const int64_t dim = plan->problem.head_dim * size, value_dim = attn_round_up(plan->problem.value_dim, lanes) * size;
    at->keys = attn_cpu_take(worker, ATTN_CPU_DOUBLE_KEYS, dim);
    at->values = attn_cpu_take(worker, ATTN_CPU_DOUBLE_KEYS, value_dim);
    at->queries = attn_cpu_take(worker, rows, dim);
    at->output = attn_cpu_take(worker, rows, value_dim);
    at->scores = attn_cpu_take(worker, plan->kernels->tile_rows, ATTN_CPU_DOUBLE_PITCH * size);
    at->maxima = attn_cpu_take(worker, rows, size);
    at->sums = attn_cpu_take(worker, rows, lanes * size);
    at->row = attn_cpu_take_careful(plan, worker);
}

static bool takes(const attn_cpu_plan *plan, const void *part, int64_t query_length) {
    (void)plan;
    (void)part;
    return query_length >= FEWEST_ROWS;
}

static int64_t count_chunks(const attn_call *call) {
    return attn_divide_up(call->query_length, ATTN_CPU_DOUBLE_ROWS);
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    (void)part;
    return plan->problem.batch * plan->problem.query_heads * count_chunks(call);
}

/** A call's job, and what does it. */
typedef struct double_call {
    attn_cpu_double_job job;
    const attn_cpu_kernels *kernels;
} double_call;

static void work(const void *job, int64_t item, void *scratch) {
    const double_call *call = job;
    call->kernels->doubles(&call->job, item, scratch);
}

static clattn_status run_doubles(const attn_cpu_run *run, const void *part) {
    const double_part *own = part;
    double_call call = { .job = { .job = attn_cpu_job_start(run),
                                  .at = own->at,
                                  .rows = ATTN_CPU_DOUBLE_ROWS,
                                  .chunks = count_chunks(run->call) },
                         .kernels = run->plan->kernels };
    return attn_cpu_share(run, count_items(run->plan, own, run->call), work, &call);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    (void)part;
    info->block_query = ATTN_CPU_DOUBLE_ROWS;
    info->block_key = ATTN_CPU_DOUBLE_KEYS;
    snprintf(info->kernel, sizeof info->kernel, "doubles %s, keys packed in blocks of %d", plan->kernels->floats.name,
             (int)ATTN_CPU_DOUBLE_KEYS);
}

const attn_cpu_path attn_cpu_double_path = {
    .result = ATTN_CPU_OUTPUT,
    .part_size = (int64_t)sizeof(double_part),
    .serves = serves,
    .scratch = take_scratch,
    .takes = takes,
    .items = count_items,
    .run = run_doubles,
    .describe = describe,
};
