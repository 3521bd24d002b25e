// Fused attention for CPU devices: explicit vectors, one work-item a block of query rows of one head, no barriers. Keys
// come packed (attention_pack.cl) and are shared by the heads of a group. One pass over the keys with a running maximum
// and sum; the scores of TILE_ROWS x BLOCK_KEY exist at a time, never more.
// Defines: VECTOR, TILE_ROWS, TILE_VECTORS, VALUE_ROWS, VALUE_VECTORS, BLOCK_KEY (a multiple of the tile's keys),
// ITEM_TILES (row tiles of a work-item, at most), DIM_MAX (head_dim and value_dim, at most; a multiple of VECTOR).
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/tile.cl.h"
#include "include/keywise.cl.h"
#include "include/dropout_vector.cl.h"
#include "include/pack.cl.h"

#define SCORES_STRIDE (BLOCK_KEY + VECTOR) // not a power of two
#define ITEM_ROWS (ITEM_TILES * TILE_ROWS)
#define VALUE_CHUNK 128 // keys summed in one chain

TILE_VALUES(values_wide, VALUE_ROWS, VALUE_VECTORS, float, TILE_LOAD_FLOAT)
TILE_VALUES(values_narrow, TILE_ROWS, 1, float, TILE_LOAD_FLOAT)

// One tile of rows: where they are, what they may see.
typedef struct tile_rows {
    long b, h, first; // first row
    int rows;         // that exist; the others are zeros
    attn_range visit, open;
} tile_rows;

static inline void load_query(const attn_arguments *a, __global const attn_storage *query, long b, long h, long first,
                              int rows, int padded, float *tile) {
    const int dims = (int)a->head_dim;
    for (int i = 0; i < padded; i++) {
        float *row = tile + i * DIM_MAX;
        int d = 0;
        if (i < rows) {
            long at = attn_row_at(&a->query, b, h, first + i);
            for (; d + VECTOR <= dims; d += VECTOR) {
                vector_store(ATTN_LOADN(VECTOR, query, at + d), 0, row + d);
            }
            for (; d < dims; d++) {
                row[d] = ATTN_LOAD(query, at + d);
            }
        }
        for (; d < PACK_DIMS(dims); d++) {
            row[d] = 0.0f;
        }
    }
}

// Scores of keys first .. first + TILE_KEYS - 1, -INFINITY where not allowed. Returns 0 when none is allowed.
static inline int panel_scores(const attn_arguments *a, const attn_extras *x, const attn_entry *e, const tile_rows *t,
                        const float *query, __global const float *panel, long first, float *scores) {
    const int per_key = ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP);
    if (per_key && keywise_closed(a, x, t->b, t->h, t->first, t->rows, first)) {
        for (int i = 0; i < TILE_ROWS; i++) {
            for (int n = 0; n < TILE_VECTORS; n++) {
                vector_store((vfloat)-INFINITY, n, scores + i * SCORES_STRIDE);
            }
        }
        return 0;
    }
    tile_scores(query, DIM_MAX, panel, PACK_DIMS((int)a->head_dim), a->scale, scores, SCORES_STRIDE);
    if (!per_key && attn_range_covers(&t->open, first, TILE_KEYS)) {
        return 1;
    }
    for (int i = 0; i < TILE_ROWS; i++) {
        attn_range r = attn_row_range(a, e, t->first + i);
        keywise_row(a, x, e, t->b, t->h, t->first + i, first, keywise_part_of(&r, first, i < t->rows),
                    scores + i * SCORES_STRIDE);
    }
    return 1;
}

// output = output * keep + weights * values over `count` keys.
static inline void add_values(const float *weights, __global const float *value, int columns, int count,
                              const float *keep, float *output) {
    int c = 0;
    for (; c + VALUE_VECTORS * VECTOR <= columns; c += VALUE_VECTORS * VECTOR) {
        for (int i = 0; i < TILE_ROWS; i += VALUE_ROWS) {
            values_wide(weights + i * SCORES_STRIDE, SCORES_STRIDE, value + c, columns, count, keep + i,
                        output + i * DIM_MAX + c, DIM_MAX);
        }
    }
    for (; c < columns; c += VECTOR) {
        values_narrow(weights, SCORES_STRIDE, value + c, columns, count, keep, output + c, DIM_MAX);
    }
}

// One tile of rows against keys first .. end - 1 (first a multiple of TILE_KEYS, at most BLOCK_KEY of them).
static inline void tile_block(const attn_arguments *a, const attn_extras *x, const attn_entry *e, const tile_rows *t,
                              const float *query, __global const float *keys, __global const float *values, long first,
                              long end, float *scores, float *maximum, vfloat *sum, float *output) {
    const int columns = PACK_COLUMNS((int)a->value_dim), dims = PACK_DIMS((int)a->head_dim);
    const int count = (int)(end - first), padded = (count + TILE_KEYS - 1) / TILE_KEYS * TILE_KEYS;
    uint seen = 0; // one bit a panel
    for (int p = 0; p < padded; p += TILE_KEYS) {
        seen |= (uint)panel_scores(a, x, e, t, query, keys + (first + p) * dims, first + p, scores + p)
                << (p / TILE_KEYS);
    }
    if (!seen) {
        return;
    }
    float keep[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++) {
        row_softmax(scores + i * SCORES_STRIDE, padded, maximum + i, sum + i, keep + i);
        const attn_dropout_row dropout = attn_get_dropout_row(x, t->b, t->h, t->first + i);
        dropout_weights(&dropout, first, padded, scores + i * SCORES_STRIDE);
    }
    for (int p = 0; p < count; p += VALUE_CHUNK) {
        const uint chunk_mask = (1u << (VALUE_CHUNK / TILE_KEYS)) - 1u;
        if (seen >> (p / TILE_KEYS) & chunk_mask) {
            add_values(scores + p, values + (first + p) * columns, columns, min(VALUE_CHUNK, count - p), keep, output);
            for (int i = 0; i < TILE_ROWS; i++) {
                keep[i] = 1.0f;
            }
        }
    }
}

static inline void store_row(const attn_arguments *a, const attn_extras *x, long b, long h, long i, float maximum,
                             vfloat sum, const float *row, __global attn_output *output, __global float *logsumexp) {
    const int features = ATTN_FEATURES(a), columns = (int)a->value_dim;
    const int has_sink = (features & ATTN_HAS_SINKS) != 0;
    softmax_end end = softmax_finish(maximum, sum_lanes(sum), has_sink, has_sink ? x->sinks[a->sinks_at + h] : 0.0f);
    long at = attn_row_at(&a->output, b, h, i);
    const float factor = ATTN_DROPOUT ? end.factor * ATTN_KEEP(x) : end.factor;
    int nothing = end.factor == 0.0f; // then the sums may hold what a masked value left there
    int c = 0;
    for (; c + VECTOR <= columns; c += VECTOR) {
        vfloat y = nothing ? (vfloat)0.0f : vector_load(0, row + c) * factor;
        ATTN_STORE_OUTPUTN(VECTOR, output, at + c, y);
    }
    for (; c < columns; c++) {
        ATTN_STORE_OUTPUT(output, at + c, nothing ? 0.0f : row[c] * factor);
    }
    if (features & ATTN_HAS_LOGSUMEXP) {
        logsumexp[ATTN_LOGSUMEXP_AT(a, b, h, i)] = end.logsumexp;
    }
}

__kernel KERNEL_OF_VECTORS __attribute__((reqd_work_group_size(1, 1, 1)))
void attention_fused_cpu(attn_arguments a, long first_item, long row_blocks, int tiles, ATTN_EXTRAS_PARAMETERS,
                         __global const attn_storage *restrict query_memory, __global const float *restrict workspace,
                         long values_at, __global attn_output *restrict output_memory,
                         __global float *restrict logsumexp) {
    const attn_extras x = ATTN_EXTRAS;
    const long item = first_item + get_global_id(0), head = item / row_blocks;
    const long b = head / a.query_heads, h = head % a.query_heads;
    // the last rows first: under a causal rule they are the longest
    const long first = (row_blocks - 1 - item % row_blocks) * tiles * TILE_ROWS;
    const int rows = (int)min((long)tiles * TILE_ROWS, a.query_length - first);
    const long keys_at = (b * a.kv_heads + h / a.group) * PACK_KEYS(a.key_length);
    __global const float *packed_key = workspace + keys_at * PACK_DIMS(a.head_dim);
    __global const float *packed_value = workspace + values_at + keys_at * PACK_COLUMNS(a.value_dim);
    const attn_entry e = attn_get_entry(&a, &x, b);

    float query[ITEM_ROWS * DIM_MAX], output[ITEM_ROWS * DIM_MAX], scores[TILE_ROWS * SCORES_STRIDE],
        maximum[ITEM_ROWS];
    vfloat sum[ITEM_ROWS];
    load_query(&a, query_memory, b, h, first, rows, tiles * TILE_ROWS, query);
    for (int i = 0; i < tiles * TILE_ROWS; i++) {
        maximum[i] = -INFINITY;
        sum[i] = (vfloat)0.0f;
        for (int c = 0; c < PACK_COLUMNS((int)a.value_dim); c += VECTOR) {
            vector_store((vfloat)0.0f, 0, output + i * DIM_MAX + c);
        }
    }
    const attn_range all = attn_rows_range(&a, &e, first, first + rows - 1);
    for (long k = attn_first_block(&all, TILE_KEYS); k < all.end;
         k = attn_next_block(&all, k, BLOCK_KEY, TILE_KEYS)) {
        for (int t = 0; t * TILE_ROWS < rows; t++) {
            tile_rows tile = {b, h, first + t * TILE_ROWS, min(TILE_ROWS, rows - t * TILE_ROWS), {0, 0}, {0, 0}};
            tile.visit = attn_rows_range(&a, &e, tile.first, tile.first + tile.rows - 1);
            tile.open = attn_rows_common_range(&a, &e, tile.first, tile.first + tile.rows - 1);
            const attn_range part = attn_range_part(&tile.visit, k, k + BLOCK_KEY, TILE_KEYS);
            if (part.begin < part.end) {
                tile_block(&a, &x, &e, &tile, query + t * TILE_ROWS * DIM_MAX, packed_key, packed_value, part.begin,
                           part.end, scores, maximum + t * TILE_ROWS, sum + t * TILE_ROWS,
                           output + t * TILE_ROWS * DIM_MAX);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        store_row(&a, &x, b, h, first + i, maximum[i], sum[i], output + i * DIM_MAX, output_memory, logsumexp);
    }
}
