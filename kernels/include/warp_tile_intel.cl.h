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
    const int8 b = as_int8(vload8(0, right));
    (void)w;
    vstore8(UNIT_PRODUCT(as_short8(vload4(0, left)), b, vload8(0, c)), 0, c);
    vstore8(UNIT_PRODUCT(as_short8(vload4(1, left)), b, vload8(1, c)), 1, c);
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
        const uint4 pairs = UNIT_READ(uint4, rows, i * 16 + w->lane, d / 2 * 32 + 8 * m);
        words[2 * m] = unit_join(pairs.x, pairs.y, d % 2);
        words[2 * m + 1] = unit_join(pairs.z, pairs.w, d % 2);
    }
}

static inline void tile_load_keys(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    const int column = d / 2 * 32 + 2 * w->lane;
#pragma unroll
    for (int m = 0; m < 8; m++) {
        words[m] = unit_join(UNIT_READ(uint, rows, i * 16 + 2 * m, column),
                             UNIT_READ(uint, rows, i * 16 + 2 * m + 1, column), d % 2);
    }
}

static inline void tile_load_values(const warp_tile *w, uint *words, __local const ushort *rows, int i, int d) {
    vstore4(UNIT_READ(uint4, rows, i * 16 + w->lane, d * 16), 0, words);
    vstore4(UNIT_READ(uint4, rows, i * 16 + w->lane, d * 16 + 8), 1, words);
}

static inline void tile_weights(const warp_tile *w, uint *words, const float *c) {
    (void)w;
    unit_pack(words, c);
}

#define tile_row_max(w, x) (x)
#define tile_row_sum(w, x) (x)

#endif
