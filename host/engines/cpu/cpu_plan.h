/* What the cpu engine decides about a problem before any call: instruction set, path, blocks, scratch. */
#ifndef ATTN_ENGINES_CPU_CPU_PLAN_H
#define ATTN_ENGINES_CPU_CPU_PLAN_H

#include "cpu/cpu_features.h"
#include "engines/cpu/cpu_kernels.h"
#include "engines/engine.h"

typedef struct attn_cpu_plan {
    attn_memory *memory;
    struct attn_threads *threads;
    int64_t workers;
    attn_isa isa;
    const attn_cpu_kernels *kernels; /* NULL = in double: by `doubles`, or every row takes the careful path */
    const attn_cpu_kernels *doubles; /* of fp64; else NULL */
    const attn_cpu_matrix *matrix;   /* prefill on a matrix unit; NULL = none */
    attn_cpu_layout layout;          /* of one worker's scratch */
    int64_t block_query;             /* asked for; 0 = our choice */
    int64_t block_key, slots;
    int64_t most_rows;           /* prefill rows that scratch holds */
    int64_t splits, decode_rows; /* decode: parts of the keys, most rows of a group (0 = no decode) */
    bool calls_near;             /* decode calls memory into L1 alone, else into L2 first */
    int64_t weights_rows;        /* weights out: rows of an item; 0 = one, by the careful path */
    int64_t partials_size;       /* bytes, after the workers' scratch */
    int64_t workspace_size;
} attn_cpu_plan;

/** Fills plan for problem on device. Refusals name the field. */
clattn_status attn_cpu_plan_make(const clattn_problem *problem, const attn_device *device, attn_cpu_plan *plan,
                                 clattn_report *report);

/** Rows of a prefill item when a call has that many. */
int64_t attn_cpu_plan_rows(const attn_cpu_plan *plan, const clattn_problem *problem, int64_t query_length);

/** Whether a call of that many query rows takes the decode path. */
bool attn_cpu_plan_decodes(const attn_cpu_plan *plan, const clattn_problem *problem, int64_t query_length);

#endif
