/*
 * The two products, a register tile at a time. Heights and widths are constants of each instance, so that a tile lives in
 * registers. A product is that of two vectors of words: what a word is, cpu_floats.h or cpu_pairs.h says in
 * add_product().
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_TILE_H
#define ATTN_ENGINES_CPU_SHARED_CPU_TILE_H

#include <math.h>

#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/shared/cpu_words.h"

/** Keys of a tile that some row may not attend: row i attends low[i] <= key < high[i]. */
typedef struct tile_bounds {
    const int *low, *high;
    int key; /* of the tile's first lane */
} tile_bounds;

/** Lines of the caller's memory that are read soon, to be prefetched a few at a time: with four words. */
typedef struct tile_ahead {
    const char *at; /* `each` lines at a time, step bytes apart */
    int64_t step;
    int each;
    int each_line, count; /* and of these */
    const char *lines[3 * TILE_ROWS];
} tile_ahead;

/** Prefetches the next lines; returns how many of the listed ones are done. */
INLINE int prefetch_lines(const tile_ahead *ahead, const char **at, int line) {
    for (int n = 0; n < ahead->each; n++) {
        __builtin_prefetch(*at, 0, 2);
        *at = place_near(*at, ahead->step);
    }
    for (int n = 0; n < ahead->each_line && line < ahead->count; n++) __builtin_prefetch(ahead->lines[line++], 0, 2);
    return line;
}

/** One word of each row: a[i][n] += query i * vector n of keys. Moves rows on. */
INLINE void score_step(const int height, const int vectors, const float **rows, int64_t pitch, const float *keys,
                       vf a[][TILE_VECTORS]) {
    vf k[TILE_VECTORS];
    UNROLL for (int n = 0; n < vectors; n++) k[n] = *(const vf *)(const void *)(keys + n * LANES);
    UNROLL for (int i = 0; i < height; i++) {
        vf q = splat(rows[i / 3][i % 3 * pitch]);
        UNROLL for (int n = 0; n < vectors; n++) a[i][n] = add_product(a[i][n], q, k[n]);
    }
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3]++;
}

/** What becomes of a tile's products. */
typedef struct tile_out {
    float *scores;             /* where they go; rows lie SCORE_PITCH apart */
    const vf *factor;          /* NULL: products are scores (times log2(e)) as they are */
    vf *maxima;                /* of each row, per lane; NULL: a step comes after */
    const tile_bounds *bounds; /* NULL: every row attends every key */
} tile_out;

/**
 * height rows against TILE_KEYS keys, or the first `vectors` vectors of them. keys is [words][TILE_KEYS]. Rows of queries lie
 * pitch words apart. Three share a pointer: an address takes a base and one index times 1, 2 or 4, so that four pointers and
 * one stride reach all rows without arithmetic in the loop. ahead (NULL: nothing) is prefetched meanwhile.
 */
INLINE void score_tile_wide(const int height, const int vectors, int words, const float *queries, int64_t pitch,
                            const float *keys, const tile_out *out, const tile_ahead *ahead) {
    vf a[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int n = 0; n < vectors; n++) a[i][n] = (vf){ 0 };
    }
    const float *rows[TILE_ROWS / 3];
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3] = queries + i * pitch;
    const char *at = ahead ? ahead->at : NULL;
    int d = 0, line = 0;
    for (; d + 4 <= words; d += 4) {
        if (ahead) line = prefetch_lines(ahead, &at, line);
        UNROLL for (int u = 0; u < 4; u++) {
            score_step(height, vectors, rows, pitch, keys, a);
            keys += TILE_KEYS;
        }
    }
    for (; d < words; d++, keys += TILE_KEYS) score_step(height, vectors, rows, pitch, keys, a);
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int n = 0; n < vectors; n++) {
            if (out->factor) a[i][n] *= *out->factor;
            if (out->bounds) {
                vi at = lane_numbers() + (out->bounds->key + n * LANES);
                a[i][n] = choose((at >= out->bounds->low[i]) & (at < out->bounds->high[i]), a[i][n], splat(-INFINITY));
            }
            *(vf *)(void *)(out->scores + i * SCORE_PITCH + n * LANES) = a[i][n];
            if (out->maxima) out->maxima[i] = vmax(a[i][n], out->maxima[i]);
        }
    }
}

/** All of a tile's keys, where products are scores as they are. */
INLINE void score_tile(const int height, int words, const float *queries, int64_t pitch, const float *keys,
                       float *scores, vf *maxima) {
    const tile_out out = { .scores = scores, .maxima = maxima };
    score_tile_wide(height, TILE_VECTORS, words, queries, pitch, keys, &out, NULL);
}

/** output (+)= weights * values for height rows, `vectors` vectors of columns and n words of keys, summed in registers. */
INLINE void value_tile(const int height, const int vectors, const float *weights, const float *values,
                       int64_t value_pitch, int n, float *output, int64_t output_pitch, bool first) {
    vf a[TILE_ROWS][4];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int c = 0; c < vectors; c++) a[i][c] = (vf){ 0 };
    }
    UNROLL_4 for (int key = 0; key < n; key++, values += value_pitch) {
        vf v[4];
        UNROLL for (int c = 0; c < vectors; c++) v[c] = *(const vf *)(const void *)(values + c * LANES);
        UNROLL for (int i = 0; i < height; i++) {
            vf p = splat(weights[i * SCORE_PITCH + key]);
            UNROLL for (int c = 0; c < vectors; c++) a[i][c] = add_product(a[i][c], p, v[c]);
        }
    }
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int c = 0; c < vectors; c++) {
            vf *sum = (vf *)(void *)(output + i * output_pitch + c * LANES);
            *sum = first ? a[i][c] : *sum + a[i][c];
        }
    }
}

/**
 * All columns of height rows, any n: parts of ATTN_CPU_PART words, as a chain of n would lose digits; their values stay in
 * L1 from columns to columns. Tiles are two vectors wide, of few rows four: enough sums under way to fill the multiply-adders.
 */
INLINE void value_rows(const int height, const float *weights, const float *values, int64_t value_pitch, int n,
                       float *output, int64_t output_pitch, bool first) {
    const int vectors = height > 4 ? 2 : 4;
    for (int part = 0; part < n; part += ATTN_CPU_PART) {
        int keys = n - part < ATTN_CPU_PART ? n - part : ATTN_CPU_PART;
        const float *v = values + part * value_pitch;
        int64_t c = 0;
        for (; c + vectors * LANES <= output_pitch; c += vectors * LANES) {
            value_tile(height, vectors, weights + part, v + c, value_pitch, keys, output + c, output_pitch,
                       first && part == 0);
        }
        for (; c < output_pitch; c += LANES) {
            value_tile(height, 1, weights + part, v + c, value_pitch, keys, output + c, output_pitch,
                       first && part == 0);
        }
    }
}

#endif
