/*
 * Prefill: many rows of one head against blocks of packed keys. A block's keys and values stay in L2 while all row tiles of
 * the item pass over them. What words are multiplied, and how rows and blocks become words, is in cpu_floats.h or
 * cpu_pairs.h.
 */
#ifndef ATTN_ENGINES_CPU_PREFILL_CPU_PREFILL_H
#define ATTN_ENGINES_CPU_PREFILL_CPU_PREFILL_H

#include <math.h>
#include <string.h>

#include "engines/cpu/prefill/cpu_ahead.h"
#include "engines/cpu/prefill/cpu_tile_step.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_tile.h"
#include "engines/cpu/shared/cpu_words.h"
#include "problem/mask.h"

/** Returns the rows of all tiles. */
static int64_t start_rows(prefill_work *w) {
    int64_t i = 0;
    w->rule = attn_row_rule_of(w->job->problem, w->job->call, w->b);
    while (i < w->count) {
        int height = tile_height(w->count - i);
        for (int64_t row = i; row < i + height; row++) {
            start_row(w->job, w->h, &w->maxima[row], &w->sums[row]);
            if (w->exact) w->exact[row] = w->sums[row];
        }
        copy_queries(w, i, height, attn_min(height, w->count - i));
        i += height;
    }
    set_ranges(w, false, i);
    return i;
}

/** Keys of a block that a tile's rows attend. */
typedef struct tile_range {
    int begin, end;         /* some row attends; begin is a multiple of TILE_KEYS */
    int all_begin, all_end; /* every row attends */
    int low[TILE_ROWS], high[TILE_ROWS];
    bool first; /* no earlier block had keys for the tile */
} tile_range;

static tile_range get_tile_range(const prefill_work *w, const key_block *block, int64_t row, int height) {
    tile_range t = { .begin = block->n, .all_end = block->n, .first = !w->begun };
    attn_key_range top = w->ranges[row], last = w->ranges[attn_min(row + height, w->count) - 1];
    if (last.begin <= block->first && last.begin < last.end &&
        top.end >= block->first + block->n) { /* ranges never fall: all is inside */
        for (int i = 0; i < height; i++) {
            t.low[i] = 0;
            t.high[i] = block->n;
        }
        t.begin = 0;
        t.end = block->n;
        t.first = t.first && top.begin >= block->first;
        return t;
    }
    for (int i = 0; i < height; i++) {
        bool real = row + i < w->count;
        attn_key_range range = w->ranges[row + i];
        t.low[i] = real ? inside_block(block->first, block->n, range.begin) : 0;
        t.high[i] = real ? inside_block(block->first, block->n, range.end) : block->n;
        if (!real) continue;
        t.all_begin = t.low[i] > t.all_begin ? t.low[i] : t.all_begin;
        t.all_end = t.high[i] < t.all_end ? t.high[i] : t.all_end;
        if (range.begin < range.end) {
            t.begin = t.low[i] < t.begin ? t.low[i] : t.begin;
            t.end = t.high[i] > t.end ? t.high[i] : t.end;
            t.first = t.first && range.begin >= block->first;
        }
    }
    t.begin = t.begin / TILE_KEYS * TILE_KEYS;
    return t;
}

/** One tile of rows against one block: scores, softmax, values. */
INLINE void tile_block(const int height, const prefill_work *w, const key_block *block, int64_t row,
                       ahead_stream *stream) {
    const attn_cpu_job *job = w->job;
    int words = (int)product_words(job->problem);
    tile_range t = get_tile_range(w, block, row, height);
    if (t.begin >= t.end) return;
    int64_t pitch;
    const float *queries = tile_queries(w, row, height, &pitch);
    float tops[TILE_ROWS];
    const vf key_factor = splat(job->key_factor), *factor = WORD > 1 ? &key_factor : NULL; /* packed floats have it */
    vf maxima[TILE_ROWS];
    tile_steps steps;
    tile_ahead ahead = { .count = 0 };
    if (job->stepped) {
        start_steps(&steps, job, w->b, w->h, w->first + row, (int)attn_min(height, w->count - row));
    }
    UNROLL for (int i = 0; i < height; i++) maxima[i] = splat(-INFINITY);
    for (int key = t.begin; key < t.end; key += TILE_KEYS) {
        tile_bounds bounds = { t.low, t.high, key };
        bool inner = key >= t.all_begin && key + TILE_KEYS <= t.all_end;
        float *scores = w->scores + key;
        const float *keys = block->keys + (int64_t)key * words;
        take_lines(stream, words, &ahead);
        if (job->stepped) add_step_lines(&steps, block->first + key, height, words, &ahead);
        const tile_out whole = { scores, factor, job->stepped ? NULL : maxima, NULL };
        const tile_out edge = { scores, factor, job->stepped ? NULL : maxima, &bounds };
        if (inner) {
            score_tile_wide(height, TILE_VECTORS, words, queries, pitch, keys, &whole, &ahead);
        } else if (t.end - key > LANES) {
            score_tile_wide(height, TILE_VECTORS, words, queries, pitch, keys, &edge, &ahead);
        } else {
            score_tile_wide(height, 1, words, queries, pitch, keys, &edge, &ahead);
        }
        if (job->stepped && inner) {
            step_tile(&steps, scores, block->first + key, maxima);
        } else if (job->stepped) {
            step_edge(&steps, scores, block->first, (int)attn_min(TILE_KEYS, t.end - key), &bounds, maxima);
        }
    }
    UNROLL for (int i = 0; i < height; i++) tops[i] = lanes_max(maxima[i]);
    for (int i = 0; i < height; i++) {
        softmax_row(w, row + i, w->scores + i * SCORE_PITCH, t.begin, t.end, tops[i], t.first);
    }
    for (int i = 0; w->dropout && i < height && row + i < w->count; i++) {
        drop_row(w, row + i, block->first, w->scores + i * SCORE_PITCH, t.begin, t.end);
    }
    value_rows(height, w->scores + t.begin / WORD, block->values + t.begin / WORD * block->value_pitch,
               block->value_pitch, (t.end - t.begin + WORD - 1) / WORD, w->output + row * w->output_pitch,
               w->output_pitch, t.first);
}

static __attribute__((noinline)) void tile_block_full(const prefill_work *w, const key_block *block, int64_t row,
                                                      ahead_stream *stream) {
    tile_block(TILE_ROWS, w, block, row, stream);
}

#if TILE_ROWS > 8
static __attribute__((noinline)) void tile_block_8(const prefill_work *w, const key_block *block, int64_t row,
                                                   ahead_stream *stream) {
    tile_block(8, w, block, row, stream);
}
#endif

static __attribute__((noinline)) void tile_block_4(const prefill_work *w, const key_block *block, int64_t row,
                                                   ahead_stream *stream) {
    tile_block(4, w, block, row, stream);
}

static void rows_block(const prefill_work *w, const key_block *block, ahead_stream *stream) {
    for (int64_t i = 0; i < w->count;) {
        int height = tile_height(w->count - i);
        if (height == TILE_ROWS) {
            tile_block_full(w, block, i, stream);
#if TILE_ROWS > 8
        } else if (height == 8) {
            tile_block_8(w, block, i, stream);
#endif
        } else {
            tile_block_4(w, block, i, stream);
        }
        i += height;
    }
}

/** Keys `all` of some of the rows, a block after another. */
static void walk_blocks(prefill_work *w, int64_t item, attn_key_range all) {
    const int64_t keys = w->job->block_key;
    for (int64_t number = all.begin / keys; all.begin < all.end && number * keys < all.end; number++) {
        key_block block = get_block(w, number);
        ahead_stream stream = start_stream(w, item, number, all);
        rows_block(w, &block, &stream);
    }
}

static void prefill_item(const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    const attn_cpu_job *job = &own->job;
    dropout_entry dropout;
    prefill_work w = start_prefill(own, item, scratch);
    start_words(&w);
    if (job->dropped) {
        start_dropout(&dropout, job->problem, job->call, w.b);
        w.dropout = &dropout;
    }
    int64_t padded = start_rows(&w);
    attn_key_range all = rows_keys(job, w.b, w.first, w.count),
                   prefix = attn_rows_prefix(job->problem, job->call, w.b, w.first, w.count);
    unsigned flush = start_flush();
    if (prefix.end > 0) {
        memset(w.output, 0, (size_t)(padded * w.output_pitch) * sizeof(float));
        w.begun = true;
    }
    for (int pass = prefix.end > 0 ? 0 : 1; pass < 2; pass++) {
        if (prefix.end > 0) set_ranges(&w, pass == 0, padded);
        walk_blocks(&w, item, pass == 0 ? prefix : all);
    }
    end_flush(flush);
    finish_prefill(&w);
}

#endif
