/*
 * What backward asks of its kernels. They exist twice, in single and in double precision; "number" below is a float
 * or a double.
 */
#ifndef ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_JOB_H
#define ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_JOB_H

#include "engines/cpu/cpu_kernels.h"

enum {
    ATTN_CPU_BACKWARD_ROWS = 96,  /* rows of a block: whole tiles of 6 and 12 */
    ATTN_CPU_BACKWARD_KEYS = 192, /* keys of a block, at most: whole tiles of 6 and 12, panels of 4 to 32 */
    ATTN_CPU_BACKWARD_CHUNK = 16, /* chunks are multiples of it: whole vectors, and whole bytes of a mask of bits */
    ATTN_CPU_BACKWARD_UNIT = 96,  /* blocks of keys are multiples of it */
    ATTN_CPU_BACKWARD_PART = 96   /* keys that one accumulator of grad_query takes before it is added to the sum */
};

/** Where things lie in a worker's scratch, in bytes; a strip is two vectors of numbers wide. */
typedef struct attn_cpu_backward_layout {
    int64_t keys, values;         /* [panels of keys][dim][keys of a panel], keys with the factor of scores */
    int64_t key_rows;             /* [strips of head_dim][keys][strip], times scale */
    int64_t queries, given;       /* [strips of dim][rows][strip]; given: grad_output */
    int64_t grad_key, grad_value; /* [strips of dim][keys][strip]: sums of a block of keys */
    int64_t weights, ds;          /* [rows][pitch]: of a block of rows and keys */
    int64_t slopes, keeps;        /* [rows of a tile][pitch]: softcap's factors, dropout's */
    int64_t logsumexp, delta;     /* [rows] */
    int64_t row;                  /* the careful path's, then doubles of a block of keys */
} attn_cpu_backward_layout;

/** Where a gradient's sums are kept until they are finished: rows of numbers, in the result itself or beside it. */
typedef struct attn_cpu_backward_sums {
    void *data; /* NULL: not asked for */
    int64_t offset, stride[3];
    bool in_place;
} attn_cpu_backward_sums;

/** What grad_bias adds up, and where. */
typedef enum attn_cpu_bias_sums {
    ATTN_CPU_BIAS_NONE,
    ATTN_CPU_BIAS_PAIRS, /* a number for every row and key */
    ATTN_CPU_BIAS_KEYS,  /* for every key, the rows of a head together: [batch, query_heads, key_length] */
    ATTN_CPU_BIAS_ROWS   /* for every row: [batch, query_heads, query_length] */
} attn_cpu_bias_sums;

typedef struct attn_cpu_backward_job {
    attn_cpu_job job;
    attn_cpu_backward_layout at;
    double *deltas; /* [batch, query_heads, query_length] */
    attn_cpu_backward_sums query, key, value;
    attn_cpu_bias_sums bias;
    attn_cpu_backward_sums pairs; /* grad_bias' rows, numbers */
    bool pairs_stored;            /* grad_bias is written at once, in its own type */
    double *key_bias, *row_bias, *row_slopes;
    bool share_entries, share_groups; /* an item has all entries, all heads: they give to the same place of grad_bias */
    int64_t slices, phase;            /* rows and keys are cut into twice as many chunks as slices */
} attn_cpu_backward_job;

/** The kernels in one precision. */
typedef struct attn_cpu_backward_kernels {
    int64_t size, strip; /* bytes of a number, numbers of a strip */
    /** delta: item = (batch entry, query head, block of rows). */
    void (*delta)(const attn_cpu_backward_job *job, int64_t item, void *scratch);
    /** What the rows and keys of two slices give each other: item = (batch entry, key-value head, slice of keys). */
    void (*walk)(const attn_cpu_backward_job *job, int64_t item, void *scratch);
    /** Sums to results: item = (batch entry, query head, block of rows), then the same of keys and key-value heads. */
    void (*finish)(const attn_cpu_backward_job *job, int64_t item, void *scratch);
    /** grad_bias' sums to results: item = row of the bias. */
    void (*finish_bias)(const attn_cpu_backward_job *job, int64_t item, void *scratch);
} attn_cpu_backward_kernels;

/** The first of the rows or keys of chunk number `chunk` of 2 * slices. */
static inline int64_t attn_cpu_backward_chunk(int64_t length, int64_t slices, int64_t chunk) {
    const int64_t unit = ATTN_CPU_BACKWARD_CHUNK, units = (length + unit - 1) / unit;
    int64_t first = units / (2 * slices) * chunk + units % (2 * slices) * chunk / (2 * slices);
    return first * unit < length ? first * unit : length;
}

#endif
