/*
 * Products of tiles as a stream that is worked off a little at a time, between the vectors of the softmax: the unit and the
 * vector ports then work at once. One step of the stream is one pair of pieces of up to 2 x 2 tiles, one tile deep. Knows
 * neither rows nor keys; what it multiplies comes from stream_begin().
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_STREAM_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_STREAM_H

#include "clattn/clattn.h"
#include "engines/cpu/matrix/cpu_matrix_tiles.h"
#include "engines/cpu/shared/cpu_vector.h"

/** Which pieces of two numbers to multiply, and whether the tiles of the step before are still the right ones. */
typedef struct piece_pair {
    int a, b;
    bool load_a, load_b;
} piece_pair;

/**
 * What is left out is below 2^-24 of a product (fp32), below 2^-17 with weights of 16 bits (fp16, values), or nothing. The
 * unit sums 32 products of a kind before it adds them, so the order costs no digits: tiles that are loaded serve twice.
 */
static const piece_pair pairs_fp16[] = {
    { 0, 1, true, true }, { 1, 1, true, false }, { 1, 0, false, true }, { 0, 0, true, false }
};
static const piece_pair pairs_fp16_values[] = { { 0, 1, true, true }, { 0, 0, false, true }, { 1, 0, true, false } };
static const piece_pair pairs_fp32[] = { { 0, 2, true, true },  { 0, 1, false, true }, { 1, 1, true, false },
                                         { 1, 0, false, true }, { 2, 0, true, false }, { 0, 0, true, false } };

typedef struct pair_list {
    const piece_pair *pairs;
    int count;
} pair_list;

INLINE pair_list score_pairs(const clattn_type type) {
    return type == CLATTN_FP16 ? (pair_list){ pairs_fp16, 4 } : (pair_list){ pairs_fp32, 6 };
}

INLINE pair_list value_pairs(const clattn_type type) {
    return type == CLATTN_FP16 ? (pair_list){ pairs_fp16_values, 3 } : score_pairs(type);
}

/**
 * Products alike: sums of row tiles a and a + a_next (0: only one) times column tiles b and b + b_next, then of the columns
 * after these, two tiles at a time, until `columns` tiles are done.
 */
typedef struct products {
    const char *a, *b;
    int64_t a_next, b_next; /* bytes to the other tile */
    int64_t steps, columns; /* tiles: deep, wide; columns = 0: nothing to do */
    float *sums;
    int64_t pitch;
    bool more; /* sums go on from what they are */
    pair_list list;
} products;

typedef struct stream {
    matrix_unit unit;
    products queue[2], *now; /* one after the other; under way */
    const char *a, *b;       /* of the step under way */
    int64_t step;
    int pair;
    int64_t steps, left; /* of the stream */
    int64_t due, total;  /* see stream_share() */
} stream;

/** The next sums, of two tiles' columns; tiles 0 to 3 hold them. */
INLINE void stream_start_sums(stream *s) {
    const products *p = s->now;
    const int64_t stride = p->pitch * (int64_t)sizeof(float);
    s->a = p->a;
    s->b = p->b;
    s->step = p->steps;
    s->pair = 0;
    if (!p->more) {
        UNIT_ZERO(&s->unit, 0);
        UNIT_ZERO(&s->unit, 1);
        UNIT_ZERO(&s->unit, 2);
        UNIT_ZERO(&s->unit, 3);
        return;
    }
    UNIT_LOAD(&s->unit, 0, p->sums, stride);
    if (p->columns > 1) UNIT_LOAD(&s->unit, 1, p->sums + UNIT_ROWS, stride);
    if (p->a_next) UNIT_LOAD(&s->unit, 2, p->sums + UNIT_ROWS * p->pitch, stride);
    if (p->a_next && p->columns > 1) UNIT_LOAD(&s->unit, 3, p->sums + UNIT_ROWS * p->pitch + UNIT_ROWS, stride);
}

/** Starts what stands in the queue; the stream before is at its end. It will be shared out over `total` shares. */
static void stream_begin(stream *s, int64_t total) {
    s->steps = 0;
    for (int i = 0; i < 2; i++) {
        s->steps += (s->queue[i].columns + 1) / 2 * s->queue[i].steps * s->queue[i].list.count;
    }
    s->left = s->steps;
    s->due = 0;
    s->total = total;
    s->now = s->queue[0].columns > 0 ? &s->queue[0] : &s->queue[1];
    if (s->left > 0) stream_start_sums(s);
}

static __attribute__((noinline)) void stream_end_sums(stream *s) {
    products *p = s->now;
    const int64_t stride = p->pitch * (int64_t)sizeof(float);
    bool wide = p->columns > 1;
    UNIT_STORE(&s->unit, 0, p->sums, stride);
    if (wide) UNIT_STORE(&s->unit, 1, p->sums + UNIT_ROWS, stride);
    if (p->a_next) UNIT_STORE(&s->unit, 2, p->sums + UNIT_ROWS * p->pitch, stride);
    if (p->a_next && wide) UNIT_STORE(&s->unit, 3, p->sums + UNIT_ROWS * p->pitch + UNIT_ROWS, stride);
    p->columns -= 2;
    p->sums += 2 * UNIT_ROWS;
    p->b += 2 * p->b_next;
    if (p->columns <= 0) s->now = &s->queue[1];
    if (s->left > 0) stream_start_sums(s);
}

/** One step. The stream is not at its end; memory that it reads was written before the last UNIT_FENCE(). */
INLINE void stream_step(const int pieces, stream *s) {
    const products *p = s->now;
    const piece_pair *pair = &p->list.pairs[s->pair];
    const bool tall = p->a_next != 0, wide = p->columns > 1;
    if (pair->load_a) {
        UNIT_LOAD(&s->unit, 4, s->a + pair->a * UNIT_TILE, UNIT_BYTES);
        if (tall) UNIT_LOAD(&s->unit, 5, s->a + p->a_next + pair->a * UNIT_TILE, UNIT_BYTES);
    }
    if (pair->load_b) {
        UNIT_LOAD(&s->unit, 6, s->b + pair->b * UNIT_TILE, UNIT_BYTES);
        if (wide) UNIT_LOAD(&s->unit, 7, s->b + p->b_next + pair->b * UNIT_TILE, UNIT_BYTES);
    }
    UNIT_MULTIPLY(&s->unit, 0, 4, 6);
    if (wide) UNIT_MULTIPLY(&s->unit, 1, 4, 7);
    if (tall) UNIT_MULTIPLY(&s->unit, 2, 5, 6);
    if (tall && wide) UNIT_MULTIPLY(&s->unit, 3, 5, 7);
    s->left--;
    if (++s->pair < p->list.count) return;
    s->pair = 0;
    s->a += pieces * UNIT_TILE;
    s->b += pieces * UNIT_TILE;
    if (--s->step == 0) stream_end_sums(s);
}

INLINE void stream_finish(const int pieces, stream *s) {
    UNIT_FENCE();
    while (s->left > 0) stream_step(pieces, s);
    UNIT_FENCE();
}

/** As many steps as `shares` of the stream's total are worth: called between vectors. */
INLINE void stream_share(const int pieces, stream *s, int64_t shares) {
    UNIT_FENCE();
    for (s->due += s->steps * shares; s->due >= s->total && s->left > 0; s->due -= s->total) stream_step(pieces, s);
}

#endif
