/*
 * opencl-fused, the body on matrix units: fp16 and bf16, a work-group of warps a block of rows of one head
 * (attention_fused_mma.cl). No workspace. Chosen for NVIDIA devices of compute capability 8.0 and later, when one of
 * the rows of kernels/tuning/attention_fused_mma.csv builds there; elsewhere only as body matrix, with a portable tile
 * that is for tests. To add another vendor's tile: see opencl_fused_tiles.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_tiles.h"
#include "opencl/local_memory.h"

enum { MOST_DIMS = 256, MOST_BLOCK_KEY = 128, MOST_KEYS = 1 << 30 /* ROWS_FAR of warp_rows.cl.h */ };

static const double SMALLEST_SCALE = 1e-30; /* unscaled scores times less could lose a masked key's -inf */

typedef struct mma_blocks {
    int64_t query, key, warps, stages, lazy, dim;
    int64_t query_local, registers; /* as the columns of the table */
} mma_blocks;

bool attn_fused_mma_serves(const clattn_problem *problem, clattn_report *why_not) {
    if (problem->type != CLATTN_FP16 && problem->type != CLATTN_BF16) {
        attn_report_line(why_not, "type: %s has no matrix tile, only fp16 and bf16", clattn_type_name(problem->type));
        return false;
    }
    if (problem->head_dim > MOST_DIMS || problem->value_dim > MOST_DIMS) {
        attn_report_line(why_not, "%s: %" PRId64 " is more than the %d that matrix tiles hold",
                         problem->head_dim > MOST_DIMS ? "head_dim" : "value_dim",
                         attn_max(problem->head_dim, problem->value_dim), MOST_DIMS);
        return false;
    }
    if (problem->key_length > MOST_KEYS) {
        attn_report_line(why_not, "key_length: %" PRId64 " is more than the %d that matrix tiles count to",
                         problem->key_length, MOST_KEYS);
        return false;
    }
    return true;
}

bool attn_fused_mma_wanted(const clattn_problem *problem, const attn_device *device) {
    return !device->blocks.body && attn_mma_tile_trusted(device->opencl) && attn_fused_mma_serves(problem, NULL);
}

/* What the kernel takes for granted, said in a line instead of a compiler's log. */
static clattn_status check_blocks(const attn_mma_tile *tile, const mma_blocks *blocks, clattn_report *report) {
    const int64_t rows = tile->rows * blocks->warps;
    if (blocks->query <= 0 || blocks->query % rows != 0 || blocks->query > 2 * rows) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_query: %" PRId64 " is not a multiple of %" PRId64 ", the rows of warps, up to %" PRId64,
                           blocks->query, rows, 2 * rows);
    }
    const int64_t pass = tile->lanes * blocks->warps / (blocks->dim % 64 != 0 ? 4 : 8); /* rows copied at once */
    if (blocks->key <= 0 || blocks->key % 16 != 0 || blocks->key % attn_max(pass, 1) != 0 || blocks->key > MOST_BLOCK_KEY) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_key: %" PRId64 " is not a multiple of 16 and of the %" PRId64
                           " rows that %" PRId64 " warps copy at once, up to %d",
                           blocks->key, pass, blocks->warps, MOST_BLOCK_KEY);
    }
    if (!blocks->query_local && blocks->query > 2 * blocks->stages * blocks->key) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_query: %" PRId64 " rows do not fit where %" PRId64 " keys will be", blocks->query,
                           blocks->stages * blocks->key);
    }
    return CLATTN_OK;
}

/* Each number by itself; the products of them are made afterwards. */
static clattn_status check_row(const attn_tuning_row *row, clattn_report *report) {
    static const attn_tuning_limit limits[] = { { "head_dim_max", 32, MOST_DIMS, 32 },
                                                { "block_query", 16, ATTN_SHAPE_THREADS, 16 },
                                                { "block_key", 16, MOST_BLOCK_KEY, 16 },
                                                { "warps", 1, 32, 1 },
                                                { "stages", 1, 3, 1 },
                                                { "lazy", 0, 1, 1 },
                                                { "query_local", 0, 1, 1 },
                                                { "registers", 0, 255, 1 } };
    return ATTN_TUNING_CHECK(row, "attention_fused_mma", limits, report);
}

static clattn_status choose_blocks(const attn_fused *fused, const attn_mma_tile *tile, const attn_tuning_row *row,
                                   mma_blocks *blocks, clattn_report *report) {
    const clattn_block_override *override = &fused->device.blocks;
    ATTN_TRY(check_row(row, report));
    *blocks = (mma_blocks){ attn_tuning_get(row, "block_query"),
                            attn_tuning_get(row, "block_key"),
                            attn_tuning_get(row, "warps"),
                            attn_tuning_get(row, "stages"),
                            attn_tuning_get(row, "lazy"),
                            row->head_dim_max,
                            attn_tuning_get(row, "query_local"),
                            attn_tuning_get(row, "registers") };
    blocks->query = override->block_query != 0 ? override->block_query : blocks->query;
    blocks->key = override->block_key != 0 ? override->block_key : blocks->key;
    return check_blocks(tile, blocks, report);
}

/* Whether scores need more than a factor and a range of keys: the kernel then finishes them one by one. */
static bool is_keywise(const clattn_problem *problem) {
    return problem->mask != CLATTN_MASK_NONE || problem->bias != CLATTN_BIAS_NONE || problem->alibi ||
           problem->softcap > 0.0 || !(problem->scale >= SMALLEST_SCALE);
}

/* Bytes of local memory: stages of keys and values, queries that stay, what the tile needs for itself. */
static int64_t local_need(const attn_mma_tile *tile, const mma_blocks *blocks) {
    const int64_t rows = 2 * blocks->stages * blocks->key + (blocks->query_local ? blocks->query : 0);
    return rows * blocks->dim * 2 + blocks->warps * tile->scratch;
}

static clattn_status build(attn_fused *fused, const attn_mma_tile *tile, const mma_blocks *blocks, clattn_plan_info *info,
                           clattn_report *report) {
    char options[320], limit[64] = "";
    const int64_t need = local_need(tile, blocks);
    const bool keywise = is_keywise(&fused->problem);
    int64_t most = fused->device.opencl->info.local_memory;
    if (need > most && tile->declares_memory) {
        most = attn_opencl_local_memory(fused->device.opencl);
    }
    if (need > most) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_mma: needs %" PRId64 " bytes of local memory, the device has %" PRId64,
                           need, most);
    }
    if (blocks->registers > 0 && tile->register_limit != NULL && !keywise) {
        snprintf(limit, sizeof limit, " %s=%" PRId64, tile->register_limit, blocks->registers);
    }
    fused->local_memory = tile->declares_memory ? 0 : need;
    info->local_memory = need;
    snprintf(options, sizeof options,
             "-DATTN_TYPE=%d -DBLOCK_QUERY=%" PRId64 " -DBLOCK_KEY=%" PRId64 " -DWARPS=%" PRId64 " -DSTAGES=%" PRId64
             " -DLAZY=%" PRId64 " -DDIM=%" PRId64 " -DQUERY_LOCAL=%" PRId64 " -DKEYWISE=%d%s%s",
             (int)fused->problem.type, blocks->query, blocks->key, blocks->warps, blocks->stages, blocks->lazy,
             blocks->dim, blocks->query_local, keywise ? 1 : 0, tile->defines, limit);
    clattn_plan_info built = *info;
    ATTN_TRY(attn_shape_build(&fused->device, "attention_fused_mma", options, tile->lanes * blocks->warps, true,
                              &fused->main, &built, report));
    info->private_memory = built.private_memory;
    return CLATTN_OK;
}

clattn_status attn_fused_mma_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_SHAPE_ROWS];
    int64_t count = attn_shape_find("attention_fused_mma", &fused->problem, &fused->device, rows);
    const attn_mma_tile *tile = attn_mma_tile_choose(&fused->device, fused->problem.type, report);
    if (tile == NULL) {
        return CLATTN_UNSUPPORTED;
    }
    mma_blocks blocks = { .query = 0 };
    clattn_status status = CLATTN_UNSUPPORTED;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = choose_blocks(fused, tile, &rows[k], &blocks, report);
        if (status == CLATTN_OK) {
            status = build(fused, tile, &blocks, info, report);
        }
    }
    ATTN_TRY(status);
    fused->block_query = blocks.query;
    fused->shares_heads = true;
    fused->threads = tile->lanes * blocks.warps;
    info->block_query = blocks.query;
    info->block_key = blocks.key;
    info->weights_rounded = true;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_mma: %s tile, %" PRId64 " warps, %" PRId64 " stage%s%s%s", tile->name,
             blocks.warps, blocks.stages, blocks.stages > 1 ? "s" : "", blocks.lazy ? ", delayed rescaling" : "",
             blocks.query_local ? ", queries in local memory" : "");
    return CLATTN_OK;
}

clattn_status attn_fused_mma_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call) {
    return attn_fused_groups_submit(fused, slot, call, "attention_fused_mma");
}
