/*
 * opencl-fused, the CPU-shaped body: keys and values are packed once a call (attention_pack.cl), then one work-item
 * makes a block of rows of one head (attention_fused_cpu.cl). Workspace: packed keys, then packed values, both linear
 * in key_length.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"

enum {
    ITEMS_PER_UNIT = 4 /* work-items a compute unit, so that the last ones to end do not keep the others waiting */
};

/* Padded sizes, as include/pack.cl.h has them. */
static int64_t packed_key_elements(const attn_fused *fused, int64_t key_length) {
    return attn_round_up(key_length, fused->tile_keys) * attn_round_up(fused->problem.head_dim, 4);
}

static int64_t packed_value_elements(const attn_fused *fused, int64_t key_length) {
    return attn_round_up(key_length, fused->tile_keys) * attn_round_up(fused->problem.value_dim, fused->vector);
}

static clattn_status set_workspace(attn_fused *fused, clattn_report *report) {
    const clattn_problem *p = &fused->problem;
    int64_t heads = 0;
    int64_t dims = attn_round_up(p->head_dim, 4) + attn_round_up(p->value_dim, fused->vector);
    if (!attn_multiply(p->batch, p->kv_heads, &heads) || p->key_length > INT64_MAX - fused->tile_keys ||
        !attn_multiply(heads, attn_round_up(p->key_length, fused->tile_keys), &heads) ||
        !attn_multiply(heads, dims, &heads) || !attn_multiply(heads, (int64_t)sizeof(float), &fused->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "workspace: the packed keys and values do not fit 63 bits");
    }
    return CLATTN_OK;
}

/* Rows of a work-item: as many as the row of the table says, fewer while that leaves compute units without work. */
static clattn_status choose_rows(attn_fused *fused, int64_t most_tiles, clattn_report *report) {
    const clattn_problem *p = &fused->problem;
    const int64_t override = fused->device.blocks.block_query;
    if (override != 0) {
        if (override < 0 || override % fused->tile_rows != 0 || override > most_tiles * fused->tile_rows) {
            return attn_refuse(report, CLATTN_UNSUPPORTED,
                               "block_query: %" PRId64 " is not a multiple of %" PRId64 " up to %" PRId64, override,
                               fused->tile_rows, most_tiles * fused->tile_rows);
        }
        fused->block_query = override;
        return CLATTN_OK;
    }
    const int64_t heads = p->query_heads * (fused->device.batch_invariant ? 1 : p->batch);
    const int64_t enough = ITEMS_PER_UNIT * fused->device.opencl->info.compute_units;
    int64_t tiles = most_tiles;
    while (tiles > 1 &&
           heads * attn_divide_up(p->query_length, tiles * fused->tile_rows) < enough) {
        tiles /= 2;
    }
    fused->block_query = tiles * fused->tile_rows;
    return CLATTN_OK;
}

static clattn_status build(attn_fused *fused, const attn_blocks *blocks, clattn_plan_info *info,
                           clattn_report *report) {
    char sizes[384], options[512];
    const int type = (int)fused->problem.type;
    attn_blocks_options(blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "-DATTN_TYPE=%d -DVECTOR=%" PRId64 "%s%s", type, fused->vector, sizes,
             attn_training_defines(&fused->problem));
    ATTN_TRY(attn_opencl_build(&fused->device, fused->program, options, 1, false, &fused->main, info, report));
    snprintf(options, sizeof options, "-DATTN_TYPE=%d -DVECTOR=%" PRId64 " -DTILE_ROWS=1 -DTILE_VECTORS=%" PRId64, type,
             fused->vector, attn_blocks_get(blocks, "tile_vectors"));
    return attn_opencl_build(&fused->device, "attention_pack", options, 1, false, &fused->pack, NULL, report);
}

clattn_status attn_fused_cpu_take(attn_fused *fused, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                                  clattn_report *report) {
    attn_blocks blocks;
    (void)last;
    fused->vector = attn_opencl_vector(fused->device.opencl);
    fused->threads = 1;
    ATTN_TRY(attn_blocks_take(fused->program, row, &fused->device.blocks, fused->vector, &blocks, report));
    const int64_t tiles = attn_blocks_get(&blocks, "item_tiles"), dims = attn_blocks_get(&blocks, "head_dim_max");
    fused->tile_rows = attn_blocks_get(&blocks, "tile_rows");
    fused->tile_keys = attn_blocks_get(&blocks, "tile_vectors") * fused->vector;
    if (tiles * fused->tile_rows * dims > ATTN_MOST_ITEM_FLOATS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: item_tiles: %" PRId64 " of tile_rows: %" PRId64 ", head_dim_max: %" PRId64
                           " are more than %d numbers",
                           fused->program, tiles, fused->tile_rows, dims, (int)ATTN_MOST_ITEM_FLOATS);
    }
    ATTN_TRY(choose_rows(fused, tiles, report));
    ATTN_TRY(build(fused, &blocks, info, report));
    info->program = fused->program;
    info->block_query = fused->block_query;
    info->block_key = attn_blocks_get(&blocks, "block_key");
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_cpu: float%" PRId64 ", tiles of %" PRId64 " x %" PRId64 ", packed keys", fused->vector,
             fused->tile_rows, fused->tile_keys);
    return set_workspace(fused, report);
}

static clattn_status submit_pack(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call,
                                 cl_mem workspace, int64_t values_at) {
    const attn_arguments *a = &call->arguments;
    const int64_t panels = attn_round_up(a->key_length, fused->tile_keys) / fused->tile_keys;
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_FUSED_PACK]),
                       .what = "attention_pack",
                       .groups = a->batch * a->kv_heads * panels,
                       .threads = 1 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_extras(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_buffer(&grid.kernel, workspace);
    attn_pass_int64(&grid.kernel, values_at);
    ATTN_TRY(attn_chain_step(&call->chain, "pack"));
    return attn_grid_launch(call, grid, 0.0, 0.0);
}

clattn_status attn_fused_cpu_submit(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const int64_t values_at = a->batch * a->kv_heads * packed_key_elements(fused, a->key_length);
    const int64_t blocks = attn_divide_up(a->query_length, fused->block_query);
    cl_mem workspace = call->workspace ? call->workspace : fused->device.opencl->nothing;
    if (packed_value_elements(fused, a->key_length) > 0) {
        ATTN_TRY(submit_pack(fused, slot, call, workspace, values_at));
    }
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_FUSED_MAIN]),
                       .what = "attention_fused_cpu",
                       .groups = a->batch * a->query_heads * blocks,
                       .threads = 1,
                       .work = 2.0 * (double)(a->head_dim + a->value_dim) * (double)fused->block_query *
                               (double)a->key_length };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, blocks);
    attn_pass_int32(&grid.kernel, (int32_t)(fused->block_query / fused->tile_rows));
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_buffer(&grid.kernel, workspace);
    attn_pass_int64(&grid.kernel, values_at);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    ATTN_TRY(attn_chain_step(&call->chain, "attention"));
    return attn_grid_launch(call, grid, 0.0, 0.99);
}
