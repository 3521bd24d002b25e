/* What decode's path asks of its kernels. */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_JOB_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_JOB_H

#include "engines/cpu/cpu_kernels.h"

enum {
    ATTN_CPU_DECODE_ROWS = 256, /* rows per key-value head up to which its heads are taken together, keys split */
    ATTN_CPU_IN_PLACE_ROWS = 8  /* of these, up to which keys are read in place */
};

/** Where things lie in a worker's scratch, in bytes. */
typedef struct attn_cpu_decode_layout {
    int64_t keys;    /* float [block_key][head_dim]: packed keys */
    int64_t values;  /* float [block_key][value_pitch]: copied values */
    int64_t queries; /* float [rows][head_dim in whole vectors] */
    int64_t output;  /* float [rows][value_pitch]: sums not yet divided */
    int64_t sums;    /* vector [rows] */
    int64_t maxima;  /* float [rows] */
    int64_t ranges;  /* attn_key_range [rows] */
    int64_t scores;  /* float [rows of a tile][ATTN_CPU_SCORE_PITCH] */
    int64_t row;     /* the careful path's */
} attn_cpu_decode_layout;

typedef struct attn_cpu_decode_job {
    attn_cpu_job job;
    attn_cpu_decode_layout at;
    bool copy_values;    /* values are converted, padded or aligned in scratch */
    bool near;           /* memory is prefetched into L1 alone, else into L2 first */
    int64_t value_pitch; /* value_dim rounded up to whole vectors */
    int64_t splits;      /* parts of the keys */
    float *partials;     /* [batch * kv_heads][splits][group rows][value_pitch + 2] */
} attn_cpu_decode_job;

#endif
