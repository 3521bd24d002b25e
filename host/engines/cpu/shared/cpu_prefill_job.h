/* What prefill's path asks of its kernels, whatever they multiply with. */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_PREFILL_JOB_H
#define ATTN_ENGINES_CPU_SHARED_CPU_PREFILL_JOB_H

#include "engines/cpu/cpu_kernels.h"

/** Where things lie in a worker's scratch, in bytes. How many bytes a key, a value and a row have, the unit says. */
typedef struct attn_cpu_prefill_layout {
    int64_t tags;    /* int64_t [slots]: which block of which head lies in a slot */
    int64_t keys;    /* [slots][block_key]: packed keys */
    int64_t values;  /* [slots][block_key]: copied or packed values */
    int64_t queries; /* [rows]: copied queries */
    int64_t output;  /* [rows]: sums not yet divided */
    int64_t sums;    /* vector [rows] */
    int64_t exact;   /* the same before weights were rounded, where they are */
    int64_t maxima;  /* float [rows] */
    int64_t ranges;  /* attn_key_range [rows] */
    int64_t scores;  /* float [rows of a tile][ATTN_CPU_SCORE_PITCH] */
    int64_t patches; /* on a matrix unit: two patches' scores and weights, a patch's sums of values */
    int64_t row;     /* the careful path's */
} attn_cpu_prefill_layout;

typedef struct attn_cpu_prefill_job {
    attn_cpu_job job;
    attn_cpu_prefill_layout at;
    bool copy_values;     /* values are converted, padded or aligned in scratch */
    int64_t value_pitch;  /* value_dim rounded up to whole vectors */
    int64_t slots;        /* blocks that scratch keeps from item to item */
    int64_t rows, chunks; /* rows of an item, items of a head */
} attn_cpu_prefill_job;

#endif
