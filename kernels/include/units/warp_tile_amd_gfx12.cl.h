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
    const uint4 a = unit_get4(left), b = unit_get4(right);
    (void)w;
#if ATTN_TYPE == 2
    float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(as_short8(a), as_short8(b), unit_get_sums(c));
#else
    float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(as_half8(a), as_half8(b), unit_get_sums(c));
#endif
    unit_put_sums(sum, c);
}
#endif

static inline int tile_column(const warp_tile *w) {
    return w->lane >> 4 << 3;
}

static inline void unit_load_dims(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int base = CHUNK_AT(w->lane & 15, w->lane >> 4);
    unit_put4(UNIT_READ(uint4, rows, base, i * 16, d * 2, 0), words);
}

#define tile_load_query unit_load_dims
#define tile_load_keys unit_load_dims

static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int key = w->lane >> 4 << 3;
#pragma unroll
    for (int m = 0; m < 4; m++) {
        words[m] = unit_values(w, rows, key, i * 16 + 2 * m, i * 16 + 2 * m + 1, d);
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
