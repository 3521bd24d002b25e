/*
 * `clattn bench --scaling`: one problem with 1 to N threads, with fewer heads, and at shorter lengths. Speed-up and
 * efficiency for threads; for heads and lengths the throughput beside the first row's.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/terminal.h"
#include "bench/bench.h"
#include "bench/bench_plot.h"
#include "picture/chart.h"

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
    COL_MINIMUM,
    COL_SPREAD,
    COL_TAKEN,
    COL_DISTURBED,
    COLUMNS
};

static const attn_column scaling_columns[COLUMNS] = {
    { "varied", "varied", false },
    { "value", "value", true },
    { "engine", NULL, false },
    { "median_ms", "median ms", true },
    { "gflops", "GFLOP/s", true },
    { "speed_up", "speed-up", true },
    { "efficiency", "efficiency", true },
    { "verified", NULL, ATTN_CELL_BOOL },
    { "note", NULL, false },
    { "minimum_ms", NULL, true },
    { "spread_per_cent", "spread %", true },
    { "others_per_cent", NULL, true },
    { "disturbed", NULL, false },
};

typedef struct scaling_run {
    attn_bench *bench; /* limits of time and machine; the session is the part's own */
    const attn_options *options;
    const attn_case *c;
    attn_rows_file *file;
    attn_table table;
    double first; /* GFLOP/s of the part's first row */
    attn_bench_row *rows;
} scaling_run;

/* Efficiency: of threads, speed-up over threads; of sizes, throughput over the machine's measured limit. */
static void add_scaling_row(scaling_run *scaling, const char *part, int64_t value, const clattn_problem *problem,
                            const attn_bench_row *row) {
    attn_table *table = &scaling->table;
    bool threads = strcmp(part, "threads") == 0;
    attn_table_row(table);
    attn_table_set(table, COL_PART, "%s", part);
    attn_table_set(table, COL_VALUE, "%" PRId64, value);
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
    attn_table_set(table, COL_MINIMUM, "%.6g", 1e3 * row->minimum);
    if (row->spread >= 0) {
        attn_table_set(table, COL_SPREAD, "%.1f", 100 * row->spread);
    }
    if (row->taken >= 0) {
        attn_table_set(table, COL_TAKEN, "%.1f", 100 * row->taken);
    }
    attn_table_set(table, COL_DISTURBED, "%s", attn_bench_disturbance(row));
}

/* Measures the case with that many threads (0 = all) and adds its row. */
static int scaling_row(scaling_run *scaling, const char *part, int64_t value, const attn_case *c, int64_t threads,
                       attn_error *error) {
    attn_bench *bench = calloc(1, sizeof *bench);
    attn_options options = *scaling->options;
    clattn_problem problem;
    int count = 0;
    if (!bench) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    *bench = *scaling->bench;
    options.threads = threads > 0 ? threads : options.threads;
    options.engine = options.engine ? options.engine : "cpu";
    int status = attn_session_open(&bench->session, &options, error);
    if (status == ATTN_DONE) {
        bench->session.target_count = bench->session.target_count > 1 ? 1 : bench->session.target_count;
        status = attn_bench_case(bench, c, scaling->rows, &count, error);
        bool stopped = attn_interrupted() != 0 && scaling->rows[0].runs == 0;
        if (status == ATTN_DONE && !stopped && clattn_problem_resolve(&c->problem, &problem, NULL) == CLATTN_OK) {
            add_scaling_row(scaling, part, value, &problem, &scaling->rows[0]);
            attn_rows_keep(scaling->file);
        }
        scaling->bench->load_from = bench->load_from;
        scaling->bench->load_to = bench->load_to;
        scaling->bench->load_next = bench->load_next;
        scaling->bench->wrong = scaling->bench->wrong || bench->wrong;
        attn_session_close(&bench->session);
    }
    free(bench);
    return status;
}

static int scale_threads(scaling_run *scaling, const attn_case *c, attn_error *error) {
    clattn_device_info cpu;
    int status =
        clattn_runtime_get_device(scaling->bench->session.runtime, 0, &cpu) == CLATTN_OK ? ATTN_DONE : ATTN_UNSERVED;
    scaling->first = 0;
    for (int64_t threads = 1; status == ATTN_DONE && threads <= cpu.compute_units && attn_interrupted() == 0;
         threads++) {
        status = scaling_row(scaling, "threads", threads, c, threads, error);
    }
    return status;
}

/* Halves of the heads, from one up; and of the lengths, from 128 up. */
static int scale_sizes(scaling_run *scaling, const attn_case *c, bool heads, attn_error *error) {
    clattn_problem problem;
    attn_case *smaller = malloc(sizeof *smaller);
    int status = smaller ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    if (status == ATTN_DONE && clattn_problem_resolve(&c->problem, &problem, NULL) != CLATTN_OK) {
        status = attn_fail(error, ATTN_USAGE, "the problem is impossible");
    }
    int64_t last = status != ATTN_DONE ? 0 : heads ? problem.query_heads : problem.query_length;
    int64_t least = heads ? 1 : 128;
    scaling->first = 0;
    for (int64_t value = least; value <= last && status == ATTN_DONE && attn_interrupted() == 0;
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
        status = scaling_row(scaling, heads ? "heads" : "query_length", value, smaller, 0, error);
    }
    free(smaller);
    return status;
}

/* ------------------------------------------------------------------------------------ what is made of it */

/* "! disturbed by others on the processors: threads 1, heads 4" */
static void print_doubts(const attn_table *table, const char *why, const char *title, int width) {
    char text[4096] = "";
    for (int64_t r = 0; r < table->row_count; r++) {
        if (strstr(attn_table_get(table, r, COL_DISTURBED), why)) {
            attn_text_add(text, sizeof text, "%s%s %s", text[0] != '\0' ? ", " : title,
                          attn_table_get(table, r, COL_PART), attn_table_get(table, r, COL_VALUE));
        }
    }
    if (text[0] != '\0') {
        attn_terminal_wrap(stdout, text, 0, 2, width);
    }
}

static void print_scaling(const scaling_run *scaling) {
    const attn_table *table = &scaling->table;
    int width = attn_terminal_width(STDOUT_FILENO);
    width = width > 0 ? width - 1 : 1 << 20;
    putchar('\n');
    char text[ATTN_CASE_TEXT + 64];
    snprintf(text, sizeof text, "%s: %s", attn_table_get(table, 0, COL_ENGINE), scaling->c->text);
    attn_terminal_wrap(stdout, text, 0, 2, width);
    attn_terminal_wrap(stdout,
                       "efficiency: of threads, speed-up over their number; of heads and lengths, throughput over the "
                       "measured limit",
                       0, 2, width);
    attn_table_print(table, stdout);
    for (int64_t r = 0; r < table->row_count; r++) {
        const char *note = attn_table_get(table, r, COL_NOTE);
        if (note[0] != '\0') {
            snprintf(text, sizeof text, "%s %s: %s", attn_table_get(table, r, COL_PART),
                     attn_table_get(table, r, COL_VALUE), note);
            attn_terminal_wrap(stdout, text, 0, 2, width);
        }
    }
    print_doubts(table, "others", "! disturbed by others on the processors: ", width);
    print_doubts(table, "uneven", "! times are uneven: ", width);
}

static void draw_scaling(attn_canvas *canvas, const void *what) {
    static const char *const parts[3] = { "threads", "heads", "query_length" };
    static const char *const titles[3] = { "speed-up over threads", "GFLOP/s over heads", "GFLOP/s over lengths" };
    static const char *const x_titles[3] = { "threads", "query heads", "query length" };
    enum { POINTS = 1024 };
    const scaling_run *scaling = what;
    const attn_table *table = &scaling->table;
    char caption[160];
    snprintf(caption, sizeof caption, "%s: %.100s", attn_table_get(table, 0, COL_ENGINE), scaling->c->text);
    canvas->text(canvas, ATTN_CHART_LEFT, ATTN_CHART_BOTTOM, ATTN_ANCHOR_START, ATTN_CHART_INK, caption);
    for (int panel = 0; panel < 3; panel++) {
        double x[POINTS], y[POINTS];
        int count = 0;
        attn_chart chart = attn_chart_begin(panel, true);
        for (int64_t r = 0; r < table->row_count && count < POINTS; r++) {
            if (strcmp(attn_table_get(table, r, COL_PART), parts[panel]) == 0) {
                x[count] = attn_plot_number(table, r, COL_VALUE);
                y[count] = attn_plot_number(table, r, panel == 0 ? COL_SPEED_UP : COL_RATE);
                attn_chart_add(&chart, x[count], panel == 0 && x[count] > y[count] ? x[count] : y[count]);
                count++;
            }
        }
        attn_chart_close(&chart);
        attn_chart_grid(canvas, &chart, titles[panel], x_titles[panel]);
        if (panel == 0) { /* what every thread would give that is as fast as the first */
            attn_chart_line(canvas, &chart, x, x, count, false, 0x999999);
        }
        attn_chart_line(canvas, &chart, x, y, count, true, attn_chart_colour(0));
    }
}

static int write_scaling(scaling_run *scaling, const char *plot, bool complete, attn_error *error) {
    int status = attn_rows_finish(scaling->file, complete, error);
    attn_error other = { 0 };
    if (plot && attn_chart_write(plot, 3 * (ATTN_CHART_WIDTH + ATTN_CHART_LEFT) + 40,
                                 ATTN_CHART_BOTTOM + ATTN_CHART_LINE, draw_scaling, scaling, &other) != ATTN_DONE) {
        status = status != ATTN_DONE ? status : attn_fail(error, other.status, "%s", other.text);
    }
    return status;
}

int attn_bench_scaling(attn_bench *bench, const attn_options *options, const attn_case *c, attn_rows_file *rows,
                       const char *plot, attn_error *error) {
    scaling_run scaling = { .bench = bench, .options = options, .c = c, .file = rows };
    attn_error other = { 0 };
    attn_table_init(&scaling.table, scaling_columns, COLUMNS);
    rows->table = &scaling.table;
    scaling.rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *scaling.rows);
    int status = !scaling.rows ? attn_fail(error, ATTN_UNSERVED, "out of memory") : ATTN_DONE;
    status = status != ATTN_DONE ? status : scale_threads(&scaling, c, error);
    status = status != ATTN_DONE ? status : scale_sizes(&scaling, c, true, error);
    status = status != ATTN_DONE ? status : scale_sizes(&scaling, c, false, error);
    if (scaling.table.row_count > 0) { /* also where it was stopped or failed: what was measured is kept */
        print_scaling(&scaling);
        bool complete = status == ATTN_DONE && attn_interrupted() == 0;
        if (write_scaling(&scaling, plot, complete, &other) != ATTN_DONE && status == ATTN_DONE) {
            status = attn_fail(error, other.status, "%s", other.text);
        }
    }
    attn_table_free(&scaling.table);
    free(scaling.rows);
    return status;
}
