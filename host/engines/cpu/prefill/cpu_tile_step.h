/*
 * The step of prefill: a tile of rows and keys at a time, straight after its products, so that the processor overlaps
 * it with the products of the next tile. What a kind does is in cpu_step.h.
 */
#ifndef ATTN_ENGINES_CPU_PREFILL_CPU_TILE_STEP_H
#define ATTN_ENGINES_CPU_PREFILL_CPU_TILE_STEP_H

#include <math.h>

#include "engines/cpu/shared/cpu_step.h"
#include "engines/cpu/shared/cpu_tile.h"

/** The steps of the rows of a tile. */
typedef struct tile_steps {
    step_row rows[TILE_ROWS];
    int count;
    int64_t next_bias, next_mask; /* bytes from row to row */
} tile_steps;

static void start_steps(tile_steps *t, const attn_cpu_job *job, int64_t b, int64_t h, int64_t i, int count) {
    t->count = count;
    start_row_steps(t->rows, job, b, h, i, count, &t->next_bias, &t->next_mask);
}

/**
 * The lines of bias and mask of TILE_KEYS keys, `rows` rows further on, for score_tile_wide() to prefetch: a tile has
 * too few of a row for the processor to see a stream, and all of them at once would keep keys waiting.
 */
static void add_step_lines(const tile_steps *t, int64_t key, int rows, int words, tile_ahead *ahead) {
    const step_row *row = t->rows;
    int n = 0;
    if (t->next_bias) {
        int64_t at = key * row->bias_stride * bias_size(row->bias_type) + rows * t->next_bias;
        for (int i = 0; i < t->count; i++) ahead->lines[n++] = place_near(row[i].bias, at);
        at += TILE_KEYS * bias_size(row->bias_type) - 1;
        for (int i = 0; i < t->count; i++) ahead->lines[n++] = place_near(row[i].bias, at);
    }
    int64_t in_byte = row->kinds & STEP_BITS ? 8 : 1;
    if (t->next_mask && key % (64 * in_byte) == 0) {
        int64_t at = key / in_byte * row->mask_stride + rows * t->next_mask;
        for (int i = 0; i < t->count; i++) ahead->lines[n++] = place_near(row[i].mask, at);
    }
    ahead->count = n;
    ahead->each_line = (n + words / 4 - 1) / (int)attn_max(words / 4, 1);
}

/** One kind over a tile, all of whose keys exist. tops (NULL: not asked for) takes the maxima. */
INLINE void tile_pass(const int kind, const tile_steps *t, float *scores, int64_t key, vf *tops) {
    for (int i = 0; i < t->count; i++) {
        vf top = row_pass(kind, &t->rows[i], scores + i * SCORE_PITCH, key, 0, TILE_KEYS);
        if (tops) tops[i] = vmax(top, tops[i]);
    }
}

/** Scores of keys key .. key + TILE_KEYS, all of which all rows may attend but for the mask; maxima into tops. */
static void step_tile(const tile_steps *t, float *scores, int64_t key, vf *tops) {
    for (int left = t->rows[0].kinds; left != 0; left &= left - 1) {
        vf *last = (left & (left - 1)) == 0 ? tops : NULL;
        switch (left & -left) {
#define STEP_TILE(constant)                                                                                            \
    case constant: tile_pass(constant, t, scores, key, last); break;
            STEP_KINDS(STEP_TILE)
#undef STEP_TILE
            default: break;
        }
    }
}

/** The step of a tile's first n keys where some row may not attend them all. */
static void step_edge(const tile_steps *steps, float *scores, int64_t first, int n, const tile_bounds *bounds,
                      vf *maxima) {
    for (int i = 0; i < steps->count; i++) {
        float top = step_scores(&steps->rows[i], scores + i * SCORE_PITCH, first + bounds->key, 0, n,
                                bounds->low[i] - bounds->key, bounds->high[i] - bounds->key);
        maxima[i] = vmax(splat(top), maxima[i]);
    }
}

#endif
