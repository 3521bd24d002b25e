// Rows of fp32 between memory and the fragments of a TF32 tile: keys and values to local memory, queries to registers,
// outputs from C fragments. Any strides; 16 bytes at a time where rows are aligned, element by element elsewhere.
// Which element a fragment's place stands for is free as long as both operands agree (the order of a sum) or the store
// knows (columns of the output): chosen here so that lanes read 8 and 16 bytes and write 16. With g = lane / 4,
// t = lane % 4, for each 16 dims: place t of step n is dim 4t + 2n, place t + 4 is dim 4t + 2n + 1; for each 16 value
// columns: column g of tile n is 2g + n. Defines: those of attention_fused_tf32.cl.
#ifndef ATTN_TF32_ROWS_CL_H
#define ATTN_TF32_ROWS_CL_H

// Element 0 of chunk c (4 elements) of row r in local memory. Rows lie dense; their chunks are permuted by the low bits
// of the row, so that eight lanes that read together meet different banks: two neighbouring rows by four chunks for
// keys, four rows of even distance by two chunks for values.
// What a lane adds to r and c as it goes on is a constant, by XOR where it meets the permuted bits (see the users), so
// that few offsets a lane are enough.
#define KEY_AT(r, c) (((r) * CHUNKS + ((c) ^ (((r) & 1) << 2))) * 4)
#define VALUE_AT(r, c) (((r) * CHUNKS + ((c) ^ ((r) & 6))) * 4)

// The rows of this work-group, and what does not change from block to block.
typedef struct row_block {
    attn_row_block at;
    float factor; // of a difference of scores, to the exponent of 2
    attn_range visit, open;
} row_block;

// First of the dims and columns that the warp has: with SPLIT, odd warps have the second half.
static inline int part_first(void) {
    return SPLIT == 1 ? 0 : (tile_here((int)get_local_id(0)) >> 5 & 1) * PART;
}

// Number in the block of the row that the lane holds in half `r` of the warp's tile i.
static inline int row_number(int i, int r) {
    const int id = tile_here((int)get_local_id(0));
    return ((id >> (4 + SPLIT)) * TILES + i) * 16 + (id >> 2 & 7) + 8 * r;
}

// Key or value rows of one head, as they lie in global memory.
typedef struct source_rows {
    __global const float *start;
    long stride;
    int dims, aligned; // aligned: every row begins at a multiple of 16 bytes and is whole chunks long
} source_rows;

static inline int is_aligned(__global const float *start, long stride, long dims) {
    return (((ulong)(size_t)start | (ulong)(stride * 4) | (ulong)(dims * 4)) & 15) == 0;
}

static inline source_rows get_source(__global const float *memory, const attn_layout *layout, long b, long g,
                                     long dims) {
    source_rows s = { memory + attn_key_at(layout, b, g, 0), layout->stride[2], (int)dims, 0 };
    s.aligned = is_aligned(s.start, s.stride, dims);
    return s;
}

// BLOCK_KEY rows from key `first` on into `to`, permuted as keys or as values; zeros from key `keys` on and beyond the
// row's end.
static inline void copy_rows(__local float *to, int is_value, const source_rows *s, long first, long keys) {
    const int id = tile_here((int)get_local_id(0)), chunk = id % CHUNKS, column = chunk * 4;
    const int there = (int)min(keys - first, (long)BLOCK_KEY);
    __global const float *from = s->start + attn_key_offset(s->stride, first + id / CHUNKS) + column;
    if (s->aligned) {
        const int rows = (column < s->dims ? there : 0) - id / CHUNKS;
        const int at = is_value ? VALUE_AT(id / CHUNKS, chunk) : KEY_AT(id / CHUNKS, chunk);
#pragma unroll
        for (int pass = 0; pass < BLOCK_KEY; pass += PASS) {
            const int turn = is_value ? (pass & 6) * 4 : (pass & 1) * 16; // rows of one work-item differ by constants
            tile_copy(to + (at ^ turn) + pass * DIM, from, pass < rows);
            from += PASS * s->stride;
        }
        return;
    }
#pragma unroll 1
    for (int row = id / CHUNKS; row < BLOCK_KEY; row += PASS) {
        const int dims = row < there ? s->dims - column : 0, at = is_value ? VALUE_AT(row, chunk) : KEY_AT(row, chunk);
#pragma unroll 1
        for (int n = 0; n < 4; n++) {
            to[at + n] = n < dims ? from[n] : 0.0f;
        }
        from += PASS * s->stride;
    }
}

// Four elements of a row from `column` on; zeros beyond its end.
static inline float4 load_four(__global const float *from, int column, int dims, int aligned) {
    float4 x = (float4)(0.0f);
    if (aligned && column < dims) {
        return *(__global const float4 *)(from + column);
    }
    if (column < dims) {
        x.x = from[column];
    }
    if (column + 1 < dims) {
        x.y = from[column + 1];
    }
    if (column + 2 < dims) {
        x.z = from[column + 2];
    }
    if (column + 3 < dims) {
        x.w = from[column + 3];
    }
    return x;
}

// Where the lane's two rows of each of the warp's tiles begin; the rows beyond the block's last stand for zeros.
typedef struct query_rows {
    __global const float *start[TILES][2];
    int dims[TILES][2], aligned;
} query_rows;

static inline query_rows get_query(const attn_arguments *a, const row_block *g, __global const float *query) {
    query_rows q;
    const attn_layout *layout = &a->query;
    const int column = (tile_here((int)get_local_id(0)) & 3) * 4 + part_first();
    const long strides = layout->stride[0] | layout->stride[1] | layout->stride[2];
    q.aligned = is_aligned(query + layout->offset, strides, a->head_dim);
#pragma unroll
    for (int n = 0; n < TILES * 2; n++) {
        const int row = row_number(n / 2, n % 2), there = min(row, g->at.rows - 1);
        q.start[n / 2][n % 2] =
            query + attn_row_at(layout, g->at.b, ATTN_ROW_HEAD(&g->at, there), ATTN_ROW_POSITION(&g->at, there)) + column;
        q.dims[n / 2][n % 2] = (row < g->at.rows ? (int)a->head_dim : 0) - column;
    }
    return q;
}

// 32 dims of the rows, from dim 32 d of the warp's part on. x[i][n][r]: dims 16 n + 4 t + 0..3 of those, of row
// g + 8 r of tile i.
static inline void load_query(const query_rows *q, int d, float4 x[TILES][2][2]) {
#pragma unroll
    for (int m = 0; m < TILES * 4; m++) {
        const int i = m / 4, n = m / 2 % 2, r = m % 2;
        x[i][n][r] = load_four(q->start[i][r], d * 32 + n * 16, q->dims[i][r], q->aligned);
    }
}

static inline void store_four(__global float *to, int column, int columns, int aligned, float4 x) {
    if (aligned && column < columns) {
        *(__global float4 *)(to + column) = x;
        return;
    }
    if (column < columns) {
        to[column] = x.x;
    }
    if (column + 1 < columns) {
        to[column + 1] = x.y;
    }
    if (column + 2 < columns) {
        to[column + 2] = x.z;
    }
    if (column + 3 < columns) {
        to[column + 3] = x.w;
    }
}

// Outputs and logsumexp of the warp's tile i. `sum` is that of the lane's keys alone.
static inline void store_rows(const attn_arguments *a, const attn_extras *x, const row_block *g, const tf32_tile *w,
                              int i, const float *top, const float *sum, float output[PART / 8][4],
                              __global float *memory, __global float *logsumexp) {
    const int has_sink = (ATTN_FEATURES(a) & ATTN_HAS_SINKS) != 0, part = part_first();
    const int columns = (int)a->value_dim - part; // from the warp's first one on
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int n = row_number(i, r);
        const float whole = tile_row_sum(w, sum[r]), maximum = KEYWISE ? top[r] : top[r] * a->scale;
        if (n < g->at.rows) {
            const long h = ATTN_ROW_HEAD(&g->at, n), position = ATTN_ROW_POSITION(&g->at, n);
            const float sink = has_sink ? x->sinks[a->sinks_at + h] : 0.0f;
            const softmax_end end = softmax_finish(maximum, whole, has_sink, sink);
            __global float *to = memory + attn_row_at(&a->output, g->at.b, h, position) + part;
            const int aligned = is_aligned(to, 0, columns);
            const float factor = ATTN_DROPOUT ? end.factor * ATTN_KEEP(x) : end.factor;
#pragma unroll
            for (int c = 0; c < PART / 16; c++) {
                const float4 four = (float4)(output[2 * c][2 * r], output[2 * c + 1][2 * r], output[2 * c][2 * r + 1],
                                             output[2 * c + 1][2 * r + 1]);
                store_four(to, c * 16 + (w->lane & 3) * 4, columns, aligned,
                           end.factor == 0.0f ? (float4)(0.0f) : four * factor);
            }
            if ((w->lane & 3) == 0 && part == 0 && (ATTN_FEATURES(a) & ATTN_HAS_LOGSUMEXP)) {
                logsumexp[ATTN_LOGSUMEXP_AT(a, g->at.b, h, position)] = end.logsumexp;
            }
        }
    }
}

#endif
