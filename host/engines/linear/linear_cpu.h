/* Between linear_cpu.c and its kernels, compiled once per instruction set. */
#ifndef ATTN_ENGINES_LINEAR_LINEAR_CPU_H
#define ATTN_ENGINES_LINEAR_LINEAR_CPU_H

#include "engines/linear/linear_engines.h"

enum {
    ATTN_LINEAR_PART = 384,   /* of in_dim, whose products a tile sums before they are added to the output */
    ATTN_LINEAR_COLUMNS = 256 /* at most of an item of tiles: their packed part of w stays in the second cache */
};

/** A call cut into items: blocks of rows times blocks of columns. Which item a thread takes changes no result. */
typedef struct attn_linear_job {
    const attn_linear_call *call;
    int64_t in_dim, out_dim;
    int64_t rows, columns; /* of an item; the last ones have fewer */
    int64_t row_blocks;    /* item = column block * row_blocks + row block */
} attn_linear_job;

typedef struct attn_linear_kernel {
    const char *name;
    int64_t tile_rows, tile_columns; /* blocks are multiples of these */
    int64_t row_scratch;             /* floats of scratch that a tile's rows take */
    /** Many rows: register tiles on packed columns of w. scratch: of the worker. */
    void (*tiles)(const attn_linear_job *job, int64_t item, float *scratch);
    /** Few rows: scalar products with rows of w where they lie, each read from memory once. */
    void (*dots)(const attn_linear_job *job, int64_t item);
} attn_linear_kernel;

/** NULL when this build has none for the instruction set. */
const attn_linear_kernel *attn_linear_kernel_generic(void);
const attn_linear_kernel *attn_linear_kernel_avx2(void);
const attn_linear_kernel *attn_linear_kernel_avx512(void);

/** Cuts a call of this many rows into items for this many threads; answers how many. *tiled: which kernel takes them. */
int64_t attn_linear_cut(const attn_linear_kernel *kernel, int64_t threads, attn_linear_job *job, bool *tiled);

/** Floats of scratch that a worker needs for any call of the problem. */
int64_t attn_linear_scratch(const attn_linear_kernel *kernel, const clattn_linear_problem *problem);

#endif
