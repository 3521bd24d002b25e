/*
 * What a case computes and must move at least, by the library's own count.
 */
#include "bench/bench.h"

/* FLOPs and bytes of a problem, added to a row's. */
static void add_work(clattn_runtime *runtime, const clattn_problem *problem, double sign, attn_bench_row *row) {
    clattn_plan_options reference = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan = NULL;
    clattn_plan_info info = { 0 };
    reference.engine = "reference"; /* serves everything, and its plan costs nothing */
    if (clattn_plan_create(runtime, problem, &reference, &plan, NULL) == CLATTN_OK &&
        clattn_plan_get_info(plan, &info) == CLATTN_OK) {
        row->flops += sign * info.flops;
        row->bytes += sign * info.bytes;
    }
    clattn_plan_destroy(plan);
}

/* The entry as a problem of its own, with the lengths it really has. */
static clattn_problem entry_problem(const attn_case_data *data, const clattn_problem *shared, int64_t b) {
    clattn_problem entry = *shared;
    const clattn_integers *offsets = &data->tensors.offsets;
    entry.batch = 1;
    entry.query_length = attn_case_data_query_length(data, b);
    entry.key_length = attn_case_data_key_length(data, b);
    entry.query_lengths = entry.key_lengths = false;
    entry.past_length = 0;
    if (entry.alignment == CLATTN_ALIGN_PAST) {
        entry.alignment = CLATTN_ALIGN_OFFSET;
        entry.offset = shared->past_length;
    } else if (entry.alignment == CLATTN_ALIGN_OFFSETS) {
        int64_t at = offsets->offset + b;
        entry.alignment = CLATTN_ALIGN_OFFSET;
        entry.offset =
            offsets->type == CLATTN_INT32 ? ((const int32_t *)offsets->data)[at] : ((const int64_t *)offsets->data)[at];
    }
    return entry;
}

/* What the case computes and must move: a plan knows the largest lengths, the data the used ones. */
void attn_bench_count_work(const attn_case_data *data, clattn_runtime *runtime, attn_bench_row *rows, int count) {
    clattn_problem shared = data->problem;
    attn_bench_row work = { 0 };
    add_work(runtime, &data->problem, 1, &work);
    if (shared.query_lengths || shared.key_lengths || shared.alignment == CLATTN_ALIGN_OFFSETS) {
        shared.mask = CLATTN_MASK_NONE; /* what does not follow the lengths stays as it is */
        shared.bias = CLATTN_BIAS_NONE;
        shared.weights = CLATTN_WEIGHTS_NONE;
        shared.gradients &= ~(uint32_t)CLATTN_GRADIENT_BIAS;
        add_work(runtime, &shared, -1, &work);
        for (int64_t b = 0; b < shared.batch; b++) {
            clattn_problem entry = entry_problem(data, &shared, b);
            add_work(runtime, &entry, 1, &work);
        }
    }
    for (int t = 0; t < count; t++) {
        rows[t].flops = work.flops;
        rows[t].bytes = work.bytes;
    }
}
