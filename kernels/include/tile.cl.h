// Register tiles on explicit vectors, for CPU-shaped kernels: one work-item, no barriers. Defines: VECTOR (lanes of a
// vector: 4, 8 or 16), TILE_ROWS (rows of a tile), TILE_VECTORS (vectors in a tile's row). Accumulators are private
// arrays that only constants index, so that they live in registers. Knows nothing of features and storage types.
#ifndef TILE_CL_H
#define TILE_CL_H

#include "include/softmax_online.cl.h"

#define TILE_JOIN_(a, b) a##b
#define TILE_JOIN(a, b) TILE_JOIN_(a, b)
#define vfloat TILE_JOIN(float, VECTOR)
#define vint TILE_JOIN(int, VECTOR)
#define as_vfloat TILE_JOIN(as_float, VECTOR)
#define as_vint TILE_JOIN(as_int, VECTOR)
#define convert_vfloat TILE_JOIN(convert_float, VECTOR)
#define convert_vint TILE_JOIN(convert_int, VECTOR)
#define vector_load TILE_JOIN(vload, VECTOR)
#define vector_store TILE_JOIN(vstore, VECTOR)

#define TILE_KEYS (TILE_VECTORS * VECTOR)

#if VECTOR == 16
#define LANES ((vint)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#elif VECTOR == 8
#define LANES ((vint)(0, 1, 2, 3, 4, 5, 6, 7))
#else
#define LANES ((vint)(0, 1, 2, 3))
#endif

static inline vfloat exp2_vector(vfloat t) {
    EXP2_BODY(vfloat, as_vfloat, as_vint)
}

static inline vfloat max_vector(vfloat a, vfloat b) {
    return a > b ? a : b;
}

static inline float max_lanes4(float4 x) {
    float2 y = x.lo > x.hi ? x.lo : x.hi;
    return y.x > y.y ? y.x : y.y;
}

static inline float sum_lanes4(float4 x) {
    float2 y = x.lo + x.hi;
    return y.x + y.y;
}

#if VECTOR == 16
static inline float max_lanes(vfloat x) {
    float8 y = x.lo > x.hi ? x.lo : x.hi;
    return max_lanes4(y.lo > y.hi ? y.lo : y.hi);
}
static inline float sum_lanes(vfloat x) {
    float8 y = x.lo + x.hi;
    return sum_lanes4(y.lo + y.hi);
}
#elif VECTOR == 8
#define max_lanes(x) max_lanes4((x).lo > (x).hi ? (x).lo : (x).hi)
#define sum_lanes(x) sum_lanes4((x).lo + (x).hi)
#else
#define max_lanes(x) max_lanes4(x)
#define sum_lanes(x) sum_lanes4(x)
#endif

// scores[i][n] = factor * sum_d query[i][d] * panel[d][n] for TILE_ROWS rows and TILE_KEYS keys.
static inline void tile_scores(const float *query, int query_stride, __global const float *panel, int dims,
                               float factor, float *scores, int scores_stride) {
    vfloat sum[TILE_ROWS][TILE_VECTORS];
#pragma unroll
    for (int i = 0; i < TILE_ROWS; i++) {
#pragma unroll
        for (int n = 0; n < TILE_VECTORS; n++) {
            sum[i][n] = (vfloat)0.0f;
        }
    }
    for (int d = 0; d < dims; d++) {
        vfloat key[TILE_VECTORS];
#pragma unroll
        for (int n = 0; n < TILE_VECTORS; n++) {
            key[n] = vector_load(n, panel + d * TILE_KEYS);
        }
#pragma unroll
        for (int i = 0; i < TILE_ROWS; i++) {
            vfloat x = (vfloat)query[i * query_stride + d];
#pragma unroll
            for (int n = 0; n < TILE_VECTORS; n++) {
                sum[i][n] = fma(x, key[n], sum[i][n]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < TILE_ROWS; i++) {
#pragma unroll
        for (int n = 0; n < TILE_VECTORS; n++) {
            vector_store(sum[i][n] * factor, n, scores + i * scores_stride);
        }
    }
}

// NAME: output[i][c] = output[i][c] * keep[i] + sum_j weights[i][j] * value[j][c] for ROWS rows and VECTORS vectors of
// columns; LOAD(value, at) reads a vector. The sum over j starts from zero, so that long rows add blocks, not one
// chain.
#define TILE_VALUES(NAME, ROWS, VECTORS, STORAGE, LOAD)                                                                \
    static inline void NAME(const float *weights, int weights_stride, __global const STORAGE *value,                   \
                            long value_stride, int keys, const float *keep, float *output, int output_stride) {        \
        vfloat sum[ROWS][VECTORS];                                                                                     \
        _Pragma("unroll") for (int i = 0; i < ROWS; i++) {                                                             \
            _Pragma("unroll") for (int c = 0; c < VECTORS; c++) {                                                      \
                sum[i][c] = (vfloat)0.0f;                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        for (int j = 0; j < keys; j++) {                                                                               \
            vfloat column[VECTORS];                                                                                    \
            _Pragma("unroll") for (int c = 0; c < VECTORS; c++) {                                                      \
                column[c] = LOAD(value, j * value_stride + c * VECTOR);                                                \
            }                                                                                                          \
            _Pragma("unroll") for (int i = 0; i < ROWS; i++) {                                                         \
                vfloat x = (vfloat)weights[i * weights_stride + j];                                                    \
                _Pragma("unroll") for (int c = 0; c < VECTORS; c++) {                                                  \
                    sum[i][c] = fma(x, column[c], sum[i][c]);                                                          \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("unroll") for (int i = 0; i < ROWS; i++) {                                                             \
            _Pragma("unroll") for (int c = 0; c < VECTORS; c++) {                                                      \
                float *place = output + i * output_stride;                                                             \
                vector_store(fma(vector_load(c, place), (vfloat)keep[i], sum[i][c]), c, place);                        \
            }                                                                                                          \
        }                                                                                                              \
    }

#define TILE_LOAD_FLOAT(p, at) vector_load(0, (p) + (at))

// `count` scores (a multiple of 2 * VECTOR) to weights in place; maximum and sum go on, keep is what earlier output is
// worth now.
static inline void row_softmax(float *scores, int count, float *maximum, vfloat *sum, float *keep) {
    vfloat top0 = (vfloat)-INFINITY, top1 = top0;
    for (int n = 0; n < count; n += 2 * VECTOR) {
        top0 = max_vector(vector_load(0, scores + n), top0);
        top1 = max_vector(vector_load(1, scores + n), top1);
    }
    float top = max_lanes(max_vector(top0, top1));
    float before = *maximum, after = top > before ? top : before;
    float base = softmax_reference(after);
    vfloat sum0 = (vfloat)0.0f, sum1 = sum0;
    for (int n = 0; n < count; n += 2 * VECTOR) {
        vfloat w0 = exp2_vector((vector_load(0, scores + n) - base) * LOG2_E);
        vfloat w1 = exp2_vector((vector_load(1, scores + n) - base) * LOG2_E);
        vector_store(w0, 0, scores + n);
        vector_store(w1, 1, scores + n);
        sum0 += w0;
        sum1 += w1;
    }
    *keep = softmax_rescale(before, after);
    *maximum = after;
    *sum = fma(*sum, (vfloat)*keep, sum0 + sum1);
}

#endif
