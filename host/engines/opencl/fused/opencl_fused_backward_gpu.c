/*
 * opencl-fused, backward, the GPU-shaped body: one work-group a block of rows, then one a block of keys
 * (attention_backward_gpu.cl). Rows of kernels/tuning/attention_backward_gpu.csv that do not fit the device, or spill, are
 * passed over.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_backward.h"

#include "kernels/include/backward_local.cl.h"
#include "kernels/include/row_blocks.cl.h"

/* Of the kernel's local argument; the names are those of backward_local.cl.h. */
static int64_t local_bytes(const attn_blocks *b, const char *own) {
    const int64_t OWN = attn_blocks_get(b, own), WALK = attn_blocks_get(b, "walk");
    const int64_t THREADS_X = attn_blocks_get(b, "threads_x"), SLICE = attn_blocks_get(b, "slice");
    const int64_t VALUE_VECTORS = attn_blocks_get(b, "value_vectors");
    return LOCAL_BYTES;
}

static clattn_status build(attn_backward *backward, const attn_blocks *blocks, bool keys, bool last, int64_t local,
                           clattn_plan_info *info, clattn_report *report) {
    char types[160], sizes[256], options[512];
    const attn_device *device = &backward->device;
    const bool shuffles = attn_opencl_has_shuffles(device->opencl);
    const int64_t threads = attn_blocks_get(blocks, "threads_x") * attn_blocks_get(blocks, "threads_y");
    ATTN_TRY(attn_fused_local_fits(backward->program, local, device->opencl->info.local_memory, report));
    attn_backward_types(&backward->problem, types, sizeof types);
    attn_blocks_options(blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "%s%s -DPASS_KEYS=%d -DSUBGROUP_SHUFFLE=%d%s", shuffles ? "-cl-std=CL3.0 " : "",
             types, keys ? 1 : 0, shuffles ? 1 : 0, sizes);
    clattn_plan_info built = *info;
    ATTN_TRY(attn_opencl_build(device, backward->program, options, threads, !last,
                               &backward->programs[keys ? ATTN_BACKWARD_KEY : ATTN_BACKWARD_QUERY], &built, report));
    info->private_memory = attn_max(info->private_memory, built.private_memory);
    info->local_memory = attn_max(info->local_memory, local);
    backward->threads = threads;
    return CLATTN_OK;
}

clattn_status attn_backward_gpu_take(attn_backward *backward, const attn_tuning_row *row, bool last,
                                     clattn_plan_info *info, clattn_report *report) {
    attn_blocks blocks;
    ATTN_TRY(attn_blocks_take(backward->program, row, &backward->device.blocks, 1, &blocks, report));
    backward->block_query = attn_blocks_get(&blocks, "block_query");
    backward->block_key = attn_blocks_get(&blocks, "block_key");
    backward->walk = attn_blocks_get(&blocks, "walk");
    backward->local_query = local_bytes(&blocks, "block_query");
    backward->local_key = local_bytes(&blocks, "block_key");
    if (backward->wants_query) {
        ATTN_TRY(build(backward, &blocks, false, last, backward->local_query, info, report));
    }
    if (attn_backward_wants_keys(backward)) {
        ATTN_TRY(build(backward, &blocks, true, last, backward->local_key, info, report));
    }
    info->program = blocks.table->program;
    info->block_query = backward->block_query;
    info->block_key = backward->block_key;
    snprintf(info->kernel, sizeof info->kernel, "attention_backward_gpu: %" PRId64 " x %" PRId64 " work-items",
             attn_blocks_get(&blocks, "threads_x"), attn_blocks_get(&blocks, "threads_y"));
    return CLATTN_OK;
}

static void pass(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call, int64_t blocks,
                 bool keys) {
    attn_pass_arguments(kernel, call);
    attn_pass_int64(kernel, 0);
    attn_pass_int64(kernel, blocks);
    attn_pass_rules(kernel, call);
    attn_backward_pass_tensors(backward, kernel, call);
    attn_backward_pass_results(backward, kernel, call, keys);
    attn_pass_local(kernel, keys ? backward->local_key : backward->local_query);
}

clattn_status attn_backward_gpu_query(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const int64_t heads = attn_block_heads(a->group, a->query_length, backward->block_query);
    const int64_t blocks = attn_block_count(heads, a->query_length, backward->block_query);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_QUERY]),
                       .what = backward->program,
                       .groups = a->batch * (a->query_heads / heads) * blocks,
                       .threads = backward->threads,
                       .work = 2.0 * (double)(2 * a->head_dim + a->value_dim) * (double)backward->block_query *
                               (double)a->key_length };
    pass(backward, &grid.kernel, call, blocks, false);
    return attn_grid_launch(call, grid, 0.02, 0.4);
}

clattn_status attn_backward_gpu_key(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const int64_t blocks = attn_divide_up(a->key_length, backward->block_key);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_KEY]),
                       .what = backward->program,
                       .groups = a->batch * a->kv_heads * blocks,
                       .threads = backward->threads,
                       .work = 4.0 * (double)(a->head_dim + a->value_dim) * (double)backward->block_key *
                               (double)(a->group * a->query_length) };
    pass(backward, &grid.kernel, call, blocks, true);
    return attn_grid_launch(call, grid, 0.4, 0.9);
}
