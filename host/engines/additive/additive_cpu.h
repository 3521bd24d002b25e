/* Between additive_cpu.c and its kernels, compiled once per instruction set. */
#ifndef ATTN_ENGINES_ADDITIVE_ADDITIVE_CPU_H
#define ATTN_ENGINES_ADDITIVE_ADDITIVE_CPU_H

#include "engines/additive/additive_engines.h"

enum {
    ATTN_ADDITIVE_ROWS = 4,  /* query rows that share a pass over the keys */
    ATTN_ADDITIVE_PART = 64, /* keys that one accumulator takes before it is added to the sum: long sums stay exact */
    ATTN_ADDITIVE_LANES = 16 /* of the widest vector: rows of the scratch are padded to it */
};

typedef struct attn_additive_job {
    const clattn_additive_problem *problem;
    const attn_additive_call *call;
    int64_t blocks;       /* of ATTN_ADDITIVE_ROWS rows, of an entry */
    int64_t hidden_pitch; /* hidden rounded up to ATTN_ADDITIVE_LANES */
    int64_t score_pitch;  /* key_length likewise */
    float *scratch;       /* of each worker: scratch_size floats */
    int64_t scratch_size;
} attn_additive_job;

/** Rows of one block: item = entry * blocks + block. */
typedef struct attn_additive_kernel {
    const char *name;
    void (*item)(const attn_additive_job *job, int64_t item, float *scratch);
} attn_additive_kernel;

/** NULL when this build has none for the instruction set. */
const attn_additive_kernel *attn_additive_kernel_generic(void);
const attn_additive_kernel *attn_additive_kernel_avx2(void);
const attn_additive_kernel *attn_additive_kernel_avx512(void);

#endif
