// Fused attention for GPUs, portable OpenCL 1.2: a work-group makes BLOCK_QUERY rows (row_blocks.cl.h says of which
// heads) and walks over the keys in blocks of BLOCK_KEY, one pass, running maximum and sum. Tiles lie in local memory as
// fp32, read 16 bytes at a time; a work-item holds ROWS x KEYS scores and ROWS x 4 * VALUE_VECTORS outputs a slice of
// value_dim in registers. Weights take the place of the keys. Barriers only where every work-item comes by.
// Local memory is an argument (group_local.cl.h): PoCL 3.1 leaves arrays declared here to all its threads. Defines: BLOCK_QUERY, BLOCK_KEY, THREADS_X, THREADS_Y, SLICE (of head_dim, staged at a time), KEEP_QUERY
// (queries stay in local memory), VALUE_VECTORS, DIM (head_dim and value_dim at most), SUBGROUP_SHUFFLE.
#define ROWS (BLOCK_QUERY / THREADS_Y)
#define KEYS (BLOCK_KEY / THREADS_X)
#define THREADS (THREADS_X * THREADS_Y)
#define VALUE_SLICES ((DIM + VALUE_WIDTH - 1) / VALUE_WIDTH)
#include "include/group_block.cl.h"

#if BLOCK_QUERY % THREADS_Y || BLOCK_KEY % THREADS_X || BLOCK_KEY % 4 || SLICE % 8 || THREADS_X % 4 || THREADS_Y % 2
#error "this block does not divide among the work-items"
#endif

// s[i][j] += the products of SLICE columns: row ty + i * THREADS_Y . key tx + j * THREADS_X. Not unrolled further: one
// step has ROWS * KEYS * 4 multiply-adds, and two would need registers for the loads of both.
static inline void slice_scores(__local float4 *memory, int d0, float s[ROWS][KEYS]) {
    const group_item here = item_of(memory), *t = &here;
    __local const float4 *query = t->query + t->ty * QUERY_STRIDE + (KEEP_QUERY ? d0 / 4 : 0);
    __local const float4 *key = t->key + t->tx * KEY_STRIDE;
#pragma unroll 1
    for (int d = 0; d < SLICE / 4; d++) {
        float4 x[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            x[i] = query[i * THREADS_Y * QUERY_STRIDE + d];
        }
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            const float4 y = key[j * THREADS_X * KEY_STRIDE + d];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                s[i][j] = fma(x[i].x, y.x, s[i][j]);
                s[i][j] = fma(x[i].y, y.y, s[i][j]);
                s[i][j] = fma(x[i].z, y.z, s[i][j]);
                s[i][j] = fma(x[i].w, y.w, s[i][j]);
            }
        }
    }
}

// Scores of a block of keys. Brings the first slice of its values along, whose load then waits with the others.
static inline void block_scores(__local float4 *memory, int head_dim, long first, int keys, float s[ROWS][KEYS]) {
#pragma unroll
    for (int n = 0; n < ROWS * KEYS; n++) {
        s[n / KEYS][n % KEYS] = 0.0f;
    }
    for (int d0 = 0; d0 < head_dim; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        const group_item here = item_of(memory), *t = &here;
        __local const group_block *g = t->group;
        if (!KEEP_QUERY) {
            stage_tile(t->query, QUERY_STRIDE, BLOCK_QUERY, SLICE, &g->query, 1, 0, g->at.rows, d0, t->lane);
        }
        stage_tile(t->key, KEY_STRIDE, BLOCK_KEY, SLICE, &g->key, 0, first, keys, d0, t->lane);
        if (d0 == 0) {
            stage_tile(t->value, VALUE_STRIDE, BLOCK_KEY, VALUE_WIDTH, &g->value, 0, first, keys, 0, t->lane);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        slice_scores(memory, d0, s);
    }
}

// Scores scaled (unless folded), changed key by key and masked; nothing to do inside the range of keys that all rows
// have in common, when a range is all there is. They take a way through local memory, so that what is done to one of
// them is there once in the program and not once a register.
static inline void block_keywise(const attn_arguments *a, const attn_extras *x, __local float4 *memory, long first,
                                 float s[ROWS][KEYS]) {
    const group_item here = item_of(memory), *t = &here;
    __local const group_block *g = t->group;
    __local float *scores = (__local float *)(t->weights + t->ty * WEIGHT_STRIDE) + t->tx;
    const int folded = g->folded;
    if (folded && a->scale < 0.0f) {
#pragma unroll
        for (int n = 0; n < ROWS * KEYS; n++) {
            s[n / KEYS][n % KEYS] = -s[n / KEYS][n % KEYS];
        }
    }
    const attn_range open = g->open;
    if (folded && attn_range_covers(&open, first, BLOCK_KEY)) {
        return;
    }
    barrier(CLK_LOCAL_MEM_FENCE); // the keys are read
#pragma unroll
    for (int n = 0; n < ROWS * KEYS; n++) {
        scores[n / KEYS * THREADS_Y * 4 * WEIGHT_STRIDE + n % KEYS * THREADS_X] = s[n / KEYS][n % KEYS];
    }
    const attn_entry e = g->entry;
#pragma unroll 1
    for (int i = 0; i < ROWS; i++) {
        const int n = t->ty + i * THREADS_Y, there = min(n, g->at.rows - 1);
        const long position = ATTN_ROW_POSITION(&g->at, there);
        const attn_range r = attn_row_range(a, &e, position);
        const attn_row row = attn_get_row(a, x, &e, g->at.b, ATTN_ROW_HEAD(&g->at, there), position);
#pragma unroll 1
        for (int j = 0; j < KEYS; j++) {
            __local float *score = scores + i * THREADS_Y * 4 * WEIGHT_STRIDE + j * THREADS_X;
            const long k = first + t->tx + j * THREADS_X;
            if (n >= g->at.rows || !attn_range_has(&r, k)) {
                *score = -INFINITY;
            } else if (!folded) {
                *score = attn_score_step(a, x, &row, k, *score * a->scale);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < ROWS * KEYS; n++) {
        s[n / KEYS][n % KEYS] = scores[n / KEYS * THREADS_Y * 4 * WEIGHT_STRIDE + n % KEYS * THREADS_X];
    }
}

// Scores to weights, in local memory as [row][key]; maximum and sum (of this work-item's keys) go on.
static inline void block_softmax(__local float4 *memory, float s[ROWS][KEYS], float *maximum, float *sum, float *keep) {
    const group_item here = item_of(memory), *t = &here;
    const float exponent = t->group->exponent;
    float top[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        top[i] = maximum[i];
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            top[i] = fmax(top[i], s[i][j]);
        }
    }
    reduce_rows(t->scratch, top, 1);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        __local float *weights = (__local float *)(t->weights + (t->ty + i * THREADS_Y) * WEIGHT_STRIDE) + t->tx;
        const float base = softmax_reference(top[i]);
        float block = 0.0f;
        keep[i] = maximum[i] == top[i] ? 1.0f : exp2((maximum[i] - base) * exponent);
        maximum[i] = top[i];
#pragma unroll
        for (int j = 0; j < KEYS; j++) {
            const float w = exp2((s[i][j] - base) * exponent);
            block += w;
            weights[j * THREADS_X] = w;
        }
        sum[i] = fma(sum[i], keep[i], block);
    }
}

#if ATTN_DROPOUT
// Dropout on the block's weights in local memory, four keys at a time. The next barrier shows them to all.
static inline void block_dropout(const attn_extras *x, __local float4 *memory, long first) {
    barrier(CLK_LOCAL_MEM_FENCE);
    const group_item here = item_of(memory), *t = &here;
    __local const group_block *g = t->group;
#pragma unroll 1
    for (int n = t->lane; n < BLOCK_QUERY * (BLOCK_KEY / 4); n += THREADS) {
        const int row = n / (BLOCK_KEY / 4), four = n % (BLOCK_KEY / 4);
        if (row < g->at.rows) {
            const attn_dropout_row dropout =
                attn_get_dropout_row(x, g->at.b, ATTN_ROW_HEAD(&g->at, row), ATTN_ROW_POSITION(&g->at, row));
            __local float4 *weights = t->weights + row * WEIGHT_STRIDE + four;
            *weights = attn_dropout_four(&dropout, first + 4 * four, *weights);
        }
    }
}
#endif

// sum[v][i] = weights * values of one slice: row ty + i * THREADS_Y, columns (tx + v * THREADS_X) * 4 and on.
static inline void slice_values(__local float4 *memory, float4 sum[VALUE_VECTORS][ROWS]) {
    const group_item here = item_of(memory), *t = &here;
    __local const float4 *weights = t->weights + t->ty * WEIGHT_STRIDE, *value = t->value + t->tx;
#pragma unroll
    for (int n = 0; n < VALUE_VECTORS * ROWS; n++) {
        sum[n / ROWS][n % ROWS] = (float4)0.0f;
    }
#pragma unroll 2
    for (int k = 0; k < BLOCK_KEY; k += 4) {
        float4 w[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            w[i] = weights[i * THREADS_Y * WEIGHT_STRIDE + k / 4];
        }
#pragma unroll
        for (int v = 0; v < VALUE_VECTORS; v++) {
            __local const float4 *y = value + k * VALUE_STRIDE + v * THREADS_X;
            const float4 y0 = y[0], y1 = y[VALUE_STRIDE], y2 = y[2 * VALUE_STRIDE], y3 = y[3 * VALUE_STRIDE];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                sum[v][i] = fma((float4)w[i].x, y0, sum[v][i]);
                sum[v][i] = fma((float4)w[i].y, y1, sum[v][i]);
                sum[v][i] = fma((float4)w[i].z, y2, sum[v][i]);
                sum[v][i] = fma((float4)w[i].w, y3, sum[v][i]);
            }
        }
    }
}

// output = output * keep + weights * values; the sum over the block starts from zero. The barriers stand outside of all
// conditions: PoCL copies all that follows a barrier in a condition. `zero` has the second condition asked anew: where it was
// kept from the first, ptxas gave sm_90 222 registers for 168 (dims of 128).
static inline void block_values(__local float4 *memory, int value_dim, long first, int keys, const float *keep,
                                float4 output[VALUE_SLICES][VALUE_VECTORS][ROWS]) {
#pragma unroll
    for (int slice = 0; slice < VALUE_SLICES; slice++) {
        if (slice > 0) { // the first one is there
            barrier(CLK_LOCAL_MEM_FENCE);
            if (slice * VALUE_WIDTH < value_dim) {
                const group_item here = item_of(memory), *t = &here;
                stage_tile(t->value, VALUE_STRIDE, BLOCK_KEY, VALUE_WIDTH, &t->group->value, 0, first, keys,
                           slice * VALUE_WIDTH, t->lane);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (slice * VALUE_WIDTH < value_dim + ((__local const group_block *)memory)->zero) {
            float4 sum[VALUE_VECTORS][ROWS];
            slice_values(memory, sum);
#pragma unroll
            for (int n = 0; n < VALUE_VECTORS * ROWS; n++) {
                const int v = n / ROWS, i = n % ROWS;
                output[slice][v][i] = fma(output[slice][v][i], (float4)keep[i], sum[v][i]);
            }
        }
    }
}

static inline void store_block(const attn_arguments *a, const attn_extras *x, __local float4 *memory,
                               const float *maximum, const float *sum,
                               float4 output[VALUE_SLICES][VALUE_VECTORS][ROWS],
                               __global attn_output *output_memory, __global float *logsumexp) {
    const group_item here = item_of(memory), *t = &here;
    __local const group_block *g = t->group;
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0, columns = (int)a->value_dim;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int n = t->ty + i * THREADS_Y;
        if (n < g->at.rows) {
            const long h = ATTN_ROW_HEAD(&g->at, n), row = ATTN_ROW_POSITION(&g->at, n), at = attn_row_at(&a->output, g->at.b, h, row);
            softmax_end end =
                softmax_finish(maximum[i] * g->unit, sum[i], has_sink, has_sink ? x->sinks[a->sinks_at + h] : 0.0f);
            const float factor = ATTN_DROPOUT ? end.factor * ATTN_KEEP(x) : end.factor;
#pragma unroll
            for (int m = 0; m < VALUE_SLICES * VALUE_VECTORS; m++) {
                const int c = (m * THREADS_X + t->tx) * 4;
                const float4 y = output[m / VALUE_VECTORS][m % VALUE_VECTORS][i] * factor;
                stage_store(output_memory, at + c, end.factor == 0.0f ? (float4)0.0f : y, columns - c);
            }
            if (t->tx == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) {
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->at.b, h, row)] = end.logsumexp;
            }
        }
    }
}

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_fused_gpu(attn_arguments a, long first_group, long row_blocks, ATTN_EXTRAS_PARAMETERS,
                         __global const attn_storage *restrict query, __global const attn_storage *restrict key,
                         __global const attn_storage *restrict value, __global attn_output *restrict output_memory,
                         __global float *restrict logsumexp, __local float4 *memory) {
    const attn_extras x = ATTN_EXTRAS;
    if (tile_lane() == 0) {
        *(__local group_block *)memory = block_begin(&a, &x, first_group + get_group_id(0), row_blocks, query, key, value);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (KEEP_QUERY) {
        const group_item t = item_of(memory);
        stage_tile(t.query, QUERY_STRIDE, BLOCK_QUERY, QUERY_WIDTH, &t.group->query, 1, 0, t.group->at.rows, 0, t.lane);
    }

    float maximum[ROWS], sum[ROWS], keep[ROWS], s[ROWS][KEYS];
    float4 output[VALUE_SLICES][VALUE_VECTORS][ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        maximum[i] = -INFINITY;
        sum[i] = 0.0f;
#pragma unroll
        for (int m = 0; m < VALUE_SLICES * VALUE_VECTORS; m++) {
            output[m / VALUE_VECTORS][m % VALUE_VECTORS][i] = (float4)0.0f;
        }
    }
    __local const group_block *g = (__local const group_block *)memory;
    const attn_range visit = g->visit;
    for (long k = attn_first_block(&visit, BLOCK_KEY); k < visit.end;
         k = attn_next_block(&visit, k, BLOCK_KEY, BLOCK_KEY)) {
        const int keys = (int)min((long)BLOCK_KEY, g->entry.key_length - k);
        block_scores(memory, (int)a.head_dim, k, keys, s);
        block_keywise(&a, &x, memory, k, s);
        block_softmax(memory, s, maximum, sum, keep);
#if ATTN_DROPOUT
        block_dropout(&x, memory, k);
#endif
        block_values(memory, (int)a.value_dim, k, keys, keep, output);
    }
    reduce_rows(item_of(memory).scratch, sum, 0);
    store_block(&a, &x, memory, maximum, sum, output, output_memory, logsumexp);
}
