/*
 * Floats as sums of bf16, so that a unit that multiplies bf16 multiplies them: fp32 is three pieces of 8 bits, fp16 two,
 * bf16 one, all exactly. Which products of pieces are made is in cpu_matrix_stream.h. A new type: its number
 * of pieces (pieces_of) and its two lists of products.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_PIECES_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_PIECES_H

#include <string.h>

#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/matrix/cpu_matrix_tiles.h"
#include "engines/cpu/shared/cpu_halves.h"
#include "engines/cpu/shared/cpu_pack.h"

/**
 * Two vectors into words of pairs: lane i of words[k] holds piece k of a[i], then of b[i]. Pieces are cut off, or rounded
 * when `nearest` (so that what products leave out has no sign of its own); the last is exact, or rounded when `round_last`.
 * Infinities and NaN leave NaN in one of the pieces.
 */
INLINE void split_pair(const int pieces, const bool nearest, const bool round_last, vf a, vf b, vu *words) {
    UNROLL for (int k = 0; k < pieces; k++) {
        const bool last = k + 1 == pieces, rounds = last ? round_last : nearest;
        vu x = (vu)a, y = (vu)b;
        if (rounds) {
            x += 0x8000u;
            y += 0x8000u;
        }
        vu low = x & 0xffff0000u, high = y & 0xffff0000u;
        words[k] = x >> 16 | high;
        if (!last) {
            a -= (vf)low;
            b -= (vf)high;
        }
    }
}

/** The first n elements as floats, LANES at most, the rest 0. */
INLINE vf load_some(const clattn_type type, const void *data, int64_t index, int64_t n) {
    return n > 0 ? load_up_to(type, data, index, n) : (vf){ 0 };
}

/**
 * Chunk j of the 32 elements from `index` on, of which n are there (the rest 0), as words of pairs: in bf16 of neighbours,
 * in the other types of elements i and i + 16. Lanes of *seen become -1 where a size is beyond limit, or NaN.
 */
INLINE void load_pieces(const clattn_type type, const void *data, int64_t index, int64_t n, int j, float limit,
                        vi *seen, vu *words) {
    const vi size = splat_int(INT32_MAX);
    if (type == CLATTN_BF16) {
        words[0] = load_words((const uint16_t *)data + index + 2 * LANES * j, n - 2 * LANES * j);
        *seen |= beyond_limit(words[0], limit);
        return;
    }
    vf a = load_some(type, data, index + LANES * j, n - LANES * j);
    vf b = load_some(type, data, index + UNIT_ROWS + LANES * j, n - UNIT_ROWS - LANES * j);
    *seen |= ~((vf)((vi)a & size) <= splat(limit)) | ~((vf)((vi)b & size) <= splat(limit));
    split_pair(pieces_of(type), true, false, a, b, words);
}

/** A row's 2 * LANES weights, finite or NaN and never denormal, into lines of its tiles of weights. */
INLINE void store_weights(const clattn_type type, char *line, vf a, vf b) {
    const int pieces = pieces_of(type);
    vu words[3];
    split_pair(pieces, false, type == CLATTN_FP16, a, b, words);
    UNROLL for (int k = 0; k < pieces; k++) memcpy(line + k * UNIT_TILE, &words[k], sizeof words[k]);
}

#endif
