/*
 * opencl-fused, the GPU-shaped body: one work-group a block of rows of one head (attention_fused_gpu.cl). No workspace.
 * Block sizes come from kernels/tuning/attention_fused_gpu.csv; rows that do not fit the device, or spill, are passed
 * over.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"

#include "../../../../kernels/include/row_blocks.cl.h"

enum {
    GROUP_BYTES = 320, /* what the work-items of a group share: GROUP_SIZE of the kernel */
    MOST_TILE = 8,     /* rows, and keys, of a work-item */
    MOST_SLICE = 576   /* dims staged at a time */
};

typedef struct gpu_blocks {
    int64_t query, key, threads_x, threads_y, slice, keep_query, value_vectors, dim;
} gpu_blocks;

static clattn_status check_block(const char *name, int64_t size, const char *of, int64_t threads, clattn_report *report) {
    if (threads <= 0 || size <= 0 || size % threads != 0 || size > MOST_TILE * threads) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: %" PRId64 " is not a multiple of %s, %" PRId64 ", up to %" PRId64, name, size, of, threads,
                           MOST_TILE * threads);
    }
    return CLATTN_OK;
}

/* Each number by itself; the products of them are made afterwards. */
static clattn_status check_row(const attn_tuning_row *row, clattn_report *report) {
    static const attn_tuning_limit limits[] = { { "head_dim_max", 1, ATTN_SHAPE_DIMS, 1 },
                                                { "block_query", 1, MOST_TILE * ATTN_SHAPE_THREADS, 1 },
                                                { "block_key", 1, MOST_TILE * ATTN_SHAPE_THREADS, 1 },
                                                { "threads_x", 4, ATTN_SHAPE_THREADS, 4 },
                                                { "threads_y", 2, ATTN_SHAPE_THREADS, 2 },
                                                { "slice", 8, MOST_SLICE, 8 },
                                                { "keep_query", 0, 1, 1 },
                                                { "value_vectors", 1, 4, 1 } };
    return ATTN_TUNING_CHECK(row, "attention_fused_gpu", limits, report);
}

static clattn_status choose_blocks(const attn_fused *fused, const attn_tuning_row *row, gpu_blocks *blocks,
                                   clattn_report *report) {
    const clattn_block_override *override = &fused->device.blocks;
    ATTN_TRY(check_row(row, report));
    *blocks = (gpu_blocks){ attn_tuning_get(row, "block_query"),   attn_tuning_get(row, "block_key"),
                            attn_tuning_get(row, "threads_x"),     attn_tuning_get(row, "threads_y"),
                            attn_tuning_get(row, "slice"),         attn_tuning_get(row, "keep_query"),
                            attn_tuning_get(row, "value_vectors"), row->head_dim_max };
    blocks->query = override->block_query != 0 ? override->block_query : blocks->query;
    blocks->key = override->block_key != 0 ? override->block_key : blocks->key;
    ATTN_TRY(check_block("block_query", blocks->query, "threads_y", blocks->threads_y, report));
    return check_block("block_key", blocks->key, "threads_x", blocks->threads_x, report);
}

/* Bytes of the kernel's local argument: what the group shares, the tiles, and room to reduce rows. In float4. */
static int64_t local_bytes(const gpu_blocks *blocks) {
    const int64_t slices = (blocks->dim + blocks->slice - 1) / blocks->slice;
    const int64_t query_width = blocks->slice * (blocks->keep_query != 0 ? slices : 1);
    const int64_t query = blocks->query * (query_width / 4 + 1), keys = blocks->key * (blocks->slice / 4 + 1);
    const int64_t weights = blocks->query * (blocks->key / 4 + 1);
    const int64_t values = blocks->key * blocks->threads_x * blocks->value_vectors;
    const int64_t reduce = blocks->query * (blocks->threads_x / 4 + 1);
    return GROUP_BYTES + (query + attn_max(keys, weights) + values + reduce) * 4 * (int64_t)sizeof(float);
}

/* Whether the program may use subgroup shuffles: the kernel itself looks at the subgroup's size. */
static bool has_shuffles(const struct attn_opencl_device *device) {
    return device->c_version >= 300 && attn_opencl_has_extension(device, "cl_khr_subgroup_shuffle");
}

static clattn_status build(attn_fused *fused, const gpu_blocks *blocks, bool last, clattn_plan_info *info,
                           clattn_report *report) {
    char options[320];
    const int64_t has = fused->device.opencl->info.local_memory;
    fused->local_memory = local_bytes(blocks);
    if (fused->local_memory > has) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_gpu: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           fused->local_memory, has);
    }
    const bool shuffles = has_shuffles(fused->device.opencl);
    snprintf(options, sizeof options,
             "%s-DATTN_TYPE=%d -DBLOCK_QUERY=%" PRId64 " -DBLOCK_KEY=%" PRId64 " -DTHREADS_X=%" PRId64
             " -DTHREADS_Y=%" PRId64 " -DSLICE=%" PRId64 " -DKEEP_QUERY=%" PRId64 " -DVALUE_VECTORS=%" PRId64
             " -DDIM=%" PRId64 " -DSUBGROUP_SHUFFLE=%d",
             shuffles ? "-cl-std=CL3.0 " : "", (int)fused->problem.type, blocks->query, blocks->key, blocks->threads_x,
             blocks->threads_y, blocks->slice, blocks->keep_query, blocks->value_vectors, blocks->dim,
             shuffles ? 1 : 0);
    return attn_shape_build(&fused->device, "attention_fused_gpu", options, blocks->threads_x * blocks->threads_y,
                            !last, &fused->main, info, report);
}

clattn_status attn_fused_gpu_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_SHAPE_ROWS];
    int64_t count = attn_shape_find("attention_fused_gpu", &fused->problem, &fused->device, rows);
    gpu_blocks blocks = { 0, 0, 0, 0, 0, 0, 0, 0 };
    clattn_status status = CLATTN_UNSUPPORTED;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = choose_blocks(fused, &rows[k], &blocks, report);
        if (status == CLATTN_OK) {
            status = build(fused, &blocks, k == count - 1, info, report);
        }
    }
    ATTN_TRY(status);
    fused->block_query = blocks.query;
    fused->shares_heads = true;
    fused->threads = blocks.threads_x * blocks.threads_y;
    info->local_memory = fused->local_memory;
    info->block_query = blocks.query;
    info->block_key = blocks.key;
    snprintf(info->kernel, sizeof info->kernel, "attention_fused_gpu: %" PRId64 " x %" PRId64 " work-items%s",
             blocks.threads_x, blocks.threads_y, has_shuffles(fused->device.opencl) ? ", subgroup shuffles" : "");
    return CLATTN_OK;
}

clattn_status attn_fused_groups_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call,
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

clattn_status attn_fused_gpu_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call) {
    return attn_fused_groups_submit(fused, slot, call, "attention_fused_gpu");
}
