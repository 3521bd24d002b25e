// TF32 tile, NVIDIA body: PTX for compute capability 8.0 and later. A warp is 32 consecutive work-items of a
// one-dimensional work-group. Both bodies (the other: tf32_tile_portable.cl.h) have the fragments of mma.m16n8k8, with
// g = lane / 4, t = lane % 4 and one number a word:
//   A 16 x 8: a[0] row g, column t;  a[1] row g+8, the same column;  a[2], a[3]: columns 4 further
//   B 8 x 8:  b[0] row t of column g;  b[1] row 4 further
//   C 16 x 8: c[0], c[1] row g, columns 2t and 2t+1;  c[2], c[3] row g+8
// To add a body: these names, chosen in attention_fused_tf32.cl.
#ifndef ATTN_TF32_TILE_NVIDIA_CL_H
#define ATTN_TF32_TILE_NVIDIA_CL_H

// Volatile: NVIDIA's front end may otherwise evaluate the inputs of a whole unrolled run before its first statement.
#ifdef __NV_CL_C_VERSION
#define TILE_ASM asm volatile
#else
#define TILE_ASM __asm__ volatile // clang, for the check without a card
#endif

#define TILE_SCRATCH_WORDS 0 // 32-bit words of local memory that a warp needs for the operations below

typedef struct tf32_tile {
    int lane, warp;
} tf32_tile;

static inline tf32_tile tile_begin(__local uint *scratch) {
    (void)scratch;
    tf32_tile w = { (int)get_local_id(0) & 31, (int)get_local_id(0) >> 5 };
    return w;
}

// big = x to the nearest TF32, small = x - big. As PTX, so that it stays where it is: taken out of the loop over keys,
// the parts of the queries would fill the registers. NaN is not lost: where the addition spoils it, `small` is NaN.
// With one product the rounding is two FMAs, which keep NaN; beyond 2^115 it makes NaN, and so rows to be repaired.
static inline void tile_split(float x, uint *big, uint *small) {
    if (PRODUCTS == 1) {
        TILE_ASM("{ .reg .f32 s; fma.rn.f32 s, %1, 0f46000000, %1; fma.rn.f32 s, %1, 0fC6000000, s; mov.b32 %0, s; }"
                 : "=r"(*big)
                 : "f"(x));
        *small = 0;
        return;
    }
    TILE_ASM("{ .reg .b32 b; .reg .f32 s; mov.b32 b, %2; add.u32 b, b, 0x1000; and.b32 b, b, 0xffffe000;"
             " mov.b32 s, b; sub.f32 s, %2, s; mov.b32 %0, b; mov.b32 %1, s; }"
             : "=r"(*big), "=r"(*small)
             : "f"(x));
}

#define TILE_MMA(c, a, b)                                                                                              \
    TILE_ASM("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "                                                     \
             "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                                   \
             : "+f"((c)[0]), "+f"((c)[1]), "+f"((c)[2]), "+f"((c)[3])                                                  \
             : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))

// main += a_big * b_big; with three products rest += the two mixed ones. The low 13 bits of operands are ignored.
static inline void tile_multiply(const tf32_tile *w, float *main, float *rest, const uint *a_big, const uint *a_small,
                                 const uint *b_big, const uint *b_small) {
    (void)w;
    if (PRODUCTS == 3) {
        TILE_MMA(rest, a_small, b_big);
    }
    TILE_MMA(main, a_big, b_big);
    if (PRODUCTS == 3) {
        TILE_MMA(rest, a_big, b_small);
    }
}

// x, as if it might be another at each call: what depends on it is computed where it is needed, instead of once
// before the loop over keys, in registers that the products need.
static inline int tile_here(int x) {
    TILE_ASM("mov.b32 %0, %0;" : "+r"(x));
    return x;
}

// a + b here and now: compilers like to keep the terms of all sums until the end of an unrolled run.
static inline float tile_add(float a, float b) {
    float r;
    TILE_ASM("add.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}

static inline float tile_exp2(float x) {
    float r;
    TILE_ASM("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

static inline float tile_exchange(float x, int distance) {
    float r;
    TILE_ASM("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(r) : "f"(x), "r"(distance));
    return r;
}

// Over the four lanes that hold one row of C. The maximum ignores NaN.
static inline float tile_row_max(const tf32_tile *w, float x) {
    (void)w;
    x = fmax(x, tile_exchange(x, 1));
    return fmax(x, tile_exchange(x, 2));
}

static inline float tile_row_sum(const tf32_tile *w, float x) {
    (void)w;
    x += tile_exchange(x, 1);
    return x + tile_exchange(x, 2);
}

// 16 bytes from global to local memory, both aligned to 16; zeros, and nothing read, when not ok. They are there after
// tile_commit(), tile_wait() and a barrier. Local memory is an address of its own here; 32 bits of it are enough.
static inline void tile_copy(__local float *to, __global const float *from, int ok) {
    TILE_ASM("cp.async.cg.shared.global [%0], [%1], 16, %2;"
             :
             : "r"((uint)(size_t)to), "l"(from), "r"(ok ? 16 : 0)
             : "memory");
}

// Copies since the last one are a group; tile_wait(n) waits for all groups but the last n.
#define tile_commit() TILE_ASM("cp.async.commit_group;" : : : "memory")
#define tile_wait(n) TILE_ASM("cp.async.wait_group %0;" : : "n"(n) : "memory")

#endif
