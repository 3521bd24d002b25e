// Warp tile, AMD's matrix instructions of RDNA4 (Radeon RX 9000, gfx12): a wave of 32 lanes makes 16 x 16 with
// v_wmma_f32_16x16x16. With g = lane / 16 (AMD, "RDNA4 Instruction Set Architecture", and the "AMD Matrix Instruction
// Calculator"):
//   left 16 x 16: row lane % 16, columns 4g to 4g + 3, then 8 + 4g to 11 + 4g;  right: column lane % 16, rows alike
//   result: column lane % 16, rows 8g to 8g + 7
// A product does not care how its depth is numbered, so operands here hold 8g to 8g + 7, as results do.
// Compiled, never run on a card; emulated in the tests.
#ifndef ATTN_WARP_TILE_AMD_GFX12_CL_H
#define ATTN_WARP_TILE_AMD_GFX12_CL_H

#if !TILE_EMULATED
static inline void unit_multiply(const warp_tile *w, float *c, const uint *left, const uint *right) {
    const uint4 a = vload4(0, left), b = vload4(0, right);
    (void)w;
#if ATTN_TYPE == 2
    const float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(as_short8(a), as_short8(b), vload8(0, c));
#else
    const float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(as_half8(a), as_half8(b), vload8(0, c));
#endif
    vstore8(sum, 0, c);
}
#endif

static inline int tile_column(const warp_tile *w) {
    return w->lane >> 4 << 3;
}

static inline void unit_load_dims(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    vstore4(UNIT_READ(uint4, rows, i * 16 + (w->lane & 15), d * 16 + (w->lane >> 4) * 8), 0, words);
}

#define tile_load_query unit_load_dims
#define tile_load_keys unit_load_dims

static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int key = i * 16 + (w->lane >> 4) * 8, column = d * 16 + (w->lane & 15);
#pragma unroll
    for (int m = 0; m < 4; m++) {
        words[m] = (uint)UNIT_READ(ushort, rows, key + 2 * m, column) |
                   (uint)UNIT_READ(ushort, rows, key + 2 * m + 1, column) << 16;
    }
}

static inline void tile_weights(const warp_tile *w, uint *words, const float *c) {
    (void)w;
    unit_pack(words, c);
}

static inline float tile_row_max(const warp_tile *w, float x) {
    return fmax(x, as_float(unit_exchange(w, as_uint(x), 16)));
}

static inline float tile_row_sum(const warp_tile *w, float x) {
    return x + as_float(unit_exchange(w, as_uint(x), 16));
}

#endif
