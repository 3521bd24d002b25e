/*
 * Backward of a block of rows and a block of keys. A tile of rows after the other: scores, weights, ds, grad_query;
 * then the sums of all rows for each key. Has no guard: the includer defines ATTN_BACKWARD_WIDE anew each time.
 */
#include "engines/cpu/backward/cpu_backward_rows.h"

/** Products of a tile's queries and the keys of its range. */
static void OF(score_tile_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    const int64_t dim = w->job->problem->head_dim;
    for (int key = t->begin; key < t->end; key += STRIP) {
        VEC a[TILE_ROWS][2];
        REAL *scores = w->weights + row * OF(PITCH) + key;
        OF(score_products)(w->queries + row * STRIP, OF(ROWS_PITCH), w->keys + key * dim, dim, a);
        UNROLL for (int i = 0; i < TILE_ROWS; i++) {
            OF(put)(scores + i * OF(PITCH), a[i][0]);
            OF(put)(scores + i * OF(PITCH) + WIDTH, a[i][1]);
        }
    }
}

/** ds from products of grad_output and values; with dropout the weights that values meet are those that are kept. */
static void OF(ds_tile_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    const int64_t dim = w->job->problem->value_dim;
    const bool dropout = w->job->problem->dropout > 0;
    for (int key = t->begin; key < t->end; key += STRIP) {
        VEC a[TILE_ROWS][2];
        REAL *weights = w->weights + row * OF(PITCH) + key, *ds = w->ds + row * OF(PITCH) + key;
        OF(score_products)(w->given + row * STRIP, OF(ROWS_PITCH), w->values + key * dim, dim, a);
        UNROLL for (int i = 0; i < TILE_ROWS; i++) {
            const VEC delta = OF(all)(w->delta[row + i]);
            UNROLL for (int n = 0; n < 2; n++) {
                REAL *weight = weights + i * OF(PITCH) + n * WIDTH;
                VEC x = OF(get)(weight);
                if (dropout) {
                    VEC keep = OF(get)(w->keeps + i * OF(PITCH) + key + n * WIDTH);
                    a[i][n] *= keep;
                    OF(put)(weight, x * keep);
                }
                OF(put)(ds + i * OF(PITCH) + n * WIDTH, x * (a[i][n] - delta));
            }
        }
    }
}

/** With dropout, where no ds are wanted. */
static void OF(keep_tile_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    for (int i = 0; i < TILE_ROWS; i++) {
        REAL *weights = w->weights + (row + i) * OF(PITCH);
        for (int c = t->begin; c < t->end; c += WIDTH) {
            OF(put)(weights + c, OF(get)(weights + c) * OF(get)(w->keeps + i * OF(PITCH) + c));
        }
    }
}

/** What the keys of its range give to a tile's grad_query. */
INLINE void OF(query_strip)(const int vectors, const REAL *ds, const REAL *keys, int n, int rows, REAL *sums,
                            int64_t pitch) {
    VEC a[TILE_ROWS][2];
    OF(sum_terms)(vectors, ds, OF(PITCH), 1, keys, n, a);
    UNROLL for (int i = 0; i < TILE_ROWS; i++) {
        if (i >= rows)
            break;
        UNROLL for (int c = 0; c < vectors; c++) {
            OF(put)(sums + i * pitch + c * WIDTH, OF(get)(sums + i * pitch + c * WIDTH) + a[i][c]);
        }
    }
}

static void OF(query_tile_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    const attn_cpu_backward_sums *query = &w->own->query;
    const int64_t dim = w->job->problem->head_dim, pitch = query->stride[2];
    REAL *sums = (REAL *)query->data + query->offset + w->b * query->stride[0] + w->h * query->stride[1] +
                 (w->row + row) * pitch;
    const int rows = w->rows_count - row < TILE_ROWS ? w->rows_count - row : TILE_ROWS;
    const int end = t->end < w->keys_count ? t->end : w->keys_count;
    for (int key = t->begin; key < end; key += ATTN_CPU_BACKWARD_PART) {
        const REAL *ds = w->ds + row * OF(PITCH) + key;
        const int n = end - key < ATTN_CPU_BACKWARD_PART ? end - key : ATTN_CPU_BACKWARD_PART;
        for (int64_t d = 0; d < dim; d += STRIP) {
            const REAL *keys = w->key_rows + d / STRIP * OF(KEYS_PITCH) + key * STRIP;
            if (dim - d > WIDTH) {
                OF(query_strip)(2, ds, keys, n, rows, sums + d, pitch);
            } else {
                OF(query_strip)(1, ds, keys, n, rows, sums + d, pitch);
            }
        }
    }
}

/** One strip of the sums of TILE_ROWS keys, from n rows. */
INLINE void OF(key_strip)(const int vectors, const REAL *weights, const REAL *rows, int n, REAL *sums) {
    VEC a[TILE_ROWS][2];
    OF(sum_terms)(vectors, weights, 1, OF(PITCH), rows, n, a);
    UNROLL for (int i = 0; i < TILE_ROWS; i++) {
        UNROLL for (int c = 0; c < vectors; c++) {
            VEC *sum = (VEC *)(void *)(sums + i * STRIP + c * WIDTH);
            *sum += a[i][c];
        }
    }
}

/** What rows begin .. end of the block give to TILE_ROWS keys, all dims. */
static void OF(key_tile)(const REAL *weights, const REAL *rows, int begin, int end, int64_t dim, int key, REAL *sums) {
    weights += begin * OF(PITCH) + key;
    for (int64_t d = 0; d < dim; d += STRIP, rows += OF(ROWS_PITCH), sums += OF(KEYS_PITCH)) {
        if (dim - d > WIDTH) {
            OF(key_strip)(2, weights, rows + begin * STRIP, end - begin, sums + key * STRIP);
        } else {
            OF(key_strip)(1, weights, rows + begin * STRIP, end - begin, sums + key * STRIP);
        }
    }
}

/** Keys begin .. end are in reach of some tile. */
static void OF(sum_keys)(const OF(work) * w, int begin, int end) {
    const clattn_problem *p = w->job->problem;
    for (int key = begin; key < end; key += TILE_ROWS) {
        int first = w->rows_count, last = 0;
        for (int row = 0; row < w->rows_count; row += TILE_ROWS) {
            const OF(tile_range) *t = &w->tiles[row / TILE_ROWS];
            if (t->begin < key + TILE_ROWS && t->end > key) {
                first = row < first ? row : first;
                last = row + TILE_ROWS;
            }
        }
        last = last < w->rows_count ? last : w->rows_count;
        if (first >= last)
            continue;
        if (w->own->value.data)
            OF(key_tile)(w->weights, w->given, first, last, p->value_dim, key, w->grad_value);
        if (w->own->key.data)
            OF(key_tile)(w->ds, w->queries, first, last, p->head_dim, key, w->grad_key);
    }
}

static void OF(clear_row)(REAL *row, int begin, int end) {
    if (begin < end)
        memset(row + begin, 0, (size_t)(end - begin) * sizeof *row);
}

/** Weights of 0 for the keys between begin and end that a tile has not looked at. */
static void OF(clear_outside)(const OF(work) * w, const OF(tile_range) * t, int row, int begin, int end) {
    const bool empty = t->begin >= t->end;
    for (int i = row; i < row + TILE_ROWS && (empty || t->begin > begin || t->end < end); i++) {
        REAL *weights = w->weights + i * OF(PITCH), *ds = w->ds + i * OF(PITCH);
        OF(clear_row)(weights, begin, empty ? end : t->begin);
        OF(clear_row)(ds, begin, empty ? end : t->begin);
        if (!empty)
            OF(clear_row)(weights, t->end, end);
        if (!empty)
            OF(clear_row)(ds, t->end, end);
    }
}

/** The present rows and keys. */
static void OF(rows_and_keys)(OF(work) * w) {
    int begin = w->keys_count, end = 0;
    if (!OF(find_ranges)(w))
        return;
    for (int row = 0; row < w->rows_count; row += TILE_ROWS) {
        const OF(tile_range) *t = &w->tiles[row / TILE_ROWS];
        if (t->begin >= t->end)
            continue;
        begin = t->begin < begin ? t->begin : begin;
        end = t->end > end ? t->end : end;
    }
    begin = begin / TILE_ROWS * TILE_ROWS;
    end = (int)attn_round_up(end < w->keys_count ? end : w->keys_count, TILE_ROWS);
    OF(load_rows)(w);
    for (int row = 0; row < w->rows_count; row += TILE_ROWS) {
        const OF(tile_range) *t = &w->tiles[row / TILE_ROWS];
        OF(clear_outside)(w, t, row, begin, end);
        if (t->begin >= t->end)
            continue;
        OF(score_tile_rows)(w, t, row);
        OF(weigh_rows)(w, t, row);
        if (w->wants_ds) {
            OF(ds_tile_rows)(w, t, row);
        } else if (w->job->problem->dropout > 0) {
            OF(keep_tile_rows)(w, t, row);
        }
        if (w->wants_ds && w->finishes)
            OF(finish_rows)(w, t, row);
        if (w->own->query.data)
            OF(query_tile_rows)(w, t, row);
    }
    if (w->own->value.data || w->own->key.data)
        OF(sum_keys)(w, begin, end);
}
