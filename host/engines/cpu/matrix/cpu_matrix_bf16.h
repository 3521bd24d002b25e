/*
 * bf16 on a matrix unit: 32 rows at a time against whole blocks of keys, scores, softmax and values one after another. One
 * product a pair of numbers takes so little time that doing it beside the softmax, as cpu_matrix.h does for the other
 * types, was measured to bring nothing; long products bring more. Weights are rounded to bf16 where their scores lay.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_BF16_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_BF16_H

#include <math.h>
#include <string.h>

#include "engines/cpu/matrix/cpu_matrix_step.h"
#include "engines/cpu/matrix/cpu_matrix_work.h"
#include "engines/cpu/shared/cpu_rounded.h"
#include "engines/cpu/shared/cpu_step.h"

enum { WEIGHT_PITCH = 2 * SCORE_PITCH /* weights lie over the row's scores */ };

/** Two row tiles, a and a + a_next: rows of a_stride bytes; the tiles of the next step lie a_step further. */
typedef struct unit_rows {
    const char *a;
    int64_t a_next, a_stride, a_step;
} unit_rows;

/**
 * Up to 32 x 32 sums of products: one or two (`tall`) row tiles times column tiles b and b2 (`wide`, else b2 is not looked
 * at), `steps` tiles deep; those of b lie one after another.
 */
INLINE void unit_product(const bool tall, const bool wide, matrix_unit *unit, unit_rows rows, const char *b,
                         const char *b2, int64_t steps, float *sums, int64_t sums_pitch) {
    const int64_t stride = sums_pitch * (int64_t)sizeof(float);
    const char *a = rows.a;
    (void)unit; /* AMX: its tiles are registers */
    UNIT_ZERO(unit, 0);
    if (wide) UNIT_ZERO(unit, 1);
    if (tall) UNIT_ZERO(unit, 2);
    if (tall && wide) UNIT_ZERO(unit, 3);
    for (int64_t step = 0; step < steps; step++, a += rows.a_step) {
        UNIT_LOAD(unit, 4, a, rows.a_stride);
        UNIT_LOAD(unit, 6, b + step * UNIT_TILE, UNIT_BYTES);
        UNIT_MULTIPLY(unit, 0, 4, 6);
        if (wide) {
            UNIT_LOAD(unit, 7, b2 + step * UNIT_TILE, UNIT_BYTES);
            UNIT_MULTIPLY(unit, 1, 4, 7);
        }
        if (tall) {
            UNIT_LOAD(unit, 5, a + rows.a_next, rows.a_stride);
            UNIT_MULTIPLY(unit, 2, 5, 6);
            if (wide) UNIT_MULTIPLY(unit, 3, 5, 7);
        }
    }
    UNIT_STORE(unit, 0, sums, stride);
    if (wide) UNIT_STORE(unit, 1, sums + UNIT_ROWS, stride);
    if (tall) UNIT_STORE(unit, 2, sums + UNIT_ROWS * sums_pitch, stride);
    if (tall && wide) UNIT_STORE(unit, 3, sums + UNIT_ROWS * sums_pitch + UNIT_ROWS, stride);
}

/** Products of one row with keys begin .. end of a block into weights; 0 for keys that the row may not attend. */
static void matrix_row(const matrix_work *w, const matrix_block *block, int64_t row, float *scores, int begin, int end,
                       bool first) {
    const prefill_work *p = &w->p;
    const attn_cpu_job *job = p->job;
    attn_key_range range = p->ranges[row];
    int low = (int)attn_max(begin, attn_min(range.begin - block->first, block->n));
    int high = inside_block(block->first, block->n, range.end);
    int from = begin, to = begin;
    if (row < p->count && low < high) {
        from = low / (2 * LANES) * (2 * LANES);
        to = (int)attn_round_up(high, 2 * LANES);
        float top, factor = job->key_factor;
        if (w->stepped) {
            step_row step = start_step(job, p->b, p->h, p->first + row);
            scale_pass(scores, from, to, factor);
            top = step_scores(&step, scores, block->first, from, high, low, high);
            bounds_pass(scores, (int)attn_round_up(high, LANES), to, low, high);
            factor = 1;
        } else {
            if (low > from) bounds_pass(scores, from, from + 2 * LANES, low, high);
            if (high < to) bounds_pass(scores, to - 2 * LANES, to, low, high);
            top = maximum_pass(scores, from, to) * factor;
        }
        vf zero = raise_row(p, row, top, first);
        if (p->exact) {
            rounded_row(scores, from, to, splat(factor), zero, &p->sums[row], &p->exact[row]);
        } else {
            rounded_row(scores, from, to, splat(factor), zero, &p->sums[row], NULL);
        }
        if (p->dropout) drop_rounded(p, row, block->first, scores, from, to);
    }
    uint16_t *weights = (uint16_t *)(void *)scores;
    memset(weights + begin, 0, (size_t)(from - begin) * sizeof *weights);
    memset(weights + to, 0, (size_t)(end - to) * sizeof *weights);
}

/** Keys of a block that some row of a tile attends, in whole steps; whether no earlier block had keys for the tile. */
static bool matrix_range(const matrix_work *w, const matrix_block *block, int64_t row, int64_t rows, int *begin,
                         int *end) {
    bool first = !w->p.begun;
    *begin = block->n;
    *end = 0;
    for (int64_t i = row; i < attn_min(row + rows, w->p.count); i++) {
        attn_key_range range = w->p.ranges[i];
        if (range.begin >= range.end) continue;
        int low = inside_block(block->first, block->n, range.begin);
        int high = inside_block(block->first, block->n, range.end);
        *begin = low < *begin ? low : *begin;
        *end = high > *end ? high : *end;
        first = first && range.begin >= block->first;
    }
    *begin = *begin / UNIT_DEPTH * UNIT_DEPTH;
    *end = (int)attn_round_up(*end, UNIT_DEPTH);
    return first;
}

/** output (+)= a part of the sums: MATRIX_ROWS or half as many rows, `columns` columns. */
INLINE void add_block_part(const float *part, float *output, int64_t pitch, int rows, int columns) {
    for (int i = 0; i < rows; i++) {
        for (int c = 0; c < columns; c += LANES) {
            float *sum = output + i * pitch + c;
            store(sum, load(sum) + load(part + i * MATRIX_ROWS + c));
        }
    }
}

INLINE void matrix_values(const bool tall, matrix_work *w, const matrix_block *block, int64_t row, int begin, int end,
                          bool first) {
    const prefill_work *p = &w->p;
    const int rows = tall ? MATRIX_ROWS : UNIT_ROWS;
    const unit_rows weights = { (const char *)p->scores + begin * 2, UNIT_ROWS * WEIGHT_PITCH * 2, WEIGHT_PITCH * 2,
                                UNIT_BYTES };
    int64_t steps = (end - begin) / UNIT_DEPTH, next = w->value_steps * UNIT_TILE;
    for (int64_t c = 0; c < p->output_pitch; c += MATRIX_ROWS) {
        const char *values = block->values + c / UNIT_ROWS * next + begin / UNIT_DEPTH * UNIT_TILE;
        bool wide = c + UNIT_ROWS < p->output_pitch;
        float *output = p->output + row * p->output_pitch + c, *sums = first ? output : w->scores[0];
        int64_t pitch = first ? p->output_pitch : MATRIX_ROWS;
        if (wide) {
            unit_product(tall, true, &w->stream.unit, weights, values, values + next, steps, sums, pitch);
        } else {
            unit_product(tall, false, &w->stream.unit, weights, values, NULL, steps, sums, pitch);
        }
        if (!first) add_block_part(w->scores[0], output, p->output_pitch, rows, wide ? MATRIX_ROWS : UNIT_ROWS);
    }
}

/** One tile of rows against one block: scores, softmax, values. */
INLINE void matrix_tile(const bool tall, matrix_work *w, const matrix_block *block, int64_t row) {
    const prefill_work *p = &w->p;
    const int rows = tall ? MATRIX_ROWS : UNIT_ROWS;
    int begin, end;
    bool first = matrix_range(w, block, row, rows, &begin, &end);
    if (begin >= end) return;
    int64_t next = w->dim_steps * UNIT_TILE;
    const unit_rows queries = { (const char *)p->queries + row / UNIT_ROWS * next, next, UNIT_BYTES, UNIT_TILE };
    UNIT_FENCE();
    for (int key = begin; key < end; key += MATRIX_ROWS) {
        const char *keys = block->keys + key / UNIT_ROWS * next;
        unit_product(tall, true, &w->stream.unit, queries, keys, keys + next, w->dim_steps, p->scores + key,
                     SCORE_PITCH);
    }
    for (int i = 0; i < rows; i++) matrix_row(w, block, row + i, p->scores + i * SCORE_PITCH, begin, end, first);
    UNIT_FENCE();
    matrix_values(tall, w, block, row, begin, end, first);
}

static __attribute__((noinline)) void matrix_tile_32(matrix_work *w, const matrix_block *block, int64_t row) {
    matrix_tile(true, w, block, row);
}

static __attribute__((noinline)) void matrix_tile_16(matrix_work *w, const matrix_block *block, int64_t row) {
    matrix_tile(false, w, block, row);
}

static void bf16_rows(matrix_work *w, const matrix_block *block) {
    int64_t row = 0;
    for (; w->p.count - row > UNIT_ROWS; row += MATRIX_ROWS) matrix_tile_32(w, block, row);
    if (row < w->p.count) matrix_tile_16(w, block, row);
}

#endif
