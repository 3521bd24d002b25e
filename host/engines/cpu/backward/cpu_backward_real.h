/*
 * The arithmetic of backward's kernels: floats, or doubles where ATTN_BACKWARD_WIDE is 1. Has no guard: the includer
 * defines ATTN_BACKWARD_WIDE anew each time.
 */
#include "engines/cpu/backward/cpu_backward_job.h"
#include "engines/cpu/fp64/cpu_double.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_vector.h"

#undef REAL
#undef VEC
#undef VEC_ANY
#undef WIDTH
#undef OF
#undef LOG_UNIT
#if ATTN_BACKWARD_WIDE
#define REAL double
#define VEC vd
#define VEC_ANY vd_any
#define WIDTH DOUBLES
#define OF(name) name##_in_double
#define LOG_UNIT 1.0 /* scores are natural */
#else
#define REAL float
#define VEC vf
#define VEC_ANY vf_any
#define WIDTH LANES
#define OF(name) name##_in_single
#define LOG_UNIT ((float)LOG2E) /* scores are times log2(e) */
#endif
#define STRIP (2 * WIDTH)

INLINE VEC OF(get)(const REAL *p) {
    return *(const VEC_ANY *)p;
}

INLINE void OF(put)(REAL *p, VEC x) {
    *(VEC_ANY *)p = x;
}

INLINE VEC OF(all)(REAL x) {
    return x - (VEC){ 0 };
}

/** Without its sign. */
INLINE VEC OF(size)(VEC x) {
#if ATTN_BACKWARD_WIDE
    return (VEC)((vl)x & ((vl){ 0 } + INT64_MAX));
#else
    return (VEC)((vi)x & splat_int(INT32_MAX));
#endif
}

/** WIDTH elements from `index` on, n of which exist; the rest 0. */
INLINE VEC OF(get_typed)(const clattn_type type, const void *data, int64_t index, int64_t n) {
#if ATTN_BACKWARD_WIDE
    const double *from = (const double *)data + index;
    VEC x = { 0 };
    (void)type;
    if (n >= WIDTH)
        return OF(get)(from);
    for (int64_t i = 0; i < n; i++)
        x[i] = from[i];
    return x;
#else
    return load_up_to(type, data, index, n);
#endif
}

/** The exponential of a score minus logsumexp; Inf near the largest number, which the careful path finds. */
INLINE VEC OF(exponential)(VEC x) {
#if ATTN_BACKWARD_WIDE
    vl large = x > OF(all)(700);
    return (VEC)((large & (vl)OF(all)(INFINITY)) | (~large & (vl)exponential_double(x)));
#else
    return power_of_two(vmin(splat(128.0f), x));
#endif
}

/** Whether x is finite in all lanes. */
INLINE bool OF(is_finite)(VEC x) {
    VEC zero = x - x;
#if ATTN_BACKWARD_WIDE
    double sum = 0;
    for (int i = 0; i < WIDTH; i++)
        sum += zero[i];
    return sum == 0;
#else
    return !any_lane(zero != (VEC){ 0 });
#endif
}
