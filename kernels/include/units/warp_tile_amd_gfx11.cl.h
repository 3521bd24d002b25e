// Warp tile, AMD's matrix instructions of RDNA3 (Radeon RX 7000, gfx11): a wave of 32 lanes makes 16 x 16 with
// v_wmma_f32_16x16x16. With g = lane / 16 (AMD, "RDNA3 Instruction Set Architecture", and the "AMD Matrix Instruction
// Calculator"):
//   left 16 x 16: row lane % 16, all columns;  right: column lane % 16, all rows; both in either half of the wave
//   result: column lane % 16, rows g, 2 + g, .., 14 + g
// So the halves of the wave exchange their weights. Compiled, never run on a card; emulated in the tests.
#ifndef ATTN_WARP_TILE_AMD_GFX11_CL_H
#define ATTN_WARP_TILE_AMD_GFX11_CL_H

#if !TILE_EMULATED
static inline void unit_multiply(const warp_tile *w, float *c, const uint *left, const uint *right) {
    const uint8 a = unit_get8(left), b = unit_get8(right);
    (void)w;
#if ATTN_TYPE == 2
    float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(as_short16(a), as_short16(b), unit_get_sums(c));
#else
    float8 sum = __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(as_half16(a), as_half16(b), unit_get_sums(c));
#endif
    UNIT_PIN(sum); // after each product: operands are large here
    unit_put_sums(sum, c);
}
#endif

static inline int tile_column(const warp_tile *w) {
    return w->lane >> 4;
}

static inline void unit_load_dims(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int base = CHUNK_AT(w->lane & 15, 0);
    unit_put4(UNIT_READ(uint4, rows, base, i * 16, d * 2, 0), words);
    unit_put4(UNIT_READ(uint4, rows, base, i * 16, d * 2 + 1, 0), words + 4);
}

#define tile_load_query unit_load_dims
#define tile_load_keys unit_load_dims

// The even keys before the odd ones, as the weights are.
static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
#pragma unroll
    for (int m = 0; m < 8; m++) {
        const int key = i * 16 + m % 4 * 4 + m / 4;
        words[m] = unit_values(w, rows, 0, key, key + 2, d);
    }
}

static inline void tile_weights(const warp_tile *w, uint *words, const float *c) {
    uint mine[4];
    unit_pack(mine, c);
#pragma unroll
    for (int m = 0; m < 4; m++) {
        const uint other = unit_exchange(w, mine[m], 16);
        words[m] = w->lane < 16 ? mine[m] : other;
        words[m + 4] = w->lane < 16 ? other : mine[m];
    }
}

static inline float tile_row_max(const warp_tile *w, float x) {
    return fmax(x, as_float(unit_exchange(w, as_uint(x), 16)));
}

static inline float tile_row_sum(const warp_tile *w, float x) {
    return x + as_float(unit_exchange(w, as_uint(x), 16));
}

#endif
