/*
 * `clattn bench --scaling`: one problem with 1 to N threads, with fewer heads, and at shorter lengths. Speed-up and
 * efficiency for threads; for heads and lengths the throughput beside the first row's.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum {
    COL_PART,
    COL_VALUE,
    COL_ENGINE,
    COL_MEDIAN,
    COL_RATE,
    COL_SPEED_UP,
    COL_EFFICIENCY,
    COL_VERIFIED,
    COL_NOTE,
    COLUMNS
};

static const attn_column attn_scaling_columns[COLUMNS] = {
    { "varied", "varied", false },        { "value", "value", true },        { "engine", "engine", false },
    { "median_ms", "median ms", true },   { "gflops", "GFLOP/s", true },     { "speed_up", "speed-up", true },
    { "efficiency", "efficiency", true }, { "verified", "verified", false }, { "note", "note", false },
};

typedef struct attn_scaling {
    attn_bench *bench; /* limits of time and machine; the session is the part's own */
    const attn_options *options;
    attn_table table;
    double first; /* GFLOP/s of the part's first row */
    attn_bench_row *rows;
} attn_scaling;

/* Efficiency: of threads, speed-up over threads; of sizes, throughput over the machine's measured limit. */
static void attn_add_scaling_row(attn_scaling *scaling, const char *part, int64_t value, const clattn_problem *problem,
                                 const attn_bench_row *row) {
    attn_table *table = &scaling->table;
    bool threads = strcmp(part, "threads") == 0;
    attn_table_row(table);
    attn_table_set(table, COL_PART, "%s", part);
    attn_table_set(table, COL_VALUE, "%lld", (long long)value);
    attn_table_set(table, COL_ENGINE, "%s", row->engine);
    attn_table_set(table, COL_NOTE, "%s", row->note);
    if (row->runs == 0) {
        return;
    }
    scaling->first = scaling->first > 0 ? scaling->first : row->gflops;
    double speed_up = row->gflops / scaling->first;
    double limit = attn_limit_gflops(&scaling->bench->machine, problem->type);
    attn_table_set(table, COL_MEDIAN, "%.4g", 1e3 * row->median);
    attn_table_set(table, COL_RATE, "%.4g", row->gflops);
    attn_table_set(table, COL_SPEED_UP, "%.3g", speed_up);
    attn_table_set(table, COL_EFFICIENCY, "%.3g",
                   threads     ? speed_up / (double)value
                   : limit > 0 ? row->gflops / limit
                               : 0);
    attn_table_set(table, COL_VERIFIED, "%s", row->verified ? "yes" : "WRONG");
}

/* Measures the case with that many threads (0 = all) and adds its row. */
static int attn_scaling_row(attn_scaling *scaling, const char *part, int64_t value, const attn_case *c, int64_t threads,
                            attn_error *error) {
    attn_bench *bench = calloc(1, sizeof *bench);
    attn_options options = *scaling->options;
    clattn_problem problem;
    int count = 0;
    if (bench == NULL) {
        return attn_fail(error, ATTN_CANNOT, "out of memory");
    }
    *bench = *scaling->bench;
    options.threads = threads > 0 ? threads : options.threads;
    options.engine = options.engine != NULL ? options.engine : "cpu";
    int status = attn_session_open(&bench->session, &options, error);
    if (status == ATTN_DONE) {
        bench->session.target_count = bench->session.target_count > 1 ? 1 : bench->session.target_count;
        status = attn_bench_case(bench, c, scaling->rows, &count, error);
        if (status == ATTN_DONE && clattn_problem_resolve(&c->problem, &problem, NULL) == CLATTN_OK) {
            attn_add_scaling_row(scaling, part, value, &problem, &scaling->rows[0]);
        }
        scaling->bench->wrong = scaling->bench->wrong || bench->wrong;
        attn_session_close(&bench->session);
    }
    free(bench);
    return status;
}

static int attn_scale_threads(attn_scaling *scaling, const attn_case *c, attn_error *error) {
    clattn_device_info cpu;
    int status =
        clattn_runtime_get_device(scaling->bench->session.runtime, 0, &cpu) == CLATTN_OK ? ATTN_DONE : ATTN_CANNOT;
    scaling->first = 0;
    for (int64_t threads = 1; status == ATTN_DONE && threads <= cpu.compute_units; threads++) {
        status = attn_scaling_row(scaling, "threads", threads, c, threads, error);
    }
    return status;
}

/* Halves of the heads, from one up; and of the lengths, from 128 up. */
static int attn_scale_sizes(attn_scaling *scaling, const attn_case *c, bool heads, attn_error *error) {
    clattn_problem problem;
    attn_case *smaller = malloc(sizeof *smaller);
    int status = smaller == NULL ? attn_fail(error, ATTN_CANNOT, "out of memory") : ATTN_DONE;
    if (status == ATTN_DONE && clattn_problem_resolve(&c->problem, &problem, NULL) != CLATTN_OK) {
        status = attn_fail(error, ATTN_BAD, "the problem is impossible");
    }
    int64_t last = status != ATTN_DONE ? 0 : heads ? problem.query_heads : problem.query_length;
    int64_t least = heads ? 1 : 128;
    scaling->first = 0;
    for (int64_t value = least; value <= last && status == ATTN_DONE;
         value = value < last && 2 * value > last ? last : 2 * value) {
        *smaller = *c;
        if (heads) {
            int64_t group = problem.query_heads / problem.kv_heads;
            smaller->problem.query_heads = value;
            smaller->problem.kv_heads = value % group == 0 ? value / group : value;
        } else {
            smaller->problem.query_length = value;
            smaller->problem.key_length = problem.key_length == problem.query_length ? value : problem.key_length;
        }
        status = attn_scaling_row(scaling, heads ? "heads" : "query_length", value, smaller, 0, error);
    }
    free(smaller);
    return status;
}

int attn_bench_scaling(attn_bench *bench, const attn_options *options, const attn_case *c, const char *csv,
                       attn_error *error) {
    attn_scaling scaling = { .bench = bench, .options = options };
    attn_table_init(&scaling.table, attn_scaling_columns, COLUMNS);
    scaling.rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *scaling.rows);
    int status = scaling.rows == NULL ? attn_fail(error, ATTN_CANNOT, "out of memory") : ATTN_DONE;
    status = status != ATTN_DONE ? status : attn_scale_threads(&scaling, c, error);
    status = status != ATTN_DONE ? status : attn_scale_sizes(&scaling, c, true, error);
    status = status != ATTN_DONE ? status : attn_scale_sizes(&scaling, c, false, error);
    printf("\n%s\nefficiency: of threads, speed-up over their number; of heads and lengths, throughput over the "
           "measured limit\n",
           c->text);
    attn_table_print(&scaling.table, stdout);
    status = status != ATTN_DONE ? status : attn_table_write_csv(&scaling.table, csv, error);
    if (status == ATTN_DONE && bench->wrong) {
        status = attn_fail(error, ATTN_WRONG, "a result is wrong (the rows above say which)");
    }
    attn_table_free(&scaling.table);
    free(scaling.rows);
    return status;
}
