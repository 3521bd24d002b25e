/*
 * The two products, a register tile at a time. Heights and widths are constants of each instance, so that a tile lives in
 * registers. Included by cpu_fused_body.h.
 */

/** Keys of a tile that some row may not attend: row i attends low[i] <= key < high[i]. */
typedef struct tile_bounds {
    const int *low, *high;
    int key; /* of the tile's first lane */
} tile_bounds;

/** A place in the caller's memory, or beyond it: only for prefetches. */
INLINE const char *place_near(const void *p, int64_t bytes) {
    return (const char *)((uintptr_t)p + (uintptr_t)bytes);
}

/** Lines of the caller's memory that are wanted soon, to be called in a few at a time: with four elements of head_dim. */
typedef struct tile_ahead {
    const char *at; /* `each` lines at a time, step bytes apart */
    int64_t step;
    int each;
    int each_line, count; /* and of these */
    const char *lines[3 * TILE_ROWS];
} tile_ahead;

/** Calls in the next lines; answers how many of the listed ones are done. */
INLINE int call_lines(const tile_ahead *ahead, const char **at, int line) {
    for (int n = 0; n < ahead->each; n++) {
        __builtin_prefetch(*at, 0, 2);
        *at = place_near(*at, ahead->step);
    }
    for (int n = 0; n < ahead->each_line && line < ahead->count; n++) __builtin_prefetch(ahead->lines[line++], 0, 2);
    return line;
}

/** One element of head_dim: a[i][n] += query i * vector n of keys. Moves rows on. */
INLINE void score_step(const int height, const int vectors, const float **rows, int64_t pitch, const float *keys,
                       vf a[][TILE_VECTORS]) {
    vf k[TILE_VECTORS];
    UNROLL for (int n = 0; n < vectors; n++) k[n] = *(const vf *)(const void *)(keys + n * LANES);
    UNROLL for (int i = 0; i < height; i++) {
        vf q = splat(rows[i / 3][i % 3 * pitch]);
        UNROLL for (int n = 0; n < vectors; n++) a[i][n] += q * k[n];
    }
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3]++;
}

/**
 * height rows against TILE_KEYS keys, or the first `vectors` vectors of them: scores to memory, maxima per lane in `maxima`
 * (NULL: a step comes after). bounds is NULL where every row attends every key. keys is [dim][TILE_KEYS]. Rows of queries
 * lie pitch apart; three share a pointer, as an address takes a base and one index times 1, 2 or 4: four pointers and one
 * stride reach all rows without arithmetic in the loop. ahead (NULL: nothing) is called in by the way.
 */
INLINE void score_tile_wide(const int height, const int vectors, int dim, const float *queries, int64_t pitch,
                            const float *keys, float *scores, vf *maxima, const tile_bounds *bounds,
                            const tile_ahead *ahead) {
    vf a[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int n = 0; n < vectors; n++) a[i][n] = (vf){ 0 };
    }
    const float *rows[TILE_ROWS / 3];
    UNROLL for (int i = 0; i < height; i += 3) rows[i / 3] = queries + i * pitch;
    const char *at = ahead ? ahead->at : NULL;
    int d = 0, line = 0;
    for (; d + 4 <= dim; d += 4) {
        if (ahead) line = call_lines(ahead, &at, line);
        UNROLL for (int u = 0; u < 4; u++) {
            score_step(height, vectors, rows, pitch, keys, a);
            keys += TILE_KEYS;
        }
    }
    for (; d < dim; d++, keys += TILE_KEYS) score_step(height, vectors, rows, pitch, keys, a);
    UNROLL for (int i = 0; i < height; i++) {
        UNROLL for (int n = 0; n < vectors; n++) {
            if (bounds) {
                vi at = lane_numbers() + (bounds->key + n * LANES);
                a[i][n] = choose((at >= bounds->low[i]) & (at < bounds->high[i]), a[i][n], splat(-INFINITY));
            }
            *(vf *)(void *)(scores + i * SCORE_PITCH + n * LANES) = a[i][n];
            if (maxima) maxima[i] = larger(a[i][n], maxima[i]);
        }
    }
}

INLINE void score_tile(const int height, int dim, const float *queries, int64_t pitch, const float *keys, float *scores,
                       vf *maxima, const tile_bounds *bounds) {
    score_tile_wide(height, TILE_VECTORS, dim, queries, pitch, keys, scores, maxima, bounds, NULL);
}

/**
 * output (+)= weights * values for height rows, `vectors` vectors of columns and n keys. Sums of ATTN_CPU_PART keys are made
 * in registers and then added: a chain of n keys would lose digits.
 */
INLINE void value_tile(const int height, const int vectors, const float *weights, const float *values,
                       int64_t value_pitch, int n, float *output, int64_t output_pitch, bool first) {
    for (int part = 0; part < n; part += ATTN_CPU_PART) {
        int end = n - part < ATTN_CPU_PART ? n : part + ATTN_CPU_PART;
        vf a[TILE_ROWS][4];
        UNROLL for (int i = 0; i < height; i++) {
            UNROLL for (int c = 0; c < vectors; c++) a[i][c] = (vf){ 0 };
        }
        const float *row = values + part * value_pitch;
        UNROLL_4 for (int key = part; key < end; key++, row += value_pitch) {
            vf v[4];
            UNROLL for (int c = 0; c < vectors; c++) v[c] = *(const vf *)(const void *)(row + c * LANES);
            UNROLL for (int i = 0; i < height; i++) {
                vf p = splat(weights[i * SCORE_PITCH + key]);
                UNROLL for (int c = 0; c < vectors; c++) a[i][c] += p * v[c];
            }
        }
        UNROLL for (int i = 0; i < height; i++) {
            UNROLL for (int c = 0; c < vectors; c++) {
                vf *sum = (vf *)(void *)(output + i * output_pitch + c * LANES);
                *sum = first ? a[i][c] : *sum + a[i][c];
            }
        }
        first = false;
    }
}

/** All columns of height rows: tiles of (height or half of it) x 4 vectors with 32 registers, height x 2 with 16. */
INLINE void value_rows(const int height, const float *weights, const float *values, int64_t value_pitch, int n,
                       float *output, int64_t output_pitch, bool first) {
    int64_t c = 0;
#if ATTN_VECTOR_BYTES == 64
    const int half = height > 6 ? height / 2 : height;
    for (; c + 4 * LANES <= output_pitch; c += 4 * LANES) {
        for (int i = 0; i < height; i += half) {
            value_tile(half, 4, weights + i * SCORE_PITCH, values + c, value_pitch, n, output + i * output_pitch + c,
                       output_pitch, first);
        }
    }
    if (output_pitch - c == 3 * LANES) {
        for (int i = 0; i < height; i += half) {
            value_tile(half, 3, weights + i * SCORE_PITCH, values + c, value_pitch, n, output + i * output_pitch + c,
                       output_pitch, first);
        }
        return;
    }
#endif
    for (; c + 2 * LANES <= output_pitch; c += 2 * LANES) {
        value_tile(height, 2, weights, values + c, value_pitch, n, output + c, output_pitch, first);
    }
    if (c < output_pitch) {
        value_tile(height, 1, weights, values + c, value_pitch, n, output + c, output_pitch, first);
    }
}
