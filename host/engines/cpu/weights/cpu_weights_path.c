/* The path of weights out in single precision: chunks of rows of the chosen heads. */
#include "engines/cpu/cpu_path.h"
#include "engines/cpu/weights/cpu_weights_job.h"

typedef struct weights_part {
    attn_cpu_weights_layout at;
    int64_t rows; /* of an item */
} weights_part;

static bool serves(const attn_cpu_plan *plan) {
    return plan->single && plan->problem.weights != CLATTN_WEIGHTS_NONE;
}

static clattn_status make_part(const attn_cpu_plan *plan, void *part, clattn_report *report) {
    weights_part *own = part;
    (void)report;
    int64_t tile = plan->kernels->tile_rows, pitch = attn_round_up(plan->problem.key_length, plan->kernels->lanes);
    int64_t fitting = ATTN_CPU_WEIGHTS_FLOATS / attn_max(1, pitch) / tile * tile;
    own->rows = attn_min(attn_max(fitting, tile), ATTN_CPU_WEIGHTS_ROWS);
    return CLATTN_OK;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    weights_part *own = part;
    attn_cpu_weights_layout *at = &own->at;
    const clattn_problem *problem = &plan->problem;
    const attn_cpu_kernels *kernels = plan->kernels;
    (void)call;
    if (!attn_cpu_dims_fit(plan, worker)) {
        return;
    }
    const int64_t size = (int64_t)sizeof(float), keys = attn_round_up(plan->block_key, kernels->tile_keys);
    const int64_t waiting =
        problem->weights == CLATTN_WEIGHTS_SOFTMAX ? attn_round_up(problem->key_length, kernels->lanes) : 0;
    at->keys = attn_cpu_take(worker, keys, problem->head_dim * size);
    at->queries =
        attn_cpu_take(worker, own->rows + kernels->tile_rows, attn_round_up(problem->head_dim, kernels->lanes) * size);
    at->scores = attn_cpu_take(worker, kernels->tile_rows, ATTN_CPU_SCORE_PITCH * size);
    at->waiting = attn_cpu_take(worker, waiting, own->rows * size);
    at->row = attn_cpu_take_careful(plan, worker);
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    const weights_part *own = part;
    int64_t chunks = attn_divide_up(attn_cpu_weights_rows(&plan->problem, call), own->rows);
    return plan->problem.batch * plan->problem.weights_heads * chunks;
}

/** A call's job, and what does it. */
typedef struct weights_call {
    attn_cpu_weights_job job;
    const attn_cpu_kernels *kernels;
} weights_call;

static void work(const void *job, int64_t item, void *scratch) {
    const weights_call *call = job;
    call->kernels->weights(&call->job, item, scratch);
}

static clattn_status run_weights(const attn_cpu_run *run, const void *part) {
    const weights_part *own = part;
    weights_call call = { .job = { .job = attn_cpu_job_start(run), .at = own->at, .rows = own->rows },
                          .kernels = run->plan->kernels };
    return attn_cpu_share(run, count_items(run->plan, own, run->call), work, &call);
}

const attn_cpu_path attn_cpu_weights_path = {
    .result = ATTN_CPU_WEIGHTS,
    .part_size = (int64_t)sizeof(weights_part),
    .serves = serves,
    .plan = make_part,
    .scratch = take_scratch,
    .items = count_items,
    .run = run_weights,
};
