// Warp tile, NVIDIA body: PTX for compute capability 8.0 and later. A warp is 32 consecutive work-items of a
// one-dimensional work-group. Only instructions are here; the fragments are those of warp_tile_m16n8.cl.h.
#ifndef ATTN_WARP_TILE_NVIDIA_CL_H
#define ATTN_WARP_TILE_NVIDIA_CL_H

// Volatile: NVIDIA's front end may otherwise evaluate the inputs of a whole unrolled run before its first statement.
#ifdef __NV_CL_C_VERSION
#define TILE_ASM asm volatile
#else
#define TILE_ASM __asm__ volatile // clang, for the check without a card
#endif

#define TILE_HERE(x) TILE_ASM("" : "+r"(x))
#define TILE_M16N8 1 // the rest is in warp_tile_m16n8.cl.h
#define TILE_STATIC 1 // only a static array may grow beyond what the driver reports
#define TILE_SCRATCH_WORDS 0

typedef struct warp_tile {
    int lane, warp;
} warp_tile;

static inline warp_tile tile_begin(__local uint *scratch) {
    (void)scratch;
    warp_tile w = { (int)get_local_id(0) & 31, (int)get_local_id(0) >> 5 };
    return w;
}

// Local memory is an address of its own here; 32 bits of it are enough and save registers.
#define TILE_ADDRESS(p) ((uint)(size_t)(p))

#define TILE_LOAD(FORM)                                                                                                \
    TILE_ASM("ldmatrix.sync.aligned.m8n8.x4" FORM ".shared.b16 {%0,%1,%2,%3}, [%4];"                                   \
             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                                                          \
             : "r"(TILE_ADDRESS(base) + 2u * (uint)offset)                                                             \
             : "memory")

// Four 8 x 8 matrices of local memory; lane i names row i % 8 of matrix i / 8, `offset` elements from base.
static inline void fragment_load(const warp_tile *w, uint *r, __local const ushort *base, int offset) {
    (void)w;
    TILE_LOAD("");
}

// The same, each matrix transposed.
static inline void fragment_load_transposed(const warp_tile *w, uint *r, __local const ushort *base, int offset) {
    (void)w;
    TILE_LOAD(".trans");
}

#if ATTN_TYPE == 2
#define TILE_MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#define TILE_CONVERT "cvt.rn.bf16x2.f32 "
#else
#define TILE_MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#define TILE_CONVERT "cvt.rn.f16x2.f32 "
#endif

// c += a * b
static inline void fragment_multiply(const warp_tile *w, float *c, const uint *a, const uint *b) {
    (void)w;
    TILE_ASM(TILE_MMA "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
             : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The x of the lane whose number differs in the bit `distance`.
static inline float fragment_exchange(const warp_tile *w, float x, int distance) {
    float r;
    (void)w;
    TILE_ASM("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(r) : "f"(x), "r"(distance));
    return r;
}

// To nearest, ties to even.
static inline uint tile_pack(float low, float high) {
    uint r;
    TILE_ASM(TILE_CONVERT "%0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

static inline float tile_exp2(float x) {
    float r;
    TILE_ASM("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

static inline int tile_any(const warp_tile *w, int x) {
    int r;
    (void)w;
    TILE_ASM("{ .reg .pred p; setp.ne.s32 p, %1, 0; vote.sync.any.pred p, p, 0xffffffff; selp.s32 %0, 1, 0, p; }"
             : "=r"(r)
             : "r"(x));
    return r;
}

static inline void tile_copy(__local ushort *to, __global const ushort *from, int ok) {
    TILE_ASM("cp.async.cg.shared.global [%0], [%1], 16, %2;"
             :
             : "r"(TILE_ADDRESS(to)), "l"(from), "r"(ok ? 16 : 0)
             : "memory");
}

#define tile_commit() TILE_ASM("cp.async.commit_group;" : : : "memory")
#define tile_wait(n) TILE_ASM("cp.async.wait_group %0;" : : "n"(n) : "memory")

#endif
