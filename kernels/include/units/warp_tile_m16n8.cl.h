// Warp tile by products of 16 x 8 x 16, as NVIDIA's mma.m16n8k16 has them, over the fragment_* of a body. With g = lane / 4, t = lane % 4, two 16-bit values a word:
//   A 16 x 16: a[0] row g, columns 2t and 2t+1;  a[1] row g+8, the same columns;  a[2], a[3]: columns 8 further
//   B 16 x 8:  b[0] rows 2t and 2t+1 of column g;  b[1] rows 8 further
//   C 16 x 8:  c[0], c[1] row g, columns 2t and 2t+1;  c[2], c[3] row g+8
// Two neighbouring C, rounded, are one A: weights stay where they are.
#ifndef ATTN_WARP_TILE_M16N8_CL_H
#define ATTN_WARP_TILE_M16N8_CL_H

#define TILE_LANES 32
#define TILE_ROWS 16
#define TILE_C 8
#define TILE_ROW_SETS 2
#define TILE_SET(n) ((n) >> 1 & 1)
#define TILE_RUN 2
#define TILE_ROW(set) (8 * (set))
#define TILE_COLUMN(n) (((n) >> 2) * 8 + ((n) & 1))
#define TILE_QUERY_WORDS 4
#define TILE_KEY_WORDS 4
#define TILE_VALUE_WORDS 4
#define TILE_WEIGHT_WORDS 4

static inline int tile_row(const warp_tile *w) {
    return w->lane >> 2;
}

static inline int tile_column(const warp_tile *w) {
    return (w->lane & 3) * 2;
}

// Matrices: rows 0 to 7 and 8 to 15 of the first 8 columns, then of the next.
static inline int fragment_at(const warp_tile *w, int i, int d) {
    return CHUNK_TILE(CHUNK_AT(w->lane & 15, w->lane >> 4), i, d);
}

static inline void tile_load_query(const warp_tile *w, uint *q, __local const ushort *rows, int i, int d) {
    fragment_load(w, q, rows, fragment_at(w, i, d));
}

static inline void tile_load_values(const warp_tile *w, uint *b, __local const ushort *rows, int i, int d) {
    fragment_load_transposed(w, b, rows, fragment_at(w, i, d));
}

// Matrices: keys 0 to 7 of the first and of the next 8 dims, then keys 8 to 15. Words of one product must be neighbours,
// or the compiler moves them.
static inline void tile_load_keys(const warp_tile *w, uint *b, __local const ushort *rows, int i, int d) {
    fragment_load(w, b, rows, CHUNK_TILE(CHUNK_AT((w->lane & 7) + ((w->lane >> 4) << 3), w->lane >> 3 & 1), i, d));
}

static inline void tile_scores(const warp_tile *w, float *c, const uint *query, const uint *keys) {
    fragment_multiply(w, c, query, keys);
    fragment_multiply(w, c + 4, query, keys + 2);
}

static inline void tile_values(const warp_tile *w, float *c, const uint *weights, const uint *values) {
    fragment_multiply(w, c, weights, values);
    fragment_multiply(w, c + 4, weights, values + 2);
}

static inline void tile_weights(const warp_tile *w, uint *a, const float *c) {
    (void)w;
    a[0] = tile_pack(c[0], c[1]);
    a[1] = tile_pack(c[2], c[3]);
    a[2] = tile_pack(c[4], c[5]);
    a[3] = tile_pack(c[6], c[7]);
}

static inline float tile_row_max(const warp_tile *w, float x) {
    x = fmax(x, fragment_exchange(w, x, 1));
    return fmax(x, fragment_exchange(w, x, 2));
}

static inline float tile_row_sum(const warp_tile *w, float x) {
    x += fragment_exchange(w, x, 1);
    return x + fragment_exchange(w, x, 2);
}

#endif
