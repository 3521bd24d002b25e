// Fused attention on matrix units, fp16 and bf16: a work-group makes BLOCK_QUERY rows (row_blocks.cl.h) and walks over
// their keys in blocks of BLOCK_KEY. A warp holds its rows' queries, scores and outputs in registers as warp tiles; scores,
// rounded, are the weights' operand of the second product, so weights never leave registers. Keys and values wait in
// local memory in the storage type, STAGES blocks of them; one pass, running maximum and sum (of weights not yet
// rounded). Which instructions make a tile and who holds what of it: warp_tile.cl.h and the bodies behind it.
// Defines: BLOCK_QUERY, BLOCK_KEY, WARPS, STAGES (1 to 3), DIM (head_dim and value_dim rounded up: a multiple of 32),
// QUERY_LOCAL (1: queries stay in local memory and are loaded again for each block of keys), KEYWISE (1: softcap, bias,
// ALiBi, a mask, or a scale that is not positive; 0: key ranges only, and scores stay unscaled until the maximum is
// subtracted), LAZY (1: sums are rescaled only when a maximum has grown by more than 2^8), and of warp_tile.cl.h.
#ifndef QUERY_LOCAL
#define QUERY_LOCAL 0
#endif
#define TILES (BLOCK_QUERY / (TILE_ROWS * WARPS)) // tiles of rows of a warp
#define KEY_TILES (BLOCK_KEY / 16)
#define DIM_TILES (DIM / 16)
#define QUERY_TILES (QUERY_LOCAL ? 1 : DIM_TILES) // column tiles of queries in registers
#define CHUNKS (DIM / 8)             // a chunk is 16 bytes of a row
#define AHEAD (STAGES > 1 ? STAGES - 1 : 1) // blocks of keys that are asked for before they are needed
#include "include/warp_local.cl.h"
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/row_blocks.cl.h"
#include "include/types.cl.h"
#include "include/dropout.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#include "include/units/warp_tile.cl.h"
#include "include/warp_rows.cl.h"
#include "include/warp_softmax.cl.h"

#if BLOCK_QUERY % (TILE_ROWS * WARPS) || BLOCK_KEY % 16 || BLOCK_KEY % PASS || BLOCK_QUERY % PASS || DIM % 32
#error "this block does not divide among the warps"
#endif
#if ATTN_TYPE == 0
#error "the type has no tile"
#endif

#define QUERY_ALONE (QUERY_AT < (STAGES > 1 ? AHEAD * STAGE_SIZE : BLOCK_SIZE)) // no copies meanwhile
#if QUERY_SIZE > STAGES * STAGE_SIZE && !QUERY_LOCAL
#error "the queries do not fit where they wait"
#endif

// The warp's queries from local memory: those of column tile d (QUERY_LOCAL), or all.
TILE_INLINE void load_query(const warp_tile *w, __local const ushort *queries, int d,
                            uint q[TILES][QUERY_TILES][TILE_QUERY_WORDS]) {
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int n = 0; n < QUERY_TILES; n++) {
            tile_load_query(w, q[i][n], queries, w->warp * TILES + i, d + n);
        }
    }
}

// s = the warp's rows of query . BLOCK_KEY keys. With QUERY_LOCAL, q is made here.
TILE_INLINE void block_scores(const warp_tile *w, uint q[TILES][QUERY_TILES][TILE_QUERY_WORDS],
                              __local const ushort *queries, __local const ushort *keys,
                              float s[TILES][KEY_TILES][TILE_C]) {
#pragma unroll
    for (int i = 0; i < TILES * KEY_TILES * TILE_C; i++) {
        s[i / (KEY_TILES * TILE_C)][i / TILE_C % KEY_TILES][i % TILE_C] = 0.0f;
    }
#pragma unroll
    for (int d = 0; d < DIM_TILES; d++) {
#if QUERY_LOCAL
        load_query(w, queries, d, q);
#endif
#pragma unroll
        for (int j = 0; j < KEY_TILES; j++) {
            uint b[TILE_KEY_WORDS];
            tile_load_keys(w, b, keys, j, d);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                tile_scores(w, s[i][j], q[i][QUERY_LOCAL ? 0 : d], b);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < TILES * KEY_TILES; n++) {
        tile_settle(s[n / KEY_TILES][n % KEY_TILES]);
    }
}

// output += weights * values
TILE_INLINE void block_values(const warp_tile *w, float s[TILES][KEY_TILES][TILE_C], __local const ushort *values,
                              float output[TILES][DIM_TILES][TILE_C]) {
#pragma unroll
    for (int k = 0; k < KEY_TILES; k++) {
        uint p[TILES][TILE_WEIGHT_WORDS];
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            tile_weights(w, p[i], s[i][k]);
        }
#pragma unroll
        for (int c = 0; c < DIM_TILES; c++) {
            uint b[TILE_VALUE_WORDS];
            tile_load_values(w, b, values, k, c);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                tile_values(w, output[i][c], p[i], b);
            }
        }
    }
}

static inline row_block get_block(const attn_arguments *a, const attn_entry *e, attn_row_block at) {
    row_block g;
    g.at = at;
    g.factor = KEYWISE ? LOG2_E : a->scale * LOG2_E;
    g.rest = (int)(at.first % at.heads);
    set_ranges(&g, a, e);
    return g;
}

TILE_INLINE void clear_rows(float top[TILES][TILE_ROW_SETS], float sum[TILES][TILE_ROW_SETS],
                            float output[TILES][DIM_TILES][TILE_C]) {
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int r = 0; r < TILE_ROW_SETS; r++) {
            top[i][r] = -INFINITY;
            sum[i][r] = 0.0f;
        }
#pragma unroll
        for (int m = 0; m < DIM_TILES * TILE_C; m++) {
            output[i][m / TILE_C][m % TILE_C] = 0.0f;
        }
    }
}

// The keys and values that the rows visit.
typedef struct key_walk {
    source_rows keys, values;
} key_walk;

static inline key_walk get_walk(const attn_arguments *a, const row_block *g, __global const ushort *key,
                                __global const ushort *value) {
    const long h = g->at.h / a->group;
    key_walk walk = { get_source(key, &a->key, g->at.b, h, g->begin, a->head_dim),
                      get_source(value, &a->value, g->at.b, h, g->begin, a->value_dim) };
    return walk;
}

// Asks for the block of keys from `first` on, if there is one, and for its values (with one stage they are asked for
// later, while the scores are made). A commit without copies keeps the count of groups right.
static inline void fetch_block(__local ushort *stage, key_walk *walk, const row_block *g, int first) {
    if (first < g->end) {
        skip_gap(&walk->keys, g, first);
        copy_block(stage, &walk->keys, g->end - first);
        if (STAGES > 1) {
            skip_gap(&walk->values, g, first);
            copy_block(stage + BLOCK_SIZE, &walk->values, g->end - first);
        }
    }
    tile_commit();
}

// Asks for queries and for the first blocks; queries go to registers, unless they stay where they are.
TILE_INLINE void begin_walk(const attn_arguments *a, const row_block *g, const warp_tile *w, key_walk *walk,
                            __global const ushort *query, __local ushort *blocks,
                            uint q[TILES][QUERY_TILES][TILE_QUERY_WORDS]) {
    __local ushort *queries = blocks + QUERY_AT;
    copy_queries(queries, a, g, query);
#if QUERY_ALONE
    tile_commit();
    tile_wait(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    load_query(w, queries, 0, q);
    barrier(CLK_LOCAL_MEM_FENCE); // all have theirs: keys may take the place
#endif
#pragma unroll
    for (int n = 0; n < AHEAD; n++) {
        fetch_block(blocks + n * STAGE_SIZE, walk, g, n * BLOCK_KEY);
    }
#if !QUERY_ALONE && !QUERY_LOCAL
    tile_wait(AHEAD - 1);
    barrier(CLK_LOCAL_MEM_FENCE);
    load_query(w, queries, 0, q);
#endif
}

#if TILE_STATIC
#define MEMORY_PARAMETER
#define MEMORY_DECLARED __local uint4 memory[MEMORY_SIZE / 8];
#else
#define MEMORY_PARAMETER , __local uint4 *memory
#define MEMORY_DECLARED
#endif

__kernel TILE_KERNEL __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_fused_mma(attn_arguments a, long first_group, long row_blocks, ATTN_EXTRAS_PARAMETERS,
                         __global const ushort *restrict query, __global const ushort *restrict key,
                         __global const ushort *restrict value, __global attn_output *restrict output_memory,
                         __global float *restrict logsumexp MEMORY_PARAMETER) {
    MEMORY_DECLARED
    __local ushort *blocks = (__local ushort *)memory;
    const warp_tile w = tile_begin((__local uint *)(blocks + MEMORY_SIZE));
    const attn_extras x = ATTN_EXTRAS;
    const attn_row_block at = attn_get_row_block(&a, first_group + get_group_id(0), row_blocks, BLOCK_QUERY);
    const attn_entry e = attn_get_entry(&a, &x, at.b);
    const row_block g = get_block(&a, &e, at);
    key_walk walk = get_walk(&a, &g, key, value);

    uint q[TILES][QUERY_TILES][TILE_QUERY_WORDS];
    float s[TILES][KEY_TILES][TILE_C], output[TILES][DIM_TILES][TILE_C];
    float top[TILES][TILE_ROW_SETS], sum[TILES][TILE_ROW_SETS];
    clear_rows(top, sum, output);
    int stage = 0;
    begin_walk(&a, &g, &w, &walk, query, blocks, q);
    for (int first = 0; first < g.end; first += BLOCK_KEY) {
        __local ushort *keys = blocks + stage * STAGE_SIZE, *values = keys + BLOCK_SIZE;
        tile_wait(AHEAD - 1);
        barrier(CLK_LOCAL_MEM_FENCE); // this block is here, and nobody needs the one before
#if STAGES > 1
        fetch_block(blocks + (stage + AHEAD) % STAGES * STAGE_SIZE, &walk, &g, first + AHEAD * BLOCK_KEY);
        block_scores(&w, q, blocks + QUERY_AT, keys, s);
#else
        skip_gap(&walk.values, &g, first);
        copy_block(values, &walk.values, g.end - first);
        tile_commit();
        block_scores(&w, q, blocks + QUERY_AT, keys, s);
        tile_wait(0);
        barrier(CLK_LOCAL_MEM_FENCE); // its values are here, and nobody needs its keys
        fetch_block(keys, &walk, &g, first + BLOCK_KEY);
#endif
        block_keywise(&a, &x, &e, &g, &w, row_key(&g, first), s);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            block_softmax(&g, &w, s[i], top[i], sum[i], output[i]);
        }
        block_dropout(&x, &g, &w, row_key(&g, first), s);
        block_values(&w, s, values, output);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    tile_wait(0);
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        store_rows(&a, &x, &g, &w, i, top[i], sum[i], output[i], output_memory, logsumexp);
    }
}
