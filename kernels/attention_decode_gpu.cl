// Attention of few query rows over many keys, for GPUs, portable OpenCL 1.2: a work-group takes ROWS rows that share a
// key-value head, and one split of the keys, in blocks of THREADS keys: a work-item makes the scores of one key for all
// rows, then sums the values of its columns. Each key and value is read once from global memory. attention_merge.cl
// merges the splits. Defines: THREADS (a multiple of ROWS), ROWS, SLICE, COLUMNS (columns of a work-item).
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#include "include/partial.cl.h"

#define KEY_STRIDE (SLICE + 1)
#define WEIGHTS_STRIDE (THREADS + 1)
#define SHARE (THREADS / ROWS) // work-items that reduce one row

typedef struct group_rows {
    long b, g, first;
    int rows, lane;
} group_rows;

static inline long row_head(const attn_arguments *a, const group_rows *g, int i) {
    return g->g * a->group + (g->first + min(i, g->rows - 1)) % a->group;
}

static inline long row_position(const attn_arguments *a, const group_rows *g, int i) {
    return (g->first + min(i, g->rows - 1)) / a->group;
}

// s[i] = query row i . key first + lane.
static inline void key_scores(const attn_arguments *a, const group_rows *g, __global const attn_storage *query,
                       __global const attn_storage *key, long first, int keys, __local float *key_tile,
                       __local float *query_tile, float *s) {
    const long at = attn_row_at(&a->key, g->b, g->g, first);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        s[i] = 0.0f;
    }
    for (int d0 = 0; d0 < (int)a->head_dim; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int n = g->lane; n < THREADS * SLICE; n += THREADS) {
            int k = n / SLICE, d = n % SLICE;
            int there = k < keys && d0 + d < (int)a->head_dim;
            key_tile[k * KEY_STRIDE + d] = there ? ATTN_LOAD(key, at + k * a->key.stride[2] + d0 + d) : 0.0f;
        }
        for (int n = g->lane; n < ROWS * SLICE; n += THREADS) {
            int i = n / SLICE, d = n % SLICE;
            int there = i < g->rows && d0 + d < (int)a->head_dim;
            long row = attn_row_at(&a->query, g->b, row_head(a, g, i), row_position(a, g, i));
            query_tile[d * ROWS + i] = there ? ATTN_LOAD(query, row + d0 + d) : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 4
        for (int d = 0; d < SLICE; d++) {
            float y = key_tile[g->lane * KEY_STRIDE + d];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                s[i] = fma(query_tile[d * ROWS + i], y, s[i]);
            }
        }
    }
}

static inline void key_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e, const group_rows *g,
                               long k, attn_range part, float *s) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const long h = row_head(a, g, i), position = row_position(a, g, i);
        const attn_range r = attn_row_range(a, e, position);
        float score = -INFINITY;
        if (i < g->rows && k >= max(r.begin, part.begin) && k < min(r.end, part.end)) {
            const attn_row row = attn_get_row(a, x, e, g->b, h, position);
            score = attn_score_step(a, x, &row, k, s[i] * a->scale);
        }
        s[i] = score;
    }
}

// Maximum or sum of every row of weights[ROWS][THREADS] into all[ROWS] of every work-item, in a fixed order. Begins
// with a barrier; another one must come before scratch is written again.
static inline void reduce_all(__local const float *weights, __local float *scratch, int lane, int is_max, float *all) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const int row = lane / SHARE, part = lane % SHARE;
    float mine = weights[row * WEIGHTS_STRIDE + part];
    for (int n = part + SHARE; n < THREADS; n += SHARE) {
        float other = weights[row * WEIGHTS_STRIDE + n];
        mine = is_max ? (other > mine ? other : mine) : mine + other;
    }
    scratch[lane] = mine;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < ROWS; i++) {
        mine = scratch[i * SHARE];
        for (int n = 1; n < SHARE; n++) {
            float other = scratch[i * SHARE + n];
            mine = is_max ? (other > mine ? other : mine) : mine + other;
        }
        all[i] = mine;
    }
}

// output[j][i] = output[j][i] * keep[i] + sum over this block's keys of weights * values, for columns lane + j *
// THREADS.
static inline void key_values(const attn_arguments *a, const group_rows *g, __global const attn_storage *value,
                              long first, int keys, __local const float *weights, const float *keep,
                              float output[COLUMNS][ROWS]) {
    const long at = attn_row_at(&a->value, g->b, g->g, first);
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        const int c = g->lane + j * THREADS;
        if (c < (int)a->value_dim) {
            float sum[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                sum[i] = 0.0f;
            }
            for (int k = 0; k < keys; k++) {
                float y = ATTN_LOAD(value, at + k * a->value.stride[2] + c);
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    sum[i] = fma(weights[i * WEIGHTS_STRIDE + k], y, sum[i]);
                }
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                output[j][i] = fma(output[j][i], keep[i], sum[i]);
            }
        }
    }
}

static inline void store_parts(const attn_arguments *a, const group_rows *g, int splits, long split,
                               const float *maximum, const float *sums, float output[COLUMNS][ROWS],
                               __global float *partial_stats, __global float *partial_output) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i < g->rows) {
            const long at = PARTIAL_AT(a, splits, g->b, row_head(a, g, i), row_position(a, g, i), split);
            if (g->lane == 0) {
                partial_stats[2 * at] = maximum[i];
                partial_stats[2 * at + 1] = sums[i];
            }
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                const int c = g->lane + j * THREADS;
                if (c < (int)a->value_dim) {
                    partial_output[at * a->value_dim + c] = output[j][i];
                }
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_decode_gpu(attn_arguments a, long first_group, int splits, ATTN_EXTRAS_PARAMETERS,
                          __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                          __global const attn_storage *restrict value, __global float *workspace, long stats_at) {
    __global float *partial_output = workspace, *partial_stats = workspace + stats_at;
    __local float key_tile[THREADS * KEY_STRIDE], query_tile[SLICE * ROWS], weights[ROWS * WEIGHTS_STRIDE];
    __local float scratch[THREADS];
    const attn_extras x = ATTN_EXTRAS;
    const long row_blocks = (PARTIAL_ROWS(&a) + ROWS - 1) / ROWS;
    const long item = first_group + get_group_id(0), split = item % splits, block = item / splits % row_blocks;
    const long head = item / splits / row_blocks;
    group_rows g = {head / a.kv_heads, head % a.kv_heads, block * ROWS, 0, (int)get_local_id(0)};
    g.rows = (int)min((long)ROWS, PARTIAL_ROWS(&a) - g.first);
    const attn_entry e = attn_get_entry(&a, &x, g.b);
    const attn_range all = attn_rows_range(&a, &e, g.first / a.group, (g.first + g.rows - 1) / a.group);
    const attn_range part = partial_range(all, splits, split, THREADS);

    float maximum[ROWS], sum[ROWS], keep[ROWS], s[ROWS], all_rows[ROWS], output[COLUMNS][ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        maximum[i] = -INFINITY;
        sum[i] = 0.0f;
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            output[j][i] = 0.0f;
        }
    }
    for (long k = part.begin; k < part.end; k += THREADS) {
        const int keys = (int)min((long)THREADS, part.end - k);
        key_scores(&a, &g, query, key, k, keys, key_tile, query_tile, s);
        key_keywise(&a, &x, &e, &g, k + g.lane, part, s);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            weights[i * WEIGHTS_STRIDE + g.lane] = s[i];
        }
        reduce_all(weights, scratch, g.lane, 1, all_rows);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const float top = all_rows[i] > maximum[i] ? all_rows[i] : maximum[i];
            const float w = exp2((s[i] - softmax_reference(top)) * LOG2_E);
            keep[i] = softmax_rescale(maximum[i], top);
            maximum[i] = top;
            sum[i] = fma(sum[i], keep[i], w);
            weights[i * WEIGHTS_STRIDE + g.lane] = w;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        key_values(&a, &g, value, k, keys, weights, keep, output);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        weights[i * WEIGHTS_STRIDE + g.lane] = sum[i];
    }
    reduce_all(weights, scratch, g.lane, 0, all_rows);
    store_parts(&a, &g, splits, split, maximum, all_rows, output, partial_stats, partial_output);
}
