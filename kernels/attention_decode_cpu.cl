// Attention of few query rows over many keys, for CPU devices: explicit vectors, no barriers. One work-item takes up to
// ITEM_ROWS rows that share a key-value head, and one split of the keys; it reads keys and values as they lie, once.
// The parts are merged by attention_merge.cl.
// Defines: VECTOR, TILE_ROWS = 4, TILE_VECTORS, TILE_STEP (keys that are multiplied together), BLOCK_KEY (a multiple of
// the tile's keys), ITEM_ROWS (a multiple of TILE_ROWS), DIM_MAX (a multiple of VECTOR).
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/hints.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/tile.cl.h"
#include "include/keywise.cl.h"
#include "include/dropout_vector.cl.h"
#include "include/partial.cl.h"

#define SCORES_STRIDE (BLOCK_KEY + VECTOR)
#define LOAD_VECTOR(p, at) ATTN_LOADN(VECTOR, p, at)

TILE_VALUES(values_wide, TILE_ROWS, 4, attn_storage, LOAD_VECTOR)
TILE_VALUES(values_narrow, TILE_ROWS, 1, attn_storage, LOAD_VECTOR)

// The first `count` < VECTOR elements, the rest zero.
static inline vfloat load_some(__global const attn_storage *p, long at, int count) {
    float lanes[VECTOR];
    for (int n = 0; n < VECTOR; n++) {
        lanes[n] = n < count ? ATTN_LOAD(p, at + n) : 0.0f;
    }
    return vector_load(0, lanes);
}

static inline void load_rows(const attn_arguments *a, __global const attn_storage *query, long b, long g, long first,
                             int rows, float *tile) {
    const int dims = (int)a->head_dim;
    for (int i = 0; i < ITEM_ROWS; i++) {
        long row = first + min(i, rows - 1);
        long at = attn_row_at(&a->query, b, g * a->group + row % a->group, row / a->group);
        for (int d = 0; d < DIM_MAX; d += VECTOR) {
            vfloat part = (vfloat)0.0f;
            if (i < rows && d < dims) {
                part = d + VECTOR <= dims ? LOAD_VECTOR(query, at + d) : load_some(query, at + d, dims - d);
            }
            vector_store(part, 0, tile + i * DIM_MAX + d);
        }
    }
}

// scores[i][n] = factor * (query row i . key n) for TILE_ROWS rows and `keys` keys, `stride` elements apart.
static inline void dot_tile(const float *query, __global const attn_storage *key, long stride, int keys, int dims,
                            float factor, float *scores) {
    for (int n = 0; n < keys; n += TILE_STEP) {
        vfloat sum[TILE_ROWS][TILE_STEP];
        long at[TILE_STEP];
#pragma unroll
        for (int k = 0; k < TILE_STEP; k++) {
            at[k] = min(n + k, keys - 1) * stride;
#pragma unroll
            for (int i = 0; i < TILE_ROWS; i++) {
                sum[i][k] = (vfloat)0.0f;
            }
        }
        int d = 0;
        for (; d + VECTOR <= dims; d += VECTOR) {
#pragma unroll
            for (int k = 0; k < TILE_STEP; k++) {
                vfloat y = LOAD_VECTOR(key, at[k] + d);
#pragma unroll
                for (int i = 0; i < TILE_ROWS; i++) {
                    sum[i][k] = fma(vector_load(0, query + i * DIM_MAX + d), y, sum[i][k]);
                }
            }
        }
        if (d < dims) {
#pragma unroll
            for (int k = 0; k < TILE_STEP; k++) {
                vfloat y = load_some(key, at[k] + d, dims - d);
#pragma unroll
                for (int i = 0; i < TILE_ROWS; i++) {
                    sum[i][k] = fma(vector_load(0, query + i * DIM_MAX + d), y, sum[i][k]);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < TILE_ROWS; i++) {
#pragma unroll
            for (int k = 0; k < TILE_STEP; k++) {
                scores[i * SCORES_STRIDE + n + k] = factor * sum_lanes(sum[i][k]);
            }
        }
    }
}

static inline void add_values(const float *weights, __global const attn_storage *value, long stride, int columns,
                              int count, const float *keep, float *output) {
    int c = 0;
    for (; c + 4 * VECTOR <= columns; c += 4 * VECTOR) {
        values_wide(weights, SCORES_STRIDE, value + c, stride, count, keep, output + c, DIM_MAX);
    }
    for (; c + VECTOR <= columns; c += VECTOR) {
        values_narrow(weights, SCORES_STRIDE, value + c, stride, count, keep, output + c, DIM_MAX);
    }
    if (c == columns) {
        return;
    }
    for (int i = 0; i < TILE_ROWS; i++) {
        vfloat sum = (vfloat)0.0f;
        for (int j = 0; j < count; j++) {
            sum = fma((vfloat)weights[i * SCORES_STRIDE + j], load_some(value, j * stride + c, columns - c), sum);
        }
        float *place = output + i * DIM_MAX + c;
        vector_store(fma(vector_load(0, place), (vfloat)keep[i], sum), 0, place);
    }
}

// The range and the features of TILE_ROWS rows from `row` on, over keys first .. first + count - 1.
static inline void tile_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e, long b, long g,
                                long row, int rows, long first, long end, int padded, float *scores) {
    for (int i = 0; i < TILE_ROWS; i++) {
        long at = row + min(i, rows - 1), h = g * a->group + at % a->group, position = at / a->group;
        attn_range r = attn_row_range(a, e, position);
        r.end = min(r.end, end);
        for (int n = 0; n < padded; n += TILE_KEYS) {
            keywise_row(a, x, e, b, h, position, first + n, keywise_part_of(&r, first + n, i < rows),
                        scores + i * SCORES_STRIDE + n);
        }
    }
}

// Dropout on the weights of TILE_ROWS rows from `row` on, over `count` keys from `first` on.
static inline void tile_dropout(const attn_arguments *a, const attn_extras *x, long b, long g, long row, int rows,
                                long first, int count, float *weights) {
    for (int i = 0; i < TILE_ROWS; i++) {
        const long at = row + min(i, rows - 1);
        const attn_dropout_row r = attn_get_dropout_row(x, b, g * a->group + at % a->group, at / a->group);
        dropout_weights(&r, first, count, weights + i * SCORES_STRIDE);
    }
}

__kernel KERNEL_OF_VECTORS __attribute__((reqd_work_group_size(1, 1, 1)))
void attention_decode_cpu(attn_arguments a, long first_item, int splits, ATTN_EXTRAS_PARAMETERS,
                          __global const attn_storage *restrict query_memory, __global const attn_storage *restrict key,
                          __global const attn_storage *restrict value, __global float *workspace, long stats_at) {
    __global float *partial_output = workspace, *partial_stats = workspace + stats_at;
    const attn_extras x = ATTN_EXTRAS;
    const long row_blocks = (PARTIAL_ROWS(&a) + ITEM_ROWS - 1) / ITEM_ROWS;
    const long item = first_item + get_global_id(0), split = item % splits, block = item / splits % row_blocks;
    const long head = item / splits / row_blocks, b = head / a.kv_heads, g = head % a.kv_heads;
    const long first = block * ITEM_ROWS;
    const int rows = (int)min((long)ITEM_ROWS, PARTIAL_ROWS(&a) - first);
    const int dims = (int)a.head_dim, columns = (int)a.value_dim;
    const attn_entry e = attn_get_entry(&a, &x, b);
    attn_range all = attn_rows_range(&a, &e, first / a.group, (first + rows - 1) / a.group);
    const attn_range open = attn_rows_common_range(&a, &e, first / a.group, (first + rows - 1) / a.group);
    const attn_gap gap = partial_close_gap(&all, BLOCK_KEY);
    const attn_range part = partial_range(all, splits, split, BLOCK_KEY);
    const int per_key = ATTN_FEATURES(&a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP);

    float query[ITEM_ROWS * DIM_MAX], output[ITEM_ROWS * DIM_MAX], scores[TILE_ROWS * SCORES_STRIDE];
    float maximum[ITEM_ROWS], keep[TILE_ROWS];
    vfloat sum[ITEM_ROWS];
    load_rows(&a, query_memory, b, g, first, rows, query);
    for (int i = 0; i < ITEM_ROWS; i++) {
        maximum[i] = -INFINITY;
        sum[i] = (vfloat)0.0f;
        for (int c = 0; c < DIM_MAX; c += VECTOR) {
            vector_store((vfloat)0.0f, 0, output + i * DIM_MAX + c);
        }
    }
    for (long n = part.begin; n < part.end; n += BLOCK_KEY) {
        const long k = attn_gap_key(&gap, n);
        const int count = (int)min((long)BLOCK_KEY, part.end - n);
        const int padded = (count + TILE_KEYS - 1) / TILE_KEYS * TILE_KEYS;
        const int plain = !per_key && attn_range_covers(&open, k, padded) && padded == count;
        for (int t = 0; t < rows; t += TILE_ROWS) {
            dot_tile(query + t * DIM_MAX, key + attn_key_at(&a.key, b, g, k), a.key.stride[2], count, dims,
                     a.scale, scores);
            if (!plain) {
                tile_keywise(&a, &x, &e, b, g, first + t, rows - t, k, k + count, padded, scores);
            }
            for (int i = 0; i < TILE_ROWS; i++) {
                row_softmax(scores + i * SCORES_STRIDE, padded, maximum + t + i, sum + t + i, keep + i);
            }
            tile_dropout(&a, &x, b, g, first + t, rows - t, k, padded, scores);
            add_values(scores, value + attn_key_at(&a.value, b, g, k), a.value.stride[2], columns, count, keep,
                       output + t * DIM_MAX);
        }
    }
    for (int i = 0; i < rows; i++) {
        long row = first + i;
        long at = PARTIAL_AT(&a, splits, b, g * a.group + row % a.group, row / a.group, split);
        partial_stats[2 * at] = maximum[i];
        partial_stats[2 * at + 1] = sum_lanes(sum[i]);
        for (int c = 0; c < columns; c++) {
            partial_output[at * columns + c] = output[i * DIM_MAX + c];
        }
    }
}
