/*
 * The products of backward, a register tile at a time. Two kinds: tiles of scores, which sum over dims, and tiles of
 * gradients, which sum over rows or keys. Has no guard: the includer defines ATTN_BACKWARD_WIDE anew each time.
 */
#include "engines/cpu/backward/cpu_backward_real.h"

/** One dim of a tile of scores: a[i][n] += row i's number * vector n of the panel. */
INLINE void OF(score_dim)(const REAL *rows, const REAL *panel, VEC a[TILE_ROWS][2]) {
    VEC k0 = *(const VEC *)(const void *)panel, k1 = *(const VEC *)(const void *)(panel + WIDTH);
    UNROLL for (int i = 0; i < TILE_ROWS; i++) {
        VEC q = OF(all)(rows[i * STRIP]);
        a[i][0] += q * k0;
        a[i][1] += q * k1;
    }
}

/** TILE_ROWS rows, in strips `pitch` numbers apart, times a panel [dim][STRIP]. */
INLINE void OF(score_products)(const REAL *rows, int64_t pitch, const REAL *panel, int64_t dim, VEC a[TILE_ROWS][2]) {
    UNROLL for (int i = 0; i < TILE_ROWS; i++) a[i][0] = a[i][1] = (VEC){ 0 };
    for (; dim >= STRIP; dim -= STRIP, rows += pitch) {
        UNROLL_4 for (int d = 0; d < STRIP; d++, panel += STRIP) OF(score_dim)(rows + d, panel, a);
    }
    for (int64_t d = 0; d < dim; d++, panel += STRIP)
        OF(score_dim)(rows + d, panel, a);
}

/**
 * n terms of TILE_ROWS sums in `vectors` vectors of a strip: a[i][c] += weights[i * next_sum + t * next_term] *
 * vector c of the strip's row t.
 */
INLINE void OF(sum_terms)(const int vectors, const REAL *weights, const int64_t next_sum, const int64_t next_term,
                          const REAL *strip, int n, VEC a[TILE_ROWS][2]) {
    UNROLL for (int i = 0; i < TILE_ROWS; i++) a[i][0] = a[i][1] = (VEC){ 0 };
    UNROLL_4 for (int t = 0; t < n; t++, strip += STRIP, weights += next_term) {
        VEC x[2];
        UNROLL for (int c = 0; c < vectors; c++) x[c] = *(const VEC *)(const void *)(strip + c * WIDTH);
        UNROLL for (int i = 0; i < TILE_ROWS; i++) {
            VEC p = OF(all)(weights[i * next_sum]);
            UNROLL for (int c = 0; c < vectors; c++) a[i][c] += p * x[c];
        }
    }
}
