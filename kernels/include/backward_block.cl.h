// What the work-items of a group of attention_backward_gpu.cl share: its rows and keys, where tensors and tiles lie, and
// each work-item's place. A group has lines of its own, rows or keys, and walks over lines of the other kind, BLOCK_ROWS
// rows or BLOCK_KEYS keys at a time. Knows no products. The defines are the kernel's.
#ifndef ATTN_BACKWARD_BLOCK_CL_H
#define ATTN_BACKWARD_BLOCK_CL_H

#include "include/arguments.cl.h"
#include "include/backward_local.cl.h"
#include "include/backward_range.cl.h"
#include "include/row_blocks.cl.h"
#include "include/index.cl.h"
#include "include/dropout.cl.h"
#include "include/gradient_types.cl.h"
#include "include/reduce.cl.h"
#include "include/stage.cl.h"

// In local memory: a compiler would keep it, and what it can compute from it, in registers that the products need.
typedef struct backward_block {
    stage_rows query, grad_output, key, value;
    __global const attn_storage *query_memory, *grad_output_memory; // what rows are taken from
    __global const float *logsumexp_memory, *delta_memory;
    __global attn_gradient *first_result, *second_result;
    __global int *flags;
    attn_layout grad_output_at, delta_at, first_at, second_at;
    attn_entry entry;
    attn_range visit; // keys that the group's rows see, or positions of rows that see its keys
    attn_range open;  // keys that all of the rows see
    attn_row_block at;
    long first_key;
    int keys; // that exist, from first_key on; may be negative
    int zero;
    int plain; // scores are no more than scaled
} backward_block;
typedef char backward_block_fits[sizeof(backward_block) <= BLOCK_SIZE * sizeof(float4) ? 1 : -1];

// The work-item's place, and the tiles.
typedef struct backward_item {
    int tx, ty, lane;
    __local backward_block *block;
    __local float *logsumexp, *delta;            // of the rows
    __local float4 *own, *other;                 // lines
    __local float4 *weights, *shares;            // in their place: of [own line][other line]
    __local float4 *columns, *scratch;
} backward_item;

// Worked out anew for each step, for the same reason: `zero` is what keeps compilers from doing it once.
static inline backward_item item_of(__local float4 *memory) {
    backward_item t;
    t.block = (__local backward_block *)memory;
    t.lane = tile_lane() + t.block->zero;
    t.tx = tile_x(t.lane);
    t.ty = tile_y(t.lane);
    t.logsumexp = (__local float *)(memory + BLOCK_SIZE);
    t.delta = t.logsumexp + BLOCK_ROWS;
    t.own = t.weights = t.scratch = memory + BLOCK_SIZE + NUMBER_SIZE;
    t.other = t.own + OWN_SIZE;
    t.shares = t.weights + SHARE_SIZE;
    t.columns = t.own + LINES_SIZE;
    return t;
}

static inline stage_rows lines_of(__global const attn_storage *memory, const attn_layout *layout, long b, long h,
                                  long dims) {
    stage_rows r = { memory, attn_row_at(layout, b, h, 0), layout->stride[2], layout->stride[1], 1, 0, (int)dims, 0 };
    r.wide = stage_is_wide(&r);
    return r;
}

// Rows of a tensor as `at` numbers them.
static inline stage_rows rows_of(const attn_row_block *at, __global const attn_storage *memory,
                                 const attn_layout *layout, long dims) {
    stage_rows r = lines_of(memory, layout, at->b, at->h, dims);
    r.heads = at->heads;
    r.skew = at->heads > 1 ? (int)at->first : 0;
    r.at += at->heads > 1 ? 0 : at->first * layout->stride[2];
    r.wide = stage_is_wide(&r);
    return r;
}

// The rows `at` of the block, and the keys that all of them see.
static inline void take_rows(const attn_arguments *a, __local backward_block *g, const attn_row_block *at) {
    const attn_entry e = g->entry;
    const attn_layout grad_output_at = g->grad_output_at;
    g->at = *at;
    g->query = rows_of(at, g->query_memory, &a->query, a->head_dim);
    g->grad_output = rows_of(at, g->grad_output_memory, &grad_output_at, a->value_dim);
    g->open = attn_rows_common_range(a, &e, ATTN_ROW_POSITION(at, 0), ATTN_ROW_POSITION(at, at->rows - 1));
}

// Keys `first` to first + BLOCK_KEYS - 1.
static inline void take_keys(__local backward_block *g, long first) {
    g->first_key = first;
    g->keys = (int)clamp(g->entry.key_length - first, -1L, (long)BLOCK_KEYS);
}

static inline void begin_block(const attn_arguments *a, const attn_extras *x, __local backward_block *g, long b,
                               long kv_head, __global const attn_storage *key, __global const attn_storage *value) {
    g->zero = 0;
    g->entry = attn_get_entry(a, x, b);
    g->plain = !ATTN_DROPOUT && !(ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP));
    g->key = lines_of(key, &a->key, b, kv_head, a->head_dim);
    g->value = lines_of(value, &a->value, b, kv_head, a->value_dim);
}

#endif
