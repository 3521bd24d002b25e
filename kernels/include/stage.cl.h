// Rows of a tensor from global to local memory, as fp32, by all work-items of a group; and four outputs back. Global
// memory is read 16 bytes at a time where rows are aligned for it, element by element elsewhere. Local tiles are made of
// float4; a row of them is padded by one, so that neighbours in a column lie in different banks.
// Knows no heads, ranges or masks. Defines: THREADS. To add a storage type: stage_wide() and stage_store().
#ifndef ATTN_STAGE_CL_H
#define ATTN_STAGE_CL_H

#include "include/types.cl.h"

#define STAGE_BYTES 16
#define STAGE_STEP (STAGE_BYTES / (int)sizeof(attn_storage)) // elements of one load
#define STAGE_PARTS (STAGE_STEP / 4)

// Row r begins at element `at` + (skew + r) / heads * stride + (skew + r) % heads * head_stride; with heads =
// 1, skew is 0. `wide`: each row and each stride is aligned to 16 bytes, and so is the end of a row.
typedef struct stage_rows {
    __global const attn_storage *memory;
    long at, stride, head_stride;
    int heads, skew, dims, wide;
} stage_rows;

static inline int stage_is_wide(const stage_rows *from) {
    const long strides = from->stride | (from->heads > 1 ? from->head_stride : 0);
    return ((size_t)(from->memory + from->at) % STAGE_BYTES == 0) && ((strides | from->dims) % STAGE_STEP == 0);
}

static inline long stage_row_at(__local const stage_rows *from, int row, int may_share) {
    if (!may_share || from->heads == 1) {
        return row * from->stride;
    }
    const int n = from->skew + row;
    return n / from->heads * from->stride + n % from->heads * from->head_stride;
}

// STAGE_STEP elements, aligned.
static inline void stage_wide(__global const attn_storage *from, float4 *parts) {
#if ATTN_TYPE == 0
    parts[0] = *(__global const float4 *)from;
#else
    const uint4 bits = *(__global const uint4 *)from;
#if ATTN_TYPE == 1
    parts[0] = (float4)(vload_half2(0, (const half *)&bits), vload_half2(1, (const half *)&bits));
    parts[1] = (float4)(vload_half2(2, (const half *)&bits), vload_half2(3, (const half *)&bits));
#else
    const uint4 low = bits << 16, high = bits & 0xffff0000u;
    parts[0] = as_float4((uint4)(low.x, high.x, low.y, high.y));
    parts[1] = as_float4((uint4)(low.z, high.z, low.w, high.w));
#endif
#endif
}

static inline void stage_put(__local float4 *tile, const float4 *parts, int there) {
#pragma unroll
    for (int p = 0; p < STAGE_PARTS; p++) {
        tile[p] = there ? parts[p] : (float4)0.0f;
    }
}

// A tile that the tensor fills: addresses step from row to row, several loads are under way at a time.
static inline void stage_full(__local float4 *tile, int stride, int tile_rows, int vectors,
                              __local const stage_rows *from, long base, int d0, int lane) {
    const int step = THREADS / vectors, row = lane / vectors, vector = lane % vectors;
    const long rows = step * from->stride;
    __global const attn_storage *at = from->memory + base + row * from->stride + d0 + vector * STAGE_STEP;
    tile += row * stride + vector * STAGE_PARTS;
#pragma unroll 4
    for (int n = 0; n < tile_rows; n += step) {
        float4 parts[STAGE_PARTS];
        stage_wide(at, parts);
        stage_put(tile, parts, 1);
        at += rows;
        tile += step * stride;
    }
}

// Columns d0 .. d0 + width - 1 of rows first .. first + tile_rows - 1 to tile, `stride` float4 a row; zeros where the
// tensor has no more than `rows` of them, or no such column. `from` lies in local memory: whatever a compiler could
// compute from it ahead of the loop over keys would sit in registers that the products need.
static inline void stage_tile(__local float4 *tile, int stride, int tile_rows, int width,
                              __local const stage_rows *from, int may_share, long first, int rows, int d0, int lane) {
    const int vectors = width / STAGE_STEP;
    const long base = from->at + attn_key_offset(from->stride, first);
    if (!from->wide) {
        __local float *elements = (__local float *)tile;
#pragma unroll 1
        for (int e = lane; e < tile_rows * width; e += THREADS) {
            const int row = e / width, d = e % width, there = row < rows && d0 + d < from->dims;
            elements[row * 4 * stride + d] =
                there ? ATTN_LOAD(from->memory, base + stage_row_at(from, row, may_share) + d0 + d) : 0.0f;
        }
    } else if (THREADS % vectors == 0 && tile_rows % (THREADS / vectors) == 0 && !(may_share && from->heads > 1) &&
               rows >= tile_rows && d0 + width <= from->dims) {
        stage_full(tile, stride, tile_rows, vectors, from, base, d0, lane);
    } else {
#pragma unroll 1
        for (int e = lane; e < tile_rows * vectors; e += THREADS) {
            const int row = e / vectors, vector = e % vectors, d = d0 + vector * STAGE_STEP;
            const int there = row < rows && d < from->dims; // else what is loaded lies somewhere in the tensor
            float4 parts[STAGE_PARTS];
            stage_wide(from->memory + base + stage_row_at(from, there ? row : 0, may_share) + (there ? d : 0), parts);
            stage_put(tile + row * stride + vector * STAGE_PARTS, parts, there);
        }
    }
}

// Columns of one row from element `at` on: four, or the `count` that there are. Short, since it stands in unrolled loops.
static inline void stage_store(__global attn_output *to, long at, float4 y, int count) {
#if ATTN_TYPE == 0 || ATTN_WIDE_OUTPUT
    typedef float4 vector;
    const float4 bits = y;
#elif ATTN_TYPE == 1
    typedef ushort4 vector;
    const ushort4 bits = attn_half_from_float4(y);
#else
    typedef ushort4 vector;
    const ushort4 bits = attn_bf16_from_float4(y);
#endif
    if (count >= 4 && (size_t)(to + at) % sizeof(vector) == 0) {
        *(__global vector *)(to + at) = bits;
        return;
    }
    if (count > 0) to[at] = bits.x;
    if (count > 1) to[at + 1] = bits.y;
    if (count > 2) to[at + 2] = bits.z;
    if (count > 3) to[at + 3] = bits.w;
}

#endif
