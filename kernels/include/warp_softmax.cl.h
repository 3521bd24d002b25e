// Scores of a block of keys, held as warp tiles, between the two products: masked and finished, then made weights, while
// maximum, sum and outputs of the rows go on. Knows no body of the warp tile. Defines: those of attention_fused_mma.cl.
#ifndef ATTN_WARP_SOFTMAX_CL_H
#define ATTN_WARP_SOFTMAX_CL_H

#define DROPOUT_STEP (TILE_RUN >= 4 ? 4 : 2) // elements of a row set that share draws

// Masked, and with KEYWISE scaled and all that comes key by key. Without it, blocks inside the open range pass.
TILE_INLINE void block_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                               const row_block *g, const warp_tile *w, int first, float s[TILES][KEY_TILES][TILE_C]) {
#if !KEYWISE
    if (first >= g->open_begin && first + BLOCK_KEY <= g->open_end) {
        return;
    }
#if ATTN_PREFIX
    if (first + BLOCK_KEY <= g->open_prefix) {
        return;
    }
#endif
#endif
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int set = 0; set < TILE_ROW_SETS; set++) {
            int n = min(row_number(w, i, set), g->at.rows - 1), at = first + tile_column(w);
            TILE_HERE(n);
            const int step = row_step(g, n), begin = step + g->left - at;
            const int end = step < g->used ? min(g->keys, step + g->right) - at : begin;
#if ATTN_PREFIX
            const int before = step < g->used ? min(g->prefix, step + g->prefix_right) - at : 0;
#else
            const int before = 0;
#endif
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
                if ((k < begin || k >= end) && k >= before) {
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

// Dropout on the weights of a block of keys, between their sum and their rounding: 0 where dropped. Neighbours in a row
// share draws.
TILE_INLINE void block_dropout(const attn_extras *x, const row_block *g, const warp_tile *w, int first,
                               float s[TILES][KEY_TILES][TILE_C]) {
#if ATTN_DROPOUT
#pragma unroll
    for (int m = 0; m < TILES * TILE_ROW_SETS; m++) {
        const int i = m / TILE_ROW_SETS, set = m % TILE_ROW_SETS;
        const int n = min(row_number(w, i, set), g->at.rows - 1);
        const attn_dropout_row dropout =
            attn_get_dropout_row(x, g->at.b, ATTN_ROW_HEAD(&g->at, n), ATTN_ROW_POSITION(&g->at, n));
        const long key = g->begin + first + tile_column(w);
#pragma unroll
        for (int e = 0; e < KEY_TILES * TILE_C; e += DROPOUT_STEP) {
            float *weights = &s[i][e / TILE_C][e % TILE_C];
            const long k = key + e / TILE_C * 16 + TILE_COLUMN(e % TILE_C);
            if (TILE_SET(e % TILE_C) != set) {
                continue;
            }
#if DROPOUT_STEP == 4
            const int4 kept = attn_dropout_keeps_four(&dropout, k);
            weights[0] = kept.x ? weights[0] : 0.0f;
            weights[1] = kept.y ? weights[1] : 0.0f;
            weights[2] = kept.z ? weights[2] : 0.0f;
            weights[3] = kept.w ? weights[3] : 0.0f;
#else
            const int kept = attn_dropout_keeps_two(&dropout, k, TILE_COLUMN(1) - TILE_COLUMN(0));
            weights[0] = kept & 1 ? weights[0] : 0.0f;
            weights[1] = kept & 2 ? weights[1] : 0.0f;
#endif
        }
    }
#endif
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
