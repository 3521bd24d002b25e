// Rows between memory and warp tiles: queries, keys and values to local memory, outputs from accumulators. Any strides;
// 16 bytes at a time where rows are aligned, element by element elsewhere. Knows no body of the warp tile.
// Defines: those of attention_fused_mma.cl.
#ifndef ATTN_WARP_ROWS_CL_H
#define ATTN_WARP_ROWS_CL_H

// The rows of this work-group, and what does not change from block to block. Keys are counted from `begin` on, positions
// from the first row's, both in 32 bits: the row at position p may attend to keys p + left <= k < p + right, below keys.
typedef struct row_block {
    attn_row_block at;
    int rest;     // rows before the first at its position
    float factor; // of a difference of scores, to the exponent of 2
    long begin;   // a multiple of BLOCK_KEY
    int end, left, right, keys, used;
    int open_begin, open_end; // keys that no row's range leaves out
#if ATTN_PREFIX
    int prefix, prefix_right, open_prefix; // the row at position p may also attend to keys 0 <= k < min(prefix, p + right)
    int gap_at, gap_size;                  // key number n of the walk is key n, or from gap_at on n + gap_size
#endif
} row_block;

static inline int row_step(const row_block *g, int n) { // positions from that of row 0 to that of row n
    return g->at.heads == 1 ? n : (g->rest + n) / g->at.heads;
}

static inline int row_near(long key) {
    return (int)clamp(key, (long)-ROWS_FAR, (long)ROWS_FAR);
}

// Fills what is counted from `begin` on; the rest of g is there.
static inline void set_ranges(row_block *g, const attn_arguments *a, const attn_entry *e) {
    const long position = ATTN_ROW_POSITION(&g->at, 0), place = position + e->offset;
    const attn_range visit = attn_rows_range(a, e, position, ATTN_ROW_POSITION(&g->at, g->at.rows - 1));
    const int last = row_step(g, g->at.rows - 1), has_band = (ATTN_FEATURES(a) & ATTN_HAS_BAND) != 0;
    const attn_gap gap = attn_range_gap(&visit, BLOCK_KEY);
    g->begin = attn_first_block(&visit, BLOCK_KEY);
    g->end = row_near(visit.end - g->begin - gap.size);
    g->left = has_band ? row_near(place - a->band_left - g->begin) : -ROWS_FAR;
    g->right = has_band ? row_near(place + a->band_right + 1 - g->begin) : ROWS_FAR;
    g->keys = row_near(e->key_length - g->begin);
    g->used = row_near(e->query_length - position);
    g->open_begin = last + g->left;
    g->open_end = last < g->used ? min(g->keys, g->right) : 0;
#if ATTN_PREFIX
    g->prefix = row_near(e->prefix - g->begin);
    g->prefix_right = row_near(position + e->prefix_to - g->begin);
    g->open_prefix = last < g->used ? min(g->prefix, g->prefix_right) : 0;
    g->gap_at = row_near(gap.at);
    g->gap_size = row_near(gap.size);
#endif
}

// Key, from `begin` on, of a number of the walk.
static inline int row_key(const row_block *g, int n) {
#if ATTN_PREFIX
    return n >= g->gap_at ? n + g->gap_size : n;
#else
    return n;
#endif
}

// Keys or values of one head as they lie in global memory, from the next one on that is not yet asked for. The same for all
// work-items, so that compilers can keep it in registers that they share.
typedef struct source_rows {
    __global const ushort *next;
    long stride;
    int dims, aligned; // aligned: every row begins at a multiple of 16 bytes and is whole chunks long
} source_rows;

static inline int is_aligned(__global const ushort *start, long stride, long dims) {
    return (((ulong)(size_t)start | (ulong)(stride * 2) | (ulong)(dims * 2)) & 15) == 0;
}

static inline source_rows get_source(__global const ushort *memory, const attn_layout *layout, long b, long g,
                                     long first, long dims) {
    const long stride = layout->stride[2];
    source_rows s = { memory + attn_key_at(layout, b, g, first), stride, (int)dims, 0 };
    s.aligned = is_aligned(s.next, stride, dims);
    return s;
}

// To be called before the block from number `first` on is copied: where the prefix ends, the rows go on behind the gap.
static inline void skip_gap(source_rows *s, const row_block *g, int first) {
#if ATTN_PREFIX
    if (first == g->gap_at) {
        s->next += attn_key_offset(s->stride, g->gap_size);
    }
#endif
}

// This work-item's chunks of one row into row `row` of `to`; zeros beyond the row's dims, of which there may be none.
static inline void copy_row(__local ushort *to, int row, int lane, __global const ushort *from, int dims, int aligned) {
    if (aligned) {
#pragma unroll
        for (int c = 0; c < CHUNKS; c += COPY_LANES) {
            tile_copy(to + CHUNK_AT(row, c + lane), from + (c + lane) * 8, (c + lane) * 8 < dims);
        }
        return;
    }
#pragma unroll 1
    for (int n = 0; n < CHUNKS / COPY_LANES * 8; n++) {
        const int chunk = n / 8 * COPY_LANES + lane, column = chunk * 8 + n % 8;
        to[CHUNK_AT(row, chunk) + n % 8] = column < dims ? from[column] : (ushort)0;
    }
}

// The next BLOCK_KEY rows, of which `there` are to be used, into `to`; zeros instead of the others.
static inline void copy_block(__local ushort *to, source_rows *s, int there) {
    int id = (int)get_local_id(0);
    TILE_HERE(id);
    const int first = id / COPY_LANES, lane = id % COPY_LANES;
    __global const ushort *from = s->next + first * s->stride;
    s->next += attn_key_offset(s->stride, BLOCK_KEY);
    if (s->aligned) {
#pragma unroll
        for (int n = 0; n < BLOCK_KEY; n += PASS) {
            copy_row(to, first + n, lane, from + n * s->stride, first + n < there ? s->dims : 0, 1);
        }
        return;
    }
#pragma unroll 1
    for (int n = first; n < BLOCK_KEY; n += PASS) {
        copy_row(to, n, lane, from, n < there ? s->dims : 0, 0);
        from += PASS * s->stride;
    }
}

// The block's rows of query; zeros beyond.
static inline void copy_queries(__local ushort *to, const attn_arguments *a, const row_block *g,
                                __global const ushort *query) {
    const long stride = a->query.stride[2];
    __global const ushort *start = query + attn_row_at(&a->query, g->at.b, g->at.h, 0);
    const int aligned =
        is_aligned(start, stride, a->head_dim) && (g->at.heads == 1 || (a->query.stride[1] & 7) == 0);
    const int id = (int)get_local_id(0), dims = (int)a->head_dim;
#pragma unroll 1
    for (int row = id / COPY_LANES; row < BLOCK_QUERY; row += PASS) {
        const int n = min(row, g->at.rows - 1);
        __global const ushort *from =
            start + (ATTN_ROW_HEAD(&g->at, n) - g->at.h) * a->query.stride[1] + ATTN_ROW_POSITION(&g->at, n) * stride;
        copy_row(to, row, id % COPY_LANES, from, row < g->at.rows ? dims : 0, aligned);
    }
}

// Number of the row of set `set` in the warp's tile i, in the work-group's block.
static inline int row_number(const warp_tile *w, int i, int set) {
    return (w->warp * TILES + i) * TILE_ROWS + tile_row(w) + TILE_ROW(set);
}

// Column of element n of output tile c: TILE_SPREAD neighbouring tiles take turns.
static inline int output_column(const warp_tile *w, int c, int n) {
    return (c / TILE_SPREAD * 16 + tile_column(w) + TILE_COLUMN(n)) * TILE_SPREAD + c % TILE_SPREAD;
}

// Column `column`, and with `both` the next one where there is one.
static inline void store_two(__global attn_output *to, int column, int both, int columns, float low, float high) {
#if ATTN_WIDE_OUTPUT
    to[column] = low;
    if (both && column + 1 < columns) {
        to[column + 1] = high;
    }
#else
    const uint word = tile_pack(low, high);
    if (both && (((ulong)(size_t)to | (ulong)(columns * 2)) & 3) == 0) {
        *(__global uint *)(to + column) = word;
        return;
    }
    to[column] = (ushort)word;
    if (both && column + 1 < columns) {
        to[column + 1] = (ushort)(word >> 16);
    }
#endif
}

// One row of output; the lane holds the elements of `set`. Neighbours: the next tile's element, or the next element.
TILE_INLINE void store_row(const warp_tile *w, int set, float factor, float output[DIM / 16][TILE_C],
                           __global attn_output *to, int columns) {
    const int tiles = TILE_SPREAD > 1 ? 2 : 1, step = tiles == 1 && TILE_RUN > 1 ? 2 : 1;
#pragma unroll
    for (int c = 0; c < DIM / 16; c += tiles) {
#pragma unroll
        for (int n = 0; n < TILE_C; n += step) {
            const int column = output_column(w, c, n);
            if (TILE_SET(n) == set && column < columns) {
                const float low = factor == 0.0f ? 0.0f : output[c][n] * factor;
                const float high = factor == 0.0f ? 0.0f : output[c + tiles - 1][n + step - 1] * factor;
                store_two(to, column, tiles * step == 2, columns, low, high);
            }
        }
    }
}

// Outputs and logsumexp of the warp's tile i. `sum` is that of the lane's keys alone.
TILE_INLINE void store_rows(const attn_arguments *a, const attn_extras *x, const row_block *g, const warp_tile *w,
                            int i, const float *top, const float *sum, float output[DIM / 16][TILE_C],
                            __global attn_output *memory, __global float *logsumexp) {
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0;
#pragma unroll
    for (int r = 0; r < TILE_ROW_SETS; r++) {
        const int n = row_number(w, i, r);
        const float whole = tile_row_sum(w, sum[r]), maximum = KEYWISE ? top[r] : top[r] * a->scale;
        if (n < g->at.rows) {
            const long h = ATTN_ROW_HEAD(&g->at, n), position = ATTN_ROW_POSITION(&g->at, n);
            const softmax_end end = softmax_finish(maximum, whole, has_sink, has_sink ? x->sinks[a->sinks_at + h] : 0.0f);
            store_row(w, r, ATTN_DROPOUT ? end.factor * ATTN_KEEP(x) : end.factor, output, memory + attn_row_at(&a->output, g->at.b, h, position),
                      (int)a->value_dim);
            if (tile_column(w) == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) { // the lane of the row's start
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->at.b, h, position)] = end.logsumexp;
            }
        }
    }
}

#endif
