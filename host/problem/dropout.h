/*
 * Which weights dropout keeps: Philox 4x32-10, a function of the seed and the weight's place alone (clattn_tensors). For the
 * CPU engines; the reference says it again.
 */
#ifndef ATTN_PROBLEM_DROPOUT_H
#define ATTN_PROBLEM_DROPOUT_H

#include "problem/call.h"

/** What the rounds multiply with, and add to the keys. */
#define ATTN_PHILOX_FACTOR0 UINT32_C(0xd2511f53)
#define ATTN_PHILOX_FACTOR1 UINT32_C(0xcd9e8d57)
#define ATTN_PHILOX_KEY0 UINT32_C(0x9e3779b9)
#define ATTN_PHILOX_KEY1 UINT32_C(0xbb67ae85)

/** Four random words. */
typedef struct attn_philox {
    uint32_t word[4];
} attn_philox;

/** The ten rounds. */
static inline attn_philox attn_philox_draw(attn_philox counter, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)ATTN_PHILOX_FACTOR0 * counter.word[0],
                 b = (uint64_t)ATTN_PHILOX_FACTOR1 * counter.word[2];
        counter = (attn_philox){ { (uint32_t)(b >> 32) ^ counter.word[1] ^ key0, (uint32_t)b,
                                   (uint32_t)(a >> 32) ^ counter.word[3] ^ key1, (uint32_t)a } };
        key0 += ATTN_PHILOX_KEY0;
        key1 += ATTN_PHILOX_KEY1;
    }
    return counter;
}

/** The weights of one row. */
typedef struct attn_dropout_row {
    uint32_t key[2], row, head, entry;
    int64_t first_key;
    uint32_t threshold; /* a weight is kept when its word is at least this */
    double scale;       /* of those that are kept */
} attn_dropout_row;

/** Words below it drop their weight. */
static inline uint32_t attn_dropout_threshold(const clattn_problem *problem) {
    return (uint32_t)(problem->dropout * 4294967296.0);
}

/** Of row i of head h of entry b. Without dropout every weight is kept with scale 1. */
static inline attn_dropout_row attn_dropout_row_of(const clattn_problem *problem, const attn_call *call, int64_t b,
                                                   int64_t h, int64_t i) {
    int64_t row = call->first_rows.data ? attn_integer(&call->first_rows, b) : call->first_row;
    return (attn_dropout_row){
        .key = { (uint32_t)call->dropout_seed, (uint32_t)(call->dropout_seed >> 32) },
        .row = (uint32_t)(row + i),
        .head = (uint32_t)(call->first_head + h),
        .entry = (uint32_t)(call->first_entry + b),
        .first_key = call->first_keys.data ? attn_integer(&call->first_keys, b) : call->first_key,
        .threshold = attn_dropout_threshold(problem),
        .scale = 1 / (1 - problem->dropout),
    };
}

/** The words of keys 4 * block to 4 * block + 3, counted from first_key. */
static inline attn_philox attn_dropout_block(const attn_dropout_row *row, int64_t block) {
    return attn_philox_draw((attn_philox){ { (uint32_t)block, row->row, row->head, row->entry } }, row->key[0],
                            row->key[1]);
}

/** Whether the weight of key j is kept. */
static inline bool attn_dropout_keeps(const attn_dropout_row *row, int64_t j) {
    int64_t key = row->first_key + j;
    return attn_dropout_block(row, key / 4).word[key % 4] >= row->threshold;
}

#endif
