// Types of gradients: fp32 where storage has 16 bits, if a program is built with -DATTN_GRADIENT_FP32=1. They are written
// or, in fp32, added to what is there.
#ifndef ATTN_GRADIENT_TYPES_CL_H
#define ATTN_GRADIENT_TYPES_CL_H

#include "include/types.cl.h"

#ifndef ATTN_GRADIENT_FP32
#define ATTN_GRADIENT_FP32 (ATTN_TYPE == 0)
#endif

#if ATTN_GRADIENT_FP32
typedef float attn_gradient;
#else
typedef attn_storage attn_gradient;
#endif

// One element of a gradient of fp32, or of the storage type, which is never added to.
static inline void gradient_put(__global void *to, long at, float x, int is_fp32, int add) {
    if (is_fp32) {
        __global float *place = (__global float *)to + at;
        *place = add ? *place + x : x;
    } else {
        ATTN_STORE((__global attn_storage *)to, at, x);
    }
}

// Elements of a row from `at` on: four, or the `count` that there are. Short, since it stands in unrolled loops.
static inline void gradient_put4(__global attn_gradient *to, long at, float4 y, int count, int add) {
#if ATTN_GRADIENT_FP32
    typedef float4 vector;
    if (add) {
        if (count > 0) y.x += to[at];
        if (count > 1) y.y += to[at + 1];
        if (count > 2) y.z += to[at + 2];
        if (count > 3) y.w += to[at + 3];
    }
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
