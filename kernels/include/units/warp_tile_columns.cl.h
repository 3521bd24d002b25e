// Warp tile by products of 16 x 16 x 16 whose results lie in columns: AMD's and Intel's units. Scores and outputs are made
// transposed, S^T = K Q^T and O^T = V^T P^T: a row of attention is a column, a lane holds a part of one row only, and
// scores, rounded, are an operand of the next product where they are. Compiled, never run on a card; emulated in the tests.
// To add a unit: its numbers below and in tile_numbers.cl.h (UNIT_WORDS: 32-bit words of either operand, a lane); its layout,
// as its maker documents it, in warp_tile_emulated.cl.h; its header, with
//   tile_column, tile_load_query, tile_load_keys, tile_load_values, tile_weights, tile_row_max, tile_row_sum, and,
//   unless TILE_EMULATED: unit_multiply(w, c, left, right): c += left * right.
#ifndef ATTN_WARP_TILE_COLUMNS_CL_H
#define ATTN_WARP_TILE_COLUMNS_CL_H

#if WARP_TILE_AMD_MFMA
#define TILE_LANES MFMA_LANES
#define TILE_C 4
#define TILE_RUN 4
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS MFMA_WORDS
#elif WARP_TILE_AMD_GFX11
#define TILE_LANES GFX11_LANES
#define TILE_C 8
#define TILE_RUN 1
#define TILE_COLUMN(n) (2 * (n))
#define UNIT_WORDS GFX11_WORDS
#elif WARP_TILE_AMD_GFX12
#define TILE_LANES GFX12_LANES
#define TILE_C 8
#define TILE_RUN 8
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS GFX12_WORDS
#elif WARP_TILE_INTEL
#define TILE_LANES INTEL_LANES
#define TILE_C 16
#define TILE_RUN 16
#define TILE_COLUMN(n) (n)
#define UNIT_WORDS INTEL_WORDS
#else
#error "a matrix unit without a layout here"
#endif

#if WARP_TILE_INTEL
#define TILE_SPREAD 1
#else
#define TILE_SPREAD (DIM % 64 ? 2 : 4)
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
#include "include/units/warp_tile_emulated.cl.h"
#else
#include "include/units/warp_tile_native.cl.h"
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
    return unit_pack_half(low, high);
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

// What lies at row `row`, chunk `chunk` and element `element` (constants) from `base`, which is an offset in CHUNK_AT's
// order that depends on the lane. Chunks are permuted by exclusive or, so where the lane's row and chunk have none of the
// constants' bits, few bases serve all constants; written out with CHUNK_AT, compilers keep an address for each.
#define UNIT_GROUP (DIM % 64 ? 4 : 8) // chunks that change places among each other
#define UNIT_SWAP(row) (DIM % 64 ? (row) / 2 & 3 : (row) & 7)
#define UNIT_READ(type, rows, base, row, chunk, element)                                           \
    (*(__local const type *)((rows) + ((base) ^ ((UNIT_SWAP(row) ^ (chunk) % UNIT_GROUP) * 8)) +   \
                             ((row) * DIM + (chunk) / UNIT_GROUP * UNIT_GROUP * 8 + (element))))

#if TILE_SPREAD == 4
typedef uint2 unit_columns;
#else
typedef uint unit_columns;
#endif

// Of two keys the values of a lane's column of tile d, as one word; `key` is the lane's part of their numbers. One read
// of TILE_SPREAD columns serves as many tiles.
static inline uint unit_values(const warp_tile *w, __local const ushort *rows, int key, int first, int second, int d) {
    const int column = (w->lane & 15) * TILE_SPREAD, base = CHUNK_AT(key, column / 8) + column % 8;
    const int chunk = d / TILE_SPREAD * TILE_SPREAD * 2;
    const unit_columns x = UNIT_READ(unit_columns, rows, base, first, chunk, 0);
    const unit_columns y = UNIT_READ(unit_columns, rows, base, second, chunk, 0);
#if TILE_SPREAD == 4
    return d % 4 < 2 ? unit_join(x.x, y.x, d % 2) : unit_join(x.y, y.y, d % 2);
#else
    return unit_join(x, y, d % 2);
#endif
}

// Vectors of words, element by element: vload and vstore of private arrays may keep them from registers.
static inline uint4 unit_get4(const uint *x) {
    return (uint4)(x[0], x[1], x[2], x[3]);
}

static inline uint8 unit_get8(const uint *x) {
    return (uint8)(unit_get4(x), unit_get4(x + 4));
}

static inline float8 unit_get_sums(const float *c) {
    return (float8)(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
}

static inline void unit_put4(uint4 x, uint *words) {
    words[0] = x.x, words[1] = x.y, words[2] = x.z, words[3] = x.w;
}

static inline void unit_put_sums(float8 x, float *c) {
    c[0] = x.s0, c[1] = x.s1, c[2] = x.s2, c[3] = x.s3, c[4] = x.s4, c[5] = x.s5, c[6] = x.s6, c[7] = x.s7;
}

// A copy is there after the next barrier.
static inline void tile_copy(__local ushort *to, __global const ushort *from, int ok) {
    *(__local uint4 *)to = ok ? *(__global const uint4 *)from : (uint4)(0);
}

#define tile_commit()
#define tile_wait(n)

#if WARP_TILE_AMD_MFMA
#include "include/units/warp_tile_amd_mfma.cl.h"
#elif WARP_TILE_AMD_GFX11
#include "include/units/warp_tile_amd_gfx11.cl.h"
#elif WARP_TILE_AMD_GFX12
#include "include/units/warp_tile_amd_gfx12.cl.h"
#else
#include "include/units/warp_tile_intel.cl.h"
#endif

#if !TILE_EMULATED && (WARP_TILE_AMD_MFMA || WARP_TILE_AMD_GFX12)
static inline void unit_settle(float *c) {
#pragma unroll
    for (int n = 0; n < TILE_C; n++) {
        UNIT_PIN(c[n]);
    }
}
#define tile_settle unit_settle
#endif

static inline void tile_scores(const warp_tile *w, float *c, const uint *query, const uint *keys) {
    unit_multiply(w, c, keys, query);
}

static inline void tile_values(const warp_tile *w, float *c, const uint *weights, const uint *values) {
    unit_multiply(w, c, values, weights);
}

#endif
