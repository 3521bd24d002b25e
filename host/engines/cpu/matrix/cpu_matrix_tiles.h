/*
 * Matrix tiles of bf16: eight of 16 rows of 64 bytes, three instructions. On AMX they are the processor's own; elsewhere
 * plain C of the same meaning, so that everything above can be tested on any machine. To add a matrix unit whose tiles have
 * this shape: its set of the macros below. Tile numbers must be literals.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_TILES_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_TILES_H

#include <stdint.h>
#include <string.h>

#include "base/half.h"
#include "engines/cpu/shared/cpu_vector.h"

enum {
    UNIT_ROWS = 16,  /* of a tile, and of one product */
    UNIT_BYTES = 64, /* of a row: 32 bf16, or 16 fp32 */
    UNIT_DEPTH = 32, /* bf16 that one product sums over */
    UNIT_TILE = UNIT_ROWS * UNIT_BYTES
};

/** bf16 that a number of a type is the exact sum of. */
static inline int pieces_of(clattn_type type) {
    return type == CLATTN_BF16 ? 1 : type == CLATTN_FP16 ? 2 : 3;
}

#if ATTN_MATRIX_AMX
typedef struct matrix_unit {
    char nothing; /* the tiles are registers */
} matrix_unit;

static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} unit_shape __attribute__((aligned(64))) = {
    .palette = 1,
    .bytes = { 64, 64, 64, 64, 64, 64, 64, 64 },
    .rows = { 16, 16, 16, 16, 16, 16, 16, 16 },
};

INLINE void unit_start(matrix_unit *unit) {
    (void)unit;
    _tile_loadconfig(&unit_shape);
}

INLINE void unit_end(matrix_unit *unit) {
    (void)unit;
    _tile_release();
}

/* gcc's loads of tiles do not say that they read memory: what was written before must be written by then. */
#define UNIT_FENCE() __asm__ volatile("" ::: "memory")
#define UNIT_ZERO(unit, n) _tile_zero(n)
#define UNIT_LOAD(unit, n, base, stride) _tile_loadd(n, base, stride)
#define UNIT_STORE(unit, n, base, stride) _tile_stored(n, base, stride)
#define UNIT_MULTIPLY(unit, c, a, b) _tile_dpbf16ps(c, a, b)
#else
typedef union unit_tile {
    uint16_t half[UNIT_ROWS][UNIT_DEPTH];
    float sum[UNIT_ROWS][UNIT_ROWS];
} unit_tile;

typedef struct matrix_unit {
    unit_tile tile[8];
} matrix_unit;

static inline void unit_start(matrix_unit *unit) {
    memset(unit, 0, sizeof *unit);
}

static inline void unit_end(matrix_unit *unit) {
    (void)unit;
}

static inline void unit_load(unit_tile *tile, const void *base, int64_t stride) {
    for (int r = 0; r < UNIT_ROWS; r++) memcpy(tile->half[r], (const char *)base + r * stride, UNIT_BYTES);
}

static inline void unit_store(const unit_tile *tile, void *base, int64_t stride) {
    for (int r = 0; r < UNIT_ROWS; r++) memcpy((char *)base + r * stride, tile->half[r], UNIT_BYTES);
}

/** c[i][j] += (the sum of a[i][2p] * b[p][2j] over pairs p) + (the same of the second of each pair), as AMX sums. */
static void unit_multiply(unit_tile *c, const unit_tile *a, const unit_tile *b) {
    for (int i = 0; i < UNIT_ROWS; i++) {
        float even[UNIT_ROWS] = { 0 }, odd[UNIT_ROWS] = { 0 };
        for (int p = 0; p < UNIT_ROWS; p++) {
            float first = attn_bf16_to_float(a->half[i][2 * p]), second = attn_bf16_to_float(a->half[i][2 * p + 1]);
            for (int j = 0; j < UNIT_ROWS; j++) {
                even[j] += first * attn_bf16_to_float(b->half[p][2 * j]);
                odd[j] += second * attn_bf16_to_float(b->half[p][2 * j + 1]);
            }
        }
        for (int j = 0; j < UNIT_ROWS; j++) c->sum[i][j] += even[j] + odd[j];
    }
}

#define UNIT_FENCE() ((void)0)
#define UNIT_ZERO(unit, n) memset(&(unit)->tile[n], 0, sizeof(unit_tile))
#define UNIT_LOAD(unit, n, base, stride) unit_load(&(unit)->tile[n], base, stride)
#define UNIT_STORE(unit, n, base, stride) unit_store(&(unit)->tile[n], base, stride)
#define UNIT_MULTIPLY(unit, c, a, b) unit_multiply(&(unit)->tile[c], &(unit)->tile[a], &(unit)->tile[b])
#endif

#endif
