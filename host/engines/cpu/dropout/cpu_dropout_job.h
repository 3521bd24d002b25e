/* What the path of the dropout mask asks of its kernel. */
#ifndef ATTN_ENGINES_CPU_DROPOUT_CPU_DROPOUT_JOB_H
#define ATTN_ENGINES_CPU_DROPOUT_CPU_DROPOUT_JOB_H

#include "engines/cpu/cpu_kernels.h"

typedef struct attn_cpu_dropout_job {
    const clattn_problem *problem;
    const attn_call *call;
    int64_t rows, chunks; /* rows of an item, items of a head */
} attn_cpu_dropout_job;

#endif
