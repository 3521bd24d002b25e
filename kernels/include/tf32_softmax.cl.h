// Between the two products of attention_fused_tf32.cl: scores of two parts of the dims added, masked and finished key
// by key, then made weights under a running maximum. Rows and keys are where C fragments have them
// (tf32_tile_nvidia.cl.h).
// Defines: those of attention_fused_tf32.cl. To add a feature of the score: mask.cl.h.
#ifndef ATTN_TF32_SOFTMAX_CL_H
#define ATTN_TF32_SOFTMAX_CL_H

// With SPLIT, warps 2n and 2n + 1 share rows: each shares its scores and, a barrier later, adds those of the other. Both
// have the same sums then. With one stage the barrier is that at which the values are waited for. A tile's four scores
// of a lane lie together; `shared` has 32 of them a tile.
static inline void share_scores(__local float4 *shared, float s[TILES][BLOCK_KEY / 8][4]) {
    if (SPLIT > 1) {
        const int id = tile_here((int)get_local_id(0));
        __local float4 *mine = shared + (id >> 5) * (TILES * BLOCK_KEY * 4) + (id & 31);
#pragma unroll
        for (int n = 0; n < TILES * (BLOCK_KEY / 8); n++) {
            const float *c = s[n / (BLOCK_KEY / 8)][n % (BLOCK_KEY / 8)];
            mine[n * 32] = (float4)(c[0], c[1], c[2], c[3]);
        }
    }
#if SPLIT > 1 && STAGES > 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
}

static inline void add_scores(__local const float4 *shared, float s[TILES][BLOCK_KEY / 8][4]) {
    if (SPLIT > 1) {
        const int id = tile_here((int)get_local_id(0));
        __local const float4 *other = shared + ((id >> 5) ^ 1) * (TILES * BLOCK_KEY * 4) + (id & 31);
#pragma unroll
        for (int n = 0; n < TILES * (BLOCK_KEY / 8); n++) {
            float *c = s[n / (BLOCK_KEY / 8)][n % (BLOCK_KEY / 8)];
            const float4 more = other[n * 32];
            c[0] += more.x, c[1] += more.y, c[2] += more.z, c[3] += more.w;
        }
    }
}

// Masked, and with KEYWISE scaled and all that comes key by key. Without it, blocks inside the open range pass.
static inline void block_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                                 const row_block *g, long first,
                                 float s[TILES][BLOCK_KEY / 8][4]) {
#if !KEYWISE
    if (attn_range_covers(&g->open, first, BLOCK_KEY)) {
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int half_tile = 0; half_tile < 2; half_tile++) {
            const int n = row_number(i, half_tile), last = g->at.rows - 1;
            const long position = ATTN_ROW_POSITION(&g->at, min(n, last));
            const long key = first + (tile_here((int)get_local_id(0)) & 3) * 2;
            const attn_range r = attn_row_range(a, e, position);
            const int begin = (int)clamp(r.begin - key, 0L, (long)BLOCK_KEY);
            const int end = n < g->at.rows ? (int)clamp(r.end - key, 0L, (long)BLOCK_KEY) : 0;
            const int before = ATTN_PREFIX && n < g->at.rows
                                   ? (int)clamp(attn_range_prefix(&r) - key, 0L, (long)BLOCK_KEY) : 0;
#if KEYWISE
            const attn_row row = attn_get_row(a, x, e, g->at.b, ATTN_ROW_HEAD(&g->at, min(n, last)), position);
#endif
#pragma unroll
            for (int j = 0; j < BLOCK_KEY / 4; j++) {
                const int k = j / 2 * 8 + (j & 1);
                float *score = &s[i][j / 2][2 * half_tile + (j & 1)];
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

// Dropout on the weights of a block of keys; a lane has pairs of neighbours.
static inline void block_dropout(const attn_extras *x, const row_block *g, long first,
                                 float s[TILES][BLOCK_KEY / 8][4]) {
#if ATTN_DROPOUT
#pragma unroll
    for (int n = 0; n < TILES * 2; n++) {
        const int row = min(row_number(n / 2, n % 2), g->at.rows - 1);
        const attn_dropout_row dropout =
            attn_get_dropout_row(x, g->at.b, ATTN_ROW_HEAD(&g->at, row), ATTN_ROW_POSITION(&g->at, row));
        const long key = first + (tile_here((int)get_local_id(0)) & 3) * 2;
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 8; j++) {
            float *pair = &s[n / 2][j][n % 2 * 2];
            const int kept = attn_dropout_keeps_two(&dropout, key + j * 8, 1);
            pair[0] = kept & 1 ? pair[0] : 0.0f;
            pair[1] = kept & 2 ? pair[1] : 0.0f;
        }
    }
#endif
}

// Scores to weights; maximum and sum (of this lane's keys) go on. keep: what earlier sums and outputs are worth now.
static inline void block_softmax(const row_block *g, const tf32_tile *w, float s[BLOCK_KEY / 8][4], float *top,
                                 float *sum, float *keep) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float next = top[r], block = 0.0f;
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 8; j++) {
            next = fmax(next, fmax(s[j][2 * r], s[j][2 * r + 1]));
        }
        next = tile_row_max(w, next);
        const float base = softmax_reference(next);
        keep[r] = top[r] == next ? 1.0f : tile_exp2((top[r] - base) * g->factor);
        top[r] = next;
#pragma unroll
        for (int n = 0; n < BLOCK_KEY / 4; n++) {
            float *score = &s[n / 2][2 * r + (n & 1)];
            *score = tile_exp2((*score - base) * g->factor);
            block += *score;
        }
        sum[r] = fma(sum[r], keep[r], block);
    }
}

#endif
