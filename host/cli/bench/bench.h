/* The parts of `clattn bench`: measuring one case on all engines, the rows it gives, and what is made of them. */
#ifndef ATTN_CLI_BENCH_BENCH_H
#define ATTN_CLI_BENCH_BENCH_H

#include "base/load.h"
#include "base/rows_file.h"
#include "base/table.h"
#include "bench/machine_limits.h"
#include "case/session.h"
#include "gate/gate.h"

enum { ATTN_BENCH_RUNS = 512 };

/** One engine's (or the plain loops') numbers for one case. */
typedef struct attn_bench_row {
    const char *engine; /* "plain" for the plain loops */
    int64_t device;
    bool ran, verified, scaled; /* scaled: measured on a sample of rows */
    int runs;
    double seconds[ATTN_BENCH_RUNS];
    double median, minimum, maximum;
    double training[ATTN_BENCH_RUNS]; /* backward: of the forward and the backward after it, in the same runs */
    double training_median;           /* 0 = of a forward */
    double spread;                    /* the middle half of the times, as a part of the median; < 0 = too few times */
    double taken;        /* part of its processors' time that others had meanwhile; < 0 = not known, or of no matter */
    bool fastest;        /* of the engines on this case, where there are several */
    double flops, bytes; /* of the case */
    double gflops, per_cent; /* per_cent of the limit; < 0 = no limit is known */
    const char *limit;       /* which limit: "fma" or "copy" */
    int64_t memory;          /* peak bytes really allocated; -1 = not known */
    double speed_up;         /* over the plain loops; 0 = not known */
    clattn_timing steps;
    char note[256];
    attn_gate_result gate;
} attn_bench_row;

/** How long and how much. */
typedef struct attn_bench_limits {
    double seconds;     /* for the whole command */
    double run_seconds; /* a single execution may take at most */
    int64_t rounds;     /* executions timed at least, where one is short enough; 0 = by time */
    double began;
} attn_bench_limits;

/** Where an OpenCL engine finds its tensors. */
typedef enum attn_bench_memory {
    ATTN_BENCH_MEMORY_BEST, /* on a GPU in the device's memory, elsewhere in the host's */
    ATTN_BENCH_MEMORY_HOST, /* a GPU's times then hold the copies there and back */
    ATTN_BENCH_MEMORY_DEVICE
} attn_bench_memory;

/** Everything a bench carries along. */
typedef struct attn_bench {
    attn_session session;
    attn_bench_limits limits;
    attn_limits machine;
    double gpu_gflops[ATTN_TARGETS_MAX], gpu_gbytes[ATTN_TARGETS_MAX]; /* of the target's device; 0 = no GPU */
    double read_gbytes;                      /* of memory as large as the present case's tensors */
    double limits_taken;                     /* by others while machine was measured; < 0 = not known */
    attn_load load_from, load_to, load_next; /* the last window long enough to measure; where the next begins */
    attn_gate_options gate;
    double rate[2][ATTN_TARGETS_MAX];     /* FLOP/s last seen, with many rows a key and with few; 0 = none yet */
    double score_bytes[ATTN_TARGETS_MAX]; /* peak bytes a score last seen */
    int64_t case_number, case_count;      /* for the progress line; 0 = not one of several */
    int memory;                           /* attn_bench_memory */
    bool wrong;
} attn_bench;

/** Measures a case: one row a target, then the plain loops'; rows has room for ATTN_TARGETS_MAX + 1, count are used. */
int attn_bench_case(attn_bench *bench, const attn_case *c, attn_bench_row *rows, int *count, attn_error *error);

/* ---- what follows from the times (bench_finish.c) */

/** Sorts the times of a row and fills in what follows from them. t: its target, or -1 for the plain loops. */
void attn_bench_finish_row(const attn_bench *bench, const clattn_problem *problem, int t, attn_bench_row *row);

/** What others did while rows were timed, from `began` until now. */
void attn_bench_note_load(attn_bench *bench, const attn_load *began, attn_bench_row *rows, int count);

/** Compares the finished rows of a case: which engine is the fastest, how much faster than plain each is. */
void attn_bench_compare_rows(attn_bench_row *rows, int count);

/** "no", or why the times may not be the machine's: "others", "uneven" or "others;uneven"; "" = it is not known. */
const char *attn_bench_disturbance(const attn_bench_row *row);

/* ---- backward (bench_backward.c) */

/** The forward before a backward, by the same engine; NULL: it serves none, and the backward alone is timed. */
clattn_plan *attn_bench_plan_forward(clattn_runtime *runtime, const clattn_problem *backward,
                                     const clattn_plan_options *options);

/** Judges the gradients that stand in the case's memory. */
void attn_bench_judge_gradients(attn_bench *bench, const attn_case_data *data, const attn_gradient_gold *gold,
                                attn_bench_row *row);

/** Times the plain loops as the check of a forward does; before engines write outputs over those of the gold. */
int attn_bench_plain_backward(const attn_bench *bench, const attn_case_data *data, attn_bench_row *rows, int count,
                              attn_error *error);

/* ---- what a case computes and moves (bench_work.c) */
void attn_bench_count_work(const attn_case_data *data, clattn_runtime *runtime, attn_bench_row *rows, int count);

/* ---- rows to tables (bench_table.c) */
enum {
    ATTN_BENCH_NAME,
    ATTN_BENCH_QUERY_LENGTH,
    ATTN_BENCH_KEY_LENGTH,
    ATTN_BENCH_HEADS,
    ATTN_BENCH_DIM,
    ATTN_BENCH_TYPE,
    ATTN_BENCH_ENGINE,
    ATTN_BENCH_MEDIAN,
    ATTN_BENCH_MINIMUM,
    ATTN_BENCH_RATE,
    ATTN_BENCH_PER_CENT,
    ATTN_BENCH_MEMORY,
    ATTN_BENCH_SPEED_UP,
    ATTN_BENCH_VERIFIED,
    ATTN_BENCH_NOTE,
    ATTN_BENCH_LIMIT,
    ATTN_BENCH_DEVICE,
    ATTN_BENCH_RUNS_TIMED,
    ATTN_BENCH_SCALED,
    ATTN_BENCH_STEP_NAMES,
    ATTN_BENCH_STEP_MS,
    ATTN_BENCH_FLOPS,
    ATTN_BENCH_BATCH, /* and the four that follow: sizes as numbers, for programs */
    ATTN_BENCH_QUERY_HEADS,
    ATTN_BENCH_KV_HEADS,
    ATTN_BENCH_HEAD_DIM,
    ATTN_BENCH_VALUE_DIM,
    ATTN_BENCH_PROBLEM,
    ATTN_BENCH_MAXIMUM,
    ATTN_BENCH_SPREAD,
    ATTN_BENCH_TAKEN,
    ATTN_BENCH_DISTURBED,
    ATTN_BENCH_FASTEST,
    ATTN_BENCH_DIRECTION,
    ATTN_BENCH_TRAINING,
    ATTN_BENCH_COLUMNS
};
extern const attn_column attn_bench_columns[ATTN_BENCH_COLUMNS];

void attn_bench_add_row(attn_table *table, const attn_case *c, const clattn_problem *problem,
                        const attn_bench_row *row);

/** Machine, date, devices, drivers and peak. */
void attn_bench_print_machine(const attn_bench *bench, FILE *file);

/** The whole JSON file. user: the attn_bench. */
void attn_bench_write_json(const void *user, const attn_table *table, bool complete, FILE *file);

/* ---- tables for people (bench_show.c) */

/** A cell as people read it: memory in MiB, times with few digits. */
void attn_bench_show_cell(const attn_table *table, int64_t row, int column, char text[64]);

/** Prints the rows of a case (from `first` on): to a terminal in groups that fit it, else as lines of fixed widths. */
void attn_bench_show_case(const attn_table *table, int64_t first, FILE *file);

/** Prints what the marks mean, and what may be wrong with the times. */
void attn_bench_show_end(const attn_table *table, FILE *file);

/* ---- scaling (bench_scaling.c) */
int attn_bench_scaling(attn_bench *bench, const attn_options *options, const attn_case *c, attn_rows_file *rows,
                       const char *plot, attn_error *error);

/* ---- plot (bench_plot.c) */
int attn_bench_plot(const attn_table *table, const char *path, attn_error *error);

#endif
