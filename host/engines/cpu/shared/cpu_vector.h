/*
 * Vectors of floats for the kernels: compiler vectors everywhere, intrinsics only where the compiler does not find the
 * one instruction (maximum, exponential, fp16).
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_VECTOR_H
#define ATTN_ENGINES_CPU_SHARED_CPU_VECTOR_H

#include <stdbool.h>
#include <stdint.h>

#if ATTN_VECTOR_BYTES > 16 || defined(__SSE2__)
#include <immintrin.h>
#endif

#define LANES (ATTN_VECTOR_BYTES / 4)
#if ATTN_VECTOR_BYTES == 64
#define TILE_ROWS 12 /* 12 x 2 accumulators, 2 keys' vectors, 1 broadcast: 27 of 32 registers */
#else
#define TILE_ROWS 6 /* 6 x 2, 2 and 1: 15 of 16 */
#endif
#define TILE_VECTORS 2
#define TILE_KEYS (TILE_VECTORS * LANES)
#define SCORE_PITCH ATTN_CPU_SCORE_PITCH
#define LAZY 8.0f /* sums are rescaled only when the maximum grew by more than this (in log2) */
#define LOG2E 1.44269504088896340736
#define LN2 0.69314718055994530942

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef uint64_t vul __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef uint16_t vh __attribute__((vector_size(ATTN_VECTOR_BYTES / 2)));
typedef float vf_any __attribute__((vector_size(ATTN_VECTOR_BYTES), aligned(4), may_alias)); /* the caller's memory */
typedef uint32_t vu_any __attribute__((vector_size(ATTN_VECTOR_BYTES), aligned(4), may_alias));

#if ATTN_VECTOR_BYTES == 64
#define EACH_LANE 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define EACH_COUNTER 0, 4, 1, 5, 2, 6, 3, 7 /* cpu_dropout.h */
#define EVEN_LONGS 0, 8, 2, 10, 4, 12, 6, 14 /* of two vectors of 64-bit lanes */
#define ODD_LONGS 1, 9, 3, 11, 5, 13, 7, 15
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif ATTN_VECTOR_BYTES == 32
#define EACH_LANE 0, 1, 2, 3, 4, 5, 6, 7
#define EACH_COUNTER 0, 2, 1, 3
#define EVEN_LONGS 0, 4, 2, 6
#define ODD_LONGS 1, 5, 3, 7
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define EACH_LANE 0, 1, 2, 3
#define EACH_COUNTER 0, 1
#define EVEN_LONGS 0, 2
#define ODD_LONGS 1, 3
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#endif

/** Floats in a worker's scratch. */
static inline float *floats_at(char *scratch, int64_t bytes) {
    return (float *)(void *)(scratch + bytes);
}

INLINE vf splat(float x) {
    return x - (vf){ 0 };
}

INLINE vi splat_int(int32_t x) {
    return x - (vi){ 0 };
}

INLINE vi lane_numbers(void) {
    return (vi){ EACH_LANE };
}

INLINE vf load(const float *p) {
    return *(const vf_any *)p;
}

INLINE void store(float *p, vf x) {
    *(vf_any *)p = x;
}

/** Lane by lane yes where mask is -1, no where it is 0. */
INLINE vf choose(vi mask, vf yes, vf no) {
#if ATTN_VECTOR_BYTES == 64
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)no, (__m512)yes);
#elif ATTN_VECTOR_BYTES == 32
    return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
#endif
}

/** The larger of each lane; b when either is NaN. */
INLINE vf vmax(vf a, vf b) {
#if ATTN_VECTOR_BYTES == 64
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif ATTN_VECTOR_BYTES == 32
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return choose(a > b, a, b);
#endif
}

/** The smaller of each lane; b when either is NaN. */
INLINE vf vmin(vf a, vf b) {
#if ATTN_VECTOR_BYTES == 64
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif ATTN_VECTOR_BYTES == 32
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return choose(a < b, a, b);
#endif
}

/**
 * Lets results below 2^-126 become 0 from here on, on this thread; returns what end_flush() takes to undo it. Weights
 * and sums of that size mean nothing beside the row's maximum of 1, but each operation on them costs a hundred cycles.
 */
static inline unsigned start_flush(void) {
#if defined(__SSE2__)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8000u);
    return before;
#else
    return 0;
#endif
}

static inline void end_flush(unsigned before) {
#if defined(__SSE2__)
    _mm_setcsr(before);
#else
    (void)before;
#endif
}

INLINE bool any_lane(vi mask) {
#if ATTN_VECTOR_BYTES == 64
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif ATTN_VECTOR_BYTES == 32
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

INLINE vf interleave_low(vf a, vf b) {
    return __builtin_shufflevector(a, b, LOW_HALVES);
}

INLINE vf interleave_high(vf a, vf b) {
    return __builtin_shufflevector(a, b, HIGH_HALVES);
}

/* Reductions in log2(LANES) steps: a loop over lanes would be a chain of dependent scalar instructions. */
#if ATTN_VECTOR_BYTES == 64
#define FOLD(a, op)                                                                                                    \
    a = op(a, __builtin_shufflevector(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));                    \
    a = op(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));                    \
    a = op(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));                    \
    a = op(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))
#elif ATTN_VECTOR_BYTES == 32
#define FOLD(a, op)                                                                                                    \
    a = op(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));                                                  \
    a = op(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5));                                                  \
    a = op(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6))
#else
#define FOLD(a, op)                                                                                                    \
    a = op(a, __builtin_shufflevector(a, a, 2, 3, 0, 1));                                                              \
    a = op(a, __builtin_shufflevector(a, a, 1, 0, 3, 2))
#endif

INLINE vf plus(vf a, vf b) {
    return a + b;
}

INLINE float lanes_max(vf a) {
    FOLD(a, vmax);
    return a[0];
}

INLINE float lanes_sum(vf a) {
    FOLD(a, plus);
    return a[0];
}

/** LANES x LANES in place: log2(LANES) rounds of perfect interleaves. */
INLINE void transpose(vf *r) {
    UNROLL for (int step = 1; step < LANES; step *= 2) {
        vf t[LANES];
        UNROLL for (int i = 0; i < LANES / 2; i++) {
            t[2 * i] = interleave_low(r[i], r[i + LANES / 2]);
            t[2 * i + 1] = interleave_high(r[i], r[i + LANES / 2]);
        }
        UNROLL for (int i = 0; i < LANES; i++) r[i] = t[i];
    }
}

/** Lane i becomes the sum of the lanes of r[i]: the same network, adding as it goes. */
INLINE vf transposed_sums(vf *r) {
    UNROLL for (int n = LANES / 2; n >= 1; n /= 2) {
        UNROLL for (int i = 0; i < n; i++) {
            r[i] = interleave_low(r[i], r[i + n]) + interleave_high(r[i], r[i + n]);
        }
    }
    return r[0];
}

/**
 * 2^t, relative error 2.6e-7 at most, for t <= 100; NaN at NaN; exactly 0 below -126: denormal weights would be lost in the
 * sum anyway, and cost a hundred cycles each. Coefficients: minimax, degree 5.
 */
INLINE vf power_of_two(vf t) {
#if ATTN_VECTOR_BYTES == 64
    vf f = (vf)_mm512_reduce_ps((__m512)t, 9); /* t - floor(t); 0 at -inf */
    vf p = splat(1.87757667e-3f);
    p = p * f + splat(8.98934009e-3f);
    p = p * f + splat(5.58263181e-2f);
    p = p * f + splat(2.40153617e-1f);
    p = p * f + splat(6.93153073e-1f);
    p = p * f + splat(9.99999925e-1f);
    __mmask16 keep = _mm512_cmp_ps_mask((__m512)t, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
    return (vf)_mm512_maskz_scalef_ps(keep, (__m512)p, (__m512)t);
#else
    vi tiny = t < splat(-126.0f);
    t = vmax(splat(-126.0f), t); /* NaN stays */
    vf z = t + splat(12583039.0f),
       f = t - (z - splat(12583039.0f)); /* the nearest integer + 127 in the low bits of z */
    vf p = splat(1.32764720e-3f);
    p = p * f + splat(9.67554133e-3f);
    p = p * f + splat(5.55071327e-2f);
    p = p * f + splat(2.40221197e-1f);
    p = p * f + splat(6.93146967e-1f);
    p = p * f + splat(1.00000007f);
    p *= (vf)((vu)z << 23); /* by 2^n, not n added to the exponent: that could make a number of NaN */
    return (vf)(~tiny & (vi)p);
#endif
}

/**
 * The same, relative error 7.5e-5: a twentieth of what rounding to bf16 does to a weight afterwards. Below -126 a denormal,
 * which start_flush() makes 0, or 0. Minimax, degree 3.
 */
INLINE vf power_of_two_short(vf t) {
#if ATTN_VECTOR_BYTES == 64
    vf f = (vf)_mm512_reduce_ps((__m512)t, 9);
    vf p = splat(7.80245215e-2f);
    p = p * f + splat(2.26067171e-1f);
    p = p * f + splat(6.95833504e-1f);
    p = p * f + splat(9.99925196e-1f);
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)t);
#else
    return power_of_two(t);
#endif
}

/** A place in the caller's memory, or beyond it: only for prefetches. */
INLINE const char *place_near(const void *p, int64_t bytes) {
    return (const char *)((uintptr_t)p + (uintptr_t)bytes);
}

#endif
