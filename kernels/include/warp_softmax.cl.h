// Scores of a block of keys, held as warp tiles, between the two products: masked and finished, then made weights, while
// maximum, sum and outputs of the rows go on. Knows no body of the warp tile. Defines: those of attention_fused_mma.cl.
#ifndef ATTN_WARP_SOFTMAX_CL_H
#define ATTN_WARP_SOFTMAX_CL_H

// Masked, and with KEYWISE scaled and all that comes key by key. Without it, blocks inside the open range pass.
TILE_INLINE void block_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                               const row_block *g, const warp_tile *w, int first, float s[TILES][KEY_TILES][TILE_C]) {
#if !KEYWISE
    if (first >= g->open_begin && first + BLOCK_KEY <= g->open_end) {
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int set = 0; set < TILE_ROW_SETS; set++) {
            int n = min(row_number(w, i, set), g->at.rows - 1), at = first + tile_column(w);
            TILE_HERE(n);
            const int step = row_step(g, n), begin = step + g->left - at;
            const int end = step < g->used ? min(g->keys, step + g->right) - at : begin;
#if KEYWISE
            const attn_row row = attn_get_row(a, x, e, g->at.b, ATTN_ROW_HEAD(&g->at, n), ATTN_ROW_POSITION(&g->at, n));
            const long key = g->begin + at;
#endif
#pragma unroll
            for (int m = 0; m < KEY_TILES * TILE_C; m++) {
                const int k = m / TILE_C * 16 + TILE_COLUMN(m % TILE_C);
                float *score = &s[i][m / TILE_C][m % TILE_C];
                if (TILE_SET(m % TILE_C) != set) {
                    continue;
                }
                if (k < begin || k >= end) {
                    *score = -INFINITY;
                }
#if KEYWISE
                else {
                    *score = attn_score_step(a, x, &row, key + k, *score * a->scale);
                }
#endif
            }
        }
    }
}

// The maximum of the rows of a tile goes on to `next`; sums and outputs are worth less by that.
TILE_INLINE void rescale_rows(const row_block *g, const float *next, float *top, float *sum,
                              float output[DIM_TILES][TILE_C]) {
#pragma unroll
    for (int r = 0; r < TILE_ROW_SETS; r++) {
        const float keep =
            top[r] == next[r] ? 1.0f : tile_exp2((top[r] - softmax_reference(next[r])) * g->factor);
        top[r] = next[r];
        sum[r] *= keep;
#pragma unroll
        for (int m = 0; m < DIM_TILES * TILE_C; m++) {
            if (TILE_SET(m % TILE_C) == r) {
                output[m / TILE_C][m % TILE_C] *= keep;
            }
        }
    }
}

// Scores to weights; maximum and sum (of this lane's keys) go on.
TILE_INLINE void block_softmax(const row_block *g, const warp_tile *w, float s[KEY_TILES][TILE_C], float *top,
                               float *sum, float output[DIM_TILES][TILE_C]) {
    float next[TILE_ROW_SETS], growth = 0.0f;
#pragma unroll
    for (int r = 0; r < TILE_ROW_SETS; r++) {
        next[r] = top[r];
#pragma unroll
        for (int m = 0; m < KEY_TILES * TILE_C; m++) {
            if (TILE_SET(m % TILE_C) == r) {
                next[r] = fmax(next[r], s[m / TILE_C][m % TILE_C]);
            }
        }
        next[r] = tile_row_max(w, next[r]);
        growth = fmax(growth, next[r] - top[r]);
    }
#if LAZY
    if (tile_any(w, growth * g->factor > 8.0f))
#endif
    {
        rescale_rows(g, next, top, sum, output);
    }
#pragma unroll
    for (int r = 0; r < TILE_ROW_SETS; r++) {
        const float base = softmax_reference(top[r]), shift = base * g->factor;
#pragma unroll
        for (int m = 0; m < KEY_TILES * TILE_C; m++) {
            float *score = &s[m / TILE_C][m % TILE_C];
            if (TILE_SET(m % TILE_C) == r) {
                *score = tile_exp2(KEYWISE ? (*score - base) * g->factor : fma(*score, g->factor, -shift));
                sum[r] += *score;
            }
        }
    }
}

#endif
