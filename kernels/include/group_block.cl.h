// What the work-items of a group of attention_fused_gpu.cl share: its rows, where tensors and tiles lie, and each
// work-item's place. Knows no products and no softmax. The defines are the kernel's. To add a tile: its size in
// group_local.cl.h, its place in item_of().
#ifndef ATTN_GROUP_BLOCK_CL_H
#define ATTN_GROUP_BLOCK_CL_H

#include "include/arguments.cl.h"
#include "include/dropout.cl.h"
#include "include/group_local.cl.h"
#include "include/row_blocks.cl.h"
#include "include/index.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#include "include/reduce.cl.h"
#include "include/stage.cl.h"

// Scales beyond it, and below ATTN_SMALLEST_SCALE, meet the scores before the maximum is taken, not the exponent.
#define LARGEST_SCALE 1e30f

// What the work-items of a group share, in local memory: a compiler would keep it, and what it can compute from it, in
// registers that the products need.
typedef struct group_block {
    stage_rows query, key, value;
    attn_entry entry;
    attn_range visit, open;
    attn_row_block at;
    int zero;
    int folded;           // scores are left without scale
    float unit, exponent; // a score times unit is natural, times exponent a power of two
} group_block;
typedef char group_block_fits[sizeof(group_block) <= GROUP_SIZE * sizeof(float4) ? 1 : -1];

// The work-item's place, and the tiles.
typedef struct group_item {
    int tx, ty, lane;
    __local group_block *group;
    __local float4 *query, *key, *weights, *value, *scratch;
} group_item;

// Worked out anew for each step, for the same reason: `zero` is what keeps compilers from doing it once.
static inline group_item item_of(__local float4 *memory) {
    group_item t;
    t.group = (__local group_block *)memory;
    t.lane = tile_lane() + t.group->zero;
    t.tx = tile_x(t.lane);
    t.ty = tile_y(t.lane);
    t.query = memory + GROUP_SIZE;
    t.key = t.weights = t.query + QUERY_SIZE;
    t.value = t.key + SHARED_SIZE;
    t.scratch = t.value + VALUE_SIZE;
    return t;
}

static inline stage_rows block_rows(__global const attn_storage *memory, const attn_layout *layout, long b, long h,
                                    long dims) {
    stage_rows r = { memory, attn_row_at(layout, b, h, 0), layout->stride[2], layout->stride[1], 1, 0, (int)dims, 0 };
    r.wide = stage_is_wide(&r);
    return r;
}

// The rows of work-group `number`.
static inline group_block block_begin(const attn_arguments *a, const attn_extras *x, long number, long row_blocks,
                                      __global const attn_storage *query, __global const attn_storage *key,
                                      __global const attn_storage *value) {
    group_block g;
    g.zero = 0;
    g.entry = attn_get_entry(a, x, attn_block_entry(a, number, row_blocks, BLOCK_QUERY)); // first: a register fewer
    g.at = attn_get_row_block(a, number, row_blocks, BLOCK_QUERY);
    const long first = ATTN_ROW_POSITION(&g.at, 0), last = ATTN_ROW_POSITION(&g.at, g.at.rows - 1);
    g.visit = attn_rows_range(a, &g.entry, first, last);
    g.open = attn_rows_common_range(a, &g.entry, first, last);
    g.folded = !(ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP)) && fabs(a->scale) > ATTN_SMALLEST_SCALE &&
               fabs(a->scale) < LARGEST_SCALE;
    g.unit = g.folded ? fabs(a->scale) : 1.0f;
    g.exponent = g.unit * LOG2_E;
    g.key = block_rows(key, &a->key, g.at.b, g.at.h / a->group, a->head_dim);
    g.value = block_rows(value, &a->value, g.at.b, g.at.h / a->group, a->value_dim);
    g.query = block_rows(query, &a->query, g.at.b, g.at.h, a->head_dim);
    g.query.heads = g.at.heads;
    g.query.skew = g.at.heads > 1 ? (int)g.at.first : 0;
    g.query.at += g.at.heads > 1 ? 0 : g.at.first * a->query.stride[2];
    g.query.wide = stage_is_wide(&g.query);
    return g;
}

#endif
