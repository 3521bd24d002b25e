// Matrix units of other makers made of local memory and barriers, one instruction each, with operands and results in
// exactly the lanes and words that the maker documents. Slow; it lets all that surrounds the instruction in the headers
// of the units be tested on any OpenCL 1.2 device. Where an element of a matrix is, as lane and 16-bit half of its words:
//   UNIT_LEFT_LANE, UNIT_LEFT_HALF(row, depth), UNIT_RIGHT_LANE, UNIT_RIGHT_HALF(depth, column), for the lane that asks;
//   UNIT_ROW(lane, n), UNIT_RESULT_COLUMN(lane): what element n of the result of a lane is.
// Every operation must be reached by the whole work-group. To add a unit: its six macros, from its maker's documents.
#ifndef ATTN_WARP_TILE_EMULATED_CL_H
#define ATTN_WARP_TILE_EMULATED_CL_H

#if WARP_TILE_AMD_MFMA // AMD Matrix Instruction Calculator, CDNA3, v_mfma_f32_16x16x16_f16
#define UNIT_LEFT_LANE(lane, row, depth) (16 * ((depth) / 4) + (row))
#define UNIT_LEFT_HALF(row, depth) ((depth) % 4)
#define UNIT_RIGHT_LANE(lane, depth, column) (16 * ((depth) / 4) + (column))
#define UNIT_RIGHT_HALF(depth, column) ((depth) % 4)
#define UNIT_ROW(lane, n) (4 * ((lane) / 16) + (n))
#elif WARP_TILE_AMD_GFX11 // the same, RDNA3, v_wmma_f32_16x16x16_f16; each half of the wave uses its own copy
#define UNIT_LEFT_LANE(lane, row, depth) ((lane) / 16 * 16 + (row))
#define UNIT_LEFT_HALF(row, depth) (depth)
#define UNIT_RIGHT_LANE(lane, depth, column) ((lane) / 16 * 16 + (column))
#define UNIT_RIGHT_HALF(depth, column) (depth)
#define UNIT_ROW(lane, n) (2 * (n) + (lane) / 16)
#elif WARP_TILE_AMD_GFX12 // the same, RDNA4: lanes take turns every four depths
#define UNIT_LEFT_LANE(lane, row, depth) (16 * ((depth) / 4 % 2) + (row))
#define UNIT_LEFT_HALF(row, depth) ((depth) / 8 * 4 + (depth) % 4)
#define UNIT_RIGHT_LANE(lane, depth, column) (16 * ((depth) / 4 % 2) + (column))
#define UNIT_RIGHT_HALF(depth, column) ((depth) / 8 * 4 + (depth) % 4)
#define UNIT_ROW(lane, n) (8 * ((lane) / 16) + (n))
#elif WARP_TILE_INTEL // cl_intel_subgroup_matrix_multiply_accumulate, sub-groups of 16; two products of 8 rows
#define UNIT_LEFT_LANE(lane, row, depth) (depth)
#define UNIT_LEFT_HALF(row, depth) (row)
#define UNIT_RIGHT_LANE(lane, depth, column) (column)
#define UNIT_RIGHT_HALF(depth, column) (depth)
#define UNIT_ROW(lane, n) (n)
#endif
#define UNIT_RESULT_COLUMN(lane) ((lane) % 16)

#define TILE_STATIC 0 // PoCL 3.1 leaves arrays declared in a kernel to all its threads
#define UNIT_LANE_WORDS EMULATED_LANE_WORDS(UNIT_WORDS)
#define TILE_SCRATCH_WORDS (TILE_LANES * UNIT_LANE_WORDS)
#define tile_exp2(x) exp2(x)
#define unit_pack_half(low, high) as_uint(attn_half_from_float2((float2)((low), (high))))

static inline float unit_number(const warp_tile *w, int lane, int at) {
    const uint word = w->scratch[lane * UNIT_LANE_WORDS + at / 2], bits = at % 2 ? word >> 16 : word & 0xffffu;
#if ATTN_TYPE == 2
    return as_float(bits << 16);
#else
    const ushort half_bits = (ushort)bits;
    return vload_half(0, (const half *)&half_bits);
#endif
}

static inline void unit_multiply(const warp_tile *w, float *c, const uint *left, const uint *right) {
    __local uint *mine = w->scratch + w->lane * UNIT_LANE_WORDS;
    const int column = UNIT_RESULT_COLUMN(w->lane);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int m = 0; m < UNIT_WORDS; m++) {
        mine[m] = left[m];
        mine[UNIT_WORDS + m] = right[m];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < TILE_C; n++) {
        const int row = UNIT_ROW(w->lane, n);
        for (int k = 0; k < 16; k++) {
            const float x = unit_number(w, UNIT_LEFT_LANE(w->lane, row, k), UNIT_LEFT_HALF(row, k));
            const float y = unit_number(w, UNIT_RIGHT_LANE(w->lane, k, column),
                                        2 * UNIT_WORDS + UNIT_RIGHT_HALF(k, column));
            c[n] = fma(x, y, c[n]);
        }
    }
}

static inline uint unit_exchange(const warp_tile *w, uint x, int distance) {
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    return w->scratch[w->lane ^ distance];
}

static inline int tile_any(const warp_tile *w, int x) {
    int any = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    w->scratch[w->lane] = (uint)(x != 0);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < TILE_LANES; n++) {
        any |= (int)w->scratch[n];
    }
    return any;
}

#endif
