/*
 * The kernels of linear maps, compiled once per instruction set: the includer says how wide a vector is and what to call
 * the table. Everything here is static, so that no function compiled for one instruction set is ever entered for another.
 *
 * Tiles, for many rows. An item packs its columns of w, ATTN_LINEAR_PART of in_dim at a time, into panels of TILE_KEYS
 * columns, in which the same element of all columns lies together. TILE_ROWS rows of the input are copied beside them,
 * and a register tile multiplies them with one panel after the other. So an output's row is written from left to right,
 * and rows that lie a power of two apart do not push each other out of a cache.
 *
 * Dots, for few rows. Packing would cost more than it saves, so rows of w are read where they lie, once.
 *
 * Every output is a sum over in_dim in one order, whatever item it belongs to.
 */
#include <string.h>

#include "engines/cpu/shared/cpu_vector.h"
#include "engines/linear/linear_cpu.h"

/* ------------------------------------------------------------------------------------------------ many rows */

enum {
    PITCH = ATTN_LINEAR_PART + 16, /* of the copied rows */
    PACK_AHEAD = 32                /* words of w that are prefetched before they are packed: two lines of each column */
};

/* LANES words of `columns` columns of w, turned over; columns that are missing become zeros. */
INLINE void pack_block(const float *w, int64_t in_dim, int columns, int words, float *to) {
    vf r[LANES];
    UNROLL for (int i = 0; i < LANES; i++) {
        r[i] = splat(0.0f);
        if (i < columns) {
            memcpy(&r[i], w + i * in_dim, (size_t)words * sizeof *w);
        }
    }
    transpose(r);
    UNROLL for (int i = 0; i < LANES; i++) {
        if (i < words) {
            *(vf *)(void *)(to + i * TILE_KEYS) = r[i];
        }
    }
}

/* `words` words of `columns` columns of w, to [words][TILE_KEYS]. */
static void pack_panel(const float *w, int64_t in_dim, int columns, int words, float *panel) {
    for (int first = 0; first < TILE_KEYS; first += LANES, w += LANES * in_dim, panel += LANES) {
        int some = columns - first, at = 0;
        for (; some >= LANES && at + LANES <= words; at += LANES) {
            for (int i = 0; i < LANES; i++) {
                __builtin_prefetch(w + i * in_dim + at + PACK_AHEAD, 0, 3);
            }
            pack_block(w + at, in_dim, LANES, LANES, panel + at * TILE_KEYS);
        }
        for (; at < words; at += LANES) {
            int left = words - at < LANES ? words - at : LANES;
            pack_block(w + at, in_dim, some, left, panel + at * TILE_KEYS);
        }
    }
}

/** Where a tile goes. */
typedef struct tile_place {
    float *output;
    int64_t pitch;
    const float *bias; /* NULL = none */
    bool keep;         /* add to what output holds */
    int rows, columns; /* that are stored; the rest of the tile is nobody's */
} tile_place;

/* One row of a tile whose panel has fewer columns than TILE_KEYS. */
static void store_some(const tile_place *place, float *output, const vf *sums) {
    for (int c = 0; c < place->columns; c++) {
        float sum = sums[c / LANES][c % LANES];
        sum = place->bias ? sum + place->bias[c] : sum;
        output[c] = place->keep ? sum + output[c] : sum;
    }
}

INLINE void store_row(const tile_place *place, float *output, const vf *sums) {
    UNROLL for (int n = 0; n < TILE_VECTORS; n++) {
        vf sum = sums[n];
        if (place->bias) {
            sum += load(place->bias + n * LANES);
        }
        if (place->keep) {
            sum += load(output + n * LANES);
        }
        store(output + n * LANES, sum);
    }
}

/* One word of each row: a[i][n] += input i * vector n of the panel. Three rows share a pointer, as an address takes a
 * base and one index times 1, 2 or 4. */
INLINE void tile_step(const int height, const float **rows, const float *panel, vf a[][TILE_VECTORS]) {
    vf k[TILE_VECTORS];
    UNROLL for (int n = 0; n < TILE_VECTORS; n++) k[n] = *(const vf *)(const void *)(panel + n * LANES);
    UNROLL for (int i = 0; i < height; i++) {
        vf x = splat(rows[i / 3][i % 3 * PITCH]);
        UNROLL for (int n = 0; n < TILE_VECTORS; n++) a[i][n] += x * k[n];
    }
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3]++;
}

/* height copied rows (a constant, a multiple of 3) times one panel. */
INLINE void tile(const int height, const float *input, const float *panel, int words, const tile_place *place) {
    vf a[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int n = 0; n < TILE_VECTORS; n++) a[i][n] = splat(0.0f);
        if (i < place->rows) {
            __builtin_prefetch(place->output + i * place->pitch, 1, 3);
        }
    }
    const float *rows[TILE_ROWS / 3];
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3] = input + i * PITCH;
    int d = 0;
    for (; d + 4 <= words; d += 4) {
        UNROLL for (int u = 0; u < 4; u++, panel += TILE_KEYS) tile_step(height, rows, panel, a);
    }
    for (; d < words; d++, panel += TILE_KEYS) {
        tile_step(height, rows, panel, a);
    }
    UNROLL for (int i = 0; i < height; i++) {
        if (i < place->rows && place->columns == TILE_KEYS) {
            store_row(place, place->output + i * place->pitch, a[i]);
        } else if (i < place->rows) {
            store_some(place, place->output + i * place->pitch, a[i]);
        }
    }
}

static void tile_whole(const float *input, const float *panel, int words, const tile_place *place) {
    tile(TILE_ROWS, input, panel, words, place);
}

static void tile_half(const float *input, const float *panel, int words, const tile_place *place) {
    tile(TILE_ROWS / 2, input, panel, words, place);
}

/* `words` words of `count` rows, PITCH apart, and zeros for the rows that fill the tile. */
static void copy_rows(const float *input, int64_t in_dim, int count, int words, float *to) {
    for (int i = 0; i < count; i++) {
        memcpy(to + i * PITCH, input + i * in_dim, (size_t)words * sizeof *to);
    }
    for (int i = count; i < TILE_ROWS; i++) {
        memset(to + i * PITCH, 0, (size_t)words * sizeof *to);
    }
}

/* Up to TILE_ROWS rows from `row` on times the packed columns: words `at` and on. */
static void rows_of_item(const attn_linear_job *job, int64_t row, int count, int64_t column, int64_t last, int64_t at,
                         int words, float *scratch) {
    const attn_linear_call *c = job->call;
    float *rows = scratch, *panel = scratch + TILE_ROWS * PITCH;
    copy_rows(c->input + row * job->in_dim + at, job->in_dim, count, words, rows);
    tile_place place = { .pitch = job->out_dim, .keep = c->add || at > 0, .rows = count };
    for (; column < last; column += TILE_KEYS, panel += words * TILE_KEYS) {
        place.output = c->output + row * job->out_dim + column;
        place.bias = c->b && at == 0 ? c->b + column : NULL;
        place.columns = (int)attn_min(TILE_KEYS, last - column);
        (count > TILE_ROWS / 2 ? tile_whole : tile_half)(rows, panel, words, &place);
    }
}

static void tiles_item(const attn_linear_job *job, int64_t item, float *scratch) {
    int64_t begin = item % job->row_blocks * job->rows, end = attn_min(begin + job->rows, job->call->rows);
    int64_t column = item / job->row_blocks * job->columns, last = attn_min(column + job->columns, job->out_dim);
    for (int64_t at = 0; at < job->in_dim; at += ATTN_LINEAR_PART) {
        int words = (int)attn_min(ATTN_LINEAR_PART, job->in_dim - at);
        float *panel = scratch + TILE_ROWS * PITCH;
        for (int64_t c = column; c < last; c += TILE_KEYS, panel += words * TILE_KEYS) {
            pack_panel(job->call->w + c * job->in_dim + at, job->in_dim, (int)attn_min(TILE_KEYS, last - c), words,
                       panel);
        }
        for (int64_t row = begin; row < end; row += TILE_ROWS) {
            rows_of_item(job, row, (int)attn_min(TILE_ROWS, end - row), column, last, at, words, scratch);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ few rows */

#define DOT_ROWS (ATTN_VECTOR_BYTES == 64 ? 4 : 3)
enum {
    DOT_COLUMNS = 4,       /* of a tile; of one row two tiles' */
    DOT_MOST = 16,         /* sums of a tile, up to whole vectors */
    DOT_PART = 256 * LANES /* words whose products are summed before they are added to the total */
};

/* height input rows times width rows of w, from word d on: `words` words, LANES or fewer. */
INLINE void dot_step(const int height, const int width, const float *input, const float *w, int64_t in_dim, int words,
                     vf *a) {
    vf x[4];
    UNROLL for (int i = 0; i < height; i++) {
        x[i] = splat(0.0f);
        memcpy(&x[i], input + i * in_dim, (size_t)words * sizeof *input);
    }
    UNROLL for (int n = 0; n < width; n++) {
        vf k = splat(0.0f);
        memcpy(&k, w + n * in_dim, (size_t)words * sizeof *w);
        UNROLL for (int i = 0; i < height; i++) a[i * width + n] += x[i] * k;
    }
}

/* total[i * width + n] += `words` words of input row i times those of row n of w. */
INLINE void dot_tile(const int height, const int width, const float *input, const float *w, int64_t in_dim, int words,
                     float *total) {
    vf a[DOT_MOST];
    UNROLL for (int i = 0; i < DOT_MOST; i++) a[i] = splat(0.0f);
    int d = 0;
    for (; d + LANES <= words; d += LANES) {
        dot_step(height, width, input + d, w + d, in_dim, LANES, a);
    }
    if (d < words) {
        dot_step(height, width, input + d, w + d, in_dim, words - d, a);
    }
    UNROLL for (int i = 0; i < height * width; i += LANES) store(total + i, load(total + i) + transposed_sums(a + i));
}

/* height rows (a constant) from `row` on, width columns (a constant) from `column` on. */
INLINE void dot_block(const attn_linear_job *job, const int height, const int width, int64_t row, int64_t column) {
    const attn_linear_call *c = job->call;
    float total[DOT_MOST] = { 0 };
    for (int64_t at = 0; at < job->in_dim; at += DOT_PART) {
        dot_tile(height, width, c->input + row * job->in_dim + at, c->w + column * job->in_dim + at, job->in_dim,
                 (int)attn_min(DOT_PART, job->in_dim - at), total);
    }
    for (int i = 0; i < height; i++) {
        float *output = c->output + (row + i) * job->out_dim + column;
        for (int n = 0; n < width; n++) {
            float sum = c->b ? total[i * width + n] + c->b[column + n] : total[i * width + n];
            output[n] = c->add ? sum + output[n] : sum;
        }
    }
}

/* All rows, width columns (a constant). */
INLINE void dot_columns(const attn_linear_job *job, const int width, int64_t column) {
    int64_t rows = job->call->rows, row = 0;
    for (; row + DOT_ROWS <= rows; row += DOT_ROWS) {
        dot_block(job, DOT_ROWS, width, row, column);
    }
    switch (rows - row) {
        case 3: dot_block(job, 3, width, row, column); break;
        case 2: dot_block(job, 2, width, row, column); break;
        case 1: dot_block(job, 1, width, row, column); break;
        default: break;
    }
}

static void dots_item(const attn_linear_job *job, int64_t item) {
    int64_t column = item * job->columns, last = attn_min(column + job->columns, job->out_dim);
    for (; job->call->rows == 1 && column + 2 * DOT_COLUMNS <= last; column += 2 * DOT_COLUMNS) {
        dot_block(job, 1, 2 * DOT_COLUMNS, 0, column);
    }
    for (; column + DOT_COLUMNS <= last; column += DOT_COLUMNS) {
        dot_columns(job, DOT_COLUMNS, column);
    }
    for (; column < last; column++) {
        dot_columns(job, 1, column);
    }
}

const attn_linear_kernel *ATTN_KERNEL(void) {
    static const attn_linear_kernel kernel = { ATTN_KERNEL_NAME,  TILE_ROWS,  TILE_KEYS,
                                               TILE_ROWS * PITCH, tiles_item, dots_item };
    return &kernel;
}
