// Dropout on a row of weights that lie one after another, for CPU-shaped kernels: VECTOR draws at a time. Defines: VECTOR.
#ifndef ATTN_DROPOUT_VECTOR_CL_H
#define ATTN_DROPOUT_VECTOR_CL_H

#include "include/dropout.cl.h"
#include "include/tile.cl.h"

#if ATTN_DROPOUT
#define vuint TILE_JOIN(uint, VECTOR)
#define convert_vuint TILE_JOIN(convert_uint, VECTOR)

// Of VECTOR neighbouring blocks from `block` on the words, in the order of their keys: 4 * VECTOR of them.
static inline void dropout_words(const attn_dropout_row *r, long block, uint *words) {
    vuint c0 = (vuint)(uint)block + convert_vuint(LANES), c1 = (vuint)r->row, c2 = (vuint)r->head, c3 = (vuint)r->entry;
    uint2 key = r->seed;
    for (int round = 0; round < 10; round++) {
        const vuint high0 = mul_hi(c0, (vuint)ATTN_PHILOX_0), low0 = c0 * ATTN_PHILOX_0;
        const vuint high2 = mul_hi(c2, (vuint)ATTN_PHILOX_2), low2 = c2 * ATTN_PHILOX_2;
        c0 = high2 ^ c1 ^ key.x;
        c1 = low2;
        c2 = high0 ^ c3 ^ key.y;
        c3 = low0;
        key += ATTN_PHILOX_KEY;
    }
    uint apart[4 * VECTOR];
    vector_store(c0, 0, apart);
    vector_store(c1, 1, apart);
    vector_store(c2, 2, apart);
    vector_store(c3, 3, apart);
    for (int n = 0; n < VECTOR; n++) {
        words[4 * n] = apart[n];
        words[4 * n + 1] = apart[VECTOR + n];
        words[4 * n + 2] = apart[2 * VECTOR + n];
        words[4 * n + 3] = apart[3 * VECTOR + n];
    }
}

// `count` weights (a multiple of VECTOR) of keys `first` and on: 0 where dropped.
static inline void dropout_weights(const attn_dropout_row *r, long first, int count, float *weights) {
    const long key = r->first_key + first;
    const int turn = (int)(key & 3); // words of the first block that belong to keys before
    uint words[8 * VECTOR];
    for (int n = 0; n < count; n += 4 * VECTOR) {
        dropout_words(r, (key + n) >> 2, words);
        if (turn != 0) {
            vstore4(attn_dropout_block(r, ((key + n) >> 2) + VECTOR), VECTOR, words);
        }
        for (int m = 0; m < min(count - n, 4 * VECTOR); m += VECTOR) {
            const vint kept = vector_load(0, words + m + turn) >= (vuint)r->threshold;
            vector_store(kept ? vector_load(0, weights + n + m) : (vfloat)0.0f, 0, weights + n + m);
        }
    }
}
#else
static inline void dropout_weights(const attn_dropout_row *r, long first, int count, float *weights) {
}
#endif

#endif
