/* What the path of weights out asks of its kernels. */
#ifndef ATTN_ENGINES_CPU_WEIGHTS_CPU_WEIGHTS_JOB_H
#define ATTN_ENGINES_CPU_WEIGHTS_CPU_WEIGHTS_JOB_H

#include "engines/cpu/cpu_kernels.h"

enum {
    ATTN_CPU_WEIGHTS_ROWS = 48,      /* rows of an item, at most, */
    ATTN_CPU_WEIGHTS_FLOATS = 524288 /* fewer when their scores would be more than these, but one tile */
};

/** Where things lie in a worker's scratch, in bytes. */
typedef struct attn_cpu_weights_layout {
    int64_t keys;    /* float [block_key][head_dim]: packed keys */
    int64_t queries; /* float [rows and a tile][head_dim in whole vectors] */
    int64_t scores;  /* float [rows of a tile][ATTN_CPU_SCORE_PITCH] */
    int64_t waiting; /* float [rows][key_length in whole vectors]: scores that wait for their sum */
    int64_t row;     /* the careful path's */
} attn_cpu_weights_layout;

typedef struct attn_cpu_weights_job {
    attn_cpu_job job;
    attn_cpu_weights_layout at;
    int64_t rows; /* of an item */
} attn_cpu_weights_job;

#endif
