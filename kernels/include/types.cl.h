// Storage against accumulator. A program is built with -DATTN_TYPE=0 (fp32), 1 (fp16) or 2 (bf16), as clattn_type counts;
// sums are always float. Results may have a type of their own: -DATTN_OUTPUT_TYPE=0 (fp32). fp16 goes through
// vload_half/vstore_half, bf16 through ushort and a shift, so no device needs cl_khr_fp16. To add a storage type: a branch
// here, one in tests.
#ifndef ATTN_TYPES_CL_H
#define ATTN_TYPES_CL_H

#ifndef ATTN_TYPE
#define ATTN_TYPE 0
#endif

#if ATTN_TYPE == 0
typedef float attn_storage;
#else
typedef ushort attn_storage; // bits
#endif

// bf16: the upper half of a float. Rounds to nearest, ties to even; NaN stays NaN.
static inline float attn_bf16_to_float(ushort bits) {
    return as_float((uint)bits << 16);
}

static inline ushort attn_bf16_from_float(float x) {
    uint bits = as_uint(x);
    uint rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (ushort)((bits & 0x7fffffffu) > 0x7f800000u ? ((bits >> 16) | 0x0040u) : rounded);
}

#if ATTN_TYPE == 0
#define ATTN_LOAD(p, at) ((p)[at])
#define ATTN_STORE(p, at, x) ((p)[at] = (x))
#elif ATTN_TYPE == 1
#define ATTN_LOAD(p, at) vload_half((size_t)(at), (__global const half *)(p))
#define ATTN_STORE(p, at, x) vstore_half_rte((x), (size_t)(at), (__global half *)(p))
#else
#define ATTN_LOAD(p, at) attn_bf16_to_float((p)[at])
#define ATTN_STORE(p, at, x) ((p)[at] = attn_bf16_from_float(x))
#endif

// N elements from element `at` on, aligned like one element: ATTN_LOADN(16, p, at) is a float16.
#define ATTN_CAT_(a, b) a##b
#define ATTN_CAT(a, b) ATTN_CAT_(a, b)
#if ATTN_TYPE == 0
#define ATTN_LOADN(n, p, at) ATTN_CAT(vload, n)(0, (p) + (at))
#define ATTN_STOREN(n, p, at, x) ATTN_CAT(vstore, n)((x), 0, (p) + (at))
#elif ATTN_TYPE == 1
// vstore_half16 of PoCL 3.1 takes its address for aligned, so vectors are rounded here: to nearest, ties to even.
#define ATTN_LOADN(n, p, at) ATTN_CAT(vload_half, n)(0, (__global const half *)(p) + (at))
#define ATTN_STOREN(n, p, at, x) ATTN_CAT(vstore, n)(ATTN_CAT(attn_half_from_float, n)(x), 0, (p) + (at))
#define ATTN_HALF_FROM_FLOATN(n)                                                                                       \
    static inline ATTN_CAT(ushort, n) ATTN_CAT(attn_half_from_float, n)(ATTN_CAT(float, n) x) {                        \
        ATTN_CAT(uint, n) sign = (ATTN_CAT(as_uint, n)(x) >> 16) & 0x8000u;                                            \
        ATTN_CAT(uint, n) bits = ATTN_CAT(as_uint, n)(x) & 0x7fffffffu;                                                \
        ATTN_CAT(uint, n) normal = (bits + 0xc8000fffu + ((bits >> 13) & 1u)) >> 13;                                   \
        ATTN_CAT(uint, n) small = ATTN_CAT(as_uint, n)(ATTN_CAT(as_float, n)(bits) + 0.5f) - 0x3f000000u;              \
        ATTN_CAT(uint, n) large = select((ATTN_CAT(uint, n))0x7c00u, (ATTN_CAT(uint, n))0x7e00u, bits > 0x7f800000u);  \
        normal = select(select(normal, small, bits < 0x38800000u), large, bits >= 0x47800000u);                        \
        return ATTN_CAT(convert_ushort, n)(sign | normal);                                                             \
    }
ATTN_HALF_FROM_FLOATN(2)
ATTN_HALF_FROM_FLOATN(4)
ATTN_HALF_FROM_FLOATN(8)
ATTN_HALF_FROM_FLOATN(16)
#else
#define ATTN_LOADN(n, p, at) \
    ATTN_CAT(as_float, n)(ATTN_CAT(convert_uint, n)(ATTN_CAT(vload, n)(0, (p) + (at))) << 16)
#define ATTN_STOREN(n, p, at, x) ATTN_CAT(vstore, n)(ATTN_CAT(attn_bf16_from_float, n)(x), 0, (p) + (at))
#define ATTN_BF16_FROM_FLOATN(n)                                                                                       \
    static inline ATTN_CAT(ushort, n) ATTN_CAT(attn_bf16_from_float, n)(ATTN_CAT(float, n) x) {                               \
        ATTN_CAT(uint, n) bits = ATTN_CAT(as_uint, n)(x);                                                              \
        ATTN_CAT(uint, n) rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;                                      \
        ATTN_CAT(uint, n) nan = (bits >> 16) | 0x0040u;                                                                \
        return ATTN_CAT(convert_ushort, n)(select(rounded, nan, (bits & 0x7fffffffu) > 0x7f800000u));                  \
    }
ATTN_BF16_FROM_FLOATN(2)
ATTN_BF16_FROM_FLOATN(4)
ATTN_BF16_FROM_FLOATN(8)
ATTN_BF16_FROM_FLOATN(16)
#endif

// Results: fp32 where the program is built for it, else the storage type.
#if defined(ATTN_OUTPUT_TYPE) && ATTN_OUTPUT_TYPE == 0 && ATTN_TYPE != 0
#define ATTN_WIDE_OUTPUT 1
typedef float attn_output;
#define ATTN_LOAD_OUTPUTN(n, p, at) ATTN_CAT(vload, n)(0, (p) + (at))
#define ATTN_LOAD_OUTPUT(p, at) ((p)[at])
#define ATTN_STORE_OUTPUTN(n, p, at, x) ATTN_CAT(vstore, n)((x), 0, (p) + (at))
#define ATTN_STORE_OUTPUT(p, at, x) ((p)[at] = (x))
#else
#define ATTN_WIDE_OUTPUT 0
typedef attn_storage attn_output;
#define ATTN_LOAD_OUTPUTN ATTN_LOADN
#define ATTN_LOAD_OUTPUT ATTN_LOAD
#define ATTN_STORE_OUTPUTN ATTN_STOREN
#define ATTN_STORE_OUTPUT ATTN_STORE
#endif

#endif
