// Which weights dropout keeps: Philox 4x32-10, a function of the seed and the weight's place (entry, head, row, key) alone.
// One draw serves four keys, so whoever has neighbours asks for four at once. Weights are dropped by selection, after their
// sum, and those kept are multiplied by attn_training.keep once a row, at its end: what is rounded before it is what was
// rounded without dropout. Vectors of keys, for CPU-shaped kernels: dropout_vector.cl.h.
#ifndef ATTN_DROPOUT_CL_H
#define ATTN_DROPOUT_CL_H

#include "include/mask.cl.h"

#if ATTN_DROPOUT
#define ATTN_KEEP(x) ((x)->training->keep) // what is kept is multiplied with
#define ATTN_PHILOX_0 0xd2511f53u
#define ATTN_PHILOX_2 0xcd9e8d57u
#define ATTN_PHILOX_KEY ((uint2)(0x9e3779b9u, 0xbb67ae85u)) // added to the key from round to round

// The ten rounds, as a loop: unrolled kernels draw at many places, and compilers take long over each.
static inline uint4 attn_philox(uint4 counter, uint2 key) {
#pragma unroll 1
    for (int round = 0; round < 10; round++) {
        const uint high0 = mul_hi(counter.x, ATTN_PHILOX_0), high2 = mul_hi(counter.z, ATTN_PHILOX_2);
        counter = (uint4)(high2 ^ counter.y ^ key.x, counter.z * ATTN_PHILOX_2, high0 ^ counter.w ^ key.y,
                          counter.x * ATTN_PHILOX_0);
        key += ATTN_PHILOX_KEY;
    }
    return counter;
}

// The weights of one row.
typedef struct attn_dropout_row {
    uint2 seed;
    uint row, head, entry, threshold; // a weight is kept when its word is at least the threshold
    long first_key;
} attn_dropout_row;

// Of row i of head h of entry b.
static inline attn_dropout_row attn_get_dropout_row(const attn_extras *x, long b, long h, long i) {
    const attn_training *t = x->training;
    long row = t->first_row, first_key = t->first_key;
    if (t->features & ATTN_HAS_FIRST_ROWS) {
        row = attn_integer_at(x->first_rows, (t->features & ATTN_HAS_WIDE_FIRST_ROWS) != 0, t->first_rows_at + b);
    }
    if (t->features & ATTN_HAS_FIRST_KEYS) {
        first_key = attn_integer_at(x->first_keys, (t->features & ATTN_HAS_WIDE_FIRST_KEYS) != 0, t->first_keys_at + b);
    }
    attn_dropout_row r;
    r.seed = (uint2)((uint)t->seed_low, (uint)t->seed_high);
    r.row = (uint)(row + i);
    r.head = (uint)(t->first_head + h);
    r.entry = (uint)(t->first_entry + b);
    r.threshold = (uint)t->threshold;
    r.first_key = first_key;
    return r;
}

// The words of keys 4 * block to 4 * block + 3, counted from first_key on. `block` is less than 2^62.
static inline uint4 attn_dropout_block(const attn_dropout_row *r, long block) {
    return attn_philox((uint4)((uint)block, r->row, r->head, r->entry), r->seed);
}

static inline uint attn_dropout_word(uint4 words, int n) {
    const uint2 pair = n & 2 ? words.hi : words.lo;
    return n & 1 ? pair.y : pair.x;
}

// Whether the weight of key j is kept.
static inline int attn_dropout_keeps(const attn_dropout_row *r, long j) {
    const long key = r->first_key + j;
    return attn_dropout_word(attn_dropout_block(r, key >> 2), (int)(key & 3)) >= r->threshold;
}

// Of keys j and j + distance, as bits 0 and 1. One draw, unless a block of four ends between them.
static inline int attn_dropout_keeps_two(const attn_dropout_row *r, long j, int distance) {
    const long key = r->first_key + j, other = key + distance;
    uint4 words = attn_dropout_block(r, key >> 2);
    const uint low = attn_dropout_word(words, (int)(key & 3));
    if (other >> 2 != key >> 2) {
        words = attn_dropout_block(r, other >> 2);
    }
    return (low >= r->threshold ? 1 : 0) | (attn_dropout_word(words, (int)(other & 3)) >= r->threshold ? 2 : 0);
}

// Of keys j to j + 3: -1 where the weight is kept, 0 where not, for select().
static inline int4 attn_dropout_keeps_four(const attn_dropout_row *r, long j) {
    const long key = r->first_key + j;
    uint4 words = attn_dropout_block(r, key >> 2);
    const int turn = (int)(key & 3);
    if (turn != 0) { // the same for all rows of an entry: two blocks meet here
        const uint4 next = attn_dropout_block(r, (key >> 2) + 1);
        words = turn == 1 ? (uint4)(words.yzw, next.x) : turn == 2 ? (uint4)(words.zw, next.xy) : (uint4)(words.w, next.xyz);
    }
    return words >= (uint4)r->threshold;
}

// The weights of keys j to j + 3, 0 where dropped.
static inline float4 attn_dropout_four(const attn_dropout_row *r, long j, float4 weights) {
    return select((float4)0.0f, weights, attn_dropout_keeps_four(r, j));
}

#else // everything is kept: compilers leave nothing of it
#define ATTN_KEEP(x) 1.0f
typedef struct attn_dropout_row {
    int unused;
} attn_dropout_row;

static inline attn_dropout_row attn_get_dropout_row(const attn_extras *x, long b, long h, long i) {
    const attn_dropout_row r = { 0 };
    return r;
}

static inline int attn_dropout_keeps(const attn_dropout_row *r, long j) {
    return 1;
}

static inline float4 attn_dropout_four(const attn_dropout_row *r, long j, float4 weights) {
    return weights;
}
#endif

#endif
