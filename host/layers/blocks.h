/*
 * Loops over rows and numbers that a compiler makes vectors of, in double: a block of floats is widened into memory of
 * the loop's own, which nothing else can be, and has a length that is known. The end of a row is a block filled up. And
 * the shares of threads, which depend on the sizes alone.
 */
#ifndef ATTN_LAYERS_BLOCKS_H
#define ATTN_LAYERS_BLOCKS_H

#include "layers/layer.h"

/*
 * An item of work is compiled twice where processors differ in the width of their vectors: ATTN_ITEM_FUNCTION() makes
 * `name` and `name_wide` of the inlined function `name_of`, and ATTN_ITEM_CHOICE(name) is the one to run here. The
 * operations are the same ones, none is fused, and so are the bits.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#define ATTN_WIDE __attribute__((target("avx2")))
#define ATTN_HAS_WIDE() __builtin_cpu_supports("avx2")
#else
#define ATTN_WIDE
#define ATTN_HAS_WIDE() 0
#endif
#if defined(__GNUC__)
#define ATTN_INLINED static inline __attribute__((always_inline))
#else
#define ATTN_INLINED static inline
#endif
#define ATTN_ITEM_FUNCTION(name)                                                                                       \
    static void name(void *user, int64_t item) {                                                                       \
        name##_of(user, item);                                                                                         \
    }                                                                                                                  \
    ATTN_WIDE static void name##_wide(void *user, int64_t item) {                                                      \
        name##_of(user, item);                                                                                         \
    }
#define ATTN_ITEM_CHOICE(name) (ATTN_HAS_WIDE() ? name##_wide : name)

enum {
    ATTN_BLOCK = 64,  /* numbers of a block */
    ATTN_LANES = 8,   /* partial sums of a row, added up in pairs at its end */
    ATTN_ITEM = 8192, /* numbers that a thread takes at once, or rows of about so many: 10 to 100 microseconds */
    ATTN_PARTS = 256  /* shares of a sum over everything, added up in their order */
};

/** Whether [rows, dim] floats have a size that fits 63 bits. */
static inline bool attn_is_matrix(int64_t rows, int64_t dim) {
    return rows >= 0 && dim >= 1 && rows <= INT64_MAX / (int64_t)sizeof(float) / dim;
}

/** Rows of dim (>= 1) numbers that a thread takes at once. */
static inline int64_t attn_rows_of_item(int64_t dim) {
    return attn_max(ATTN_ITEM / dim, 1);
}

/** The same so large that there are at most ATTN_PARTS shares. */
static inline int64_t attn_rows_of_part(int64_t rows, int64_t dim) {
    return attn_max(attn_rows_of_item(dim), attn_divide_up(rows, ATTN_PARTS));
}

/** A block of count (> 0) floats, all of it where count is larger; the rest of the block is `fill`. */
ATTN_INLINED void attn_block_load(int64_t count, const float *from, double fill, double *block) {
    if (count >= ATTN_BLOCK) {
        for (int k = 0; k < ATTN_BLOCK; k++) {
            block[k] = (double)from[k];
        }
        return;
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        block[k] = k < count ? (double)from[k] : fill;
    }
}

/** A row of parameters that may be NULL, which stands for `fill` everywhere. */
ATTN_INLINED void attn_block_load_or(int64_t count, const float *from, int64_t at, double fill, double *block) {
    attn_block_load(from ? count : 0, from ? from + at : NULL, fill, block);
}

ATTN_INLINED void attn_block_store(int64_t count, const double *block, float *to) {
    if (count >= ATTN_BLOCK) {
        for (int k = 0; k < ATTN_BLOCK; k++) {
            to[k] = (float)block[k];
        }
        return;
    }
    for (int64_t k = 0; k < count; k++) {
        to[k] = (float)block[k];
    }
}

ATTN_INLINED void attn_lanes_add(const double *block, double *lanes) {
    for (int k = 0; k < ATTN_BLOCK; k += ATTN_LANES) {
        for (int lane = 0; lane < ATTN_LANES; lane++) {
            lanes[lane] += block[k + lane];
        }
    }
}

ATTN_INLINED double attn_lanes_sum(const double *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/**
 * exp(x) for a block of numbers x <= 0 that are floats or differences of floats, or NaN; within 1e-12 of itself, and 0
 * below -708. With x = n ln 2 + r, |r| <= ln 2 / 2, it is 2^n times the series of exp(r), n added to the exponent. Each
 * choice is a loop of its own: beside arithmetic, which may raise flags, compilers make it a branch and no vector.
 */
ATTN_INLINED void attn_block_exp(double *block) {
    double x[ATTN_BLOCK], result[ATTN_BLOCK];
    for (int k = 0; k < ATTN_BLOCK; k++) {
        x[k] = block[k] < -708 ? -708 : block[k];
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        double shifted = x[k] * 0x1.71547652b82fep+0 + 0x1.8p52; /* n in the lowest bits; NaN has 0 there */
        double n = shifted - 0x1.8p52;
        double r = (x[k] - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33; /* ln 2 in two parts */
        double sum = 1.0 / 3628800;
        sum = sum * r + 1.0 / 362880;
        sum = sum * r + 1.0 / 40320;
        sum = sum * r + 1.0 / 5040;
        sum = sum * r + 1.0 / 720;
        sum = sum * r + 1.0 / 120;
        sum = sum * r + 1.0 / 24;
        sum = sum * r + 1.0 / 6;
        sum = sum * r + 0.5;
        sum = sum * r + 1;
        sum = sum * r + 1;
        uint64_t bits, power;
        memcpy(&bits, &sum, sizeof bits);
        memcpy(&power, &shifted, sizeof power);
        bits += power << 52;
        memcpy(&result[k], &bits, sizeof bits);
    }
    for (int k = 0; k < ATTN_BLOCK; k++) {
        block[k] = block[k] < -708 ? 0 : result[k];
    }
}

#endif
