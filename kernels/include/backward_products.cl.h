// The products of attention_backward_gpu.cl: of its own lines and the others' over the dims, and of what they give to each other and
// the others' columns. Knows no features and no formulas. The defines are the kernel's.
#ifndef ATTN_BACKWARD_PRODUCTS_CL_H
#define ATTN_BACKWARD_PRODUCTS_CL_H

#include "include/backward_block.cl.h"
#include "include/gradient_types.cl.h"

// Rows of grad_output, which may be wider than storage.
static inline void stage_output(__local float4 *tile, int stride, int tile_rows, int width, __local const stage_rows *from,
                                int rows, int d0, int lane) {
#if ATTN_WIDE_OUTPUT
    __local float *elements = (__local float *)tile;
#pragma unroll 1
    for (int e = lane; e < tile_rows * width; e += THREADS) {
        const int row = e / width, d = e % width, there = row < rows && d0 + d < from->dims;
        elements[row * 4 * stride + d] =
            there ? ((__global const float *)from->memory)[from->at + stage_row_at(from, row, 1) + d0 + d] : 0.0f;
    }
#else
    stage_tile(tile, stride, tile_rows, width, from, 1, 0, rows, d0, lane);
#endif
}

// A slice of query and key, or of grad_output and value, from column d0 on.
static inline void stage_lines(__local float4 *memory, int second, int d0) {
    const backward_item here = item_of(memory), *t = &here;
    __local const backward_block *g = t->block;
    __local float4 *rows = PASS_KEYS ? t->other : t->own, *keys = PASS_KEYS ? t->own : t->other;
    if (second) {
        stage_output(rows, LINE_STRIDE, BLOCK_ROWS, SLICE, &g->grad_output, g->at.rows, d0, t->lane);
    } else {
        stage_tile(rows, LINE_STRIDE, BLOCK_ROWS, SLICE, &g->query, 1, 0, g->at.rows, d0, t->lane);
    }
    stage_tile(keys, LINE_STRIDE, BLOCK_KEYS, SLICE, second ? &g->value : &g->key, 0, g->first_key, g->keys, d0, t->lane);
}

// s[i][j] += the products of SLICE columns: own line ty + i * THREADS_Y . other line tx + j * THREADS_X.
static inline void slice_products(__local float4 *memory, float s[ROWS][COLUMNS]) {
    const backward_item here = item_of(memory), *t = &here;
    __local const float4 *own = t->own + t->ty * LINE_STRIDE, *other = t->other + t->tx * LINE_STRIDE;
#pragma unroll 1
    for (int d = 0; d < SLICE / 4; d++) {
        float4 x[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            x[i] = own[i * THREADS_Y * LINE_STRIDE + d];
        }
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            const float4 y = other[j * THREADS_X * LINE_STRIDE + d];
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

static inline void block_products(__local float4 *memory, int second, int dims, float s[ROWS][COLUMNS]) {
#pragma unroll
    for (int n = 0; n < ROWS * COLUMNS; n++) {
        s[n / COLUMNS][n % COLUMNS] = 0.0f;
    }
#pragma unroll 1
    for (int d0 = 0; d0 < dims; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_lines(memory, second, d0);
        barrier(CLK_LOCAL_MEM_FENCE);
        slice_products(memory, s);
    }
}

// sum[v][i] = shares * columns: own line ty + i * THREADS_Y, columns (tx + v * THREADS_X) * 4 and on.
static inline void slice_columns(__local float4 *memory, int second, float4 sum[VALUE_VECTORS][ROWS]) {
    const backward_item here = item_of(memory), *t = &here;
    __local const float4 *shares = (second ? t->weights : t->shares) + t->ty * SHARE_STRIDE, *column = t->columns + t->tx;
#pragma unroll
    for (int n = 0; n < VALUE_VECTORS * ROWS; n++) {
        sum[n / ROWS][n % ROWS] = (float4)0.0f;
    }
#pragma unroll 2
    for (int k = 0; k < WALK; k += 4) {
        float4 w[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            w[i] = shares[i * THREADS_Y * SHARE_STRIDE + k / 4];
        }
#pragma unroll
        for (int v = 0; v < VALUE_VECTORS; v++) {
            __local const float4 *y = column + k * COLUMN_STRIDE + v * THREADS_X;
            const float4 y0 = y[0], y1 = y[COLUMN_STRIDE], y2 = y[2 * COLUMN_STRIDE], y3 = y[3 * COLUMN_STRIDE];
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

// Columns of the other lines from column c0 on: of key or query, `second` of grad_output.
static inline void stage_columns(__local float4 *memory, int second, int c0) {
    const backward_item here = item_of(memory), *t = &here;
    __local const backward_block *g = t->block;
    if (!PASS_KEYS) {
        stage_tile(t->columns, COLUMN_STRIDE, WALK, WIDTH, &g->key, 0, g->first_key, g->keys, c0, t->lane);
    } else if (second) {
        stage_output(t->columns, COLUMN_STRIDE, WALK, WIDTH, &g->grad_output, g->at.rows, c0, t->lane);
    } else {
        stage_tile(t->columns, COLUMN_STRIDE, WALK, WIDTH, &g->query, 1, 0, g->at.rows, c0, t->lane);
    }
}

// Adds the other lines, weighted: of key or query, `second` of grad_output; nothing where dims is 0. The sum over the block
// starts from zero. The barriers stand outside of all conditions: PoCL copies all that follows a barrier in a condition.
// `zero` has the second condition asked anew: kept from the first it takes a register.
static inline void add_columns(__local float4 *memory, int second, int dims, float4 total[SLICES][VALUE_VECTORS][ROWS]) {
#pragma unroll
    for (int slice = 0; slice < SLICES; slice++) {
        barrier(CLK_LOCAL_MEM_FENCE); // shares are there, the columns before are read
        if (slice * WIDTH < dims) {
            stage_columns(memory, second, slice * WIDTH);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (slice * WIDTH < dims + ((__local const backward_block *)memory)->zero) {
            float4 sum[VALUE_VECTORS][ROWS];
            slice_columns(memory, second, sum);
#pragma unroll
            for (int n = 0; n < VALUE_VECTORS * ROWS; n++) {
                total[slice][n / ROWS][n % ROWS] += sum[n / ROWS][n % ROWS];
            }
        }
    }
}

static inline void clear(float4 total[SLICES][VALUE_VECTORS][ROWS]) {
#pragma unroll
    for (int n = 0; n < SLICES * VALUE_VECTORS * ROWS; n++) {
        total[n / ROWS / VALUE_VECTORS][n / ROWS % VALUE_VECTORS][n % ROWS] = (float4)0.0f;
    }
}

#endif
