/*
 * The path of many rows: blocks of keys packed in scratch, items of rows of one head, on the body's unit. Serves everything
 * in single precision. Measured reasons stand beside the numbers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engines/cpu/cpu_path.h"
#include "engines/cpu/shared/cpu_prefill_job.h"
#include "problem/mask.h"

enum {
    MOST_ROWS = 512,       /* query rows of an item */
    KEEP_FLOATS = 262144,  /* packed keys that a worker keeps from item to item: half of L2, beside as many values */
    ROW_FLOATS = 65536,    /* queries or sums of an item: they must not push keys out of L2 */
    ITEMS_PER_THREAD = 16, /* enough for causal triangles to balance */
    ROWS_THAT_PAY = 240    /* for reading a head's keys once more */
};

typedef struct prefill_part {
    attn_cpu_prefill_layout at;
    int64_t block_query; /* asked for; 0 = our choice */
    int64_t most_rows;   /* of an item, that scratch holds */
    int64_t slots;       /* packed blocks that scratch holds */
} prefill_part;

static bool serves(const attn_cpu_plan *plan) {
    return plan->single;
}

static clattn_status make_part(const attn_cpu_plan *plan, void *part, clattn_report *report) {
    prefill_part *own = part;
    const attn_cpu_unit *unit = plan->unit;
    own->block_query = plan->blocks.block_query;
    if (plan->block_key < 1 || plan->block_key > ATTN_CPU_BLOCK_KEY || plan->block_key % unit->tile_keys != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "blocks.block_key: %" PRId64 " is no multiple of %" PRId64 " up to %d", plan->block_key,
                           unit->tile_keys, (int)ATTN_CPU_BLOCK_KEY);
    }
    if (own->block_query < 0 || own->block_query > MOST_ROWS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "blocks.block_query: %" PRId64 " is outside 1..%d",
                           own->block_query, (int)MOST_ROWS);
    }
    int64_t widest = attn_max(plan->problem.head_dim, plan->problem.value_dim),
            blocks = attn_divide_up(plan->problem.key_length, plan->block_key);
    own->slots = attn_max(1, attn_min(blocks, KEEP_FLOATS / plan->block_key / widest));
    own->most_rows = own->block_query ? own->block_query : attn_min(MOST_ROWS, ROW_FLOATS / widest);
    own->most_rows = attn_round_up(attn_max(own->most_rows, 1), unit->tile_rows);
    return CLATTN_OK;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    prefill_part *own = part;
    attn_cpu_prefill_layout *at = &own->at;
    (void)call;
    if (!attn_cpu_dims_fit(plan, worker)) {
        return;
    }
    attn_cpu_unit_sizes sizes = { 0 };
    plan->unit->sizes(&plan->problem, &sizes);
    const int64_t keys = own->slots * plan->block_key, rows = own->most_rows, size = (int64_t)sizeof(float);
    at->tags = attn_cpu_take(worker, own->slots, (int64_t)sizeof(int64_t));
    at->keys = attn_cpu_take(worker, keys, sizes.key);
    at->values = attn_cpu_take(worker, keys, sizes.value);
    at->queries = attn_cpu_take(worker, rows, sizes.query);
    at->output = attn_cpu_take(worker, rows, sizes.output);
    at->sums = attn_cpu_take(worker, rows, sizes.sums);
    at->exact = attn_cpu_take(worker, rows, sizes.exact);
    at->maxima = attn_cpu_take(worker, rows, size);
    at->ranges = attn_cpu_take(worker, rows, (int64_t)sizeof(attn_key_range));
    at->scores = attn_cpu_take(worker, plan->unit->tile_rows, ATTN_CPU_SCORE_PITCH * size);
    at->patches = attn_cpu_take(worker, 1, sizes.patches);
    at->row = attn_cpu_take_careful(plan, worker);
}

/** Rows of an item when a head's rows make items / heads of them, at least; whole tiles. */
static int64_t rows_of_share(int64_t query_length, int64_t items, int64_t heads, int64_t tile) {
    int64_t shares = attn_divide_up(items, heads);
    return attn_round_up(attn_max(1, attn_divide_up(query_length, shares)), tile);
}

/** Rows of an item when a call has query_length. */
static int64_t item_rows(const attn_cpu_plan *plan, const prefill_part *own, int64_t query_length) {
    if (own->block_query) {
        return own->block_query;
    }
    const clattn_problem *problem = &plan->problem;
    int64_t tile = plan->unit->tile_rows,
            heads = attn_max(1, problem->query_heads * (plan->batch_invariant ? 1 : problem->batch));
    int64_t rows = rows_of_share(query_length, ITEMS_PER_THREAD * plan->workers, heads, tile);
    /* Each item reads all keys: few rows only where threads would be idle, or the last of them alone for long. */
    rows = attn_max(rows, attn_min(8 * tile, rows_of_share(query_length, 2 * plan->workers, heads, tile)));
    rows = attn_max(rows, attn_min(attn_round_up(ROWS_THAT_PAY, tile),
                                   rows_of_share(query_length, 6 * plan->workers, heads, tile)));
    rows = attn_min(rows, own->most_rows / tile * tile);
    /* Even chunks: 1024 = 504 + 504 + 16 would be a bad split. */
    int64_t chunks = attn_max(1, attn_divide_up(query_length, rows));
    return attn_round_up(attn_max(1, attn_divide_up(query_length, chunks)), tile);
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    int64_t rows = item_rows(plan, part, call->query_length);
    return plan->problem.batch * plan->problem.query_heads * attn_divide_up(call->query_length, rows);
}

/** A call's job, and what multiplies. */
typedef struct prefill_call {
    attn_cpu_prefill_job job;
    const attn_cpu_unit *unit;
} prefill_call;

static void work(const void *job, int64_t item, void *scratch) {
    const prefill_call *call = job;
    call->unit->prefill(&call->job, item, scratch);
}

/** No worker's scratch holds a block of this call yet. */
static void forget_blocks(const attn_cpu_run *run, const prefill_part *own) {
    for (int64_t worker = 0; worker < run->plan->workers; worker++) {
        memset(run->scratch + worker * run->plan->scratch_size + own->at.tags, 0xff,
               (size_t)own->slots * sizeof(int64_t));
    }
}

static clattn_status run_prefill(const attn_cpu_run *run, const void *part) {
    const prefill_part *own = part;
    const attn_cpu_plan *plan = run->plan;
    prefill_call call = { .job = { .job = attn_cpu_job_start(run), .at = own->at }, .unit = plan->unit };
    attn_cpu_prefill_job *job = &call.job;
    job->copy_values = attn_cpu_copies_values(&plan->problem, run->call, plan->kernels->lanes);
    job->value_pitch = attn_round_up(plan->problem.value_dim, plan->kernels->lanes);
    bool kept = (run->call->key_length - 1) / plan->block_key < own->slots;
    job->slots = kept ? own->slots : 1; /* one that is always in L2 beats many that are sometimes */
    job->rows = item_rows(plan, own, run->call->query_length);
    job->chunks = attn_divide_up(run->call->query_length, job->rows);
    forget_blocks(run, own);
    return attn_cpu_share(run, count_items(plan, own, run->call), work, &call);
}

static void describe(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info) {
    const attn_cpu_unit *unit = plan->unit;
    info->block_query = item_rows(plan, part, plan->problem.query_length);
    info->block_key = plan->block_key;
    info->weights_rounded = unit->rounds(plan->problem.type);
    snprintf(info->kernel, sizeof info->kernel, "prefill %s %" PRId64 "x%" PRId64 ", keys packed in blocks of %" PRId64,
             unit->name, unit->tile_rows, unit->tile_keys, plan->block_key);
}

const attn_cpu_path attn_cpu_prefill_path = {
    .result = ATTN_CPU_OUTPUT,
    .part_size = (int64_t)sizeof(prefill_part),
    .serves = serves,
    .plan = make_part,
    .scratch = take_scratch,
    .items = count_items,
    .run = run_prefill,
    .describe = describe,
};
