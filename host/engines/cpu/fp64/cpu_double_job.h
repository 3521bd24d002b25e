/* What the path of fp64 asks of its kernels. */
#ifndef ATTN_ENGINES_CPU_FP64_CPU_DOUBLE_JOB_H
#define ATTN_ENGINES_CPU_FP64_CPU_DOUBLE_JOB_H

#include "engines/cpu/cpu_kernels.h"

enum {
    ATTN_CPU_DOUBLE_ROWS = 48, /* rows of an item, at most, */
    ATTN_CPU_DOUBLE_KEYS = 64, /* keys of a block */
    /* From row to row of scores; no power of two: rows of a tile in different cache sets. */
    ATTN_CPU_DOUBLE_PITCH = ATTN_CPU_DOUBLE_KEYS + 8
};

/** Where things lie in a worker's scratch, in bytes. */
typedef struct attn_cpu_double_layout {
    int64_t keys;    /* double [head_dim][keys of a block] */
    int64_t values;  /* double [keys of a block][value_dim in whole vectors] */
    int64_t queries; /* double [rows][head_dim] */
    int64_t output;  /* double [rows][value_dim in whole vectors]: sums not yet divided */
    int64_t scores;  /* double [rows of a tile][ATTN_CPU_DOUBLE_PITCH] */
    int64_t maxima;  /* double [rows] */
    int64_t sums;    /* vector [rows] */
    int64_t row;     /* the careful path's */
} attn_cpu_double_layout;

typedef struct attn_cpu_double_job {
    attn_cpu_job job;
    attn_cpu_double_layout at;
    int64_t rows, chunks; /* rows of an item, items of a head */
} attn_cpu_double_job;

#endif
