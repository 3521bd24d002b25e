// Warp tile, Intel's matrix engines with sub-groups of 16 (Data Center GPU Max, Arc B, Core Ultra 200V): two products of
// 8 x 16 x 16 of the extension cl_intel_subgroup_matrix_multiply_accumulate (its text, revision 1.1.0) make 16 x 16:
//   left 8 x 16: column lane, all rows;  right 16 x 16: column lane, all rows;  result: column lane, all rows
// So a lane holds a whole row of attention, and nothing is exchanged. Compiled, never run on a card; emulated in the tests.
#ifndef ATTN_WARP_TILE_INTEL_CL_H
#define ATTN_WARP_TILE_INTEL_CL_H

#if !TILE_EMULATED
#define TILE_KERNEL __attribute__((intel_reqd_sub_group_size(16)))

#if ATTN_TYPE == 2
#define UNIT_PRODUCT intel_sub_group_bf16_bf16_matrix_mad_k16
#else
#define UNIT_PRODUCT intel_sub_group_f16_f16_matrix_mad_k16
#endif

static inline void unit_multiply(const warp_tile *w, float *c, const uint *left, const uint *right) {
    const int8 b = as_int8(unit_get8(right));
    (void)w;
    unit_put_sums(UNIT_PRODUCT(as_short8(unit_get4(left)), b, unit_get_sums(c)), c);
    unit_put_sums(UNIT_PRODUCT(as_short8(unit_get4(left + 4)), b, unit_get_sums(c + 8)), c + 8);
}
#endif

static inline int tile_column(const warp_tile *w) {
    (void)w;
    return 0;
}

// Two neighbouring tiles of 16 dims share reads of pairs; the even one has the first of each.
static inline void tile_load_query(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
#pragma unroll
    for (int m = 0; m < 4; m++) {
        const uint4 pairs = UNIT_READ(uint4, rows, CHUNK_AT(w->lane, 0), i * 16, d / 2 * 4 + m, 0);
        words[2 * m] = unit_join(pairs.x, pairs.y, d % 2);
        words[2 * m + 1] = unit_join(pairs.z, pairs.w, d % 2);
    }
}

static inline void tile_load_keys(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int base = CHUNK_AT(0, w->lane / 4) + w->lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 8; m++) {
        words[m] = unit_join(UNIT_READ(uint, rows, base, i * 16 + 2 * m, d / 2 * 4, 0),
                             UNIT_READ(uint, rows, base, i * 16 + 2 * m + 1, d / 2 * 4, 0), d % 2);
    }
}

static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int base = CHUNK_AT(w->lane, 0);
    unit_put4(UNIT_READ(uint4, rows, base, i * 16, d * 2, 0), words);
    unit_put4(UNIT_READ(uint4, rows, base, i * 16, d * 2 + 1, 0), words + 4);
}

static inline void tile_weights(const warp_tile *w, uint *words, const float *c) {
    (void)w;
    unit_pack(words, c);
}

#define tile_row_max(w, x) (x)
#define tile_row_sum(w, x) (x)

#endif
