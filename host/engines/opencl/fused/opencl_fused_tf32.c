/*
 * opencl-fused, the body for fp32 on TF32 matrix units: each product made of three of TF32, so that results are as good
 * as those of fp32 arithmetic, or of one where the problem allows that (attention_fused_tf32.cl). No workspace. Chosen
 * for NVIDIA devices of compute capability 8.0 and later, when one of the rows of
 * kernels/tuning/attention_fused_tf32.csv builds there; elsewhere only as body matrix, with a portable tile that is for
 * tests. To add another vendor's tile: its header beside tf32_tile_nvidia.cl.h, and the choice of it here.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"

enum {
    MOST_DIMS = 256,
    MOST_BLOCK_KEY = 128,
    WARP = 32,
    CHUNK = 4,                     /* elements that are copied at once */
    PORTABLE_SCRATCH = 32 * 12 * 4 /* bytes a warp: TILE_SCRATCH_WORDS of tf32_tile_portable.cl.h */
};

static const double SMALLEST_SCALE = 1e-30; /* unscaled scores times less could lose a masked key's -inf */

typedef struct tf32_blocks {
    int64_t query, key, warps, stages, kept, dim;
    int64_t split; /* warps that share rows, each with its part of the dims and columns */
} tf32_blocks;

static bool has_nvidia_tile(const struct attn_opencl_device *device) {
    return device->nvidia_capability >= 80;
}

bool attn_fused_tf32_serves(const clattn_problem *problem, clattn_report *why_not) {
    if (problem->type != CLATTN_FP32) {
        attn_report_line(why_not, "type: %s is not for TF32 tiles, only fp32", clattn_type_name(problem->type));
        return false;
    }
    if (problem->head_dim > MOST_DIMS || problem->value_dim > MOST_DIMS) {
        attn_report_line(why_not, "%s: %" PRId64 " is more than the %d that TF32 tiles hold",
                         problem->head_dim > MOST_DIMS ? "head_dim" : "value_dim",
                         attn_max(problem->head_dim, problem->value_dim), MOST_DIMS);
        return false;
    }
    return true;
}

bool attn_fused_tf32_wanted(const clattn_problem *problem, const attn_device *device) {
    return !device->blocks.body && has_nvidia_tile(device->opencl) && attn_fused_tf32_serves(problem, NULL);
}

/* Each number by itself; the products of them are made afterwards. */
static clattn_status check_row(const attn_tuning_row *row, clattn_report *report) {
    static const attn_tuning_limit limits[] = { { "head_dim_max", 32, MOST_DIMS, 32 },
                                                { "block_query", 16, ATTN_SHAPE_THREADS, 16 },
                                                { "block_key", 8, MOST_BLOCK_KEY, 8 },
                                                { "warps", 1, 32, 1 },
                                                { "stages", 1, 3, 1 },
                                                { "query_kept", 0, 1, 1 },
                                                { "split", 1, 2, 1 } };
    return ATTN_TUNING_CHECK(row, "attention_fused_tf32", limits, report);
}

static clattn_status choose_blocks(const attn_fused *fused, const attn_tuning_row *row, tf32_blocks *blocks,
                                   clattn_report *report) {
    const clattn_block_override *override = &fused->device.blocks;
    ATTN_TRY(check_row(row, report));
    *blocks = (tf32_blocks){ attn_tuning_get(row, "block_query"), attn_tuning_get(row, "block_key"),
                             attn_tuning_get(row, "warps"), attn_tuning_get(row, "stages"),
                             attn_tuning_get(row, "query_kept"), row->head_dim_max,
                             attn_tuning_get(row, "split") };
    blocks->query = override->block_query != 0 ? override->block_query : blocks->query;
    blocks->key = override->block_key != 0 ? override->block_key : blocks->key;
    if (blocks->dim % (32 * blocks->split) != 0 || blocks->warps % blocks->split != 0 ||
        WARP * blocks->warps * CHUNK % blocks->dim != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "head_dim_max: %" PRId64 " does not divide among warps: %" PRId64 " and split: %" PRId64, blocks->dim,
                           blocks->warps, blocks->split);
    }
    const int64_t rows = 16 * blocks->warps / blocks->split;
    if (blocks->query <= 0 || blocks->query % rows != 0 || blocks->query > 2 * rows) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_query: %" PRId64 " is not a multiple of %" PRId64 ", the rows of warps, up to %" PRId64,
                           blocks->query, rows, 2 * rows);
    }
    const int64_t pass = WARP * blocks->warps * CHUNK / blocks->dim; /* keys that all warps copy at once */
    const int64_t sum = blocks->key > 32 ? 32 : 8;                   /* of one sum on the matrix unit */
    if (blocks->key <= 0 || blocks->key % sum != 0 || blocks->key % pass != 0 || blocks->key > MOST_BLOCK_KEY) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_key: %" PRId64 " is not a multiple of %" PRId64 " and of %" PRId64 " up to %d", blocks->key,
                           sum, pass, MOST_BLOCK_KEY);
    }
    return CLATTN_OK;
}

/* Whether scores need more than a factor and a range of keys: the kernel then finishes them one by one. */
static bool is_keywise(const clattn_problem *problem) {
    return problem->mask != CLATTN_MASK_NONE || problem->bias != CLATTN_BIAS_NONE || problem->alibi ||
           problem->softcap > 0.0 || !(problem->scale >= SMALLEST_SCALE);
}

static clattn_status build(attn_fused *fused, const tf32_blocks *blocks, clattn_plan_info *info,
                           clattn_report *report) {
    char options[512];
    const bool nvidia = has_nvidia_tile(fused->device.opencl);
    const int64_t tiles = 2 * blocks->stages * blocks->key * blocks->dim * (int64_t)sizeof(float);
    const int64_t told = blocks->split > 1 ? blocks->split : 0; /* sets of scores that warps tell each other */
    const int64_t need = tiles + told * blocks->query * blocks->key * (int64_t)sizeof(float) +
                         (nvidia ? 0 : blocks->warps * PORTABLE_SCRATCH);
    if (need > fused->device.opencl->info.local_memory) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_tf32: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           need, fused->device.opencl->info.local_memory);
    }
    fused->local_memory = nvidia ? 0 : need;
    info->local_memory = need;
    snprintf(options, sizeof options,
             "-DBLOCK_QUERY=%" PRId64 " -DBLOCK_KEY=%" PRId64 " -DWARPS=%" PRId64 " -DSTAGES=%" PRId64
             " -DQUERY_KEPT=%" PRId64 " -DSPLIT=%" PRId64 " -DDIM=%" PRId64
             " -DKEYWISE=%d -DWARP_TILE_NVIDIA=%d -DPRODUCTS=%d",
             blocks->query, blocks->key, blocks->warps, blocks->stages, blocks->kept, blocks->split, blocks->dim,
             is_keywise(&fused->problem) ? 1 : 0, nvidia ? 1 : 0, fused->problem.allow_tf32 ? 1 : 3);
    clattn_plan_info built = *info;
    ATTN_TRY(attn_shape_build(&fused->device, "attention_fused_tf32", options, WARP * blocks->warps, true,
                              &fused->main, &built, report));
    info->private_memory = built.private_memory;
    return CLATTN_OK;
}

clattn_status attn_fused_tf32_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_SHAPE_ROWS];
    int64_t count = attn_shape_find("attention_fused_tf32", &fused->problem, &fused->device, rows);
    const bool nvidia = has_nvidia_tile(fused->device.opencl);
    tf32_blocks blocks = { .query = 0 };
    clattn_status status = CLATTN_UNSUPPORTED;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = choose_blocks(fused, &rows[k], &blocks, report);
        if (status == CLATTN_OK) {
            status = build(fused, &blocks, info, report);
        }
    }
    ATTN_TRY(status);
    fused->block_query = blocks.query;
    fused->shares_heads = true;
    fused->threads = WARP * blocks.warps;
    info->block_query = blocks.query;
    info->block_key = blocks.key;
    info->products_tf32 = fused->problem.allow_tf32;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_tf32: %s, %s tile, %" PRId64 " warps, %" PRId64 " stage%s%s%s",
             info->products_tf32 ? "TF32" : "3xTF32", nvidia ? "NVIDIA" : "portable", blocks.warps, blocks.stages,
             blocks.stages > 1 ? "s" : "", blocks.kept ? "" : ", queries read again",
             blocks.split > 1 ? ", pairs of warps share rows" : "");
    return CLATTN_OK;
}

clattn_status attn_fused_tf32_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call) {
    return attn_fused_groups_submit(fused, slot, call, "attention_fused_tf32");
}
