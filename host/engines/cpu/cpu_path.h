/*
 * A path: one way through the cpu engine, from a problem to results. It owns its part of a plan, its places in scratch and its
 * items. To add one: a table in a file of its own (<folder>/cpu_<name>_path.c), which gives its kernels a job that
 * begins with attn_cpu_job; its line in the list of cpu_path.c. What a path needs to know of the others is here.
 */
#ifndef ATTN_ENGINES_CPU_CPU_PATH_H
#define ATTN_ENGINES_CPU_CPU_PATH_H

#include "engines/cpu/cpu_kernels.h"
#include "engines/engine.h"

enum { ATTN_CPU_MOST_PATHS = 10 };

/** What the cpu engine decided about a problem before any call. */
typedef struct attn_cpu_plan {
    attn_memory *memory;
    struct attn_threads *threads;
    clattn_problem problem;
    clattn_block_override blocks; /* asked for; 0 = our choice */
    bool batch_invariant;         /* as in clattn_plan_options */
    int64_t workers;
    const attn_cpu_kernels *kernels;  /* of the best instruction set, or of that asked for */
    const attn_cpu_unit *unit;        /* of prefill */
    bool single;                      /* in single precision; else in double */
    int64_t block_key;                /* keys of a packed block, in single precision */
    int64_t scratch_size, call_size;  /* bytes: of one worker's scratch, of the memory that a call's items share */
    void *parts[ATTN_CPU_MOST_PATHS]; /* of the paths in the order of the list; NULL = does not serve the problem */
} attn_cpu_plan;

/** Takes places, one after another, in memory that is not there yet. */
typedef struct attn_cpu_taker {
    int64_t end;
    bool overflow; /* stays */
} attn_cpu_taker;

/** Where count * size bytes will lie, at a cache line. */
int64_t attn_cpu_take(attn_cpu_taker *taker, int64_t count, int64_t size);

/** Where the careful path's row will lie, for paths that leave single rows to it. */
int64_t attn_cpu_take_careful(const attn_cpu_plan *plan, attn_cpu_taker *taker);

/** Whether head_dim and value_dim may be multiplied by what a path has of them in a block; else the taker has overflowed. */
bool attn_cpu_dims_fit(const attn_cpu_plan *plan, attn_cpu_taker *taker);

/** A call under way. */
typedef struct attn_cpu_run {
    const attn_cpu_plan *plan;
    const attn_call *call;
    char *scratch; /* of all workers */
    char *shared;  /* call_size bytes */
    struct attn_cpu_progress *progress;
} attn_cpu_run;

/** What a path computes. Of the paths with one result, a call takes the first in the list that would. */
typedef enum attn_cpu_result {
    ATTN_CPU_OUTPUT,
    ATTN_CPU_WEIGHTS,
    ATTN_CPU_DROPOUT_MASK,
    ATTN_CPU_GRADIENTS, /* all that a backward problem asks for; the others are of forward problems */
    ATTN_CPU_RESULTS
} attn_cpu_result;

typedef struct attn_cpu_path {
    attn_cpu_result result;
    int64_t part_size; /* bytes of its part of a plan, which begins as zeros */

    /** Whether it can serve calls of the plan's problem, whose direction is that of its result; else it has no part. */
    bool (*serves)(const attn_cpu_plan *plan);

    /** Decides what can be decided before any call. NULL = nothing. Refusals name the field. */
    clattn_status (*plan)(const attn_cpu_plan *plan, void *part, clattn_report *report);

    /** Takes its places in a worker's scratch and in the call's memory. Paths run one after another: each has all of it. */
    void (*scratch)(const attn_cpu_plan *plan, void *part, attn_cpu_taker *worker, attn_cpu_taker *call);

    /** Whether it would take a call of that many query rows. NULL = always. */
    bool (*takes)(const attn_cpu_plan *plan, const void *part, int64_t query_length);

    /** Items of a call, of all that run() shares out. */
    int64_t (*items)(const attn_cpu_plan *plan, const void *part, const attn_call *call);

    /** Makes a job and shares out its items. */
    clattn_status (*run)(const attn_cpu_run *run, const void *part);

    /** Says how it computes, when it computes the output or gradients: kernel, blocks, precision. */
    void (*describe)(const attn_cpu_plan *plan, const void *part, clattn_plan_info *info);
} attn_cpu_path;

/** The list; ends with NULL. */
extern const attn_cpu_path *const attn_cpu_paths[];

extern const attn_cpu_path attn_cpu_decode_path;
extern const attn_cpu_path attn_cpu_prefill_path;
extern const attn_cpu_path attn_cpu_double_path;
extern const attn_cpu_path attn_cpu_careful_path;
extern const attn_cpu_path attn_cpu_weights_path;
extern const attn_cpu_path attn_cpu_careful_weights_path;
extern const attn_cpu_path attn_cpu_dropout_path;
extern const attn_cpu_path attn_cpu_backward_path;
extern const attn_cpu_path attn_cpu_backward_careful_path;

/** The path that computes a result of a call of that many query rows, its number in the list; -1: none, it is not asked for. */
int attn_cpu_path_find(const attn_cpu_plan *plan, attn_cpu_result result, int64_t query_length);

/** What all jobs have. */
attn_cpu_job attn_cpu_job_start(const attn_cpu_run *run);

/**
 * Calls work(job, item, scratch) for each item, on the runtime's threads or, when the call is small, on this one alone.
 * Reports progress; the items that were not begun when the caller cancelled are left out.
 */
clattn_status attn_cpu_share(const attn_cpu_run *run, int64_t items,
                             void (*work)(const void *job, int64_t item, void *scratch), const void *job);

/** Whether kernels must copy values: other types, half vectors, memory not at a multiple of a vector. */
bool attn_cpu_copies_values(const clattn_problem *problem, const attn_call *call, int64_t lanes);

/** Rows of weights that a call writes, of one head; 0 where it has none, or none in reach. */
int64_t attn_cpu_weights_rows(const clattn_problem *problem, const attn_call *call);

#endif
