/*
 * One call of opencl-unfused, forward. For each part: matrices, scores, softmax, weighted sums, and the output in its own type
 * and layout.
 */
#include "base/report.h"
#include "engines/opencl/unfused/opencl_unfused_backward.h"
#include "engines/opencl/unfused/opencl_unfused_matrices.h"

static clattn_status scores(attn_unfused_run *run) {
    struct attn_matrix query, key;
    ATTN_TRY(attn_unfused_get_query(run, false, &query));
    ATTN_TRY(attn_unfused_get_key(run, false, &key));
    return attn_unfused_scores(run, &query, &key);
}

static clattn_status softmax(attn_unfused_run *run) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_SOFTMAX]);
    const size_t group = (size_t)run->state->row_group, global = group * (size_t)(run->rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "softmax"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_rules(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[ATTN_REGION_SCORES]);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, run->first_row);
    attn_pass_int64(&call, run->rows);
    attn_pass_int64(&call, run->state->problem.key_length);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_LOGSUMEXP);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_WEIGHTS);
    attn_pass_local(&call, (int64_t)(group * sizeof(float)));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &group, "softmax_masked");
}

/* Sums, row by row [rows][value_dim]: column-major value_dim x rows = value * weights. */
static clattn_status weighted_sum(attn_unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    attn_product product = { .m = a->value_dim,
                             .n = run->rows,
                             .k = a->key_length,
                             .count = run->pairs,
                             .alpha = 1.0f,
                             .temporary = run->call.workspace };
    ATTN_TRY(attn_unfused_get_value(run, true, &product.a));
    product.b = attn_unfused_region_matrix(run, ATTN_REGION_SCORES, run->rows, a->key_length);
    product.c = attn_unfused_region_matrix(run, ATTN_REGION_SUMS, run->rows, a->value_dim);
    ATTN_TRY(attn_chain_step(&run->call.chain, "weighted sum"));
    return attn_product_enqueue(&run->call.chain, &product);
}

static clattn_status output(attn_unfused_run *run) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_OUTPUT]);
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)(run->rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "output"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_rules(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[ATTN_REGION_SUMS]);
    attn_pass_int64(&call, run->part.at[ATTN_REGION_SCORES]);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, run->first_row);
    attn_pass_int64(&call, run->rows);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_OUTPUT);
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "weighted_output");
}

static clattn_status run_part(attn_unfused_run *run) {
    bool keys = run->call.arguments.key_length > 0;
    if (keys) {
        ATTN_TRY(scores(run));
    }
    ATTN_TRY(softmax(run));
    if (keys) {
        ATTN_TRY(weighted_sum(run));
    }
    return output(run);
}

static clattn_status run_parts(attn_unfused_run *run, const attn_unfused_sizes *sizes) {
    ATTN_TRY(attn_unfused_walk(run, sizes, false, run_part));
    return attn_opencl_progress(&run->call, 1.0);
}

clattn_status attn_unfused_execute(void *opaque, const attn_execution *execution) {
    attn_unfused_run run = { .state = opaque, .slot = execution->slot };
    const attn_call *call = execution->call;
    attn_unfused_sizes sizes;
    if (run.state->problem.direction == CLATTN_BACKWARD) {
        return attn_unfused_execute_backward(opaque, execution);
    }
    ATTN_TRY(attn_unfused_sizes_of(run.state, call->query_length, call->key_length, &sizes));
    ATTN_TRY(attn_unfused_cut(&sizes, run.state->workspace_size, &run.part, call->report));
    ATTN_TRY(attn_opencl_call_begin(&run.call, &run.slot->base, execution));
    clattn_status status = run_parts(&run, &sizes);
    if (status == CLATTN_OK) {
        status = attn_dropout_mask_launch(&run.call, run.slot->kernels[ATTN_SLOT_MASK]);
    }
    return attn_opencl_call_end(&run.call, status);
}
