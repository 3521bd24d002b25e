// TF32 tile, portable body: the fragments of tf32_tile_nvidia.cl.h, but what lanes exchange goes through local
// memory and barriers, and sums are as inexact as those of matrix units: exact products, cut off at one bit below the
// largest of a step's terms. Slow; it lets the kernel above it be tested on any OpenCL 1.2 device. Every operation
// with a tf32_tile must be reached by the whole work-group.
#ifndef ATTN_TF32_TILE_PORTABLE_CL_H
#define ATTN_TF32_TILE_PORTABLE_CL_H

#include "include/units/tile_numbers.cl.h"

#define TILE_LANE_WORDS PORTABLE_TF32_LANE_WORDS
#define TILE_SCRATCH_WORDS (32 * TILE_LANE_WORDS)

typedef struct tf32_tile {
    int lane, warp;
    __local uint *scratch; // this warp's own
} tf32_tile;

static inline tf32_tile tile_begin(__local uint *scratch) {
    const int id = (int)get_local_id(0);
    tf32_tile w = { id & 31, id >> 5, scratch + (id >> 5) * TILE_SCRATCH_WORDS };
    return w;
}

static inline void tile_split(float x, uint *big, uint *small) {
    if (PRODUCTS == 1) {
        *big = as_uint(fma(x, -8192.0f, fma(x, 8192.0f, x)));
        *small = 0;
        return;
    }
    *big = (as_uint(x) + 0x1000u) & 0xffffe000u;
    *small = as_uint(x - as_float(*big));
}

// c + x[0] + ... + x[3] as matrix units add: the terms brought to the exponent of the largest, 25 bits, the rest cut
// off; the sum cut to 24 bits. Sums too small for that, or not finite, are added one by one.
static inline float tile_cut_add(float c, const float *x) {
    float largest = fabs(c);
    for (int n = 0; n < 4; n++) {
        largest = fmax(largest, fabs(x[n]));
    }
    const int exponent = (int)(as_uint(largest) >> 23);
    const float plain = c + ((x[0] + x[1]) + (x[2] + x[3]));
    if (exponent < 64 || exponent >= 254 || !(fabs(plain) < INFINITY)) {
        return plain;
    }
    const float up = as_float((uint)(278 - exponent) << 23); // the largest term becomes 2^24 to 2^25
    int sum = (int)(c * up);
    for (int n = 0; n < 4; n++) {
        sum += (int)(x[n] * up);
    }
    const uint size = abs(sum);
    const int beyond = max(8 - (int)clz(size), 0);
    const float rounded = (float)(size >> beyond << beyond);
    return (sum < 0 ? -rounded : rounded) * as_float((uint)(exponent - 24) << 23);
}

// One element of c += a * b, where a and b are words `a_at` and `b_at` of the lanes' scratch.
static inline float tile_dot(const tf32_tile *w, float c, int row_lane, int a_at, int column_lane, int b_at) {
    for (int far = 0; far < 2; far++) {
        float x[4];
        for (int k = 0; k < 4; k++) {
            const uint a = w->scratch[(row_lane + k) * TILE_LANE_WORDS + a_at + 2 * far];
            const uint b = w->scratch[(column_lane + k) * TILE_LANE_WORDS + b_at + far];
            x[k] = as_float(a & 0xffffe000u) * as_float(b & 0xffffe000u);
        }
        c = tile_cut_add(c, x);
    }
    return c;
}

static inline void tile_multiply(const tf32_tile *w, float *main, float *rest, const uint *a_big, const uint *a_small,
                                 const uint *b_big, const uint *b_small) {
    const int g = w->lane >> 2, t = w->lane & 3;
    __local uint *mine = w->scratch + w->lane * TILE_LANE_WORDS;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < 4; n++) {
        mine[n] = a_big[n], mine[4 + n] = a_small[n];
    }
    mine[8] = b_big[0], mine[9] = b_big[1], mine[10] = b_small[0], mine[11] = b_small[1];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int e = 0; e < 4; e++) {
        const int row = g * 4, column = (2 * t + (e & 1)) * 4, half_tile = e >> 1;
        main[e] = tile_dot(w, main[e], row, half_tile, column, 8);
        if (PRODUCTS == 3) {
            rest[e] = tile_dot(w, rest[e], row, 4 + half_tile, column, 8);
            rest[e] = tile_dot(w, rest[e], row, half_tile, column, 10);
        }
    }
}

#define tile_here(x) (x)
#define tile_add(a, b) ((a) + (b))
#define tile_exp2(x) exp2(x)

static inline float tile_row_either(const tf32_tile *w, float x, int is_max) {
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = as_uint(x);
    barrier(CLK_LOCAL_MEM_FENCE);
    float all = as_float(w->scratch[w->lane & ~3]);
    for (int n = 1; n < 4; n++) {
        const float next = as_float(w->scratch[(w->lane & ~3) + n]);
        all = is_max ? fmax(all, next) : all + next;
    }
    return all;
}

static inline float tile_row_max(const tf32_tile *w, float x) {
    return tile_row_either(w, x, 1);
}

static inline float tile_row_sum(const tf32_tile *w, float x) {
    return tile_row_either(w, x, 0);
}

static inline void tile_copy(__local float *to, __global const float *from, int ok) {
    vstore4(ok ? vload4(0, from) : (float4)(0.0f), 0, to);
}

#define tile_commit()
#define tile_wait(n)

#endif
