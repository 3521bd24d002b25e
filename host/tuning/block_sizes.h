/*
 * The sizes of every program with a table in kernels/tuning: one row a size, which says what a row of the table may hold
 * there and what the kernel calls it. Engines take a row of the table through this list, with what the caller overrides;
 * `clattn tune` asks it before a candidate is tried.
 */
#ifndef ATTN_TUNING_BLOCK_SIZES_H
#define ATTN_TUNING_BLOCK_SIZES_H

#include "clattn/clattn_inspect.h"
#include "tuning/tuning.h"

enum {
    ATTN_MOST_DIMS = 576,          /* head_dim and value_dim that kernels hold, at most */
    ATTN_MOST_MATRIX_DIMS = 256,   /* those on matrix units */
    ATTN_ANY_DIM = 999999999,      /* the largest number of a table: additive attention has no largest dim */
    ATTN_MOST_ITEM_FLOATS = 65536, /* of queries, and of outputs, on a work-item's stack */
    ATTN_MOST_GROUP = 1024,        /* work-items of a group that a row may ask for; the device may allow fewer */
    ATTN_MOST_SIZES = 10,          /* of a program, at most */
    ATTN_WIDEST_VECTOR = 16        /* lanes */
};

/** What of an override takes the place of a size. */
typedef enum attn_block_source { ATTN_FROM_ROW, ATTN_OR_BLOCK_QUERY, ATTN_OR_BLOCK_KEY } attn_block_source;

/** What a size is a multiple of, beside its step. */
typedef struct attn_block_rule {
    const char *of; /* another column; NULL = no such rule */
    int64_t times;  /* so many of it; ATTN_VECTOR: as many as the vectors of CPU-shaped kernels have lanes */
    int64_t most;   /* multiples, at most; 0 = any number */
} attn_block_rule;

enum { ATTN_VECTOR = 0 };

typedef struct attn_block_size {
    const char *column;        /* of kernels/tuning/<program>.csv */
    const char *define;        /* the kernel's name for it; NULL = the host alone needs it */
    int64_t least, most, step; /* a multiple of step from least to most; step ATTN_POWERS: a power of two */
    attn_block_source source;
    attn_block_rule rules[2];
} attn_block_size;

enum { ATTN_POWERS = 0 };

typedef struct attn_block_table {
    const char *program;
    attn_block_size sizes[ATTN_MOST_SIZES]; /* one without a column ends them */
} attn_block_table;

/** All programs; one without a name ends them. */
extern const attn_block_table attn_block_tables[];

/** The sizes that a program is built with. */
typedef struct attn_blocks {
    const attn_block_table *table;
    int64_t values[ATTN_MOST_SIZES];
} attn_blocks;

/**
 * The sizes of a row, which may be a user's, with what is overridden (NULL = nothing), for vectors of `vector` lanes. All keep to
 * the list: they size arrays and loops of programs, and no compiler sees a block too short.
 * @return UNSUPPORTED with a line that names program and column; INTERNAL for a program without a list
 */
clattn_status attn_blocks_take(const char *program, const attn_tuning_row *row, const clattn_block_override *override,
                               int64_t vector, attn_blocks *blocks, clattn_report *report);

/** A size by its column; 0 when there is none. */
int64_t attn_blocks_get(const attn_blocks *blocks, const char *column);

/** For what an engine makes smaller by its problem. */
void attn_blocks_set(attn_blocks *blocks, const char *column, int64_t value);

/** " -DNAME=value" for each size that the kernel knows. The text is cut at `size`. */
void attn_blocks_options(const attn_blocks *blocks, char *text, size_t size);

#endif
