/*
 * opencl-fused, the body for fp32 on TF32 matrix units: each product made of three of TF32, so that results are as good
 * as those of fp32 arithmetic, or of one where the problem allows that (attention_fused_tf32.cl). No workspace. Chosen
 * where the body for fp16 and bf16 is, when one of the rows of kernels/tuning/attention_fused_tf32.csv builds there;
 * elsewhere only as body matrix, with a portable tile that is for tests. To add another vendor's tile: its header beside
 * tf32_tile_nvidia.cl.h, and the choice of it here.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_tiles.h"

#include "kernels/include/tf32_local.cl.h"
#include "kernels/include/units/tile_numbers.cl.h"

bool attn_fused_tf32_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    (void)device;
    if (problem->type != CLATTN_FP32) {
        attn_report_line(why_not, "type: %s is not for TF32 tiles, only fp32", clattn_type_name(problem->type));
        return false;
    }
    return attn_fused_matrix_dims_fit(problem, "TF32", why_not);
}

/* What the kernel takes for granted of sizes together, beyond what block_sizes.c says; the names are those of tf32_local.cl.h. */
static clattn_status check_blocks(const attn_blocks *b, clattn_report *report) {
    const int64_t BLOCK_QUERY = attn_blocks_get(b, "block_query"), BLOCK_KEY = attn_blocks_get(b, "block_key");
    const int64_t WARPS = attn_blocks_get(b, "warps"), SPLIT = attn_blocks_get(b, "split");
    const int64_t DIM = attn_blocks_get(b, "head_dim_max");
    if (THREADS % CHUNKS != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_tf32: head_dim_max: %" PRId64 " does not divide among warps: %" PRId64, DIM,
                           WARPS);
    }
    const int64_t rows = 16 * WARPS / SPLIT;
    if (BLOCK_QUERY % rows != 0 || BLOCK_QUERY > 2 * rows) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_tf32: block_query: %" PRId64 " is not a multiple of %" PRId64
                           " up to %" PRId64 ", for warps: %" PRId64 " and split: %" PRId64,
                           BLOCK_QUERY, rows, 2 * rows, WARPS, SPLIT);
    }
    if (BLOCK_KEY % (8 * CHAIN) != 0 || BLOCK_KEY % PASS != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_tf32: block_key: %" PRId64 " is not a multiple of %" PRId64
                           " and of %" PRId64 ", for warps: %" PRId64,
                           BLOCK_KEY, 8 * CHAIN, PASS, WARPS);
    }
    return CLATTN_OK;
}

static int64_t local_bytes(const attn_blocks *b, bool nvidia) {
    const int64_t BLOCK_QUERY = attn_blocks_get(b, "block_query"), BLOCK_KEY = attn_blocks_get(b, "block_key");
    const int64_t WARPS = attn_blocks_get(b, "warps"), SPLIT = attn_blocks_get(b, "split");
    const int64_t STAGES = attn_blocks_get(b, "stages"), DIM = attn_blocks_get(b, "head_dim_max");
    const int64_t TILE_SCRATCH_WORDS = nvidia ? 0 : NVIDIA_LANES * PORTABLE_TF32_LANE_WORDS;
    return LOCAL_BYTES;
}

clattn_status attn_fused_tf32_take(attn_fused *fused, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                                   clattn_report *report) {
    char sizes[256], options[512];
    attn_blocks blocks;
    (void)last;
    ATTN_TRY(attn_blocks_take(fused->program, row, &fused->device.blocks, 1, &blocks, report));
    ATTN_TRY(check_blocks(&blocks, report));
    const bool nvidia = attn_mma_tile_trusted(fused->device.opencl);
    const int64_t need = local_bytes(&blocks, nvidia), warps = attn_blocks_get(&blocks, "warps");
    const int64_t stages = attn_blocks_get(&blocks, "stages");
    ATTN_TRY(attn_fused_local_fits(fused->program, need, fused->device.opencl->info.local_memory, report));
    attn_blocks_options(&blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "-DKEYWISE=%d -DWARP_TILE_NVIDIA=%d -DPRODUCTS=%d%s%s",
             attn_fused_is_keywise(&fused->problem) ? 1 : 0, nvidia ? 1 : 0, fused->device.allow_tf32 ? 1 : 3, sizes,
             attn_training_defines(&fused->problem));
    clattn_plan_info built = *info;
    ATTN_TRY(
        attn_opencl_build(&fused->device, fused->program, options, NVIDIA_LANES * warps, true, &fused->main, &built, report));
    attn_fused_groups_describe(fused, &blocks, NVIDIA_LANES * warps, info);
    fused->local_memory = nvidia ? 0 : need;
    info->private_memory = built.private_memory;
    info->local_memory = need;
    info->products_tf32 = fused->device.allow_tf32;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_tf32: %s, %s tile, %" PRId64 " warps, %" PRId64 " stage%s%s%s",
             info->products_tf32 ? "TF32" : "3xTF32", nvidia ? "NVIDIA" : "portable", warps, stages,
             stages > 1 ? "s" : "", attn_blocks_get(&blocks, "query_kept") != 0 ? "" : ", queries read again",
             attn_blocks_get(&blocks, "split") > 1 ? ", pairs of warps share rows" : "");
    return CLATTN_OK;
}
