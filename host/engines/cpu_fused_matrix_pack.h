/*
 * bf16 of the caller into the tiles of a matrix unit, bits unchanged: a tile's row holds pairs of neighbours along what the
 * product sums over. Whatever is not there is 0. Included by cpu_fused_matrix_body.h.
 */

typedef uint16_t vw __attribute__((vector_size(ATTN_VECTOR_BYTES)));

/** The first n < 2 * LANES elements, the rest 0. */
INLINE vu load_words(const uint16_t *bits, int64_t n) {
    vu words = { 0 };
    if (n >= 2 * LANES) {
        memcpy(&words, bits, sizeof words);
    } else if (n > 0) {
#if ATTN_VECTOR_BYTES == 64
        words = (vu)_mm512_maskz_loadu_epi16((__mmask32)((1u << n) - 1), bits);
#else
        memcpy(&words, bits, (size_t)n * sizeof *bits);
#endif
    }
    return words;
}

/** The first n elements, LANES at most, the rest 0. */
INLINE vh load_halves(const uint16_t *bits, int64_t n) {
    vh half = { 0 };
    if (n >= LANES) {
        memcpy(&half, bits, sizeof half);
    } else if (n > 0) {
#if ATTN_VECTOR_BYTES == 64
        half = (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), bits);
#else
        memcpy(&half, bits, (size_t)n * sizeof *bits);
#endif
    }
    return half;
}

/** Lanes of `seen` become -1 where an element's size is beyond limit (or it is NaN). */
INLINE vw beyond(vw seen, vu words, uint16_t limit) {
    return seen | (vw)(((vw)words & 0x7fff) > limit);
}

INLINE bool any_beyond(vw seen) {
    return any_lane((vi)seen);
}

/** n rows into rows of pitch elements, up to `rows` rows; answers for each whether something is beyond limit. */
static void copy_queries(uint16_t *copy, int64_t pitch, const uint16_t *data, int64_t stride, int64_t n, int64_t rows,
                         int64_t dim, uint16_t limit, vf *sums) {
    for (int64_t row = 0; row < rows; row++) {
        vw seen = { 0 };
        for (int64_t d = 0; d < pitch; d += 2 * LANES) {
            vu words = load_words(data + row * stride + d, row < n ? dim - d : 0);
            seen = beyond(seen, words, limit);
            memcpy(copy + row * pitch + d, &words, sizeof words);
        }
        if (any_beyond(seen)) sums[row] = splat(NAN);
    }
}

/**
 * n keys as [tile of 16 keys][step of 32 dims][pair of dims][key][2], whole steps of UNIT_DEPTH keys. Answers whether an
 * element is beyond limit.
 */
static bool pack_unit_keys(char *packed, const uint16_t *data, int64_t stride, int64_t n, int64_t dim, uint16_t limit) {
    int64_t steps = attn_round_up(dim, UNIT_DEPTH) / UNIT_DEPTH;
    vw seen = { 0 };
    for (int64_t key = 0; key < attn_round_up(n, UNIT_DEPTH); key += LANES) {
        char *tiles = packed + key / UNIT_ROWS * steps * UNIT_TILE + key % UNIT_ROWS * 4;
        for (int64_t d = 0; d < steps * UNIT_DEPTH; d += 2 * LANES) { /* d / 2: the pair; its row of the tiles */
            vf r[LANES];
            UNROLL for (int i = 0; i < LANES; i++) {
                vu words = load_words(data + (key + i) * stride + d, key + i < n ? dim - d : 0);
                seen = beyond(seen, words, limit);
                r[i] = (vf)words;
            }
            transpose(r);
            UNROLL for (int i = 0; i < LANES; i++) memcpy(tiles + (d / 2 + i) * UNIT_BYTES, &r[i], sizeof r[i]);
        }
    }
    return any_beyond(seen);
}

/** n values as [tile of 16 columns][step of 32 keys][pair of keys][column][2]; a tile has `steps` steps, the last empty. */
static void pack_unit_values(char *packed, const uint16_t *data, int64_t stride, int64_t n, int64_t dim, int64_t steps) {
    for (int64_t key = 0; key < attn_round_up(n, UNIT_DEPTH); key += 2) {
        const uint16_t *row = data + key * stride;
        char *line = packed + key / UNIT_DEPTH * UNIT_TILE + key % UNIT_DEPTH / 2 * UNIT_BYTES;
        for (int64_t c = 0; c < attn_round_up(dim, UNIT_ROWS); c += LANES) {
            vh even = load_halves(row + c, key < n ? dim - c : 0);
            vh odd = load_halves(row + stride + c, key + 1 < n ? dim - c : 0);
            vu pairs = __builtin_convertvector(even, vu) | __builtin_convertvector(odd, vu) << 16;
            memcpy(line + c / UNIT_ROWS * steps * UNIT_TILE + c % UNIT_ROWS * 4, &pairs, sizeof pairs);
        }
    }
}
