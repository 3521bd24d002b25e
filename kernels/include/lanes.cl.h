// Neighbouring work-items ("lanes") that work on one key, and rows of memory in chunks of 16 bytes. Knows no attention.
// With -DWARP=1 the lanes of a key lie in one warp or wave and need no barrier among themselves: NVIDIA's compilers
// (PTX, compute capability 7.0 and later) and AMD's. With -DWARP=0 they meet at barriers of the work-group, on any
// device. To add a compiler: its branch here.
#ifndef ATTN_LANES_CL_H
#define ATTN_LANES_CL_H

#include "include/types.cl.h"

// What lanes wrote to local memory before it, the other lanes of the key read after it.
#if WARP == 0
#define LANES_SYNC() barrier(CLK_LOCAL_MEM_FENCE)
#elif defined(__AMDGCN__)
#define LANES_SYNC() (mem_fence(CLK_LOCAL_MEM_FENCE), __builtin_amdgcn_wave_barrier())
#else
#ifdef __NV_CL_C_VERSION
#define LANES_ASM asm volatile
#else
#define LANES_ASM __asm__ volatile // clang, for the check without a card
#endif
#define LANES_SYNC() LANES_ASM("bar.warp.sync 0xffffffff;" : : : "memory")
#endif

// Keeps compilers from carrying one address for each load of a loop.
#ifdef LANES_ASM
#define LANES_OPAQUE(pointer) LANES_ASM("" : "+l"(pointer))
#else
#define LANES_OPAQUE(pointer)
#endif

#if ATTN_TYPE == 0
#define CHUNK 4 // elements of a chunk
#else
#define CHUNK 8
#endif

// Two numbers out of one word, the lower half first.
static inline float2 lanes_unpack_pair(uint word) {
#if ATTN_TYPE == 2
    return (float2)(as_float(word << 16), as_float(word & 0xffff0000u));
#elif defined(LANES_ASM)
    float low, high;
    LANES_ASM("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h; }"
              : "=f"(low), "=f"(high)
              : "r"(word));
    return (float2)(low, high);
#else
    return vload_half2(0, (const half *)&word);
#endif
}

static inline void lanes_unpack(uint4 chunk, float *y) {
#if ATTN_TYPE == 0
    y[0] = as_float(chunk.x), y[1] = as_float(chunk.y), y[2] = as_float(chunk.z), y[3] = as_float(chunk.w);
#else
    const float2 a = lanes_unpack_pair(chunk.x), b = lanes_unpack_pair(chunk.y);
    const float2 c = lanes_unpack_pair(chunk.z), d = lanes_unpack_pair(chunk.w);
    y[0] = a.x, y[1] = a.y, y[2] = b.x, y[3] = b.y, y[4] = c.x, y[5] = c.y, y[6] = d.x, y[7] = d.y;
#endif
}

// Rows of one head. aligned: every row begins at a multiple of 16 bytes and is whole chunks long.
typedef struct lanes_rows {
    __global const attn_storage *start;
    long stride;
    int dims, aligned;
} lanes_rows;

static inline lanes_rows lanes_get_rows(__global const attn_storage *start, long stride, long dims) {
    lanes_rows r = { start, stride, (int)dims, 0 };
    const ulong bytes = sizeof(attn_storage);
    r.aligned = (((ulong)(size_t)start | (ulong)stride * bytes | (ulong)dims * bytes) & 15) == 0;
    return r;
}

// The chunk from `column` on of an aligned row, as it lies; zeros, and nothing read, beyond dims.
static inline uint4 lanes_chunk(__global const attn_storage *row, int column, int dims) {
    return column < dims ? *(__global const uint4 *)(row + column) : (uint4)(0u);
}

// The same of any row, element by element and in a loop: slow, but rows that are aligned pay no registers for it.
static inline void lanes_gather(__global const attn_storage *row, int column, int dims, __local uint *to) {
#pragma unroll 1
    for (int n = 0; n < 4; n++) {
        const int at = column + n * (CHUNK / 4);
#if ATTN_TYPE == 0
        to[n] = at < dims ? as_uint(row[at]) : 0u;
#else
        to[n] = (at < dims ? (uint)row[at] : 0u) | (at + 1 < dims ? (uint)row[at + 1] << 16 : 0u);
#endif
    }
}

#endif
