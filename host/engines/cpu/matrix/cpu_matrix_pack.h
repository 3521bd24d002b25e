/*
 * Queries, keys and values of the caller into the tiles of a matrix unit, in pieces of bf16: a tile's row holds pairs along
 * what the product sums over; the pieces of a step's tile lie one after another. Whatever is not there is 0. May
 * not know how the tiles are multiplied.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_PACK_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_PACK_H

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "engines/cpu/matrix/cpu_matrix_pieces.h"
#include "engines/cpu/matrix/cpu_matrix_tiles.h"
#include "engines/cpu/shared/cpu_halves.h"
#include "problem/key_run.h"

/* Values of fp32 are packed times this, so that products with small weights are not denormal; sums are divided by it. */
#define VALUE_SCALE 0x1p40f

/**
 * n rows as [tile of 16 rows][step of 32 dims][piece][row][32]; up to `rows` rows, whole tiles. A row's sum becomes NaN
 * when something in it is beyond limit.
 */
INLINE void pack_queries(const clattn_type type, char *packed, const void *data, int64_t first, int64_t stride,
                         int64_t n, int64_t rows, int64_t dim, float limit, vf *sums) {
    const int pieces = pieces_of(type);
    int64_t steps = attn_round_up(dim, UNIT_DEPTH) / UNIT_DEPTH;
    for (int64_t row = 0; row < rows; row++) {
        char *line = packed + row / UNIT_ROWS * steps * pieces * UNIT_TILE + row % UNIT_ROWS * UNIT_BYTES;
        vi seen = { 0 };
        for (int64_t d = 0; d < steps * UNIT_DEPTH; d += UNIT_DEPTH, line += pieces * UNIT_TILE) {
            UNROLL for (int j = 0; j < UNIT_ROWS / LANES; j++) {
                vu words[3];
                load_pieces(type, data, first + row * stride + d, row < n ? dim - d : 0, j, limit, &seen, words);
                UNROLL for (int k = 0; k < pieces; k++) {
                    memcpy(line + k * UNIT_TILE + 4 * LANES * j, &words[k], sizeof words[k]);
                }
            }
        }
        if (any_lane(seen)) sums[row] = splat(NAN);
    }
}

/**
 * The n keys from number `number` on as [tile of 16 keys][step of 32 dims][piece][pair of dims][key][2], whole steps of UNIT_DEPTH keys. Returns whether
 * an element is beyond limit.
 */
INLINE bool pack_unit_keys(const clattn_type type, char *packed, const attn_keys *keys, int64_t number, int64_t n,
                           int64_t dim, float limit) {
    const int pieces = pieces_of(type);
    int64_t steps = attn_round_up(dim, UNIT_DEPTH) / UNIT_DEPTH;
    vi seen = { 0 };
    for (int64_t key = 0; key < attn_round_up(n, UNIT_DEPTH); key += LANES) {
        char *tiles = packed + key / UNIT_ROWS * steps * pieces * UNIT_TILE + key % UNIT_ROWS * 4;
        int64_t at[LANES] = { 0 };
        attn_keys_at(keys, number + key, attn_min(n - key, LANES), at);
        for (int64_t step = 0; step < steps; step++, tiles += pieces * UNIT_TILE) {
            for (int j = 0; j < UNIT_ROWS / LANES; j++) {
                vf r[3][LANES];
                UNROLL for (int i = 0; i < LANES; i++) {
                    vu words[3];
                    load_pieces(type, keys->view->data, at[i] + step * UNIT_DEPTH,
                                key + i < n ? dim - step * UNIT_DEPTH : 0, j, limit, &seen, words);
                    UNROLL for (int k = 0; k < pieces; k++) r[k][i] = (vf)words[k];
                }
                UNROLL for (int k = 0; k < pieces; k++) {
                    transpose(r[k]);
                    char *rows = tiles + k * UNIT_TILE + LANES * j * UNIT_BYTES;
                    UNROLL for (int i = 0; i < LANES; i++) memcpy(rows + i * UNIT_BYTES, &r[k][i], sizeof r[k][i]);
                }
            }
        }
    }
    return any_lane(seen);
}

/** LANES columns of two values as words of pairs. */
INLINE void value_pieces(const clattn_type type, const void *data, int64_t even, int64_t odd, int64_t n_even,
                         int64_t n_odd, vu *words) {
    if (type == CLATTN_BF16) {
        words[0] = paired_rows((const uint16_t *)data + even, (const uint16_t *)data + odd, n_even, n_odd);
        return;
    }
    const vf scale = splat(type == CLATTN_FP32 ? VALUE_SCALE : 1.0f);
    split_pair(pieces_of(type), true, false, load_some(type, data, even, n_even) * scale,
               load_some(type, data, odd, n_odd) * scale, words);
}

/**
 * The n values from number `number` on as [tile of 16 columns][step of 32 keys][piece][pair of keys][column][2]; a tile has `steps` steps, the last may
 * be empty. Keys are paired as weights are: neighbours in bf16, else keys i and i + 16 of a step.
 */
INLINE void pack_unit_values(const clattn_type type, char *packed, const attn_keys *values, int64_t number, int64_t n,
                             int64_t dim, int64_t steps) {
    const int pieces = pieces_of(type);
    const int64_t each = type == CLATTN_BF16 ? 2 : 1, other = type == CLATTN_BF16 ? 1 : UNIT_ROWS;
    for (int64_t key = 0; key < attn_round_up(n, UNIT_DEPTH); key += UNIT_DEPTH) {
        int64_t at[UNIT_DEPTH] = { 0 };
        attn_keys_at(values, number + key, attn_min(n - key, UNIT_DEPTH), at);
        for (int64_t pair = 0; pair < UNIT_ROWS; pair++) {
            const int64_t even = pair * each, odd = even + other;
            char *line = packed + key / UNIT_DEPTH * pieces * UNIT_TILE + pair * UNIT_BYTES;
            for (int64_t c = 0; c < attn_round_up(dim, UNIT_ROWS); c += LANES) {
                vu words[3];
                value_pieces(type, values->view->data, at[even] + c, at[odd] + c, key + even < n ? dim - c : 0,
                             key + odd < n ? dim - c : 0, words);
                UNROLL for (int k = 0; k < pieces; k++) {
                    memcpy(line + (c / UNIT_ROWS * steps * pieces + k) * UNIT_TILE + c % UNIT_ROWS * 4, &words[k],
                           sizeof words[k]);
                }
            }
        }
    }
}

#endif
