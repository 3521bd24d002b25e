/*
 * `clattn tune`: searches block sizes on this device and keeps what wins. Goes through problems and engines, shows what
 * it finds, puts rows into the user's file. Candidates are in tune_rows.c, measuring in tune_measure.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/interrupt.h"
#include "base/json_write.h"
#include "base/progress.h"
#include "base/tuning_file.h"
#include "case/case.h"
#include "case/case_default.h"
#include "case/case_help.h"
#include "tune/tune.h"
#include "commands.h"

static const char attn_tune_help[] =
    "clattn tune [PROBLEM...] [OPTIONS]\n"
    "\n"
    "Searches the block sizes of the OpenCL engines on this device. Each candidate\n"
    "must first pass the check that `clattn verify` makes; what the engine refuses\n"
    "and what is wrong is listed. Rounds alternate between the candidate and the best\n"
    "so far. A winner is kept when it gains more than 2 % over the library's own\n"
    "sizes and more than three times the noise (of the ratio, from the rounds that\n"
    "decide). Its row goes into the file of --tuning, which every command reads; rows\n"
    "of other devices and problems stay. --tuning none: only print.\n"
    "Without words: 16 heads of 64 and 128, 2048 tokens, fp32 and fp16; and one token\n"
    "over 8192 keys, 32/8 heads of 128. Without --engine: opencl-decode where at most\n"
    "16 rows share a key, else opencl-fused. A problem that does not give both\n"
    "query_length and head_dim takes the words that it does not give from these.\n"
    "direction=backward: the block sizes of backward, where the engine has some.\n"
    "Time of GPUs is that of kernels. Ctrl-C ends the search in order: what it has\n"
    "found by then is decided upon and stored (exit status 128 + the signal).\n"
    "  --seconds N           for each problem (60)\n"
    "  --json                as JSON on standard output\n";

static const char *const attn_tune_lines[] = {
    "query_length=2048 query_heads=16 head_dim=64,128 type=fp32,fp16",
    "query_length=1 key_length=8192 query_heads=32 kv_heads=8 head_dim=128 type=fp32,fp16",
};

typedef struct attn_tune_options {
    attn_options options;
    const char *seconds;
    bool json;
} attn_tune_options;

typedef struct attn_tune_all {
    attn_session session;
    bool json, wrong;
    double seconds;
    char path[ATTN_PATH_MAX]; /* "" = nothing is stored */
    char *file;      /* its text so far; NULL = none */
    char *rows;      /* new rows in the form of kernels/tuning */
    int searched, kept;
    char last[512]; /* why the last class was not searched */
} attn_tune_all;

static const char *const attn_outcomes[] = { "not tried", "timed", "refused", "wrong" };

/* ------------------------------------------------------------------------------------ printing */

static void attn_print_candidate(const attn_tune *tune, int item) {
    char sizes[ATTN_TUNE_LINE];
    const attn_tune_candidate *candidate = &tune->items[item];
    attn_tune_describe(tune, item, sizes, sizeof sizes);
    if (candidate->outcome == ATTN_TUNE_TIMED) {
        printf("  %7.3fx  %s%s\n", 1 / candidate->ratio, sizes, item == tune->best_item ? "  <- best so far" : "");
    } else {
        printf("  %-8s  %s: %s\n", attn_outcomes[candidate->outcome], sizes, candidate->why);
    }
    fflush(stdout);
}

static void attn_print_result(const attn_tune *tune) {
    char base[32], best[32], sizes[ATTN_TUNE_LINE] = "";
    int counts[4] = { 0 };
    for (int n = 0; n < tune->count; n++) {
        counts[tune->items[n].outcome]++;
    }
    printf("  %d candidates timed, %d refused, %d wrong, %d not tried\n", counts[ATTN_TUNE_TIMED],
           counts[ATTN_TUNE_REFUSED], counts[ATTN_TUNE_WRONG], counts[ATTN_TUNE_UNTRIED]);
    if (tune->best_item >= 0) {
        attn_tune_describe(tune, tune->best_item, sizes, sizeof sizes);
    }
    printf("  own choice %s, best %s (%+.1f %%, noise %.1f %%): %s%s\n", attn_text_seconds(tune->base_seconds, base),
           attn_text_seconds(tune->best_seconds, best), 100 * tune->gain,
           100 * tune->noise, tune->kept ? "kept: " : "nothing is kept", tune->kept ? sizes : "");
}

static void attn_print_json(const attn_tune *tune, const char *row, bool first) {
    char device[300], sizes[ATTN_TUNE_LINE];
    attn_session_device_name(tune->session, tune->device, device, sizeof device);
    printf("%s\n  { \"problem\": ", first ? "" : ",");
    attn_json_write_string(stdout, tune->c->text);
    printf(", \"engine\": \"%s\", \"device\": ", tune->engine);
    attn_json_write_string(stdout, device);
    if (tune->skipped[0] != '\0') {
        printf(", \"skipped\": ");
        attn_json_write_string(stdout, tune->skipped);
        printf(" }");
        return;
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = { { "own_ms", 1e3 * tune->base_seconds },
                    { "best_ms", 1e3 * tune->best_seconds },
                    { "gain", tune->gain },
                    { "noise", tune->noise } };
    printf(", \"table\": \"%s\"", tune->table.name);
    for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
        printf(", \"%s\": ", numbers[n].key);
        attn_json_write_number(stdout, numbers[n].value, 6);
    }
    printf(", \"kept\": %s, \"row\": ", tune->kept ? "true" : "false");
    if (tune->kept) {
        attn_json_write_string(stdout, row);
    } else {
        printf("null");
    }
    printf(",\n    \"candidates\": [");
    for (int n = 0; n < tune->count; n++) {
        attn_tune_describe(tune, n, sizes, sizeof sizes);
        printf("%s\n      { \"sizes\": \"%s\", \"outcome\": \"%s\", \"speed\": ", n > 0 ? "," : "", sizes,
               attn_outcomes[tune->items[n].outcome]);
        bool timed = tune->items[n].outcome == ATTN_TUNE_TIMED;
        attn_json_write_number(stdout, timed ? 1 / tune->items[n].ratio : (double)NAN, 4);
        printf(", \"why\": ");
        attn_json_write_string(stdout, tune->items[n].why);
        printf(" }");
    }
    printf(" ] }");
}

/* ------------------------------------------------------------------------------------ one class */

static int attn_try_from(attn_tune *tune, int from, bool json, attn_error *error) {
    int status = ATTN_DONE;
    for (int n = from; n < tune->count && status == ATTN_DONE; n++) {
        double spent = attn_seconds() - tune->began;
        if (spent > tune->seconds || attn_interrupted() != 0) {
            break;
        }
        attn_progress(spent, tune->seconds, tune->c->text);
        status = attn_tune_try(tune, n, error);
        attn_progress_end();
        if (status == ATTN_DONE && !json) {
            attn_print_candidate(tune, n);
        }
    }
    return status;
}

/* Rows of the table first; then steps from the best, in one column, then in two, until nothing is new. */
static int attn_search(attn_tune *tune, const attn_tune_all *all, attn_error *error) {
    char section[80];
    snprintf(section, sizeof section, "[%s]\n", tune->table.name);
    const char *own = all->file != NULL ? strstr(all->file, section) : NULL;
    attn_tune_add_rows(tune, tune->table.text);
    if (own != NULL) {
        attn_tune_add_rows(tune, own + strlen(section));
    }
    int status = attn_try_from(tune, 0, all->json, error), columns = 1;
    while (status == ATTN_DONE && columns <= 2 && attn_seconds() - tune->began < tune->seconds &&
           attn_interrupted() == 0) {
        int before = tune->count, best = tune->best_item;
        int from = best >= 0 ? best : 0;
        bool more = attn_tune_add_neighbours(tune, tune->items[from].sizes, columns);
        status = more ? attn_try_from(tune, before, all->json, error) : ATTN_DONE;
        columns = tune->best_item != best ? 1 : columns + 1;
    }
    return status;
}

/* Takes the class's row into the file's text: in, or out where the library's own sizes are as good. */
static int attn_take_row(attn_tune_all *all, const attn_tune *tune, char *row, size_t size, attn_error *error) {
    char key[256], note[96], day[16];
    time_t now = time(NULL);
    struct tm *date = gmtime(&now);
    strftime(day, sizeof day, "%Y-%m-%d", date);
    snprintf(note, sizeof note, "tuned %s by clattn %d.%d.%d: %.2f times as fast", day, clattn_version() / 10000,
             clattn_version() / 100 % 100, clattn_version() % 100, 1 + tune->gain);
    attn_tune_key(tune, key, sizeof key);
    if (tune->kept) {
        attn_tune_row(tune, key, tune->best_item, note, row, size);
        char *rows = attn_tuning_replace(all->rows, tune->table.name, tune->table.header, key, row);
        free(all->rows);
        all->rows = rows;
    }
    char *text = attn_tuning_replace(all->file, tune->table.name, tune->table.header, key, tune->kept ? row : NULL);
    if (text == NULL || (tune->kept && all->rows == NULL)) {
        free(text);
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    bool same = strcmp(text, all->file != NULL ? all->file : "") == 0;
    free(all->file);
    all->file = text;
    return same || all->path[0] == '\0' ? ATTN_DONE : attn_tuning_write(all->path, text, error);
}

static int attn_tune_class(attn_tune_all *all, attn_tune *tune, bool first, attn_error *error) {
    char row[ATTN_TUNE_LINE] = "", device[300];
    int status = attn_tune_begin(tune, error);
    attn_session_device_name(&all->session, tune->device, device, sizeof device);
    if (status == ATTN_DONE && !all->json) {
        printf("%s%s on %s\n%s\n", first ? "" : "\n", tune->engine, device, tune->c->text);
        if (tune->skipped[0] != '\0') {
            printf("  not searched: %s\n", tune->skipped);
        }
        fflush(stdout);
    }
    if (status == ATTN_DONE && tune->skipped[0] == '\0') {
        tune->began = attn_seconds();
        status = attn_search(tune, all, error);
        status = status != ATTN_DONE ? status : attn_tune_decide(tune, error);
        status = status != ATTN_DONE ? status : attn_take_row(all, tune, row, sizeof row, error);
        if (status == ATTN_DONE && !all->json) {
            attn_print_result(tune);
        }
        all->searched++;
        all->kept += tune->kept ? 1 : 0;
    }
    if (status == ATTN_DONE && all->json) {
        attn_print_json(tune, row, first);
    }
    all->wrong = all->wrong || tune->wrong;
    snprintf(all->last, sizeof all->last, "%s", tune->skipped);
    return status;
}

static int attn_tune_one(attn_tune_all *all, const attn_case *c, const attn_target *target, bool first,
                         attn_error *error) {
    attn_tune *tune = calloc(1, sizeof *tune);
    if (tune != NULL) {
        tune->data = calloc(1, sizeof *tune->data);
    }
    if (tune == NULL || tune->data == NULL) {
        free(tune);
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    tune->session = &all->session;
    tune->c = c;
    tune->engine = target->engine;
    tune->device = target->device;
    tune->seconds = all->seconds;
    attn_case timed = *c;
    timed.timed = true;
    int status = attn_case_data_create(tune->data, &timed, false, error);
    if (status == ATTN_DONE && tune->data->problem.direction == CLATTN_BACKWARD) {
        status = attn_gate_forward(all->session.runtime, tune->data, error);
    }
    if (status == ATTN_DONE) {
        tune->data->options.blocks = &all->session.blocks;
        status = attn_tune_class(all, tune, first, error);
        attn_tune_end(tune);
    } else {
        free(tune->data);
    }
    free(tune);
    return status;
}

/* ------------------------------------------------------------------------------------ all of them */

/* Engines that --engine names; without it the one that would be used. */
static bool attn_is_searched(const attn_tune_all *all, const attn_tune_options *o, const attn_case *c, int t) {
    clattn_problem problem;
    const char *engine = all->session.targets[t].engine;
    if (o->options.engine != NULL) {
        return strcmp(engine, "reference") != 0;
    }
    bool known = clattn_problem_resolve(&c->problem, &problem, NULL) == CLATTN_OK;
    bool decode = known && attn_case_is_decode(&problem) && problem.direction == CLATTN_FORWARD;
    return known && strcmp(engine, decode ? "opencl-decode" : "opencl-fused") == 0;
}

static void attn_print_rows(const attn_tune_all *all) {
    printf("\n%d of %d problems gained.", all->kept, all->searched);
    if (all->kept > 0) {
        printf(" %s%s\nRows for kernels/tuning:\n\n%s", all->path[0] != '\0' ? "Stored in " : "Not stored (--tuning none).",
               all->path, all->rows);
    } else {
        printf("\n");
    }
}

static int attn_tune_cases(attn_tune_all *all, const attn_tune_options *o, const attn_cases *cases, attn_error *error) {
    bool first = true;
    int status = ATTN_DONE;
    fputs(all->json ? "[" : "", stdout);
    for (int64_t n = 0; n < cases->count && status == ATTN_DONE; n++) {
        for (int t = 0; t < all->session.target_count && status == ATTN_DONE && attn_interrupted() == 0; t++) {
            if (attn_is_searched(all, o, &cases->items[n], t)) {
                status = attn_tune_one(all, &cases->items[n], &all->session.targets[t], first, error);
                first = false;
            }
        }
    }
    if (all->json) {
        fputs("\n]\n", stdout);
    } else if (all->searched > 0 && (status == ATTN_DONE || all->kept > 0)) {
        attn_print_rows(all);
    }
    if (status == ATTN_DONE && all->wrong) {
        return attn_fail(error, ATTN_MISMATCH, "the library's own sizes give a wrong result (the lines above say where)");
    }
    if (status == ATTN_DONE && attn_interrupted() != 0) {
        return attn_interrupt_fail(error, "what was found until then is kept");
    }
    if (status == ATTN_DONE && all->searched == 0) {
        return attn_fail(error, ATTN_UNSERVED, "nothing here can be tuned: %s",
                         all->last[0] != '\0' ? all->last : "no OpenCL engine with a device for it is here");
    }
    return status;
}

/* The file that rows go to; its text must be one that the library reads. */
static int attn_open_file(attn_tune_all *all, const char *named, attn_error *error) {
    clattn_report report = { 0 };
    if (named != NULL && strcmp(named, "none") == 0) {
        return ATTN_DONE;
    }
    if (named != NULL) {
        if (strlen(named) >= sizeof all->path || strcmp(named, "-") == 0) {
            return attn_fail(error, ATTN_USAGE, "--tuning %s: a file's name is expected", named);
        }
        strcpy(all->path, named);
    } else {
        attn_tuning_path(all->path, sizeof all->path);
    }
    if (all->path[0] != '\0' && attn_tuning_try(all->path, error) != ATTN_DONE) {
        return error->status;
    }
    if (all->path[0] == '\0' || attn_tuning_read(all->path, &all->file, error) != ATTN_DONE) {
        return all->path[0] == '\0' ? ATTN_DONE : error->status;
    }
    clattn_status status =
        all->file != NULL ? clattn_runtime_load_tuning(all->session.runtime, all->path, &report) : CLATTN_OK;
    return status == CLATTN_OK ? ATTN_DONE
                               : attn_fail(error, attn_exit_status(status), "%.*s", (int)strcspn(report.text, "\n"),
                                           report.text);
}

/* A line that leaves words out takes them from each of the default lines; one that says lengths, from the first alone,
 * whose lengths go together with any. */
static int attn_tune_lists(const attn_tune_options *o, attn_cases *cases, attn_error *error) {
    char line[ATTN_CASE_TEXT];
    int status = attn_words_join(&o->options, line, error);
    bool lengths = attn_line_gives(line, "query_length", 12) || attn_line_gives(line, "key_length", 10);
    bool one = lengths || strstr(line, "direction=backward"); /* whose engines are not those of decoding */
    size_t count = one ? 1 : sizeof attn_tune_lines / sizeof attn_tune_lines[0];
    for (size_t n = 0; n < count && status == ATTN_DONE; n++) {
        status = attn_cases_default(cases, line, attn_tune_lines[n], error);
    }
    return status;
}

static int attn_tune_run(attn_tune_all *all, const attn_tune_options *o, attn_error *error) {
    attn_cases cases = { 0 };
    attn_options options = o->options;
    int64_t seconds = 60;
    options.tuning = "none"; /* the search starts from the library's own rows */
    if (attn_options_number("--seconds", o->seconds, 1, &seconds, error) != ATTN_DONE ||
        attn_tune_lists(o, &cases, error) != ATTN_DONE ||
        attn_session_open(&all->session, &options, error) != ATTN_DONE) {
        attn_cases_free(&cases);
        return error->status;
    }
    all->seconds = (double)seconds;
    all->json = o->json;
    int status = attn_open_file(all, o->options.tuning, error);
    attn_interrupt_watch();
    status = status != ATTN_DONE ? status : attn_tune_cases(all, o, &cases, error);
    attn_session_close(&all->session);
    attn_cases_free(&cases);
    return status;
}

int attn_command_tune(int argc, char **argv, attn_error *error) {
    attn_tune_options o;
    memset(&o, 0, sizeof o);
    const attn_flag flags[] = { { "--seconds", &o.seconds, NULL }, { "--json", NULL, &o.json } };
    if (attn_options_read(&o.options, flags, 2, argc, argv, error) != ATTN_DONE) {
        return error->status;
    }
    if (o.options.help) {
        attn_help_print(attn_tune_help, ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN | ATTN_HELP_LISTS);
        return ATTN_DONE;
    }
    attn_tune_all all;
    memset(&all, 0, sizeof all);
    int status = attn_tune_run(&all, &o, error);
    free(all.file);
    free(all.rows);
    return status;
}
