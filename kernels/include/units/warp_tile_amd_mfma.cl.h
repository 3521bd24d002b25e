// Warp tile, AMD's matrix cores of CDNA (Instinct MI100 to MI300: gfx908, gfx90a, gfx942): a wave of 64 lanes makes
// 16 x 16 with v_mfma_f32_16x16x16. With g = lane / 16 (AMD, "CDNA3 Instruction Set Architecture", and the "AMD Matrix
// Instruction Calculator"):
//   left 16 x 16: row lane % 16, columns 4g to 4g + 3;  right: column lane % 16, rows 4g to 4g + 3
//   result: column lane % 16, rows 4g to 4g + 3
// gfx908 has it for fp16 only. gfx90a takes denormal numbers for 0, which fp16 cannot afford: bf16 only.
// Compiled, never run on a card; emulated in the tests.
#ifndef ATTN_WARP_TILE_AMD_MFMA_CL_H
#define ATTN_WARP_TILE_AMD_MFMA_CL_H

#if !TILE_EMULATED
static inline void unit_multiply(const warp_tile *w, float *c, const uint *left, const uint *right) {
    const uint2 a = (uint2)(left[0], left[1]), b = (uint2)(right[0], right[1]);
    float4 sum = (float4)(c[0], c[1], c[2], c[3]);
    (void)w;
#if ATTN_TYPE == 2
    sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(as_short4(a), as_short4(b), sum, 0, 0, 0);
#else
    sum = __builtin_amdgcn_mfma_f32_16x16x16f16(as_half4(a), as_half4(b), sum, 0, 0, 0);
#endif
    c[0] = sum.x, c[1] = sum.y, c[2] = sum.z, c[3] = sum.w;
}
#endif

static inline int tile_column(const warp_tile *w) {
    return w->lane >> 4 << 2;
}

// Products do not care in which order dims are summed: two neighbouring tiles of 16 dims share 16-byte reads, the even
// one has the first halves.
static inline void unit_load_dims(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int base = CHUNK_AT(w->lane & 15, w->lane >> 4);
    const uint2 dims = UNIT_READ(uint2, rows, base, i * 16, d / 2 * 4, d % 2 * 4);
    words[0] = dims.x, words[1] = dims.y;
}

#define tile_load_query unit_load_dims
#define tile_load_keys unit_load_dims

static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int key = w->lane >> 4 << 2;
    words[0] = unit_values(w, rows, key, i * 16, i * 16 + 1, d);
    words[1] = unit_values(w, rows, key, i * 16 + 2, i * 16 + 3, d);
}

static inline void tile_weights(const warp_tile *w, uint *words, const float *c) {
    (void)w;
    unit_pack(words, c);
}

static inline float tile_row_max(const warp_tile *w, float x) {
    x = fmax(x, as_float(unit_exchange(w, as_uint(x), 16)));
    return fmax(x, as_float(unit_exchange(w, as_uint(x), 32)));
}

static inline float tile_row_sum(const warp_tile *w, float x) {
    x += as_float(unit_exchange(w, as_uint(x), 16));
    return x + as_float(unit_exchange(w, as_uint(x), 32));
}

#endif
