/*
 * opencl-fused, the CPU-shaped body: keys and values are packed once a call (attention_pack.cl), then one work-item
 * makes a block of rows of one head (attention_fused_cpu.cl). Workspace: packed keys, then packed values, both linear
 * in key_length.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused.h"

enum {
    ITEMS_PER_UNIT = 4, /* work-items a compute unit, so that the last ones to end do not keep the others waiting */
    MOST_TILE_ROWS = 32,
    MOST_ITEM_FLOATS = 65536 /* of queries, and of outputs, on a work-item's stack */
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
    const int64_t heads = p->query_heads * (p->batch_invariant ? 1 : p->batch);
    const int64_t wanted = ITEMS_PER_UNIT * fused->device.opencl->info.compute_units;
    int64_t tiles = most_tiles;
    while (tiles > 1 &&
           heads * ((p->query_length + tiles * fused->tile_rows - 1) / (tiles * fused->tile_rows)) < wanted) {
        tiles /= 2;
    }
    fused->block_query = tiles * fused->tile_rows;
    return CLATTN_OK;
}

static clattn_status choose_keys(const attn_fused *fused, const attn_tuning_row *row, int64_t *block_key,
                                 clattn_report *report) {
    const int64_t override = fused->device.blocks.block_key;
    *block_key = override != 0 ? override : attn_tuning_get(row, "block_key");
    if (*block_key <= 0 || *block_key % fused->tile_keys != 0 || *block_key > 32 * fused->tile_keys) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "block_key: %" PRId64 " is not a multiple of %" PRId64 " up to %" PRId64, *block_key,
                           fused->tile_keys, 32 * fused->tile_keys);
    }
    return CLATTN_OK;
}

static clattn_status build(attn_fused *fused, const attn_tuning_row *row, int64_t block_key, clattn_plan_info *info,
                           clattn_report *report) {
    char options[512];
    const int type = (int)fused->problem.type;
    const int64_t vectors = attn_tuning_get(row, "tile_vectors");
    snprintf(options, sizeof options,
             "-DATTN_TYPE=%d -DVECTOR=%" PRId64 " -DTILE_ROWS=%" PRId64 " -DTILE_VECTORS=%" PRId64
             " -DVALUE_ROWS=%" PRId64 " -DVALUE_VECTORS=%" PRId64 " -DBLOCK_KEY=%" PRId64 " -DITEM_TILES=%" PRId64
             " -DDIM_MAX=%" PRId64,
             type, fused->vector, fused->tile_rows, vectors, attn_tuning_get(row, "value_rows"),
             attn_tuning_get(row, "value_vectors"), block_key, attn_tuning_get(row, "item_tiles"), row->head_dim_max);
    ATTN_TRY(attn_shape_build(&fused->device, "attention_fused_cpu", options, 1, false, &fused->main, info, report));
    snprintf(options, sizeof options, "-DATTN_TYPE=%d -DVECTOR=%" PRId64 " -DTILE_ROWS=1 -DTILE_VECTORS=%" PRId64, type,
             fused->vector, vectors);
    return attn_shape_build(&fused->device, "attention_pack", options, 1, false, &fused->pack, NULL, report);
}

/** What the kernel takes for granted of a row, which may be the user's own; block_key is choose_keys()'s. */
static clattn_status check_row(const attn_tuning_row *row, clattn_report *report) {
    static const attn_tuning_limit limits[] = { { "head_dim_max", 16, ATTN_SHAPE_DIMS, 16 }, /* every vector's multiple */
                                                { "tile_rows", 1, MOST_TILE_ROWS, 1 },
                                                { "tile_vectors", 2, 2, 2 }, /* results are wrong with one */
                                                { "value_rows", 1, MOST_TILE_ROWS, 1 },
                                                { "value_vectors", 1, 8, 1 },
                                                { "item_tiles", 1, MOST_ITEM_FLOATS, 1 } };
    ATTN_TRY(ATTN_TUNING_CHECK(row, "attention_fused_cpu", limits, report));
    const int64_t rows = attn_tuning_get(row, "tile_rows"), value_rows = attn_tuning_get(row, "value_rows"),
                  tiles = attn_tuning_get(row, "item_tiles");
    if (rows % value_rows != 0) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_cpu: tile_rows: %" PRId64 " is not a multiple of value_rows: %" PRId64, rows,
                           value_rows);
    }
    if (tiles * rows * row->head_dim_max > MOST_ITEM_FLOATS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "attention_fused_cpu: item_tiles: %" PRId64 " of tile_rows: %" PRId64 ", head_dim_max: %" PRId64
                           " are more than %d numbers",
                           tiles, rows, row->head_dim_max, (int)MOST_ITEM_FLOATS);
    }
    return CLATTN_OK;
}

clattn_status attn_fused_cpu_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report) {
    attn_tuning_row rows[ATTN_SHAPE_ROWS];
    int64_t count = attn_shape_find("attention_fused_cpu", &fused->problem, &fused->device, rows), block_key = 0;
    clattn_status status = CLATTN_UNSUPPORTED;
    fused->vector = attn_shape_vector(fused->device.opencl);
    fused->threads = 1;
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        if ((status = check_row(&rows[k], report)) != CLATTN_OK) {
            continue;
        }
        fused->tile_rows = attn_tuning_get(&rows[k], "tile_rows");
        fused->tile_keys = attn_tuning_get(&rows[k], "tile_vectors") * fused->vector;
        status = choose_rows(fused, attn_tuning_get(&rows[k], "item_tiles"), report);
        status = status == CLATTN_OK ? choose_keys(fused, &rows[k], &block_key, report) : status;
        status = status == CLATTN_OK ? build(fused, &rows[k], block_key, info, report) : status;
    }
    ATTN_TRY(status);
    info->block_query = fused->block_query;
    info->block_key = block_key;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_fused_cpu: float%" PRId64 ", tiles of %" PRId64 " x %" PRId64 ", packed keys", fused->vector,
             fused->tile_rows, fused->tile_keys);
    return set_workspace(fused, report);
}

static clattn_status submit_pack(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call,
                                 cl_mem workspace, int64_t values_at) {
    const attn_arguments *a = &call->arguments;
    const int64_t panels = attn_round_up(a->key_length, fused->tile_keys) / fused->tile_keys;
    attn_grid grid = { attn_kernel_call_begin(slot->other), "attention_pack", a->batch * a->kv_heads * panels, 1, 0.0 };
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

clattn_status attn_fused_cpu_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const int64_t values_at = a->batch * a->kv_heads * packed_key_elements(fused, a->key_length);
    const int64_t blocks = (a->query_length + fused->block_query - 1) / fused->block_query;
    cl_mem workspace = call->workspace != NULL ? call->workspace : fused->device.opencl->nothing;
    if (packed_value_elements(fused, a->key_length) > 0) {
        ATTN_TRY(submit_pack(fused, slot, call, workspace, values_at));
    }
    attn_grid grid = { attn_kernel_call_begin(slot->main), "attention_fused_cpu", a->batch * a->query_heads * blocks, 1,
                       2.0 * (double)(a->head_dim + a->value_dim) * (double)fused->block_query *
                           (double)a->key_length };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, blocks);
    attn_pass_int32(&grid.kernel, (int32_t)(fused->block_query / fused->tile_rows));
    attn_pass_extras(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_buffer(&grid.kernel, workspace);
    attn_pass_int64(&grid.kernel, values_at);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    ATTN_TRY(attn_chain_step(&call->chain, "attention"));
    return attn_grid_launch(call, grid, 0.0, 0.99);
}
