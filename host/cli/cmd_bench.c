/*
 * `clattn bench`: the main job. Collects cases, measures the machine's limits, runs the cases and shows each row as
 * soon as it is there. Measuring is in bench_case.c, printing in bench_table.c, drawing in plot.c.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "commands.h"
#include "help.h"
#include "opencl_limits.h"

static const char attn_bench_help[] =
    "clattn bench [PROBLEM...] [OPTIONS]\n"
    "\n"
    "Time, throughput and memory of every engine that is here. Without words and\n"
    "suite: query_length=128..8192 at 12 heads of 64. For each problem and engine:\n"
    "median and minimum time, GFLOP/s on the scores that causal and window allow, per\n"
    "cent of the measured limit, peak memory really allocated, speed-up over plain\n"
    "one-thread float loops (scaled from a sample of rows where a whole run would\n"
    "take long), and for opencl-unfused the time of its steps. Rounds are interleaved\n"
    "between engines; every result is first checked against the reference on sampled\n"
    "rows.\n"
    "  --suite FILE          problems from a file, one a line; `#` starts a comment\n"
    "  --rounds N            time each N times (as often as a second allows)\n"
    "  --seconds S           start no new run then (300), nor one longer than S/15\n"
    "  --memory WHERE        host or device: where OpenCL engines find their tensors;\n"
    "                        a GPU is timed on its own memory unless this says host\n"
    "                        (then with the copies)\n"
    "  --scaling             threads 1..N, heads and lengths of the first problem:\n"
    "                        speed-up and efficiency of the cpu engine\n"
    "  --csv FILE            the rows as CSV; - is standard output\n"
    "  --json FILE           the same as JSON; - is standard output\n"
    "  --plot FILE           F.svg or F.png: time, throughput, memory over length\n";

static const char *const attn_default_words = "query_length=128..8192 query_heads=12 head_dim=64";

typedef struct attn_bench_options {
    attn_options options;
    const char *suite, *csv, *json, *plot, *rounds, *seconds, *memory;
    bool scaling;
} attn_bench_options;

static int attn_read_bench_options(attn_bench_options *o, int argc, char **argv, attn_error *error) {
    const attn_flag flags[] = {
        { "--suite", &o->suite, NULL },     { "--csv", &o->csv, NULL },       { "--json", &o->json, NULL },
        { "--plot", &o->plot, NULL },       { "--rounds", &o->rounds, NULL }, { "--seconds", &o->seconds, NULL },
        { "--scaling", NULL, &o->scaling }, { "--memory", &o->memory, NULL },
    };
    return attn_options_read(&o->options, flags, (int)(sizeof flags / sizeof flags[0]), argc, argv, error);
}

static int attn_bench_cases(const attn_bench_options *o, attn_cases *cases, attn_error *error) {
    if (o->options.word_count == 0 && o->suite == NULL) {
        return attn_cases_line(cases, o->scaling ? "query_length=2048 query_heads=12 head_dim=64" : attn_default_words,
                               error);
    }
    char line[ATTN_CASE_TEXT] = "";
    for (int w = 0; w < o->options.word_count; w++) {
        attn_text_add(line, sizeof line, "%s%s", w > 0 ? " " : "", o->options.words[w]);
    }
    if (strlen(line) + 1 >= sizeof line || strchr(line, '#') != NULL) {
        return attn_fail(error, ATTN_BAD, "%.60s...: not a line of words", line);
    }
    if (attn_cases_line(cases, line, error) != ATTN_DONE) {
        return error->status;
    }
    return o->suite != NULL ? attn_cases_file(cases, o->suite, error) : ATTN_DONE;
}

static int attn_prepare_bench(attn_bench *bench, const attn_bench_options *o, attn_error *error) {
    int64_t seconds = 300;
    if (attn_options_number("--rounds", o->rounds, 1, &bench->limits.rounds, error) != ATTN_DONE ||
        attn_options_number("--seconds", o->seconds, 1, &seconds, error) != ATTN_DONE ||
        (o->plot != NULL && attn_plot_check(o->plot, error) != ATTN_DONE)) {
        return error->status;
    }
    if (o->memory != NULL && strcmp(o->memory, "host") != 0 && strcmp(o->memory, "device") != 0) {
        return attn_fail(error, ATTN_BAD, "--memory %s: host or device is wanted", o->memory);
    }
    bench->memory = o->memory == NULL                 ? ATTN_BENCH_MEMORY_BEST
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
static int attn_warm_up(attn_bench *bench, attn_error *error) {
    attn_bench_row *rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *rows);
    attn_cases cases = { 0 };
    int count = 0;
    int status = rows == NULL ? attn_fail(error, ATTN_CANNOT, "out of memory")
                              : attn_cases_line(&cases, "query_length=512 query_heads=2 head_dim=64", error);
    if (status == ATTN_DONE) {
        int64_t rounds = bench->limits.rounds;
        bench->limits.rounds = 1;
        status = attn_bench_case(bench, &cases.items[0], rows, &count, error);
        bench->limits.rounds = rounds;
    }
    attn_cases_free(&cases);
    free(rows);
    return status;
}

static int attn_bench_rows(attn_bench *bench, const attn_cases *cases, attn_table *table, int64_t *ran,
                           attn_error *error) {
    attn_bench_row *rows = malloc((ATTN_TARGETS_MAX + 1) * sizeof *rows);
    int status = rows == NULL ? attn_fail(error, ATTN_CANNOT, "out of memory") : ATTN_DONE;
    for (int64_t n = 0; n < cases->count && status == ATTN_DONE; n++) {
        const attn_case *c = &cases->items[n];
        clattn_problem problem;
        int count = 0;
        status = attn_bench_case(bench, c, rows, &count, error);
        if (status != ATTN_DONE || clattn_problem_resolve(&c->problem, &problem, NULL) != CLATTN_OK) {
            break;
        }
        if (c->name[0] != '\0' && (n == 0 || strcmp(c->name, cases->items[n - 1].name) != 0)) {
            printf("%s\n", c->name);
        }
        for (int r = 0; r < count; r++) {
            attn_bench_add_row(table, c, &problem, &rows[r]);
            attn_bench_print_row(table, table->row_count - 1, stdout);
            *ran += rows[r].ran ? 1 : 0;
        }
    }
    free(rows);
    return status;
}

static int attn_bench_tables(attn_bench *bench, const attn_bench_options *o, const attn_cases *cases,
                             attn_error *error) {
    attn_table table;
    int64_t ran = 0;
    attn_table_init(&table, attn_bench_columns, ATTN_BENCH_COLUMNS);
    printf("\n");
    attn_bench_print_row(&table, -1, stdout);
    int status = attn_bench_rows(bench, cases, &table, &ran, error);
    if (status == ATTN_DONE) {
        status = attn_bench_write(bench, &table, o->csv, o->json, error);
    }
    if (status == ATTN_DONE && o->plot != NULL) {
        status = attn_bench_plot(&table, o->plot, error);
    }
    if (status == ATTN_DONE && bench->wrong) {
        status = attn_fail(error, ATTN_WRONG, "a result is wrong (the rows above say which)");
    }
    if (status == ATTN_DONE && ran == 0 && cases->count > 0) {
        status = attn_fail(error, ATTN_CANNOT, "nothing here serves it (the rows above say why)");
    }
    attn_table_free(&table);
    return status;
}

/* The limits of every GPU that a target runs on. */
static void attn_measure_gpus(attn_bench *bench) {
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

static int attn_bench_all(attn_bench *bench, const attn_bench_options *o, attn_error *error) {
    attn_cases cases = { 0 };
    if (attn_prepare_bench(bench, o, error) != ATTN_DONE || attn_bench_cases(o, &cases, error) != ATTN_DONE ||
        attn_cases_tell_apart(&cases, error) != ATTN_DONE ||
        attn_output_take_stdout(o->csv, o->json, error) != ATTN_DONE ||
        attn_session_open(&bench->session, &o->options, error) != ATTN_DONE) {
        attn_cases_free(&cases);
        return error->status;
    }
    clattn_device_info cpu = { .compute_units = 1 };
    clattn_status known = clattn_runtime_get_device(bench->session.runtime, 0, &cpu);
    attn_measure_limits(known == CLATTN_OK ? cpu.compute_units : 1, &bench->machine);
    attn_measure_gpus(bench);
    attn_bench_print_machine(bench, stdout);
    fflush(stdout);
    bench->limits.began = attn_seconds();
    int status = o->scaling && cases.count > 0 ? attn_bench_scaling(bench, &o->options, &cases.items[0], o->csv, error)
                                               : attn_warm_up(bench, error);
    if (status == ATTN_DONE && !o->scaling) {
        status = attn_bench_tables(bench, o, &cases, error);
    }
    attn_session_close(&bench->session);
    attn_cases_free(&cases);
    return status;
}

int attn_command_bench(int argc, char **argv, attn_error *error) {
    attn_bench_options options;
    memset(&options, 0, sizeof options);
    if (attn_read_bench_options(&options, argc, argv, error) != ATTN_DONE) {
        return error->status;
    }
    if (options.options.help) {
        attn_help_print(attn_bench_help, ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN | ATTN_HELP_LISTS);
        return ATTN_DONE;
    }
    attn_bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        return attn_fail(error, ATTN_CANNOT, "out of memory");
    }
    int status = attn_bench_all(bench, &options, error);
    free(bench);
    return status;
}
