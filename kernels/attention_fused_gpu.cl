// Fused attention for GPUs, portable OpenCL 1.2: a work-group makes BLOCK_QUERY rows of one head and walks over the
// keys in blocks of BLOCK_KEY, staged in local memory as fp32, SLICE elements of head_dim or one slice of value_dim at
// a time. A work-item holds ROWS x KEYS scores and, per slice of value_dim, ROWS x 4 outputs in registers. Weights go
// to the second product through local memory. One pass, running maximum and sum; barriers only where every work-item
// comes by.
// Local memory is an argument (the host sizes it by the same rules): PoCL 3.1 leaves arrays declared here to all its
// threads.
// Defines: BLOCK_QUERY, BLOCK_KEY, THREADS_X, THREADS_Y, SLICE, VALUE_SLICES (slices of 4 * THREADS_X columns),
// SUBGROUP_SHUFFLE.
#define ROWS (BLOCK_QUERY / THREADS_Y)
#define KEYS (BLOCK_KEY / THREADS_X)
#define THREADS (THREADS_X * THREADS_Y)
#define VALUE_WIDTH (4 * THREADS_X)
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#include "include/reduce.cl.h"

#if BLOCK_QUERY % THREADS_Y || BLOCK_KEY % THREADS_X
#error "this block does not divide among the work-items"
#endif

#define QUERY_STRIDE (BLOCK_QUERY + 4)
#define KEY_STRIDE (BLOCK_KEY + 4)
#define VALUE_STRIDE (VALUE_WIDTH + 4)
#define STAGE_SCORES (SLICE * (QUERY_STRIDE + KEY_STRIDE))
#define STAGE_VALUES (BLOCK_KEY * VALUE_STRIDE)
#define STAGE_SIZE (STAGE_SCORES > STAGE_VALUES ? STAGE_SCORES : STAGE_VALUES)

typedef struct group_block {
    long b, h, first; // first row
    int rows, tx, ty, lane;
    attn_range visit, open;
} group_block;

// Rows of a tensor, `dims` long from column d0 on, to local memory as [column][row]; zeros beyond.
static inline void stage_transposed(__local float *tile, int tile_stride, int tile_rows,
                                    __global const attn_storage *source, long at, long stride, int rows, int d0,
                                    int dims, int lane) {
    for (int e = lane; e < tile_rows * SLICE; e += THREADS) {
        int row = e / SLICE, d = e % SLICE;
        tile[d * tile_stride + row] =
            row < rows && d0 + d < dims ? ATTN_LOAD(source, at + row * stride + d0 + d) : 0.0f;
    }
}

// s[i][j] = query row ty * ROWS + i . key tx + j * THREADS_X of this block.
static inline void block_scores(const attn_arguments *a, const group_block *g, __global const attn_storage *query,
                         __global const attn_storage *key, long first, int keys, __local float *stage,
                         float s[ROWS][KEYS]) {
    __local float *query_tile = stage, *key_tile = stage + SLICE * QUERY_STRIDE;
    const long query_at = attn_row_at(&a->query, g->b, g->h, g->first);
    const long key_at = attn_row_at(&a->key, g->b, g->h / a->group, first);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            s[i][j] = 0.0f;
        }
    }
    for (int d0 = 0; d0 < (int)a->head_dim; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_transposed(query_tile, QUERY_STRIDE, BLOCK_QUERY, query, query_at, a->query.stride[2], g->rows, d0,
                         (int)a->head_dim, g->lane);
        stage_transposed(key_tile, KEY_STRIDE, BLOCK_KEY, key, key_at, a->key.stride[2], keys, d0, (int)a->head_dim,
                         g->lane);
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 4
        for (int d = 0; d < SLICE; d++) {
            float x[ROWS], y[KEYS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                x[i] = query_tile[d * QUERY_STRIDE + g->ty * ROWS + i];
            }
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                y[j] = key_tile[d * KEY_STRIDE + g->tx + j * THREADS_X];
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
#pragma unroll
                for (int j = 0; j < KEYS; j++) {
                    s[i][j] = fma(x[i], y[j], s[i][j]);
                }
            }
        }
    }
}

// Scaled and masked. Blocks inside the open range pass without compares.
static inline void block_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                                 const group_block *g, long first, float s[ROWS][KEYS]) {
    const int per_key = ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP);
    if (!per_key && first >= g->open.begin && first + BLOCK_KEY <= g->open.end) {
        const float factor = a->scale;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
#pragma unroll
            for (int j = 0; j < KEYS; j++) {
                s[i][j] *= factor;
            }
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int exists = g->ty * ROWS + i < g->rows;
        const long position = g->first + min(g->ty * ROWS + i, g->rows - 1);
        const attn_range r = attn_row_range(a, e, position);
        const attn_row row = attn_get_row(a, x, e, g->b, g->h, position);
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            const long k = first + g->tx + j * THREADS_X;
            float score = -INFINITY;
            if (exists && k >= r.begin && k < r.end) {
                score = attn_score_step(a, x, &row, k, s[i][j] * a->scale);
            }
            s[i][j] = score;
        }
    }
}

// output = output * keep + weights * values; the sum over the block starts from zero.
static inline void block_values(const attn_arguments *a, const group_block *g, __global const attn_storage *value,
                                long first, int keys, const float *keep, __local const float *weights,
                                __local float *stage, float4 output[VALUE_SLICES][ROWS]) {
    const long value_at = attn_row_at(&a->value, g->b, g->h / a->group, first);
    const int columns = (int)a->value_dim;
#pragma unroll
    for (int slice = 0; slice < VALUE_SLICES; slice++) {
        const int c0 = slice * VALUE_WIDTH;
        barrier(CLK_LOCAL_MEM_FENCE); // weights are written, the stage is free
        for (int n = g->lane; n < BLOCK_KEY * VALUE_WIDTH; n += THREADS) {
            int k = n / VALUE_WIDTH, c = n % VALUE_WIDTH;
            int there = k < keys && c0 + c < columns;
            stage[k * VALUE_STRIDE + c] = there ? ATTN_LOAD(value, value_at + k * a->value.stride[2] + c0 + c) : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        float4 sum[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            sum[i] = (float4)0.0f;
        }
#pragma unroll 4
        for (int k = 0; k < BLOCK_KEY; k++) {
            float4 y = vload4(g->tx, stage + k * VALUE_STRIDE);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                sum[i] = fma((float4)weights[k * QUERY_STRIDE + g->ty * ROWS + i], y, sum[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            output[slice][i] = fma(output[slice][i], (float4)keep[i], sum[i]);
        }
    }
}

// Scores to weights, in local memory as [key][row]; maximum and sum (of this work-item's keys) go on.
static inline void block_softmax(const group_block *g, float s[ROWS][KEYS], __local float *scratch,
                                 __local float *weights, float *maximum, float *sum, float *keep) {
    float top[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        top[i] = maximum[i];
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            top[i] = s[i][j] > top[i] ? s[i][j] : top[i];
        }
    }
    reduce_rows(scratch, top, 1);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const float base = softmax_reference(top[i]);
        float block = 0.0f;
        keep[i] = softmax_rescale(maximum[i], top[i]);
        maximum[i] = top[i];
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            float w = exp2((s[i][j] - base) * LOG2_E);
            block += w;
            weights[(g->tx + j * THREADS_X) * QUERY_STRIDE + g->ty * ROWS + i] = w;
        }
        sum[i] = fma(sum[i], keep[i], block);
    }
}

static inline void store_block(const attn_arguments *a, const attn_extras *x, const group_block *g,
                               const float *maximum, const float *sum, float4 output[VALUE_SLICES][ROWS],
                               __global attn_storage *output_memory, __global float *logsumexp) {
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0, columns = (int)a->value_dim;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (g->ty * ROWS + i < g->rows) {
            const long row = g->first + g->ty * ROWS + i, at = attn_row_at(&a->output, g->b, g->h, row);
            softmax_end end =
                softmax_finish(maximum[i], sum[i], has_sink, has_sink ? x->sinks[a->sinks_at + g->h] : 0.0f);
#pragma unroll
            for (int slice = 0; slice < VALUE_SLICES; slice++) {
                const int c = slice * VALUE_WIDTH + g->tx * 4;
                float4 y = end.factor == 0.0f ? (float4)0.0f : output[slice][i] * end.factor;
                if (c < columns) ATTN_STORE(output_memory, at + c, y.x);
                if (c + 1 < columns) ATTN_STORE(output_memory, at + c + 1, y.y);
                if (c + 2 < columns) ATTN_STORE(output_memory, at + c + 2, y.z);
                if (c + 3 < columns) ATTN_STORE(output_memory, at + c + 3, y.w);
            }
            if (g->tx == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) {
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->b, g->h, row)] = end.logsumexp;
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_fused_gpu(attn_arguments a, long first_group, long row_blocks, ATTN_EXTRAS_PARAMETERS,
                         __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                         __global const attn_storage *restrict value, __global attn_storage *restrict output_memory,
                         __global float *restrict logsumexp, __local float *memory) {
    __local float *stage = memory, *weights = stage + STAGE_SIZE, *scratch = weights + BLOCK_KEY * QUERY_STRIDE;
    const attn_extras x = ATTN_EXTRAS;
    const long group = first_group + get_group_id(0), head = group / row_blocks;
    group_block g;
    g.b = head / a.query_heads;
    g.h = head % a.query_heads;
    g.first =
        (row_blocks - 1 - group % row_blocks) * BLOCK_QUERY; // the last rows first: the longest under a causal rule
    g.rows = (int)min((long)BLOCK_QUERY, a.query_length - g.first);
    g.lane = tile_lane();
    g.tx = g.lane % THREADS_X;
    g.ty = g.lane / THREADS_X;
    const attn_entry e = attn_get_entry(&a, &x, g.b);
    g.visit = attn_rows_range(&a, &e, g.first, g.first + g.rows - 1);
    g.open = attn_rows_common_range(&a, &e, g.first, g.first + g.rows - 1);

    float maximum[ROWS], sum[ROWS], keep[ROWS], s[ROWS][KEYS];
    float4 output[VALUE_SLICES][ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        maximum[i] = -INFINITY;
        sum[i] = 0.0f;
#pragma unroll
        for (int slice = 0; slice < VALUE_SLICES; slice++) {
            output[slice][i] = (float4)0.0f;
        }
    }
    for (long k = g.visit.begin / BLOCK_KEY * BLOCK_KEY; k < g.visit.end; k += BLOCK_KEY) {
        const int keys = (int)min((long)BLOCK_KEY, e.key_length - k);
        block_scores(&a, &g, query, key, k, keys, stage, s);
        block_keywise(&a, &x, &e, &g, k, s);
        block_softmax(&g, s, scratch, weights, maximum, sum, keep);
        block_values(&a, &g, value, k, keys, keep, weights, stage, output);
    }
    reduce_rows(scratch, sum, 0);
    store_block(&a, &x, &g, maximum, sum, output, output_memory, logsumexp);
}
