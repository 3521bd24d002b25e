/* Which weights dropout keeps: Philox 4x32-10, said again here on purpose, problem/dropout.h is not asked. */
#ifndef ATTN_ENGINES_REFERENCE_REFERENCE_DROPOUT_H
#define ATTN_ENGINES_REFERENCE_REFERENCE_DROPOUT_H

#include <math.h>

#include "engines/reference/reference_rules.h"

/** x becomes the four words that Philox 4x32-10 draws for the counter x and the key k. */
static inline void attn_reference_philox(uint32_t x[4], const uint32_t k[2]) {
    for (uint32_t round = 0; round < 10; round++) {
        const uint64_t product0 = (uint64_t)x[0] * 0xD2511F53u, product1 = (uint64_t)x[2] * 0xCD9E8D57u;
        const uint32_t high0 = (uint32_t)(product0 >> 32), low0 = (uint32_t)product0;
        const uint32_t high1 = (uint32_t)(product1 >> 32), low1 = (uint32_t)product1;
        const uint32_t key0 = k[0] + round * 0x9E3779B9u, key1 = k[1] + round * 0xBB67AE85u;
        const uint32_t x1 = x[1], x3 = x[3];
        x[0] = high1 ^ x1 ^ key0;
        x[1] = low1;
        x[2] = high0 ^ x3 ^ key1;
        x[3] = low0;
    }
}

/** Whether the weight of key j is kept. */
static inline bool attn_reference_keeps(const clattn_problem *p, const attn_call *c, const attn_position *at,
                                        int64_t j) {
    if (p->dropout == 0) {
        return true;
    }
    int64_t key = j + (c->first_keys.data ? attn_integer(&c->first_keys, at->b) : c->first_key);
    int64_t row = at->i + (c->first_rows.data ? attn_integer(&c->first_rows, at->b) : c->first_row);
    uint32_t words[4] = { (uint32_t)(key / 4), (uint32_t)row, (uint32_t)(at->h + c->first_head),
                          (uint32_t)(at->b + c->first_entry) };
    const uint32_t seed[2] = { (uint32_t)c->dropout_seed, (uint32_t)(c->dropout_seed >> 32) };
    attn_reference_philox(words, seed);
    return (double)words[key % 4] >= floor(p->dropout * 0x1p32);
}

#endif
