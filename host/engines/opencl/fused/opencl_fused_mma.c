/*
 * opencl-fused, the body on matrix units: fp16 and bf16, a work-group of warps a block of rows (attention_fused_mma.cl). No
 * workspace. Chosen for devices whose matrix units are trusted (opencl_fused_tiles.c), when one of the rows of
 * kernels/tuning/attention_fused_mma.csv builds there; elsewhere only as body matrix, with a portable tile that is for
 * tests. To add another vendor's tile: see opencl_fused_tiles.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"
#include "engines/opencl/fused/opencl_fused_tiles.h"
#include "opencl/local_memory.h"

#include "kernels/include/warp_local.cl.h"

bool attn_fused_mma_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    if (problem->type != CLATTN_FP16 && problem->type != CLATTN_BF16) {
        attn_report_line(why_not, "type: %s has no matrix tile, only fp16 and bf16", clattn_type_name(problem->type));
        return false;
    }
    if (!attn_fused_matrix_dims_fit(problem, "matrix", why_not)) {
        return false;
    }
    if (problem->key_length > ROWS_FAR) {
        attn_report_line(why_not, "key_length: %" PRId64 " is more than the %d that matrix tiles count to",
                         problem->key_length, ROWS_FAR);
        return false;
    }
    return attn_mma_tile_choose(device, problem->type, why_not) != NULL;
}

/* What the kernel takes for granted of sizes together, beyond what block_sizes.c says; the names are those of warp_local.cl.h. */
static clattn_status check_blocks(const attn_mma_tile *tile, const attn_blocks *b, clattn_report *report) {
    const int64_t BLOCK_QUERY = attn_blocks_get(b, "block_query"), BLOCK_KEY = attn_blocks_get(b, "block_key");
    const int64_t WARPS = attn_blocks_get(b, "warps"), STAGES = attn_blocks_get(b, "stages");
    const int64_t DIM = attn_blocks_get(b, "head_dim_max"), TILE_LANES = tile->lanes;
    if (BLOCK_KEY % attn_max(PASS, 1) != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_mma: block_key: %" PRId64 " is not a multiple of the %" PRId64
                           " rows that warps: %" PRId64 " copy at once",
                           BLOCK_KEY, PASS, WARPS);
    }
    if (attn_blocks_get(b, "query_local") == 0 && QUERY_SIZE > STAGES * STAGE_SIZE) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_mma: block_query: %" PRId64 " rows do not fit where block_key: %" PRId64
                           " of stages: %" PRId64 " will be",
                           BLOCK_QUERY, BLOCK_KEY, STAGES);
    }
    return CLATTN_OK;
}

static int64_t local_bytes(const attn_mma_tile *tile, const attn_blocks *b) {
    const int64_t BLOCK_QUERY = attn_blocks_get(b, "block_query"), BLOCK_KEY = attn_blocks_get(b, "block_key");
    const int64_t WARPS = attn_blocks_get(b, "warps"), STAGES = attn_blocks_get(b, "stages");
    const int64_t DIM = attn_blocks_get(b, "head_dim_max"), QUERY_LOCAL = attn_blocks_get(b, "query_local");
    const int64_t TILE_SCRATCH_WORDS = tile->scratch_words;
    return LOCAL_BYTES;
}

/* What a group may have; more than the device reports where static arrays get it. */
static int64_t local_limit(const attn_fused *fused, const attn_mma_tile *tile, int64_t need) {
    const int64_t most = fused->device.opencl->info.local_memory;
    return need > most && tile->declares_memory ? attn_opencl_local_memory(fused->device.opencl) : most;
}

static clattn_status build(attn_fused *fused, const attn_mma_tile *tile, const attn_blocks *blocks,
                           clattn_plan_info *info, clattn_report *report) {
    char sizes[256], options[512], limit[64] = "";
    const int64_t need = local_bytes(tile, blocks), registers = attn_blocks_get(blocks, "registers");
    const int64_t threads = tile->lanes * attn_blocks_get(blocks, "warps");
    const bool keywise = attn_fused_is_keywise(&fused->problem);
    ATTN_TRY(attn_fused_local_fits(fused->program, need, local_limit(fused, tile, need), report));
    const char *training = attn_training_defines(&fused->problem);
    if (registers > 0 && tile->register_limit && !keywise && !*training) {
        snprintf(limit, sizeof limit, " %s=%" PRId64, tile->register_limit, registers);
    }
    fused->local_memory = tile->declares_memory ? 0 : need;
    attn_blocks_options(blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "-DATTN_TYPE=%d -DKEYWISE=%d%s%s%s%s", (int)fused->problem.type, keywise ? 1 : 0,
             sizes, tile->defines, limit, training);
    clattn_plan_info built = *info;
    ATTN_TRY(attn_opencl_build(&fused->device, fused->program, options, threads, true, &fused->main, &built, report));
    info->private_memory = built.private_memory;
    info->local_memory = need;
    attn_fused_groups_describe(fused, blocks, threads, info);
    return CLATTN_OK;
}

/* Two tiles of rows a warp take all registers of NVIDIA's; with dropout or a prefix another row of the table is better. */
static bool spills_with_training(const attn_fused *fused, const attn_mma_tile *tile, const attn_blocks *blocks) {
    const int64_t rows = attn_blocks_get(blocks, "block_query") / attn_blocks_get(blocks, "warps");
    return tile->register_limit && rows > 16 && (fused->problem.dropout > 0 || fused->problem.prefix > 0);
}

clattn_status attn_fused_mma_take(attn_fused *fused, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                                  clattn_report *report) {
    attn_blocks blocks;
    const attn_mma_tile *tile = attn_mma_tile_choose(&fused->device, fused->problem.type, report);
    if (!tile) {
        return CLATTN_UNSUPPORTED;
    }
    ATTN_TRY(attn_blocks_take(fused->program, row, &fused->device.blocks, 1, &blocks, report));
    ATTN_TRY(check_blocks(tile, &blocks, report));
    if (!last && spills_with_training(fused, tile, &blocks)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_mma: two tiles of rows a warp leave dropout and prefix no registers");
    }
    ATTN_TRY(build(fused, tile, &blocks, info, report));
    const int64_t stages = attn_blocks_get(&blocks, "stages");
    info->weights_rounded = true;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_mma: %s tile, %" PRId64 " warps, %" PRId64 " stage%s%s%s", tile->name,
             attn_blocks_get(&blocks, "warps"), stages, stages > 1 ? "s" : "",
             attn_blocks_get(&blocks, "lazy") != 0 ? ", delayed rescaling" : "",
             attn_blocks_get(&blocks, "query_local") != 0 ? ", queries in local memory" : "");
    return CLATTN_OK;
}
