// Warp tile by products of 16 x 16 x 16 whose results lie in columns: AMD's and Intel's units. Scores and outputs are made
// transposed, S^T = K Q^T and O^T = V^T P^T: a row of attention is a column, a lane holds a part of one row only, and
// scores, rounded, are an operand of the next product where they are. Compiled, never run on a card; emulated in the tests.
// To add a unit: its numbers below (as in warp_tile.cl.h; UNIT_WORDS: 32-bit words of either operand, a lane); its layout,
// as its maker documents it, in warp_tile_emulated.cl.h; its header, with
//   tile_column, tile_load_query, tile_load_keys, tile_load_values, tile_weights, tile_row_max, tile_row_sum, and,
//   unless TILE_EMULATED: unit_multiply(w, c, left, right): c += left * right.
#ifndef ATTN_WARP_TILE_COLUMNS_CL_H
#define ATTN_WARP_TILE_COLUMNS_CL_H

#if WARP_TILE_AMD_MFMA
#define TILE_LANES 64
#define TILE_C 4
#define TILE_RUN 4
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS 2
#elif WARP_TILE_AMD_GFX11
#define TILE_LANES 32
#define TILE_C 8
#define TILE_RUN 1
#define TILE_COLUMN(n) (2 * (n))
#define UNIT_WORDS 8
#elif WARP_TILE_AMD_GFX12
#define TILE_LANES 32
#define TILE_C 8
#define TILE_RUN 8
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS 4
#else // WARP_TILE_INTEL
#define TILE_LANES 16
#define TILE_C 16
#define TILE_RUN 16
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS 8
#endif

#define TILE_ROWS 16
#define TILE_ROW_SETS 1
#define TILE_SET(n) 0
#define TILE_ROW(set) 0
#define TILE_QUERY_WORDS UNIT_WORDS
#define TILE_KEY_WORDS UNIT_WORDS
#define TILE_VALUE_WORDS UNIT_WORDS
#define TILE_WEIGHT_WORDS UNIT_WORDS

typedef struct warp_tile {
    int lane, warp;
    __local uint *scratch; // this warp's own: TILE_SCRATCH_WORDS
} warp_tile;

#if TILE_EMULATED
#include "include/warp_tile_emulated.cl.h"
#else
#include "include/warp_tile_native.cl.h"
#endif

// Lanes are consecutive work-items of a one-dimensional work-group.
static inline warp_tile tile_begin(__local uint *scratch) {
    const int id = (int)get_local_id(0);
    warp_tile w = { id % TILE_LANES, id / TILE_LANES, scratch + id / TILE_LANES * TILE_SCRATCH_WORDS };
    return w;
}

static inline int tile_row(const warp_tile *w) {
    return w->lane & 15;
}

// Two numbers rounded to the storage type: to nearest, ties to even.
static inline uint tile_pack(float low, float high) {
#if ATTN_TYPE == 2
    return (uint)attn_bf16_from_float(low) | (uint)attn_bf16_from_float(high) << 16;
#else
    return unit_half_from_float2((float2)(low, high));
#endif
}

// The lane's own scores, two a word.
static inline void unit_pack(uint *words, const float *c) {
#pragma unroll
    for (int m = 0; m < TILE_C / 2; m++) {
        words[m] = tile_pack(c[2 * m], c[2 * m + 1]);
    }
}

// The lower or upper halves of two words, as one word.
static inline uint unit_join(uint first, uint second, int upper) {
    return upper ? first >> 16 | (second & 0xffff0000u) : (first & 0xffffu) | second << 16;
}

// Element (row, column) of rows in local memory, and its neighbours.
#define UNIT_READ(type, rows, row, column) \
    (*(__local const type *)((rows) + CHUNK_AT(row, (column) / 8) + (column) % 8))

// A copy is there after the next barrier.
static inline void tile_copy(__local ushort *to, __global const ushort *from, int ok) {
    *(__local uint4 *)to = ok ? *(__global const uint4 *)from : (uint4)(0);
}

#define tile_commit()
#define tile_wait(n)

#if WARP_TILE_AMD_MFMA
#include "include/warp_tile_amd_mfma.cl.h"
#elif WARP_TILE_AMD_GFX11
#include "include/warp_tile_amd_gfx11.cl.h"
#elif WARP_TILE_AMD_GFX12
#include "include/warp_tile_amd_gfx12.cl.h"
#else
#include "include/warp_tile_intel.cl.h"
#endif

static inline void tile_scores(const warp_tile *w, float *c, const uint *query, const uint *keys) {
    unit_multiply(w, c, keys, query);
}

static inline void tile_values(const warp_tile *w, float *c, const uint *weights, const uint *values) {
    unit_multiply(w, c, values, weights);
}

#endif
