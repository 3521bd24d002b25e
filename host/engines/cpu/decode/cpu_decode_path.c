/*
 * The path of few rows: the heads of a group together, their keys split into parts that are merged. Takes calls in single
 * precision whose rows are too few to fill prefill's tiles or items.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cpu/cpu_features.h"
#include "engines/cpu/cpu_path.h"
#include "engines/cpu/decode/cpu_decode_job.h"
#include "problem/mask.h"

enum {
    MOST_DECODED = 32,
    ITEMS_PER_THREAD = 4,
    FEWEST_KEYS_A_PART = 256,
    NEAR_BYTES = 786432 /* keys and values of a thread that may still lie in its L2 from the call before */
};

typedef struct decode_part {
    attn_cpu_decode_layout at;
    int64_t partials; /* in the call's memory */
    int64_t most;     /* rows of a head that are decoded, at most */
    int64_t rows;     /* rows of a group, at most; 0 = none */
    int64_t splits;   /* parts of the keys */
    bool near;        /* memory is prefetched into L1 alone, else into L2 first */
} decode_part;

static bool serves(const attn_cpu_plan *plan) {
    return plan->single && plan->problem.query_heads / plan->problem.kv_heads <= ATTN_CPU_DECODE_ROWS;
}

/**
 * Query rows of a head up to which a call may be decoded. A unit for bf16 is faster as soon as its tiles, which hold rows
 * of one head, are filled well enough; the later, the more bf16 it takes a number of the type apart into, and only where
 * its items are enough for the threads. Without one, rows beyond MOST_DECODED are prefill's, unless its items were too few.
 */
static int64_t most_decoded(const attn_cpu_plan *plan) {
    const clattn_problem *problem = &plan->problem;
    const attn_cpu_unit *unit = plan->unit;
    int64_t times = problem->type == CLATTN_BF16 ? 1 : problem->type == CLATTN_FP16 ? 2 : 4;
    int64_t heads = problem->query_heads * (plan->batch_invariant ? 1 : problem->batch);
    if (unit->decode_rows > 0) {
        int64_t idle = plan->workers * unit->tile_rows / unit->speed / attn_max(heads, 1);
        return attn_max(times * unit->decode_rows, attn_min(idle, ATTN_CPU_DECODE_ROWS));
    }
    return heads * (MOST_DECODED / unit->tile_rows) < plan->workers ? ATTN_CPU_DECODE_ROWS : MOST_DECODED;
}

/** How the keys of few rows are split: by the problem and the threads alone, so that the same call gives the same bits. */
static clattn_status make_part(const attn_cpu_plan *plan, void *part, clattn_report *report) {
    decode_part *own = part;
    const clattn_problem *problem = &plan->problem;
    (void)report;
    int64_t group = problem->query_heads / problem->kv_heads;
    int64_t heads = attn_max(1, plan->batch_invariant ? problem->kv_heads : problem->batch * problem->kv_heads);
    own->most = most_decoded(plan);
    own->rows = attn_min(ATTN_CPU_DECODE_ROWS, group * attn_min(problem->query_length, own->most));
    int64_t parts = attn_divide_up(ITEMS_PER_THREAD * plan->workers, heads);
    parts = attn_max(1, attn_min(parts, problem->key_length / FEWEST_KEYS_A_PART));
    own->splits = plan->blocks.splits ? plan->blocks.splits : parts;
    own->near = attn_cpu_prefetches_l1();
    return CLATTN_OK;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    decode_part *own = part;
    attn_cpu_decode_layout *at = &own->at;
    const clattn_problem *problem = &plan->problem;
    const attn_cpu_kernels *kernels = plan->kernels;
    if (!attn_cpu_dims_fit(plan, worker)) {
        return;
    }
    const int64_t size = (int64_t)sizeof(float), lanes = kernels->lanes;
    const int64_t keys = attn_round_up(plan->block_key, kernels->tile_keys),
                  rows = attn_round_up(own->rows, kernels->tile_rows);
    const int64_t pitch = attn_round_up(problem->value_dim, lanes);
    at->keys = attn_cpu_take(worker, keys, problem->head_dim * size);
    at->values = attn_cpu_take(worker, keys, pitch * size);
    at->queries = attn_cpu_take(worker, rows, attn_round_up(problem->head_dim, lanes) * size);
    at->output = attn_cpu_take(worker, rows, pitch * size);
    at->sums = attn_cpu_take(worker, rows, lanes * size);
    at->maxima = attn_cpu_take(worker, rows, size);
    at->ranges = attn_cpu_take(worker, rows, (int64_t)sizeof(attn_key_range));
    at->scores = attn_cpu_take(worker, kernels->tile_rows, ATTN_CPU_SCORE_PITCH * size);
    at->row = attn_cpu_take_careful(plan, worker);
    int64_t partials = 0;
    call->overflow |= !attn_multiply((pitch + 2) * size, own->rows, &partials) ||
                      !attn_multiply(partials, own->splits, &partials) ||
                      !attn_multiply(partials, problem->batch, &partials);
    own->partials = attn_cpu_take(call, partials, problem->kv_heads);
}

static bool takes(const attn_cpu_plan *plan, const void *part, int64_t query_length) {
    const decode_part *own = part;
    return query_length * (plan->problem.query_heads / plan->problem.kv_heads) <= own->rows &&
           query_length <= own->most;
}

/** Groups whose parts are merged. */
static int64_t count_groups(const attn_cpu_plan *plan, const attn_call *call) {
    return call->query_length > 0 ? plan->problem.batch * plan->problem.kv_heads : 0;
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    const decode_part *own = part;
    return count_groups(plan, call) * (own->splits + 1);
}

/** A call's job, and what does it. */
typedef struct decode_call {
    attn_cpu_decode_job job;
    const attn_cpu_kernels *kernels;
} decode_call;

static void work_parts(const void *job, int64_t item, void *scratch) {
    const decode_call *call = job;
    call->kernels->decode(&call->job, item, scratch);
}

static void work_merge(const void *job, int64_t item, void *scratch) {
    const decode_call *call = job;
    call->kernels->merge(&call->job, item, scratch);
}

/** Bytes of keys and values. */
static double key_bytes(const clattn_problem *problem, const attn_call *call) {
    double each = (double)(problem->head_dim + problem->value_dim) * (double)clattn_type_size(problem->type);
    return each * (double)problem->batch * (double)problem->kv_heads * (double)call->key_length;
}

static clattn_status run_decode(const attn_cpu_run *run, const void *part) {
    const decode_part *own = part;
    const attn_cpu_plan *plan = run->plan;
    const int64_t lanes = plan->kernels->lanes, groups = count_groups(plan, run->call);
    decode_call call = { .job = { .job = attn_cpu_job_start(run), .at = own->at, .splits = own->splits },
                         .kernels = plan->kernels };
    call.job.copy_values = attn_cpu_copies_values(&plan->problem, run->call, lanes);
    call.job.near = own->near || key_bytes(&plan->problem, run->call) <= (double)(plan->workers * NEAR_BYTES);
    call.job.value_pitch = attn_round_up(plan->problem.value_dim, lanes);
    call.job.partials = (float *)(void *)(run->shared + own->partials);
    ATTN_TRY(attn_cpu_share(run, groups * own->splits, work_parts, &call));
    return attn_cpu_share(run, groups, work_merge, &call);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    const decode_part *own = part;
    info->block_query = ATTN_CPU_DECODE_ROWS;
    info->block_key = ATTN_CPU_PART;
    snprintf(info->kernel, sizeof info->kernel, "decode %s, keys in place, %" PRId64 " parts",
             plan->kernels->floats.name, own->splits);
}

const attn_cpu_path attn_cpu_decode_path = {
    .result = ATTN_CPU_OUTPUT,
    .part_size = (int64_t)sizeof(decode_part),
    .serves = serves,
    .plan = make_part,
    .scratch = take_scratch,
    .takes = takes,
    .items = count_items,
    .run = run_decode,
    .describe = describe,
};
