/*
 * opencl-fused, the GPU-shaped body: one work-group a block of rows of one head (attention_fused_gpu.cl). No workspace.
 * Block sizes come from kernels/tuning/attention_fused_gpu.csv; rows that do not fit the device, or spill, are passed
 * over.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl_fused.h"

#include "../../kernels/include/row_blocks.cl.h"

typedef struct gpu_blocks {
    int64_t query, key, threads_x, threads_y, slice;
} gpu_blocks;

static clattn_status choose_blocks(const attn_fused *fused, const attn_tuning_row *row, gpu_blocks *blocks,
                                   clattn_report *report) {
    const clattn_block_override *override = &fused->device.blocks;
    *blocks = (gpu_blocks){ attn_tuning_get(row, "block_query"), attn_tuning_get(row, "block_key"),
                            attn_tuning_get(row, "threads_x"), attn_tuning_get(row, "threads_y"),
                            attn_tuning_get(row, "slice") };
    blocks->query = override->block_query != 0 ? override->block_query : blocks->query;
    blocks->key = override->block_key != 0 ? override->block_key : blocks->key;
    if (blocks->query <= 0 || blocks->query % blocks->threads_y != 0 || blocks->query > 8 * blocks->threads_y) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_query: %" PRId64 " is not a multiple of %" PRId64 " up to %" PRId64, blocks->query,
                           blocks->threads_y, 8 * blocks->threads_y);
    }
    if (blocks->key <= 0 || blocks->key % blocks->threads_x != 0 || blocks->key > 8 * blocks->threads_x) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_key: %" PRId64 " is not a multiple of %" PRId64 " up to %" PRId64, blocks->key,
                           blocks->threads_x, 8 * blocks->threads_x);
    }
    return CLATTN_OK;
}

/* Bytes of the kernel's local argument: what is staged, the weights, and room to reduce rows. */
static int64_t local_bytes(const gpu_blocks *blocks) {
    const int64_t scores = blocks->slice * (blocks->query + 4 + blocks->key + 4);
    const int64_t values = blocks->key * (4 * blocks->threads_x + 4);
    const int64_t weights = blocks->key * (blocks->query + 4), reduce = blocks->query * (blocks->threads_x + 1);
    return (attn_max(scores, values) + weights + reduce) * (int64_t)sizeof(float);
}

/* Whether the program may use subgroup shuffles: the kernel itself looks at the subgroup's size. */
static bool has_shuffles(const struct attn_opencl_device *device) {
    return device->c_version >= 300 && attn_opencl_has_extension(device, "cl_khr_subgroup_shuffle");
}

static clattn_status build(attn_fused *fused, const attn_tuning_row *row, const gpu_blocks *blocks, bool last,
                           clattn_plan_info *info, clattn_report *report) {
    char options[256];
    const int64_t has = fused->device.opencl->info.local_memory;
    fused->local_memory = local_bytes(blocks);
    if (fused->local_memory > has) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_gpu: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           fused->local_memory, has);
    }
    const bool shuffles = has_shuffles(fused->device.opencl);
    const int64_t width = 4 * blocks->threads_x;
    snprintf(options, sizeof options,
             "%s-DATTN_TYPE=%d -DBLOCK_QUERY=%" PRId64 " -DBLOCK_KEY=%" PRId64 " -DTHREADS_X=%" PRId64
             " -DTHREADS_Y=%" PRId64 " -DSLICE=%" PRId64 " -DVALUE_SLICES=%" PRId64 " -DSUBGROUP_SHUFFLE=%d",
             shuffles ? "-cl-std=CL3.0 " : "", (int)fused->problem.type, blocks->query, blocks->key, blocks->threads_x,
             blocks->threads_y, blocks->slice, (row->head_dim_max + width - 1) / width, shuffles ? 1 : 0);
    return attn_shape_build(&fused->device, "attention_fused_gpu", options, blocks->threads_x * blocks->threads_y,
                            !last, &fused->main, info, report);
}

clattn_status attn_fused_gpu_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_SHAPE_ROWS];
    int64_t count = attn_shape_find("attention_fused_gpu", &fused->problem, &fused->device, rows);
    gpu_blocks blocks = { 0, 0, 0, 0, 0 };
    clattn_status status = CLATTN_UNSUPPORTED;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = choose_blocks(fused, &rows[k], &blocks, report);
        if (status == CLATTN_OK) {
            status = build(fused, &rows[k], &blocks, k == count - 1, info, report);
        }
    }
    ATTN_TRY(status);
    fused->block_query = blocks.query;
    fused->threads = blocks.threads_x * blocks.threads_y;
    info->local_memory = fused->local_memory;
    info->block_query = blocks.query;
    info->block_key = blocks.key;
    snprintf(info->kernel, sizeof info->kernel, "attention_fused_gpu: %" PRId64 " x %" PRId64 " work-items%s",
             blocks.threads_x, blocks.threads_y, has_shuffles(fused->device.opencl) ? ", subgroup shuffles" : "");
    return CLATTN_OK;
}

clattn_status attn_fused_groups_submit(const attn_fused *fused, attn_fused_slot *slot, attn_opencl_call *call,
                                       const char *kernel) {
    const attn_arguments *a = &call->arguments;
    const int64_t heads = fused->shares_heads ? attn_block_heads(a->group, a->query_length, fused->block_query) : 1;
    const int64_t blocks = attn_block_count(heads, a->query_length, fused->block_query);
    attn_grid grid = { attn_kernel_call_begin(slot->main), kernel, a->batch * (a->query_heads / heads) * blocks,
                       fused->threads,
                       2.0 * (double)(a->head_dim + a->value_dim) * (double)fused->block_query *
                           (double)a->key_length };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, blocks);
    attn_pass_extras(&grid.kernel, call);
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

clattn_status attn_fused_gpu_submit(const attn_fused *fused, attn_fused_slot *slot, attn_opencl_call *call) {
    return attn_fused_groups_submit(fused, slot, call, "attention_fused_gpu");
}
