// Fused attention on matrix units, fp16 and bf16: a work-group makes BLOCK_QUERY rows of one head and walks over the
// keys in blocks of BLOCK_KEY. A warp holds its rows' queries, scores and outputs in the fragments of a warp tile; two
// tiles of scores, rounded, are one tile of weights, so weights never leave registers. Keys and values wait in local
// memory in the storage type, STAGES blocks of them; one pass, running maximum and sum (of weights not yet rounded).
// Which instructions make a tile is the business of warp_tile_*.cl.h.
// Defines: BLOCK_QUERY, BLOCK_KEY, WARPS, STAGES (1 to 3), DIM (head_dim and value_dim rounded up: 64 or 128),
// KEYWISE (1: softcap, bias, ALiBi, a mask, or a scale that is not positive; 0: key ranges only, and scores stay
// unscaled until the maximum is subtracted), LAZY (1: sums are rescaled only when a maximum has grown by more than 2^8),
// WARP_TILE_NVIDIA (0 or 1).
#define THREADS (WARPS * 32)
#define TILES (BLOCK_QUERY / (16 * WARPS)) // 16-row tiles of a warp
#define CHUNKS (DIM / 8)                   // a chunk is 16 bytes of a row
#define PASS (THREADS / CHUNKS)            // rows that all work-items copy at once
#define BLOCK_SIZE (BLOCK_KEY * DIM)
#define AHEAD (STAGES > 1 ? STAGES - 1 : 1) // blocks of keys that are asked for before they are needed
#include "include/arguments.cl.h"
#include "include/index.cl.h"
#include "include/types.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"
#if WARP_TILE_NVIDIA
#include "include/warp_tile_nvidia.cl.h"
#else
#include "include/warp_tile_portable.cl.h"
#endif

#if BLOCK_QUERY % (16 * WARPS) || BLOCK_KEY % 16 || BLOCK_KEY % PASS || ATTN_TYPE == 0
#error "this block does not divide among the warps, or the type has no tile"
#endif

#include "include/warp_rows.cl.h"

// s = the warp's rows of query . BLOCK_KEY keys
static inline void block_scores(const warp_tile *w, uint q[TILES][DIM / 16][4], __local const ushort *keys,
                                float s[TILES][BLOCK_KEY / 8][4]) {
    const int at = CHUNK_AT((w->lane & 7) + ((w->lane >> 4) << 3), (w->lane >> 3) & 1);
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 8; j++) {
            s[i][j][0] = s[i][j][1] = s[i][j][2] = s[i][j][3] = 0.0f;
        }
    }
#pragma unroll
    for (int d = 0; d < DIM / 16; d++) {
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 16; j++) {
            uint b[4];
            tile_load(w, b, keys, (at ^ (d * 16)) + j * 16 * DIM);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                tile_multiply(w, s[i][2 * j], q[i][d], b[0], b[1]);
                tile_multiply(w, s[i][2 * j + 1], q[i][d], b[2], b[3]);
            }
        }
    }
}

// Masked, and with KEYWISE scaled and all that comes key by key. Without it, blocks inside the open range pass.
static inline void block_keywise(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                                 const row_block *g, const warp_tile *w, long first,
                                 float s[TILES][BLOCK_KEY / 8][4]) {
#if !KEYWISE
    if (first >= g->open.begin && first + BLOCK_KEY <= g->open.end) {
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int half_tile = 0; half_tile < 2; half_tile++) {
            const int n = (w->warp * TILES + i) * 16 + (w->lane >> 2) + 8 * half_tile;
            const long position = g->first + min(n, g->rows - 1), key = first + (w->lane & 3) * 2;
            const attn_range r = attn_row_range(a, e, position);
            const int begin = (int)clamp(r.begin - key, 0L, (long)BLOCK_KEY);
            const int end = n < g->rows ? (int)clamp(r.end - key, 0L, (long)BLOCK_KEY) : 0;
#if KEYWISE
            const attn_row row = attn_get_row(a, x, e, g->b, g->h, position);
#endif
#pragma unroll
            for (int j = 0; j < BLOCK_KEY / 4; j++) {
                const int k = j / 2 * 8 + (j & 1);
                float *score = &s[i][j / 2][2 * half_tile + (j & 1)];
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

// The maximum of two rows of a tile goes on to `next`; sums and outputs are worth less by that.
static inline void rescale_rows(const row_block *g, const float *next, float *top, float *sum,
                                float output[DIM / 8][4]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float keep =
            top[r] == next[r] ? 1.0f : tile_exp2((top[r] - softmax_reference(next[r])) * g->factor);
        top[r] = next[r];
        sum[r] *= keep;
#pragma unroll
        for (int c = 0; c < DIM / 8; c++) {
            output[c][2 * r] *= keep;
            output[c][2 * r + 1] *= keep;
        }
    }
}

// Scores to weights; maximum and sum (of this lane's keys) go on.
static inline void block_softmax(const row_block *g, const warp_tile *w, float s[BLOCK_KEY / 8][4], float *top,
                                 float *sum, float output[DIM / 8][4]) {
    float next[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        next[r] = top[r];
#pragma unroll
        for (int j = 0; j < BLOCK_KEY / 8; j++) {
            next[r] = fmax(next[r], fmax(s[j][2 * r], s[j][2 * r + 1]));
        }
        next[r] = tile_row_max(w, next[r]);
    }
#if LAZY
    if (tile_any(w, fmax(next[0] - top[0], next[1] - top[1]) * g->factor > 8.0f))
#endif
    {
        rescale_rows(g, next, top, sum, output);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float base = softmax_reference(top[r]), shift = base * g->factor;
#pragma unroll
        for (int n = 0; n < BLOCK_KEY / 4; n++) {
            float *score = &s[n / 2][2 * r + (n & 1)];
            *score = tile_exp2(KEYWISE ? (*score - base) * g->factor : fma(*score, g->factor, -shift));
            sum[r] += *score;
        }
    }
}

// output += weights * values. Two neighbouring score tiles, rounded, are one tile of weights.
static inline void block_values(const warp_tile *w, float s[TILES][BLOCK_KEY / 8][4], __local const ushort *values,
                                float output[TILES][DIM / 8][4]) {
    const int at = CHUNK_AT(w->lane & 15, w->lane >> 4);
#pragma unroll
    for (int k = 0; k < BLOCK_KEY / 16; k++) {
        uint p[TILES][4];
#pragma unroll
        for (int i = 0; i < TILES; i++) {
#pragma unroll
            for (int n = 0; n < 4; n++) {
                p[i][n] = tile_pack(s[i][2 * k + n / 2][2 * (n & 1)], s[i][2 * k + n / 2][2 * (n & 1) + 1]);
            }
        }
#pragma unroll
        for (int c = 0; c < DIM / 16; c++) {
            uint b[4];
            tile_load_transposed(w, b, values, (at ^ (c * 16)) + k * 16 * DIM);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                tile_multiply(w, output[i][2 * c], p[i], b[0], b[1]);
                tile_multiply(w, output[i][2 * c + 1], p[i], b[2], b[3]);
            }
        }
    }
}

static inline row_block get_block(const attn_arguments *a, const attn_entry *e, long group, long row_blocks) {
    row_block g;
    const long head = group / row_blocks;
    g.b = head / a->query_heads;
    g.h = head % a->query_heads;
    g.first =
        (row_blocks - 1 - group % row_blocks) * BLOCK_QUERY; // the last rows first: the longest under a causal rule
    g.rows = (int)min((long)BLOCK_QUERY, a->query_length - g.first);
    g.factor = KEYWISE ? LOG2_E : a->scale * LOG2_E;
    g.visit = attn_rows_range(a, e, g.first, g.first + g.rows - 1);
    g.open = attn_rows_common_range(a, e, g.first, g.first + g.rows - 1);
    return g;
}

static inline void clear_rows(float top[TILES][2], float sum[TILES][2], float output[TILES][DIM / 8][4]) {
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        top[i][0] = top[i][1] = -INFINITY;
        sum[i][0] = sum[i][1] = 0.0f;
#pragma unroll
        for (int c = 0; c < DIM / 8; c++) {
            output[i][c][0] = output[i][c][1] = output[i][c][2] = output[i][c][3] = 0.0f;
        }
    }
}

// Asks for the block of keys from `next` on, if there is one, and for its values (with one stage they are asked for
// later, while the scores are made). A commit without copies keeps the count of groups
// right.
static inline long fetch_block(__local ushort *keys, __local ushort *values, const source_rows *key_rows,
                               const source_rows *value_rows, const row_block *g, long next, long key_length) {
    if (next < g->visit.end) {
        copy_rows(keys, key_rows, next, key_length);
#if STAGES > 1
        copy_rows(values, value_rows, next, key_length);
#endif
    }
    tile_commit();
    return next + BLOCK_KEY;
}

// Local memory is an argument (PoCL 3.1 leaves arrays declared here to all its threads), but static on NVIDIA, where
// only a static array may grow beyond what the driver tells.
#if WARP_TILE_NVIDIA
#define MEMORY_PARAMETER
#define MEMORY_DECLARED __local uint4 memory[2 * STAGES * BLOCK_SIZE / 8];
#else
#define MEMORY_PARAMETER , __local uint4 *memory
#define MEMORY_DECLARED
#endif

__kernel __attribute__((reqd_work_group_size(THREADS, 1, 1)))
void attention_fused_mma(attn_arguments a, long first_group, long row_blocks, ATTN_EXTRAS_PARAMETERS,
                         __global const ushort *restrict query, __global const ushort *restrict key,
                         __global const ushort *restrict value, __global ushort *restrict output_memory,
                         __global float *restrict logsumexp MEMORY_PARAMETER) {
    MEMORY_DECLARED
    __local ushort *keys = (__local ushort *)memory, *values = keys + STAGES * BLOCK_SIZE;
    const warp_tile w = tile_begin((__local uint *)(values + STAGES * BLOCK_SIZE));
    const attn_extras x = ATTN_EXTRAS;
    const long group = first_group + get_group_id(0);
    const attn_entry e = attn_get_entry(&a, &x, group / row_blocks / a.query_heads);
    const row_block g = get_block(&a, &e, group, row_blocks);
    const source_rows key_rows = get_source(key, &a.key, g.b, g.h / a.group, a.head_dim);
    const source_rows value_rows = get_source(value, &a.value, g.b, g.h / a.group, a.value_dim);

    uint q[TILES][DIM / 16][4];
    float s[TILES][BLOCK_KEY / 8][4], output[TILES][DIM / 8][4], top[TILES][2], sum[TILES][2];
    load_query(&a, &g, &w, query, q);
    clear_rows(top, sum, output);
    long first = g.visit.begin / BLOCK_KEY * BLOCK_KEY, next = first; // next: the first key not yet asked for
    int stage = 0;
#pragma unroll
    for (int n = 0; n < AHEAD; n++) {
        next = fetch_block(keys + n * BLOCK_SIZE, values + n * BLOCK_SIZE, &key_rows, &value_rows, &g, next,
                           e.key_length);
    }
    for (; first < g.visit.end; first += BLOCK_KEY) {
        const int now = stage * BLOCK_SIZE, slot = (stage + AHEAD) % STAGES * BLOCK_SIZE;
        tile_wait(AHEAD - 1);
        barrier(CLK_LOCAL_MEM_FENCE); // this block is here, and nobody needs the one before
#if STAGES > 1
        next = fetch_block(keys + slot, values + slot, &key_rows, &value_rows, &g, next, e.key_length);
        block_scores(&w, q, keys + now, s);
#else
        copy_rows(values, &value_rows, first, e.key_length);
        tile_commit();
        block_scores(&w, q, keys, s);
        tile_wait(0);
        barrier(CLK_LOCAL_MEM_FENCE); // its values are here, and nobody needs its keys
        next = fetch_block(keys, values, &key_rows, &value_rows, &g, next, e.key_length);
#endif
        block_keywise(&a, &x, &e, &g, &w, first, s);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            block_softmax(&g, &w, s[i], top[i], sum[i], output[i]);
        }
        block_values(&w, s, values + now, output);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
#pragma unroll
    for (int i = 0; i < TILES; i++) {
        sum[i][0] = tile_row_sum(&w, sum[i][0]);
        sum[i][1] = tile_row_sum(&w, sum[i][1]);
        store_rows(&a, &x, &g, &w, i, top[i], sum[i], output[i], output_memory, logsumexp);
    }
}
