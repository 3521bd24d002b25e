/*
 * `clattn bench`: the main job. Collects cases, measures the machine's limits, runs the cases and shows each row as
 * soon as it is there. Measuring is in bench_case.c, printing in bench_table.c, drawing in bench_plot.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/interrupt.h"
#include "base/terminal.h"
#include "bench/bench.h"
#include "bench/opencl_limits.h"
#include "case/case_default.h"
#include "case/case_help.h"
#include "picture/chart.h"
#include "commands.h"

static const char bench_help[] = "clattn bench [PROBLEM...] [OPTIONS]\n"
                                 "\n"
                                 "Time, throughput and memory of every engine that is here. Without words and\n"
                                 "suite: query_length=128..8192 at 12 heads of 64; a problem that does not give\n"
                                 "both query_length and head_dim takes the words that it does not give from there.\n"
                                 "For each problem and engine: median, least and longest time and their spread,\n"
                                 "GFLOP/s on the scores that causal and window allow, per cent of the measured\n"
                                 "limit, peak memory really allocated, speed-up over plain one-thread float loops\n"
                                 "(scaled from a sample of rows where a whole run would take long), how much of\n"
                                 "the processors others took meanwhile, and for opencl-unfused the time of its\n"
                                 "steps. A terminal gets the columns that fit: * is the fastest engine, ! a row\n"
                                 "that was disturbed, ~ one that is scaled. Rounds are interleaved between\n"
                                 "engines; every result is first checked against the reference on sampled rows.\n"
                                 "direction=backward: the time is that of the backward alone, 2.5 times the\n"
                                 "forward's operations are counted, and the note (in CSV forward_and_backward_ms)\n"
                                 "says the time of the engine's forward and backward together, a step of training.\n"
                                 "Outputs are tried before anything is measured and hold the rows so far while it\n"
                                 "runs. Ctrl-C ends it in order, with what was measured until then (exit status\n"
                                 "128 + the signal); a second one ends it at once.\n"
                                 "  --suite FILE          problems from a file, one a line; `#` starts a comment\n"
                                 "  --rounds N            time each N times (as often as a second allows)\n"
                                 "  --seconds S           start no new run then (300), nor one longer than S/15;\n"
                                 "                        they begin when the machine's limits are measured and\n"
                                 "                        every engine has run once\n"
                                 "  --memory WHERE        host or device: where OpenCL engines find their tensors;\n"
                                 "                        a GPU is timed on its own memory unless this says host\n"
                                 "                        (then with the copies)\n"
                                 "  --scaling             threads 1..N, heads and lengths of the first problem:\n"
                                 "                        speed-up and efficiency of the cpu engine\n"
                                 "  --csv FILE            the rows as CSV; - is standard output\n"
                                 "  --json FILE           the same as JSON; - is standard output\n"
                                 "  --plot FILE           F.svg or F.png: time, throughput, memory over length, or\n"
                                 "                        as bars where problems have no length in common\n";

/* The default problem, with the lengths first. */
#define DEFAULT_HEADS "query_heads=12 head_dim=64"

typedef struct bench_options {
    attn_options options;
    const char *suite, *csv, *json, *plot, *rounds, *seconds, *memory;
    bool scaling;
} bench_options;

static int read_bench_options(bench_options *o, int argc, char **argv, attn_error *error) {
    const attn_flag flags[] = {
        { "--suite", &o->suite, NULL },     { "--csv", &o->csv, NULL },       { "--json", &o->json, NULL },
        { "--plot", &o->plot, NULL },       { "--rounds", &o->rounds, NULL }, { "--seconds", &o->seconds, NULL },
        { "--scaling", NULL, &o->scaling }, { "--memory", &o->memory, NULL },
    };
    return attn_options_read(&o->options, flags, (int)(sizeof flags / sizeof flags[0]), argc, argv, error);
}

static int bench_cases(const bench_options *o, attn_cases *cases, attn_error *error) {
    char line[ATTN_CASE_TEXT];
    if (attn_words_join(&o->options, line, error) != ATTN_DONE) {
        return error->status;
    }
    bool words = o->options.word_count > 0 || !o->suite;
    const char *defaults = o->scaling ? "query_length=2048 " DEFAULT_HEADS : "query_length=128..8192 " DEFAULT_HEADS;
    if (words && attn_cases_default(cases, line, defaults, error) != ATTN_DONE) {
        return error->status;
    }
    return o->suite ? attn_cases_file(cases, o->suite, error) : ATTN_DONE;
}

static int prepare_bench(attn_bench *bench, const bench_options *o, attn_error *error) {
    int64_t seconds = 300;
    if (attn_options_number("--rounds", o->rounds, 1, &bench->limits.rounds, error) != ATTN_DONE ||
        attn_options_number("--seconds", o->seconds, 1, &seconds, error) != ATTN_DONE ||
        (o->plot && attn_plot_check(o->plot, error) != ATTN_DONE)) {
        return error->status;
    }
    const attn_rows_file files = { .csv = o->csv, .json = o->json };
    if (attn_rows_try(&files, error) != ATTN_DONE || attn_output_try(o->plot, error) != ATTN_DONE) {
        return error->status;
    }
    if (o->memory && strcmp(o->memory, "host") != 0 && strcmp(o->memory, "device") != 0) {
        return attn_fail(error, ATTN_USAGE, "--memory %s: host or device is expected", o->memory);
    }
    bench->memory = !o->memory                       ? ATTN_BENCH_MEMORY_BEST
                    : strcmp(o->memory, "host") == 0 ? ATTN_BENCH_MEMORY_HOST
                                                     : ATTN_BENCH_MEMORY_DEVICE;
    bench->limits.rounds = bench->limits.rounds > ATTN_BENCH_RUNS ? ATTN_BENCH_RUNS : bench->limits.rounds;
    bench->limits.seconds = (double)seconds;
    bench->limits.run_seconds = (double)seconds / 15;
    bench->gate.max_work = 1.5e8;
    bench->gate.plain_runs = 3;
    return ATTN_DONE;
}

/* A first look at every engine, so that what would take minutes is known before it is started. */
static int warm_up(attn_bench *bench, const attn_cases *first, attn_error *error) {
    bool backward = first->count > 0 && first->items[0].problem.direction == CLATTN_BACKWARD;
    const char *line = backward ? "query_length=512 query_heads=2 head_dim=64 direction=backward"
                                : "query_length=512 query_heads=2 head_dim=64";
    attn_bench_row *rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *rows);
    attn_cases cases = { 0 };
    int count = 0;
    int status = !rows ? attn_fail(error, ATTN_UNSERVED, "out of memory")
                       : attn_cases_line(&cases, line, error);
    if (status == ATTN_DONE && attn_interrupted() == 0) {
        int64_t rounds = bench->limits.rounds;
        bench->limits.rounds = 1;
        status = attn_bench_case(bench, &cases.items[0], rows, &count, error);
        bench->limits.rounds = rounds;
    }
    attn_cases_free(&cases);
    free(rows);
    return status;
}

/* Adds the rows of a case. What a signal has kept from being timed is left out. */
static void add_rows(attn_table *table, const attn_case *c, const attn_bench_row *rows, int count, int64_t *ran) {
    clattn_problem problem;
    if (clattn_problem_resolve(&c->problem, &problem, NULL) != CLATTN_OK) {
        return;
    }
    bool timed = attn_interrupted() == 0; /* else: is there anything but the plain loops? */
    for (int r = 0; r < count; r++) {
        timed = timed || (rows[r].runs > 0 && strcmp(rows[r].engine, "plain") != 0);
    }
    for (int r = 0; r < count; r++) {
        bool stopped = attn_interrupted() != 0 && rows[r].runs == 0 && rows[r].note[0] == '\0';
        if (timed && !stopped) {
            attn_bench_add_row(table, c, &problem, &rows[r]);
            *ran += rows[r].ran ? 1 : 0;
        }
    }
}

static int bench_rows(attn_bench *bench, const attn_cases *cases, attn_rows_file *file, attn_table *table, int64_t *ran,
                      attn_error *error) {
    attn_bench_row *rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *rows);
    int status = rows ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t n = 0; n < cases->count && status == ATTN_DONE && attn_interrupted() == 0; n++) {
        int64_t first = table->row_count;
        int count = 0;
        bench->case_number = n + 1;
        bench->case_count = cases->count;
        status = attn_bench_case(bench, &cases->items[n], rows, &count, error);
        if (status == ATTN_DONE) {
            add_rows(table, &cases->items[n], rows, count, ran);
            attn_bench_show_case(table, first, stdout);
            attn_rows_keep(file);
        }
    }
    free(rows);
    return status;
}

/* Rows that were measured are written however the command ends. */
static int write_rows(const bench_options *o, attn_rows_file *file, const attn_table *table, bool complete,
                      attn_error *error) {
    attn_error other = { 0 };
    int status = attn_rows_finish(file, complete, error);
    if (o->plot && attn_bench_plot(table, o->plot, &other) != ATTN_DONE) {
        status = status != ATTN_DONE ? status : attn_fail(error, other.status, "%s", other.text);
    }
    return status;
}

static int bench_tables(attn_bench *bench, const bench_options *o, const attn_cases *cases, attn_rows_file *file,
                        attn_error *error) {
    attn_table table;
    attn_error other = { 0 };
    int64_t ran = 0;
    attn_table_init(&table, attn_bench_columns, ATTN_BENCH_COLUMNS);
    file->table = &table;
    printf("\n");
    int status = bench_rows(bench, cases, file, &table, &ran, error);
    attn_bench_show_end(&table, stdout);
    bool complete = status == ATTN_DONE && attn_interrupted() == 0;
    if ((complete || table.row_count > 0) && write_rows(o, file, &table, complete, &other) != ATTN_DONE &&
        status == ATTN_DONE) {
        status = attn_fail(error, other.status, "%s", other.text);
    }
    if (status == ATTN_DONE && ran == 0 && cases->count > 0 && complete) {
        bool late = attn_seconds() - bench->limits.began > bench->limits.seconds;
        status = late ? attn_fail(error, ATTN_UNSERVED, "--seconds %.0f: used up before anything was measured",
                                  bench->limits.seconds)
                      : attn_fail(error, ATTN_UNSERVED, "nothing here serves it (the rows above say why)");
    }
    attn_table_free(&table);
    return status;
}

/* The limits of every GPU that a target runs on. */
static void measure_gpus(attn_bench *bench) {
    for (int t = 0; t < bench->session.target_count; t++) {
        clattn_device_info info;
        int64_t device = bench->session.targets[t].device;
        if (clattn_runtime_get_device(bench->session.runtime, device, &info) != CLATTN_OK ||
            info.kind != CLATTN_DEVICE_OPENCL_GPU) {
            continue;
        }
        int same = 0;
        while (bench->session.targets[same].device != device) {
            same++;
        }
        if (same < t) {
            bench->gpu_gflops[t] = bench->gpu_gflops[same];
            bench->gpu_gbytes[t] = bench->gpu_gbytes[same];
        } else {
            attn_measure_opencl_limits(bench->session.runtime, device, &bench->gpu_gflops[t], &bench->gpu_gbytes[t]);
        }
    }
}

/* What the machine can do, and whether others kept it from doing so meanwhile. */
static void measure_machine(attn_bench *bench) {
    clattn_device_info cpu = { .compute_units = 1 };
    clattn_status known = clattn_runtime_get_device(bench->session.runtime, 0, &cpu);
    int64_t threads = known == CLATTN_OK ? cpu.compute_units : 1;
    attn_load began;
    attn_load_now(&began);
    attn_measure_limits(threads, &bench->machine);
    attn_load_now(&bench->load_next);
    bench->limits_taken = attn_load_taken(&began, &bench->load_next, (double)threads);
    measure_gpus(bench);
}

/* The lines about the machine, broken where they do not fit a terminal. */
static int print_machine(const attn_bench *bench, attn_error *error) {
    int width = attn_terminal_width(STDOUT_FILENO);
    char *text = NULL;
    size_t size = 0;
    FILE *lines = width > 0 ? open_memstream(&text, &size) : NULL;
    attn_bench_print_machine(bench, lines ? lines : stdout);
    if (lines && (fclose(lines) != 0 || !text)) {
        free(text);
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (char *line = text, *end; line && *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        if (*end == '\n') {
            *end++ = '\0';
        }
        attn_terminal_wrap(stdout, line, 0, 2, width - 1);
    }
    free(text);
    fflush(stdout);
    return ATTN_DONE;
}

static int bench_all(attn_bench *bench, const bench_options *o, attn_error *error) {
    attn_cases cases = { 0 };
    if (prepare_bench(bench, o, error) != ATTN_DONE || bench_cases(o, &cases, error) != ATTN_DONE ||
        attn_cases_tell_apart(&cases, error) != ATTN_DONE ||
        attn_output_take_stdout(o->csv, o->json, error) != ATTN_DONE ||
        attn_session_open(&bench->session, &o->options, error) != ATTN_DONE) {
        attn_cases_free(&cases);
        return error->status;
    }
    attn_rows_file file = { .csv = o->csv, .json = o->json, .write_json = attn_bench_write_json, .user = bench };
    attn_interrupt_watch();
    measure_machine(bench);
    int status = print_machine(bench, error);
    bench->limits.began = attn_seconds();
    if (status == ATTN_DONE) {
        status = o->scaling && cases.count > 0
                     ? attn_bench_scaling(bench, &o->options, &cases.items[0], &file, o->plot, error)
                     : warm_up(bench, &cases, error);
    }
    bench->limits.began = attn_seconds(); /* a look at every engine is no part of what the user asked for */
    if (status == ATTN_DONE && !o->scaling) {
        status = bench_tables(bench, o, &cases, &file, error);
    }
    if (status == ATTN_DONE && bench->wrong) {
        status = attn_fail(error, ATTN_MISMATCH, "a result is wrong (the rows above say which)");
    }
    if (status == ATTN_DONE && attn_interrupted() != 0) {
        status = attn_interrupt_fail(error, "the rows above are what was measured until then");
    }
    attn_session_close(&bench->session);
    attn_cases_free(&cases);
    return status;
}

int attn_command_bench(int argc, char **argv, attn_error *error) {
    bench_options options;
    memset(&options, 0, sizeof options);
    if (read_bench_options(&options, argc, argv, error) != ATTN_DONE) {
        return error->status;
    }
    if (options.options.help) {
        attn_help_print(bench_help, ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN | ATTN_HELP_LISTS);
        return ATTN_DONE;
    }
    attn_bench *bench = calloc(1, sizeof *bench);
    if (!bench) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    int status = bench_all(bench, &options, error);
    free(bench);
    return status;
}
