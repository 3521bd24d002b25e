/*
 * opencl-fused: what the bodies with a work-group a block of rows have in common: the GPU-shaped one and those on matrix
 * units. Knows none of their blocks.
 */
#include <inttypes.h>

#include "engines/opencl/fused/opencl_fused.h"

#include "kernels/include/row_blocks.cl.h"

bool attn_fused_is_keywise(const clattn_problem *problem) {
    return problem->mask != CLATTN_MASK_NONE || problem->bias != CLATTN_BIAS_NONE || problem->alibi ||
           problem->softcap > 0.0 || !((float)problem->scale >= ATTN_SMALLEST_SCALE);
}

bool attn_fused_matrix_dims_fit(const clattn_problem *problem, const char *tiles, clattn_report *why_not) {
    const int64_t dims = attn_max(problem->head_dim, problem->value_dim);
    if (dims > ATTN_MOST_MATRIX_DIMS) {
        attn_report_line(why_not, "%s: %" PRId64 " is more than the %d that %s tiles hold",
                         problem->head_dim > ATTN_MOST_MATRIX_DIMS ? "head_dim" : "value_dim", dims,
                         ATTN_MOST_MATRIX_DIMS, tiles);
        return false;
    }
    return true;
}

clattn_status attn_fused_local_fits(const char *kernel, int64_t need, int64_t most, clattn_report *report) {
    return need <= most ? CLATTN_OK
                        : attn_refuse(report, CLATTN_UNSUPPORTED,
                                      "%s: needs %" PRId64 " bytes of local memory, the device has %" PRId64, kernel,
                                      need, most);
}

void attn_fused_groups_describe(attn_fused *fused, const attn_blocks *blocks, int64_t threads, clattn_plan_info *info) {
    fused->block_query = attn_blocks_get(blocks, "block_query");
    fused->threads = threads;
    info->program = blocks->table->program;
    info->block_query = fused->block_query;
    info->block_key = attn_blocks_get(blocks, "block_key");
}

clattn_status attn_fused_groups_submit(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const int64_t heads = attn_block_heads(a->group, a->query_length, fused->block_query);
    const int64_t blocks = attn_block_count(heads, a->query_length, fused->block_query);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_FUSED_MAIN]),
                       .what = fused->program,
                       .groups = a->batch * (a->query_heads / heads) * blocks,
                       .threads = fused->threads,
                       .work = 2.0 * (double)(a->head_dim + a->value_dim) * (double)fused->block_query *
                               (double)a->key_length };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, blocks);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    if (fused->local_memory > 0) { /* else the kernel declares its own */
        attn_pass_local(&grid.kernel, fused->local_memory);
    }
    ATTN_TRY(attn_chain_step(&call->chain, "attention"));
    return attn_grid_launch(call, grid, 0.0, 0.99);
}
