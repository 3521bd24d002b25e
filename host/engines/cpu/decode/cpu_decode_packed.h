/*
 * Decode, more rows of a group than pay in place: a block of keys is packed once, values are made floats once, then all
 * row tiles pass over them. The same tiles as in prefill, but rows of several heads.
 */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_PACKED_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_PACKED_H

#include <math.h>

#include "engines/cpu/decode/cpu_decode_group.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_step.h"
#include "engines/cpu/shared/cpu_tile.h"

/** Keys first .. first + n of the group into scratch. */
static key_block pack_block(const decode_work *w, int64_t first, int n) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    const attn_keys key = { &job->call->key, w->b, w->g }, value = { &job->call->value, w->b, w->g };
    float *keys = floats_at(w->scratch, w->own->at.keys), *values = floats_at(w->scratch, w->own->at.values);
    key_block block = { .first = first, .n = n, .keys = keys };
    pack_keys(problem->type, keys, &key, first, n, problem->head_dim, splat(1.0f));
    take_values(problem, &block, &value, w->own->copy_values, values, w->own->value_pitch, false);
    return block;
}

/** Products of row `row` of the group to scores: by step or bounds where they need it. Returns the maximum. */
static float packed_row(const decode_work *w, const key_block *block, int64_t row, float *scores) {
    attn_key_range range = w->ranges[row];
    int low = inside_block(block->first, block->n, range.begin), high = inside_block(block->first, block->n, range.end);
    if (w->job->stepped && row < w->rows) {
        step_row step = start_step(w->job, w->b, decode_head(w, row), decode_row(w, row));
        return step_scores(&step, scores, block->first, 0, block->n, low, high);
    }
    if (low > 0 || high < block->n || block->n % LANES != 0) bounds_pass(scores, 0, block->n, low, high);
    return maximum_pass(scores, 0, block->n);
}

INLINE void packed_tile_of(const int height, const decode_work *w, const key_block *block, int64_t row) {
    const attn_cpu_job *job = w->job;
    int dim = (int)job->problem->head_dim;
    float *output = w->output + row * w->own->value_pitch;
    vf maxima[TILE_ROWS];
    UNROLL for (int i = 0; i < height; i++) maxima[i] = splat(-INFINITY);
    for (int key = 0; key < block->n; key += TILE_KEYS) {
        score_tile(height, dim, w->queries + row * w->dim_pitch, w->dim_pitch, block->keys + (int64_t)key * dim,
                   w->scores + key, maxima);
    }
    bool plain = !job->stepped && block->first >= w->inner.begin && block->first + block->n <= w->inner.end &&
                 block->n % TILE_KEYS == 0;
    for (int i = 0; i < height; i++) {
        float *scores = w->scores + i * SCORE_PITCH;
        float top = plain ? lanes_max(maxima[i]) : packed_row(w, block, row + i, scores);
        softmax_scores(scores, 0, block->n, top, &w->maxima[row + i], &w->sums[row + i],
                       output + i * w->own->value_pitch, w->own->value_pitch, false);
        if (w->dropout && row + i < w->rows) {
            drop_weights(w->dropout, decode_head(w, row + i), decode_row(w, row + i), block->first, 0, block->n,
                         scores);
        }
    }
    value_rows(height, w->scores, block->values, block->value_pitch, block->n, output, w->own->value_pitch, false);
}

static __attribute__((noinline)) void packed_tile_full(const decode_work *w, const key_block *block, int64_t row) {
    packed_tile_of(TILE_ROWS, w, block, row);
}

#if TILE_ROWS > 8
static __attribute__((noinline)) void packed_tile_8(const decode_work *w, const key_block *block, int64_t row) {
    packed_tile_of(8, w, block, row);
}
#endif

static __attribute__((noinline)) void packed_tile_4(const decode_work *w, const key_block *block, int64_t row) {
    packed_tile_of(4, w, block, row);
}

/** The tile that begins at `row` against the block, as high as tile_height() says. */
static void packed_tile(const decode_work *w, const key_block *block, int64_t row) {
    int height = tile_height(w->rows - row);
    if (height == TILE_ROWS) {
        packed_tile_full(w, block, row);
#if TILE_ROWS > 8
    } else if (height == 8) {
        packed_tile_8(w, block, row);
#endif
    } else {
        packed_tile_4(w, block, row);
    }
}

#endif
