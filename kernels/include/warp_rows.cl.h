// Rows between memory and warp tiles: queries, keys and values to local memory, outputs from accumulators. Any strides;
// 16 bytes at a time where rows are aligned, element by element elsewhere. Knows no body of the warp tile.
// Defines: those of attention_fused_mma.cl.
#ifndef ATTN_WARP_ROWS_CL_H
#define ATTN_WARP_ROWS_CL_H

// What the work-items copy at once: some chunks of each of PASS rows.
#define COPY_LANES (DIM % 64 ? 4 : 8) // work-items a row
#define PASS (THREADS / COPY_LANES)

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

// `count` rows from row `first` on into `to`; zeros from row `end` on and beyond the rows' dims.
static inline void copy_rows(__local ushort *to, const source_rows *s, int count, long first, long end) {
    const int id = (int)get_local_id(0), lane = id % COPY_LANES;
    const int there = (int)clamp(end - first, 0L, (long)count);
    __global const ushort *from = s->start + (first + id / COPY_LANES) * s->stride + lane * 8;
    if (s->aligned) {
#pragma unroll
        for (int pass = 0; pass < (count + PASS - 1) / PASS; pass++) {
            const int row = pass * PASS + id / COPY_LANES;
#pragma unroll
            for (int c = 0; c < CHUNKS; c += COPY_LANES) {
                const int ok = row < there && (c + lane) * 8 < s->dims;
                tile_copy(to + CHUNK_AT(row, c + lane), ok ? from + c * 8 : s->start, ok);
            }
            from += PASS * s->stride;
        }
        return;
    }
#pragma unroll 1
    for (int row = id / COPY_LANES; row < count; row += PASS) {
#pragma unroll 1
        for (int n = 0; n < CHUNKS / COPY_LANES * 8; n++) {
            const int column = n / 8 * COPY_LANES * 8 + n % 8; // from this lane's first on
            to[CHUNK_AT(row, n / 8 * COPY_LANES + lane) + n % 8] =
                row < there && lane * 8 + column < s->dims ? from[column] : (ushort)0;
        }
        from += PASS * s->stride;
    }
}

// Number of the row of set `set` in the warp's tile i, in the work-group's block.
static inline int row_number(const warp_tile *w, int i, int set) {
    return (w->warp * TILES + i) * TILE_ROWS + tile_row(w) + TILE_ROW(set);
}

// One row of output; the lane holds the elements of `set`.
static inline void store_row(const warp_tile *w, int set, float factor, float output[DIM / 16][TILE_C],
                             __global ushort *to, int columns) {
    const int step = TILE_RUN > 1 ? 2 : 1;
    const int pairs = step == 2 && (((ulong)(size_t)to | (ulong)(columns * 2)) & 3) == 0;
#pragma unroll
    for (int c = 0; c < DIM / 16; c++) {
#pragma unroll
        for (int n = 0; n < TILE_C; n += step) {
            const int column = c * 16 + tile_column(w) + TILE_COLUMN(n);
            if (TILE_SET(n) == set && column < columns) {
                const float low = factor == 0.0f ? 0.0f : output[c][n] * factor;
                const float high = factor == 0.0f ? 0.0f : output[c][n + step - 1] * factor;
                const uint word = tile_pack(low, high);
                if (pairs) {
                    *(__global uint *)(to + column) = word;
                } else {
                    to[column] = (ushort)word;
                    if (step == 2 && column + 1 < columns) {
                        to[column + 1] = (ushort)(word >> 16);
                    }
                }
            }
        }
    }
}

// Outputs and logsumexp of the warp's tile i. `top` and `sum` are those of whole rows.
static inline void store_rows(const attn_arguments *a, const attn_extras *x, const row_block *g, const warp_tile *w,
                              int i, const float *top, const float *sum, float output[DIM / 16][TILE_C],
                              __global ushort *memory, __global float *logsumexp) {
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0;
    const float sink = has_sink ? x->sinks[a->sinks_at + g->h] : 0.0f;
#pragma unroll
    for (int r = 0; r < TILE_ROW_SETS; r++) {
        const int n = row_number(w, i, r);
        if (n < g->rows) {
            const float maximum = KEYWISE ? top[r] : top[r] * a->scale;
            const softmax_end end = softmax_finish(maximum, sum[r], has_sink, sink);
            store_row(w, r, end.factor, output, memory + attn_row_at(&a->output, g->b, g->h, g->first + n),
                      (int)a->value_dim);
            if (tile_column(w) == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) { // the lane of the row's start
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->b, g->h, g->first + n)] = end.logsumexp;
            }
        }
    }
}

#endif
