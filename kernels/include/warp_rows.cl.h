// Rows between memory and the fragments of a warp tile: keys and values to local memory, queries to A fragments,
// outputs from C fragments. Any strides; 16 bytes at a time where rows are aligned, element by element elsewhere.
// Defines: those of attention_fused_mma.cl.
#ifndef ATTN_WARP_ROWS_CL_H
#define ATTN_WARP_ROWS_CL_H

// Element 0 of chunk c of row r in local memory. Rows lie dense; their chunks are permuted by the low bits of the row,
// so that eight rows of one column lie in different banks. For even d and r, c below 2:
// CHUNK_AT(r, c + d) = CHUNK_AT(r, c) ^ (8 * d), so that one offset a lane is enough.
#define CHUNK_AT(r, c) (((r) * CHUNKS + ((c) ^ ((r) & 7))) * 8)

// The rows of this work-group, and what does not change from block to block.
typedef struct row_block {
    long b, h, first;
    int rows;
    float factor; // of a difference of scores, to the exponent of 2
    attn_range visit, open;
} row_block;

// Key or value rows of one head, as they lie in global memory.
typedef struct source_rows {
    __global const ushort *start;
    long stride;
    int dims, aligned; // aligned: every row begins at a multiple of 16 bytes and is whole chunks long
} source_rows;

static inline source_rows get_source(__global const ushort *memory, const attn_layout *layout, long b, long h,
                                     long dims) {
    source_rows s = { memory + attn_row_at(layout, b, h, 0), layout->stride[2], (int)dims, 0 };
    s.aligned = (((ulong)(size_t)s.start | (ulong)(s.stride * 2) | (ulong)(dims * 2)) & 15) == 0;
    return s;
}

// BLOCK_KEY rows from key `first` on into `to`; zeros from key `keys` on and beyond the row's end.
static inline void copy_rows(__local ushort *to, const source_rows *s, long first, long keys) {
    const int id = (int)get_local_id(0), chunk = id % CHUNKS, column = chunk * 8;
    const int there = (int)min(keys - first, (long)BLOCK_KEY);
    __global const ushort *from = s->start + (first + id / CHUNKS) * s->stride + column;
    if (s->aligned) {
        const int rows = column < s->dims ? there : 0;
#pragma unroll
        for (int pass = 0; pass < BLOCK_KEY / PASS; pass++) {
            const int row = pass * PASS + id / CHUNKS;
            tile_copy(to + CHUNK_AT(row, chunk), row < rows ? from : s->start, row < rows);
            from += PASS * s->stride;
        }
        return;
    }
#pragma unroll 1
    for (int row = id / CHUNKS; row < BLOCK_KEY; row += PASS) {
        const int dims = row < there ? s->dims - column : 0;
#pragma unroll 1
        for (int n = 0; n < 8; n++) {
            to[CHUNK_AT(row, chunk) + n] = n < dims ? from[n] : (ushort)0;
        }
        from += PASS * s->stride;
    }
}

// The warp's rows of query, as fragments; zeros beyond.
static inline void load_query(const attn_arguments *a, const row_block *g, const warp_tile *w,
                              __global const ushort *query, uint q[TILES][DIM / 16][4]) {
    __global const ushort *start = query + attn_row_at(&a->query, g->b, g->h, g->first);
    const long stride = a->query.stride[2];
    const int pairs = (((ulong)(size_t)start | (ulong)(stride * 2) | (ulong)(a->head_dim * 2)) & 3) == 0;
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int d = 0; d < DIM / 16; d++) {
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const int row = (w->warp * TILES + i) * 16 + (w->lane >> 2) + 8 * (n & 1);
                const int column = d * 16 + (w->lane & 3) * 2 + 8 * (n >> 1);
                __global const ushort *at = start + row * stride + column;
                uint word = 0;
                if (row < g->rows && column < (int)a->head_dim) {
                    if (pairs) {
                        word = *(__global const uint *)at;
                    } else {
                        word = (uint)at[0] | (column + 1 < (int)a->head_dim ? (uint)at[1] << 16 : 0u);
                    }
                }
                q[i][d][n] = word;
            }
        }
    }
}

// Outputs and logsumexp of the warp's tile i. `top` and `sum` are those of whole rows.
static inline void store_rows(const attn_arguments *a, const attn_extras *x, const row_block *g, const warp_tile *w,
                              int i, const float *top, const float *sum, float output[DIM / 8][4],
                              __global ushort *memory, __global float *logsumexp) {
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0, columns = (int)a->value_dim;
    const float sink = has_sink ? x->sinks[a->sinks_at + g->h] : 0.0f;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int n = (w->warp * TILES + i) * 16 + (w->lane >> 2) + 8 * r;
        if (n < g->rows) {
            const float maximum = KEYWISE ? top[r] : top[r] * a->scale;
            const softmax_end end = softmax_finish(maximum, sum[r], has_sink, sink);
            __global ushort *to = memory + attn_row_at(&a->output, g->b, g->h, g->first + n);
            const int pairs = (((ulong)(size_t)to | (ulong)(columns * 2)) & 3) == 0;
#pragma unroll
            for (int c = 0; c < DIM / 8; c++) {
                const int column = c * 8 + (w->lane & 3) * 2;
                const float low = end.factor == 0.0f ? 0.0f : output[c][2 * r] * end.factor;
                const float high = end.factor == 0.0f ? 0.0f : output[c][2 * r + 1] * end.factor;
                const uint word = tile_pack(low, high);
                if (pairs && column < columns) {
                    *(__global uint *)(to + column) = word;
                } else if (column < columns) {
                    to[column] = (ushort)word;
                    if (column + 1 < columns) {
                        to[column + 1] = (ushort)(word >> 16);
                    }
                }
            }
            if ((w->lane & 3) == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) {
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->b, g->h, g->first + n)] = end.logsumexp;
            }
        }
    }
}

#endif
