/*
 * opencl-fused, backward, the CPU-shaped body: before each pass what it walks over is packed (backward_pack.cl), then one
 * work-item makes a block of rows, or of keys, of one head (attention_backward_cpu.cl). Packed lines are linear in the
 * lengths; both passes have the same memory for them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "engines/opencl/fused/opencl_fused_backward.h"

enum {
    ITEMS_PER_UNIT = 4,      /* work-items a compute unit, so that the last ones to end do not keep the others waiting */
    MOST_ITEM_FLOATS = 65536 /* of lines, and of sums, on a work-item's stack */
};

/* Floats of packed lines, as include/backward_pack.cl.h has them, for heads of `length` lines. */
static bool add_packed(const attn_backward *backward, int64_t heads, int64_t length, bool rows, int64_t *floats) {
    const clattn_problem *p = &backward->problem;
    const int64_t vector = backward->vector, columns = attn_round_up(p->head_dim, vector);
    const int64_t dims = attn_round_up(p->head_dim, 4) + attn_round_up(p->value_dim, 4);
    const int64_t numbers = rows ? attn_round_up(p->value_dim, vector) + 2 : 0;
    return length <= INT64_MAX - backward->walk_tile && attn_multiply(heads, p->batch, floats) &&
           attn_multiply(*floats, attn_round_up(length, backward->walk_tile), floats) &&
           attn_multiply(*floats, dims + columns + numbers, floats);
}

static clattn_status set_packed(attn_backward *backward, clattn_report *report) {
    const clattn_problem *p = &backward->problem;
    int64_t keys = 0, rows = 0;
    if ((backward->wants_query && !add_packed(backward, p->kv_heads, p->key_length, false, &keys)) ||
        (attn_backward_wants_keys(backward) && !add_packed(backward, p->query_heads, p->query_length, true, &rows))) {
        return attn_refuse(report, CLATTN_OVERFLOW, "workspace: the packed lines do not fit 63 bits");
    }
    backward->packed = attn_max(keys, rows);
    return CLATTN_OK;
}

/* Lines of a work-item: as many as the row of the table says, fewer while that leaves compute units without work. */
static clattn_status choose_lines(const attn_backward *backward, const char *field, int64_t override, int64_t heads,
                                  int64_t length, int64_t most_tiles, int64_t *lines, clattn_report *report) {
    const int64_t tile = backward->tile_rows;
    if (override != 0) {
        if (override < 0 || override % tile != 0 || override > most_tiles * tile) {
            return attn_refuse(report, CLATTN_UNSUPPORTED, "%s: %" PRId64 " is not a multiple of %" PRId64 " up to %" PRId64,
                               field, override, tile, most_tiles * tile);
        }
        *lines = override;
        return CLATTN_OK;
    }
    const int64_t all = heads * (backward->device.batch_invariant ? 1 : backward->problem.batch);
    const int64_t enough = ITEMS_PER_UNIT * backward->device.opencl->info.compute_units;
    int64_t tiles = most_tiles;
    while (tiles > 1 && all * attn_divide_up(length, tiles * tile) < enough) {
        tiles /= 2;
    }
    *lines = tiles * tile;
    return CLATTN_OK;
}

/* One pass, and what packs for it. */
static clattn_status build(attn_backward *backward, const attn_blocks *blocks, bool keys, clattn_plan_info *info,
                           clattn_report *report) {
    char types[160], sizes[256], options[512];
    const attn_device *device = &backward->device;
    const int pass = keys ? 1 : 0;
    attn_backward_types(&backward->problem, types, sizeof types);
    attn_blocks_options(blocks, sizes, sizeof sizes);
    snprintf(options, sizeof options, "%s -DPASS_KEYS=%d -DVECTOR=%" PRId64 "%s", types, pass, backward->vector, sizes);
    ATTN_TRY(attn_opencl_build(device, backward->program, options, 1, false,
                               &backward->programs[keys ? ATTN_BACKWARD_KEY : ATTN_BACKWARD_QUERY], info, report));
    snprintf(options, sizeof options,
             "%s -DPASS_KEYS=%d -DVECTOR=%" PRId64 " -DTILE_ROWS=1 -DTILE_VECTORS=%" PRId64, types, pass, backward->vector,
             attn_blocks_get(blocks, "tile_vectors"));
    return attn_opencl_build(device, "backward_pack", options, 1, false,
                             &backward->programs[keys ? ATTN_BACKWARD_PACK_ROWS : ATTN_BACKWARD_PACK_KEYS], NULL, report);
}

static clattn_status take_lines(attn_backward *backward, const attn_blocks *blocks, clattn_report *report) {
    const clattn_problem *p = &backward->problem;
    const clattn_block_override *override = &backward->device.blocks;
    const int64_t tiles = attn_blocks_get(blocks, "item_tiles"), dims = attn_blocks_get(blocks, "head_dim_max");
    if (tiles * backward->tile_rows * dims > MOST_ITEM_FLOATS) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: item_tiles: %" PRId64 " of tile_rows: %" PRId64 ", head_dim_max: %" PRId64
                           " are more than %d numbers",
                           backward->program, tiles, backward->tile_rows, dims, (int)MOST_ITEM_FLOATS);
    }
    ATTN_TRY(choose_lines(backward, "block_query", override->block_query, p->query_heads, p->query_length, tiles,
                          &backward->block_query, report));
    return choose_lines(backward, "block_key", override->block_key, p->kv_heads, p->key_length, tiles,
                        &backward->block_key, report);
}

clattn_status attn_backward_cpu_take(attn_backward *backward, const attn_tuning_row *row, bool last,
                                     clattn_plan_info *info, clattn_report *report) {
    attn_blocks blocks;
    (void)last;
    backward->vector = attn_opencl_vector(backward->device.opencl);
    backward->threads = 1;
    ATTN_TRY(attn_blocks_take(backward->program, row, NULL, backward->vector, &blocks, report));
    backward->tile_rows = attn_blocks_get(&blocks, "tile_rows");
    backward->walk_tile = attn_blocks_get(&blocks, "tile_vectors") * backward->vector;
    ATTN_TRY(take_lines(backward, &blocks, report));
    if (backward->wants_query) {
        ATTN_TRY(build(backward, &blocks, false, info, report));
    }
    if (attn_backward_wants_keys(backward)) {
        ATTN_TRY(build(backward, &blocks, true, info, report));
    }
    info->program = blocks.table->program;
    info->block_query = backward->block_query;
    info->block_key = backward->block_key;
    snprintf(info->kernel, sizeof info->kernel,
             "attention_backward_cpu: float%" PRId64 ", tiles of %" PRId64 " x %" PRId64 ", packed lines", backward->vector,
             backward->tile_rows, backward->walk_tile);
    return set_packed(backward, report);
}

static clattn_status submit_pack(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call, bool rows) {
    const attn_arguments *a = &call->arguments;
    const int64_t panels = attn_divide_up(rows ? a->query_length : a->key_length, backward->walk_tile);
    attn_grid grid = { .kernel = attn_kernel_call_begin(
                           slot->kernels[rows ? ATTN_BACKWARD_PACK_ROWS : ATTN_BACKWARD_PACK_KEYS]),
                       .what = "backward_pack",
                       .groups = a->batch * (rows ? a->query_heads : a->kv_heads) * panels,
                       .threads = 1 };
    const attn_layout layout = rows ? a->query : a->key;
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, rows ? ATTN_TENSOR_QUERY : ATTN_TENSOR_KEY);
    attn_pass(&grid.kernel, &layout, sizeof layout);
    attn_backward_pass_result(&grid.kernel, call, rows ? ATTN_TENSOR_GRAD_OUTPUT : ATTN_TENSOR_VALUE);
    attn_backward_pass_numbers(backward, &grid.kernel, call);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(&grid.kernel, backward->packed_at);
    return attn_grid_launch(call, grid, 0.0, 0.0);
}

static clattn_status submit_pass(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call, bool keys) {
    const attn_arguments *a = &call->arguments;
    const int64_t lines = keys ? backward->block_key : backward->block_query;
    const int64_t blocks = attn_divide_up(keys ? a->key_length : a->query_length, lines);
    const double others = (double)(keys ? a->group * a->query_length : a->key_length);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[keys ? ATTN_BACKWARD_KEY : ATTN_BACKWARD_QUERY]),
                       .what = backward->program,
                       .groups = a->batch * (keys ? a->kv_heads : a->query_heads) * blocks,
                       .threads = 1,
                       .work = 4.0 * (double)(a->head_dim + a->value_dim) * (double)lines * others };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, blocks);
    attn_pass_int32(&grid.kernel, (int32_t)(lines / backward->tile_rows));
    attn_pass_rules(&grid.kernel, call);
    attn_backward_pass_tensors(backward, &grid.kernel, call);
    attn_backward_pass_results(backward, &grid.kernel, call, keys);
    attn_pass_int64(&grid.kernel, backward->packed_at);
    return attn_grid_launch(call, grid, keys ? 0.4 : 0.02, keys ? 0.9 : 0.4);
}

clattn_status attn_backward_cpu_query(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    ATTN_TRY(submit_pack(backward, slot, call, false));
    return submit_pass(backward, slot, call, false);
}

clattn_status attn_backward_cpu_key(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    ATTN_TRY(submit_pack(backward, slot, call, true));
    return submit_pass(backward, slot, call, true);
}
