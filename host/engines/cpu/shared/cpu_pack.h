/*
 * Memory of the caller's types into floats where the kernels want them: packed keys, packed queries, copied values; and
 * finished rows back.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_PACK_H
#define ATTN_ENGINES_CPU_SHARED_CPU_PACK_H

#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "engines/cpu/shared/cpu_vector.h"
#include "problem/key_run.h"

/** Whole vector at element `index`. `type` is a constant wherever speed matters. */
INLINE vf load_typed(const clattn_type type, const void *data, int64_t index) {
    if (type == CLATTN_FP32) return load((const float *)data + index);
    const uint16_t *bits = (const uint16_t *)data + index;
    if (type == CLATTN_BF16) {
        vh half;
        memcpy(&half, bits, sizeof half);
        return (vf)(__builtin_convertvector(half, vu) << 16);
    }
#if ATTN_VECTOR_BYTES == 64
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)bits));
#elif ATTN_VECTOR_BYTES == 32
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)bits));
#else
    vf x;
    for (int i = 0; i < LANES; i++) x[i] = attn_half_to_float(bits[i]);
    return x;
#endif
}

/** The first n < LANES lanes, the rest 0; reads nothing beyond them. */
INLINE vf load_part(const clattn_type type, const void *data, int64_t index, int64_t n) {
#if ATTN_VECTOR_BYTES == 64
    if (type == CLATTN_FP32) return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), (const float *)data + index);
    __m256i bits = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), (const uint16_t *)data + index);
    return type == CLATTN_FP16 ? (vf)_mm512_cvtph_ps(bits) : (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
#else
    float buffer[LANES] __attribute__((aligned(ATTN_VECTOR_BYTES))) = { 0 };
    for (int64_t i = 0; i < n; i++) buffer[i] = attn_load_float(type, data, index + i);
    return load(buffer);
#endif
}

INLINE vf load_up_to(const clattn_type type, const void *data, int64_t index, int64_t n) {
    return n >= LANES ? load_typed(type, data, index) : load_part(type, data, index, n);
}

/** Vector d .. d + LANES of up to LANES rows, transposed: r[i] holds dimension d + i of row 0, 1, ... Rows beyond count are 0. */
INLINE void load_transposed(const clattn_type type, const void *data, int64_t first, int64_t stride, int64_t count,
                            int64_t d, int64_t dim, vf *r) {
    if (dim - d >= LANES) {
        UNROLL for (int i = 0; i < LANES; i++) {
            r[i] = i < count ? load_typed(type, data, first + i * stride + d) : (vf){ 0 };
        }
    } else {
        for (int i = 0; i < LANES; i++)
            r[i] = i < count ? load_part(type, data, first + i * stride + d, dim - d) : (vf){ 0 };
    }
    transpose(r);
}

/** Where a key's dimensions begin in panels [head_dim][TILE_KEYS]. */
INLINE float *panel_column(float *packed, int64_t key, int64_t dim) {
    return packed + key / TILE_KEYS * TILE_KEYS * dim + key % TILE_KEYS;
}

/** One key times factor into a panel: for those between runs that are no multiple of LANES. */
static inline void pack_key(clattn_type type, float *column, const void *data, int64_t index, int64_t dim, vf factor) {
    for (int64_t d = 0; d < dim; d++) column[d * TILE_KEYS] = attn_load_float(type, data, index + d) * factor[0];
}

/** A run's keys from number `done` on, times factor, into panels from key `key` of them, a multiple of LANES, on. */
INLINE void pack_run_typed(const clattn_type type, float *packed, int64_t key, const void *data,
                           const attn_key_run *run, int64_t done, int64_t dim, vf factor) {
    for (; done < run->n; done += LANES, key += LANES) {
        float *panel = panel_column(packed, key, dim);
        for (int64_t d = 0; d < dim; d += LANES) {
            vf r[LANES];
            load_transposed(type, data, run->first + done * run->stride, run->stride, run->n - done, d, dim, r);
            int64_t m = attn_min(dim - d, LANES);
            if (m == LANES) {
                UNROLL for (int i = 0; i < LANES; i++) store(panel + (d + i) * TILE_KEYS, r[i] * factor);
            } else {
                for (int i = 0; i < m; i++) store(panel + (d + i) * TILE_KEYS, r[i] * factor);
            }
        }
    }
}

/** The n keys from `first` on, times factor, into panels [head_dim][TILE_KEYS]; the last panel's missing keys are 0. */
static inline void pack_keys(clattn_type type, float *packed, const attn_keys *keys, int64_t first, int64_t n,
                             int64_t dim, vf factor) {
    const void *data = keys->view->data;
    int64_t key = 0;
    while (key < n) {
        const attn_key_run run = attn_key_run_at(keys, first + key, n - key);
        int64_t done = 0;
        for (; done < run.n && (key + done) % LANES != 0; done++) {
            float *column = panel_column(packed, key + done, dim);
            pack_key(type, column, data, run.first + done * run.stride, dim, factor);
        }
        switch (type) {
            case CLATTN_FP16: pack_run_typed(CLATTN_FP16, packed, key + done, data, &run, done, dim, factor); break;
            case CLATTN_BF16: pack_run_typed(CLATTN_BF16, packed, key + done, data, &run, done, dim, factor); break;
            default: pack_run_typed(CLATTN_FP32, packed, key + done, data, &run, done, dim, factor); break;
        }
        key += run.n;
    }
    for (key = attn_round_up(n, LANES); key < attn_round_up(n, TILE_KEYS); key += LANES) {
        float *panel = panel_column(packed, key, dim);
        for (int64_t d = 0; d < dim; d++) store(panel + d * TILE_KEYS, (vf){ 0 });
    }
}

/** n rows of dim elements, times factor, into rows of pitch floats (whole vectors); what is beyond dim becomes 0. */
INLINE void copy_rows_typed(const clattn_type type, float *copy, int64_t pitch, const void *data, int64_t first,
                            int64_t stride, int64_t n, int64_t dim, vf factor) {
    for (int64_t row = 0; row < n; row++) {
        for (int64_t d = 0; d < dim; d += LANES) {
            store(copy + row * pitch + d, load_up_to(type, data, first + row * stride + d, dim - d) * factor);
        }
    }
}

static inline void copy_rows(clattn_type type, float *copy, int64_t pitch, const void *data, int64_t first,
                             int64_t stride, int64_t n, int64_t dim, vf factor) {
    switch (type) {
        case CLATTN_FP16: copy_rows_typed(CLATTN_FP16, copy, pitch, data, first, stride, n, dim, factor); break;
        case CLATTN_BF16: copy_rows_typed(CLATTN_BF16, copy, pitch, data, first, stride, n, dim, factor); break;
        default: copy_rows_typed(CLATTN_FP32, copy, pitch, data, first, stride, n, dim, factor); break;
    }
}

/** The n values from number `first` on into rows of pitch floats. */
static inline void copy_values(clattn_type type, float *copy, int64_t pitch, const attn_keys *values, int64_t first,
                               int64_t n, int64_t dim) {
    for (int64_t done = 0; done < n;) {
        const attn_key_run run = attn_key_run_at(values, first + done, n - done);
        copy_rows(type, copy + done * pitch, pitch, values->view->data, run.first, run.stride, run.n, dim, splat(1.0f));
        done += run.n;
    }
}

/** Rounded to nearest even; NaN stays one. AVX512-BF16 makes denormals 0, far below what a bound allows. */
INLINE vh to_bf16(vf x) {
#if ATTN_AVX512_BF16
    return (vh)_mm512_cvtneps_pbh((__m512)x);
#else
    vu word = (vu)x, rounded = word + 0x7fffu + ((word >> 16) & 1u), quiet = word | 0x400000u;
    return __builtin_convertvector((vu)choose(x == x, (vf)rounded, (vf)quiet) >> 16, vh);
#endif
}

INLINE void store_typed(const clattn_type type, void *data, int64_t index, vf x) {
    if (type == CLATTN_FP32) {
        store((float *)data + index, x);
        return;
    }
    uint16_t *bits = (uint16_t *)data + index;
#if ATTN_VECTOR_BYTES == 64
    if (type == CLATTN_FP16) {
        _mm256_storeu_si256((__m256i *)(void *)bits, _mm512_cvtps_ph((__m512)x, 8));
        return;
    }
#elif ATTN_VECTOR_BYTES == 32
    if (type == CLATTN_FP16) {
        _mm_storeu_si128((__m128i *)(void *)bits, _mm256_cvtps_ph((__m256)x, 8));
        return;
    }
#else
    if (type == CLATTN_FP16) {
        for (int i = 0; i < LANES; i++) bits[i] = attn_half_from_float(x[i]);
        return;
    }
#endif
    vh half = to_bf16(x);
    memcpy(bits, &half, sizeof half);
}

/** x[0 .. dim) times factor to the caller's row; returns whether all of it is finite. */
INLINE bool store_row_typed(const clattn_type type, void *data, int64_t index, const float *x, int64_t dim, vf factor) {
    vf zero = { 0 };
    int64_t d = 0;
    for (; d + LANES <= dim; d += LANES) {
        vf y = load(x + d) * factor;
        zero += y - y;
        store_typed(type, data, index + d, y);
    }
    if (d < dim) {
        float last[LANES] __attribute__((aligned(ATTN_VECTOR_BYTES)));
        vf y = load(x + d) * factor;
        store(last, y);
        for (int64_t i = 0; d + i < dim; i++) {
            attn_store_float(type, data, index + d + i, last[i]);
            zero[0] += last[i] - last[i];
        }
    }
    return !any_lane(zero != (vf){ 0 }); /* NaN where something is not finite */
}

static bool store_row(clattn_type type, void *data, int64_t index, const float *x, int64_t dim, float factor) {
    vf f = splat(factor);
    switch (type) {
        case CLATTN_FP16: return store_row_typed(CLATTN_FP16, data, index, x, dim, f);
        case CLATTN_BF16: return store_row_typed(CLATTN_BF16, data, index, x, dim, f);
        default: return store_row_typed(CLATTN_FP32, data, index, x, dim, f);
    }
}

#endif
