/* The path of the dropout mask, whatever computes the output: chunks of rows of a head. */
#include "engines/cpu/cpu_path.h"
#include "engines/cpu/dropout/cpu_dropout_job.h"

enum { MOST_ROWS = 64 /* of an item */ };

static bool serves(const attn_cpu_plan *plan) {
    return plan->problem.dropout_mask;
}

static void take_scratch(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call) {
    (void)plan, (void)part, (void)worker, (void)call; /* none */
}

static int64_t count_chunks(const attn_call *call) {
    return attn_divide_up(call->query_length, MOST_ROWS);
}

static int64_t count_items(const attn_cpu_plan *plan, const void *part, const attn_call *call) {
    (void)part;
    return plan->problem.key_length > 0 ? plan->problem.batch * plan->problem.query_heads * count_chunks(call) : 0;
}

/** A call's job, and what does it. */
typedef struct dropout_call {
    attn_cpu_dropout_job job;
    const attn_cpu_kernels *kernels;
} dropout_call;

static void work(const void *job, int64_t item, void *scratch) {
    const dropout_call *call = job;
    call->kernels->dropout_mask(&call->job, item, scratch);
}

static clattn_status run_mask(const attn_cpu_run *run, const void *part) {
    const dropout_call call = { .job = { .problem = &run->plan->problem,
                                         .call = run->call,
                                         .rows = MOST_ROWS,
                                         .chunks = count_chunks(run->call) },
                                .kernels = run->plan->kernels };
    return attn_cpu_share(run, count_items(run->plan, part, run->call), work, &call);
}

const attn_cpu_path attn_cpu_dropout_path = {
    .result = ATTN_CPU_DROPOUT_MASK,
    .part_size = 1,
    .serves = serves,
    .scratch = take_scratch,
    .items = count_items,
    .run = run_mask,
};
