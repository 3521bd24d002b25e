// Fused attention in fp32 on TF32 matrix units: attention_fused_mma.cl's walk (a work-group makes BLOCK_QUERY rows,
// row_blocks.cl.h, keys come in blocks of BLOCK_KEY, a running maximum and sum, weights never leave registers), but
// each number is split into two of TF32, big + small, and each product made of three: big * big, and the mixed two in
// a sum of their own (or, where plain TF32 is allowed, of big * big alone). Matrix units cut sums off instead of
// rounding them, so their sums are short (32 dims, 32 keys) and are added up outside. Rows that came out not finite
// (Inf has no small part) are left to attention_repair.cl.
// Defines: BLOCK_QUERY, BLOCK_KEY, WARPS, STAGES (1 to 3), DIM (head_dim and value_dim rounded up: a multiple of 32),
// KEYWISE (1: softcap, bias, ALiBi, a mask, or a scale that is not positive; 0: key ranges only, and scores stay
// unscaled until the maximum is subtracted), QUERY_KEPT (1: queries stay in registers; 0: they are read again for each
// block of keys, out of the nearest cache), SPLIT (2: two warps share rows, each has one half of the dims and of the
// columns, and they add up their scores; 1: every warp has whole rows), WARP_TILE_NVIDIA (0 or 1), PRODUCTS (3; 1:
// plain TF32).
#define ATTN_TYPE 0
#define TILES (BLOCK_QUERY * SPLIT / (16 * WARPS)) // 16-row tiles of a warp
#define PART (DIM / SPLIT)                         // dims and columns of a warp
#define AHEAD (STAGES > 1 ? STAGES - 1 : 1)        // blocks of keys that are asked for before they are needed
#define QUERY_PARTS (QUERY_KEPT ? PART / 32 : 1)
#include "include/tf32_local.cl.h"
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/row_blocks.cl.h"
#include "include/types.cl.h"
#include "include/dropout.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#if WARP_TILE_NVIDIA
#include "include/units/tf32_tile_nvidia.cl.h"
#else
#include "include/units/tf32_tile_portable.cl.h"
#endif

#if BLOCK_QUERY * SPLIT % (16 * WARPS) || BLOCK_KEY % (8 * CHAIN) || THREADS % CHUNKS || BLOCK_KEY % PASS
#error "this block does not divide among the warps"
#endif
#if SPLIT < 1 || SPLIT > 2 || WARPS % SPLIT || DIM % (32 * SPLIT)
#error "this block does not divide among the warps"
#endif

#include "include/tf32_rows.cl.h"
#include "include/tf32_softmax.cl.h"

static inline void clear_four(float *c) {
    c[0] = c[1] = c[2] = c[3] = 0.0f;
}

static inline float tile_total(float main, float rest) {
    return PRODUCTS == 1 ? main : tile_add(main, rest);
}

// The A fragments of 32 dims, four steps of 8.
static inline void split_query(float4 q[2][2], uint big[4][4], uint small[4][4]) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            tile_split(q[n][r].x, &big[2 * n][r], &small[2 * n][r]);
            tile_split(q[n][r].y, &big[2 * n][2 + r], &small[2 * n][2 + r]);
            tile_split(q[n][r].z, &big[2 * n + 1][r], &small[2 * n + 1][r]);
            tile_split(q[n][r].w, &big[2 * n + 1][2 + r], &small[2 * n + 1][2 + r]);
        }
    }
}

// s = the warp's rows of query . BLOCK_KEY keys, over its PART of the dims; `shared` hands them to the warp that has
// the others. With QUERY_KEPT the queries are in `kept`, else that has room for some.
static inline void block_scores(const tf32_tile *w, query_rows query, float4 kept[QUERY_PARTS][TILES][2][2],
                                __local const float *keys, __local float4 *shared,
                                float s[TILES][BLOCK_KEY / 8][4]) {
    const int lane = tile_here((int)get_local_id(0)) & 31, at = KEY_AT(lane >> 2, lane & 3) + part_first();
    __local const float *half_row[2] = { keys + at, keys + (at ^ 16) };
#pragma unroll
    for (int d = 0; d < PART / 32; d++) {
        uint a_big[TILES][4][4], a_small[TILES][4][4];
#if !QUERY_KEPT
        load_query(&query, d, kept[0]);
#endif
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            split_query(kept[QUERY_KEPT ? d : 0][i], a_big[i], a_small[i]);
        }
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 8; j++) {
            float main[TILES][4], rest[TILES][4];
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                clear_four(main[i]);
                clear_four(rest[i]);
            }
#pragma unroll
            for (int n = 0; n < 2; n++) {
                const float4 k = *(__local const float4 *)(half_row[n] + j * 8 * DIM + d * 32);
                uint big[4], small[4];
                tile_split(k.x, &big[0], &small[0]);
                tile_split(k.y, &big[1], &small[1]);
                tile_split(k.z, &big[2], &small[2]);
                tile_split(k.w, &big[3], &small[3]);
#pragma unroll
                for (int i = 0; i < TILES; i++) {
                    tile_multiply(w, main[i], rest[i], a_big[i][2 * n], a_small[i][2 * n], big, small);
                    tile_multiply(w, main[i], rest[i], a_big[i][2 * n + 1], a_small[i][2 * n + 1], big + 2, small + 2);
                }
            }
#pragma unroll
            for (int n = 0; n < TILES * 4; n++) {
                const float sum = tile_total(main[n / 4][n % 4], rest[n / 4][n % 4]);
                s[n / 4][j][n % 4] = d == 0 ? sum : tile_add(s[n / 4][j][n % 4], sum);
            }
        }
    }
    share_scores(shared, s);
}

// A tile of scores is a tile of weights, its columns 2t and 2t + 1 at places t and t + 4: values come in that order.
static inline void split_weights(float s[BLOCK_KEY / 8][4], uint big[BLOCK_KEY / 8][4], uint small[BLOCK_KEY / 8][4]) {
#pragma unroll
    for (int n = 0; n < BLOCK_KEY / 2; n++) {
        tile_split(s[n / 4][(n & 1) * 2 + (n >> 1 & 1)], &big[n / 4][n % 4], &small[n / 4][n % 4]);
    }
}

// main and rest = weights * values of CHAIN * 8 keys and 16 columns; `at`: this lane's first value.
static inline void multiply_values(const tf32_tile *w, uint p_big[TILES][BLOCK_KEY / 8][4],
                                   uint p_small[TILES][BLOCK_KEY / 8][4], int step, __local const float *at,
                                   float main[TILES][2][4], float rest[TILES][2][4]) {
#pragma unroll
    for (int n = 0; n < TILES * 2; n++) {
        clear_four(main[n / 2][n % 2]);
        clear_four(rest[n / 2][n % 2]);
    }
#pragma unroll
    for (int k = step; k < step + CHAIN; k++) {
        const float2 low = *(__local const float2 *)(at + k * 8 * DIM);
        const float2 high = *(__local const float2 *)(at + (k * 8 + 1) * DIM);
        uint big[4], small[4];
        tile_split(low.x, &big[0], &small[0]);
        tile_split(high.x, &big[1], &small[1]);
        tile_split(low.y, &big[2], &small[2]);
        tile_split(high.y, &big[3], &small[3]);
#pragma unroll
        for (int n = 0; n < TILES * 2; n++) {
            tile_multiply(w, main[n / 2][n % 2], rest[n / 2][n % 2], p_big[n / 2][k], p_small[n / 2][k],
                          big + n % 2 * 2, small + n % 2 * 2);
        }
    }
}

// output = output * keep + weights * values, in the warp's PART of the columns
static inline void block_values(const tf32_tile *w, float s[TILES][BLOCK_KEY / 8][4], __local const float *values,
                                float keep[TILES][2], float output[TILES][PART / 8][4]) {
    const int lane = tile_here((int)get_local_id(0)) & 31;
    const int at = VALUE_AT((lane & 3) * 2, lane >> 3) + (lane >> 2 & 1) * 2 + part_first();
    __local const float *half_row[2] = { values + at, values + (at ^ 16) };
    uint p_big[TILES][BLOCK_KEY / 8][4], p_small[TILES][BLOCK_KEY / 8][4];
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        split_weights(s[i], p_big[i], p_small[i]);
    }
#pragma unroll
    for (int c = 0; c < PART / 16; c++) {
#pragma unroll
        for (int step = 0; step < BLOCK_KEY / 8; step += CHAIN) {
            float main[TILES][2][4], rest[TILES][2][4];
            multiply_values(w, p_big, p_small, step, half_row[c & 1] + c / 2 * 32, main, rest);
#pragma unroll
            for (int n = 0; n < TILES * 8; n++) {
                const int i = n / 8, tile = n / 4 % 2, e = n % 4;
                float *to = &output[i][2 * c + tile][e];
                const float sum = tile_total(main[i][tile][e], rest[i][tile][e]);
                *to = step == 0 ? fma(*to, keep[i][e / 2], sum) : tile_add(*to, sum);
            }
        }
    }
}

static inline row_block get_block(const attn_arguments *a, const attn_entry *e, attn_row_block at) {
    row_block g;
    g.at = at;
    g.factor = KEYWISE ? LOG2_E : a->scale * LOG2_E;
    const long begin = ATTN_ROW_POSITION(&at, 0), end = ATTN_ROW_POSITION(&at, at.rows - 1);
    g.visit = attn_rows_range(a, e, begin, end);
    g.open = attn_rows_common_range(a, e, begin, end);
    return g;
}

static inline void clear_rows(float top[TILES][2], float sum[TILES][2], float output[TILES][PART / 8][4]) {
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        top[i][0] = top[i][1] = -INFINITY;
        sum[i][0] = sum[i][1] = 0.0f;
#pragma unroll
        for (int c = 0; c < PART / 8; c++) {
            clear_four(output[i][c]);
        }
    }
}

// Asks for the block of keys from `next` on, if there is one, and for its values (with one stage they are asked for
// later, while the scores are made). A commit without copies keeps the count of groups right.
static inline long fetch_block(__local float *keys, __local float *values, const source_rows *key_rows,
                               const source_rows *value_rows, const row_block *g, long next, long key_length) {
    if (next < g->visit.end) {
        copy_rows(keys, 0, key_rows, next, key_length);
#if STAGES > 1
        copy_rows(values, 1, value_rows, next, key_length);
#endif
    }
    tile_commit();
    return attn_next_block(&g->visit, next, BLOCK_KEY, BLOCK_KEY);
}

// Local memory is an argument (PoCL 3.1 leaves arrays declared here to all its threads), but static on NVIDIA, where
// only a static array may grow beyond what the driver reports.
#if WARP_TILE_NVIDIA
#define MEMORY_PARAMETER
#define MEMORY_DECLARED __local float4 memory[MEMORY_SIZE / 4];
#else
#define MEMORY_PARAMETER , __local float4 *memory
#define MEMORY_DECLARED
#endif

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_fused_tf32(attn_arguments a, long first_group, long row_blocks, ATTN_EXTRAS_PARAMETERS,
                          __global const float *restrict query, __global const float *restrict key,
                          __global const float *restrict value, __global float *restrict output_memory,
                          __global float *restrict logsumexp MEMORY_PARAMETER) {
    MEMORY_DECLARED
    __local float *keys = (__local float *)memory, *values = keys + STAGES * BLOCK_SIZE;
    __local float4 *shared = memory + 2 * STAGES * BLOCK_SIZE / 4;
    const tf32_tile w = tile_begin((__local uint *)(shared + SHARED_SIZE / 4));
    const attn_extras x = ATTN_EXTRAS;
    const long group = first_group + get_group_id(0); // the entry comes first: up to 16 registers fewer
    const attn_entry e = attn_get_entry(&a, &x, attn_block_entry(&a, group, row_blocks, BLOCK_QUERY));
    const row_block g = get_block(&a, &e, attn_get_row_block(&a, group, row_blocks, BLOCK_QUERY));
    const source_rows key_rows = get_source(key, &a.key, g.at.b, g.at.h / a.group, a.head_dim);
    const source_rows value_rows = get_source(value, &a.value, g.at.b, g.at.h / a.group, a.value_dim);

    const query_rows rows = get_query(&a, &g, query);
    float4 q[QUERY_PARTS][TILES][2][2];
    float s[TILES][BLOCK_KEY / 8][4], output[TILES][PART / 8][4], top[TILES][2], sum[TILES][2], keep[TILES][2];
#pragma unroll
    for (int d = 0; d < QUERY_PARTS; d++) {
        load_query(&rows, d, q[d]);
    }
    clear_rows(top, sum, output);
    long first = attn_first_block(&g.visit, BLOCK_KEY), next = first; // next: the first key not yet asked for
#pragma unroll
    for (int n = 0; n < AHEAD; n++) {
        next = fetch_block(keys + n * BLOCK_SIZE, values + n * BLOCK_SIZE, &key_rows, &value_rows, &g, next,
                           e.key_length);
    }
    for (int stage = 0; first < g.visit.end; first = attn_next_block(&g.visit, first, BLOCK_KEY, BLOCK_KEY)) {
        const int now = stage * BLOCK_SIZE;
        tile_wait(AHEAD - 1);
        barrier(CLK_LOCAL_MEM_FENCE); // this block is here, and nobody needs the one before
#if STAGES > 1
        const int slot = (stage + AHEAD) % STAGES * BLOCK_SIZE;
        next = fetch_block(keys + slot, values + slot, &key_rows, &value_rows, &g, next, e.key_length);
        block_scores(&w, QUERY_KEPT ? rows : get_query(&a, &g, query), q, keys + now, shared, s);
#else
        copy_rows(values, 1, &value_rows, first, e.key_length);
        tile_commit();
        block_scores(&w, QUERY_KEPT ? rows : get_query(&a, &g, query), q, keys, shared, s);
        tile_wait(0);
        barrier(CLK_LOCAL_MEM_FENCE); // its values are here, and nobody needs its keys
        next = fetch_block(keys, values, &key_rows, &value_rows, &g, next, e.key_length);
#endif
        add_scores(shared, s);
        block_keywise(&a, &x, &e, &g, first, s);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            block_softmax(&g, &w, s[i], top[i], sum[i], keep[i]);
        }
        block_dropout(&x, &g, first, s);
        block_values(&w, s, values + now, keep, output);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        store_rows(&a, &x, &g, &w, i, top[i], sum[i], output[i], output_memory, logsumexp);
    }
}
