/*
 * opencl-fused, the GPU-shaped body: one work-group a block of rows (attention_fused_gpu.cl). No workspace. Rows of
 * kernels/tuning/attention_fused_gpu.csv that do not fit the device, or spill, are passed over.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"

#include "kernels/include/group_local.cl.h"

/* Of the kernel's local argument; the names are those of group_local.cl.h. */
static int64_t local_bytes(const attn_blocks *b) {
    const int64_t BLOCK_QUERY = attn_blocks_get(b, "block_query"), BLOCK_KEY = attn_blocks_get(b, "block_key");
    const int64_t THREADS_X = attn_blocks_get(b, "threads_x"), VALUE_VECTORS = attn_blocks_get(b, "value_vectors");
    const int64_t SLICE = attn_blocks_get(b, "slice"), KEEP_QUERY = attn_blocks_get(b, "keep_query");
    const int64_t DIM = attn_blocks_get(b, "head_dim_max");
    return LOCAL_BYTES;
}

clattn_status attn_fused_gpu_take(attn_fused *fused, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                                  clattn_report *report) {
    char sizes[256], options[384];
    attn_blocks blocks;
    const struct attn_opencl_device *device = fused->device.opencl;
    const bool shuffles = attn_opencl_has_shuffles(device);
    ATTN_TRY(attn_blocks_take(fused->program, row, &fused->device.blocks, 1, &blocks, report));
    const int64_t x = attn_blocks_get(&blocks, "threads_x"), y = attn_blocks_get(&blocks, "threads_y");
    fused->local_memory = local_bytes(&blocks);
    ATTN_TRY(attn_fused_local_fits(fused->program, fused->local_memory, device->info.local_memory, report));
    attn_blocks_options(&blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "%s-DATTN_TYPE=%d -DSUBGROUP_SHUFFLE=%d%s%s",
             shuffles ? "-cl-std=CL3.0 " : "", (int)fused->problem.type, shuffles ? 1 : 0, sizes,
             attn_training_defines(&fused->problem));
    ATTN_TRY(attn_opencl_build(&fused->device, fused->program, options, x * y, !last, &fused->main, info, report));
    attn_fused_groups_describe(fused, &blocks, x * y, info);
    info->local_memory = fused->local_memory;
    snprintf(info->kernel, sizeof info->kernel, "attention_fused_gpu: %" PRId64 " x %" PRId64 " work-items%s", x, y,
             shuffles ? ", subgroup shuffles" : "");
    return CLATTN_OK;
}
