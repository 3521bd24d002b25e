// Warp tile, portable body: the fragments of warp_tile_m16n8.cl.h, but what lanes exchange goes through local
// memory and barriers. Slow; it lets the kernel above it be tested on any OpenCL 1.2 device, and the fragments with it.
// Every operation with a warp_tile must be reached by the whole work-group.
#ifndef ATTN_WARP_TILE_PORTABLE_CL_H
#define ATTN_WARP_TILE_PORTABLE_CL_H

#define TILE_M16N8 1 // the rest is in warp_tile_m16n8.cl.h
#define TILE_STATIC 0 // PoCL 3.1 leaves arrays declared in a kernel to all its threads
#define TILE_LANE_WORDS PORTABLE_LANE_WORDS
#define TILE_SCRATCH_WORDS (32 * TILE_LANE_WORDS)

typedef struct warp_tile {
    int lane, warp;
    __local uint *scratch; // this warp's own
} warp_tile;

static inline warp_tile tile_begin(__local uint *scratch) {
    const int id = (int)get_local_id(0);
    warp_tile w = { id & 31, id >> 5, scratch + (id >> 5) * TILE_SCRATCH_WORDS };
    return w;
}

static inline float tile_unpack(uint word, int high) {
    const uint bits = high ? word >> 16 : word & 0xffffu;
#if ATTN_TYPE == 2
    return as_float(bits << 16);
#else
    const ushort half_bits = (ushort)bits;
    return vload_half(0, (const half *)&half_bits);
#endif
}

static inline uint tile_pack(float low, float high) {
#if ATTN_TYPE == 2
    return (uint)attn_bf16_from_float(low) | (uint)attn_bf16_from_float(high) << 16;
#else
    const ushort2 bits = attn_half_from_float2((float2)(low, high));
    return (uint)bits.x | (uint)bits.y << 16;
#endif
}

static inline void fragment_load_either(const warp_tile *w, uint *r, __local const ushort *base, int offset,
                                    int transposed) {
    const int g = w->lane >> 2, t = w->lane & 3;
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = (uint)offset;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int m = 0; m < 4; m++) {
        const int first = transposed ? (int)w->scratch[8 * m + 2 * t] + g : (int)w->scratch[8 * m + g] + 2 * t;
        const int second = transposed ? (int)w->scratch[8 * m + 2 * t + 1] + g : first + 1;
        r[m] = (uint)base[first] | (uint)base[second] << 16;
    }
}

static inline void fragment_load(const warp_tile *w, uint *r, __local const ushort *base, int offset) {
    fragment_load_either(w, r, base, offset, 0);
}

static inline void fragment_load_transposed(const warp_tile *w, uint *r, __local const ushort *base, int offset) {
    fragment_load_either(w, r, base, offset, 1);
}

static inline void fragment_multiply(const warp_tile *w, float *c, const uint *a, const uint *b) {
    const int g = w->lane >> 2, t = w->lane & 3;
    __local uint *mine = w->scratch + w->lane * TILE_LANE_WORDS;
    barrier(CLK_LOCAL_MEM_FENCE);
    mine[0] = a[0], mine[1] = a[1], mine[2] = a[2], mine[3] = a[3], mine[4] = b[0], mine[5] = b[1];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int e = 0; e < 4; e++) {
        float sum = c[e];
        for (int k = 0; k < 16; k++) {
            const int from = (k & 7) / 2, far = k >> 3;
            const uint x = w->scratch[(g * 4 + from) * TILE_LANE_WORDS + (e >> 1) + 2 * far];
            const uint y = w->scratch[((2 * t + (e & 1)) * 4 + from) * TILE_LANE_WORDS + 4 + far];
            sum = fma(tile_unpack(x, k & 1), tile_unpack(y, k & 1), sum);
        }
        c[e] = sum;
    }
}

#define tile_exp2(x) exp2(x)

static inline float fragment_exchange(const warp_tile *w, float x, int distance) {
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = as_uint(x);
    barrier(CLK_LOCAL_MEM_FENCE);
    return as_float(w->scratch[w->lane ^ distance]);
}

static inline int tile_any(const warp_tile *w, int x) {
    int any = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = (uint)(x != 0);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < 32; n++) {
        any |= (int)w->scratch[n];
    }
    return any;
}

static inline void tile_copy(__local ushort *to, __global const ushort *from, int ok) {
    vstore8(ok ? vload8(0, from) : (ushort8)(0), 0, to);
}

#define tile_commit()
#define tile_wait(n)

#endif
