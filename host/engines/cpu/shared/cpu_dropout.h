/*
 * Which weights dropout keeps: the words of problem/dropout.h for many keys of a row at once. A counter of Philox gives the
 * words of four neighbouring keys; a vector holds LANES / 2 counters, in the low halves of its 64-bit lanes. A row's answer
 * is a mask a key, all bits set where the weight is kept. Who wants factors takes kept(mask, scale).
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_DROPOUT_H
#define ATTN_ENGINES_CPU_SHARED_CPU_DROPOUT_H

#include "base/memory.h"
#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/shared/cpu_vector.h"
#include "problem/dropout.h"

enum {
    DROPOUT_ROUNDS = 8,                /* after the first two, of which most is the same for a whole row */
    DROPOUT_WORDS = 2 * LANES,         /* of a vector of counters */
    DROPOUT_MOST = ATTN_CPU_BLOCK_KEY, /* keys that are asked for at once */
    DROPOUT_ROOM = DROPOUT_MOST + 3 * DROPOUT_WORDS
};

/** Of one entry. */
typedef struct dropout_entry {
    attn_dropout_row row; /* of row 0 of head 0 */
    vul key0[DROPOUT_ROUNDS], key1[DROPOUT_ROUNDS];
} dropout_entry;

/** What the first two rounds leave of a row, beside what they make of the counter. */
typedef struct dropout_start {
    vul before, word0, word2, word3;
} dropout_start;

INLINE vul splat_long(uint64_t x) {
    return x + (vul){ 0 };
}

/** Products of the low halves of 64-bit lanes. */
INLINE vul multiply_low(vul a, vul b) {
#if ATTN_VECTOR_BYTES == 64
    return (vul)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif ATTN_VECTOR_BYTES == 32
    return (vul)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (vul)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

/** x where mask is set, else 0. */
INLINE vf kept(vu mask, vf x) {
    return (vf)(mask & (vu)x);
}

INLINE vu load_mask(const uint32_t *masks) {
    return *(const vu_any *)masks;
}

static void start_dropout(dropout_entry *entry, const clattn_problem *problem, const attn_call *call, int64_t b) {
    entry->row = attn_dropout_row_of(problem, call, b, 0, 0);
    for (uint32_t round = 0; round < DROPOUT_ROUNDS; round++) {
        entry->key0[round] = splat_long(entry->row.key[0] + (round + 2) * ATTN_PHILOX_KEY0);
        entry->key1[round] = splat_long(entry->row.key[1] + (round + 2) * ATTN_PHILOX_KEY1);
    }
}

static dropout_start start_dropout_row(const dropout_entry *entry, int64_t h, int64_t i) {
    const attn_dropout_row *row = &entry->row;
    const uint64_t of_head = (uint64_t)ATTN_PHILOX_FACTOR1 * (row->head + (uint32_t)h);
    const uint32_t first = (uint32_t)(of_head >> 32) ^ (row->row + (uint32_t)i) ^ row->key[0];
    const uint64_t of_row = (uint64_t)ATTN_PHILOX_FACTOR0 * first;
    return (dropout_start){
        .before = splat_long(row->entry ^ row->key[1]),
        .word0 = splat_long((uint32_t)of_head ^ (row->key[0] + ATTN_PHILOX_KEY0)),
        .word2 = splat_long((uint32_t)(of_row >> 32) ^ (row->key[1] + ATTN_PHILOX_KEY1)),
        .word3 = splat_long((uint32_t)of_row),
    };
}

/** The words of `sets` times DROPOUT_WORDS keys, from four times `block` on, as masks. */
INLINE void dropout_words(const int sets, const dropout_entry *entry, const dropout_start *start, uint64_t block,
                          uint32_t *masks) {
    const vul order = { EACH_COUNTER }; /* so that the words come out in the order of the keys */
    const vul factor0 = splat_long(ATTN_PHILOX_FACTOR0), factor1 = splat_long(ATTN_PHILOX_FACTOR1);
    const vu threshold = (vu){ 0 } + entry->row.threshold;
    vul x[2][4];
    UNROLL for (int s = 0; s < sets; s++) {
        vul low = multiply_low(splat_long(block + (uint64_t)(s * LANES / 2)) + order, factor0);
        x[s][1] = multiply_low(low >> 32 ^ start->before, factor1);
        x[s][0] = x[s][1] >> 32 ^ start->word0;
        x[s][2] = low ^ start->word2;
        x[s][3] = start->word3;
    }
    UNROLL for (int round = 0; round < DROPOUT_ROUNDS; round++) {
        UNROLL for (int s = 0; s < sets; s++) {
            vul low = multiply_low(x[s][0], factor0), high = multiply_low(x[s][2], factor1);
            x[s][0] = high >> 32 ^ x[s][1] ^ entry->key0[round];
            x[s][1] = high;
            x[s][2] = low >> 32 ^ x[s][3] ^ entry->key1[round];
            x[s][3] = low;
        }
    }
    UNROLL for (int s = 0; s < sets; s++, masks += DROPOUT_WORDS) {
        vul first = (x[s][0] & UINT32_MAX) | x[s][1] << 32, second = (x[s][2] & UINT32_MAX) | x[s][3] << 32;
        vu even = (vu)__builtin_shufflevector(first, second, EVEN_LONGS);
        vu odd = (vu)__builtin_shufflevector(first, second, ODD_LONGS);
        *(vu_any *)masks = (vu)(even >= threshold);
        *(vu_any *)(masks + LANES) = (vu)(odd >= threshold);
    }
}

/**
 * Masks of n keys of row i of head h from number `key` on, DROPOUT_MOST at most, up to a whole vector: where in `room`,
 * which has DROPOUT_ROOM words, they lie. first_key may be anything: they need not begin where a counter does.
 */
static const uint32_t *dropout_masks(const dropout_entry *entry, int64_t h, int64_t i, int64_t key, int n,
                                     uint32_t *room) {
    const uint64_t at = (uint64_t)(entry->row.first_key + key);
    const int words = (int)(at % 4) + (int)attn_round_up(n, LANES);
    const dropout_start start = start_dropout_row(entry, h, i);
    int word = 0;
    for (; word + DROPOUT_WORDS < words; word += 2 * DROPOUT_WORDS) {
        dropout_words(2, entry, &start, at / 4 + (uint64_t)(word / 4), room + word);
    }
    if (word < words) dropout_words(1, entry, &start, at / 4 + (uint64_t)(word / 4), room + word);
    return room + at % 4;
}

/** Weights of keys first + begin .. first + end of row i of head h: those that are dropped become 0. */
static inline void drop_weights(const dropout_entry *entry, int64_t h, int64_t i, int64_t first, int begin, int end,
                                float *weights) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    const uint32_t *masks = dropout_masks(entry, h, i, first + begin, end - begin, room);
    for (int c = begin; c < end; c += LANES) store(weights + c, kept(load_mask(masks + c - begin), load(weights + c)));
}

#endif
