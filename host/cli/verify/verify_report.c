/*
 * Counts for `clattn verify`: how the problems were drawn, what each engine passed, refused and why, how near its
 * bound it came.
 */
#include "verify/verify_report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "case/case_words.h"

enum {
    COL_ENGINE,
    COL_DEVICE,
    COL_RESULT,
    COL_WORST,
    COL_MAX,
    COL_PLAIN_MAX,
    COL_MEAN,
    COL_PLAIN_MEAN,
    COL_NMSE,
    COL_DRIFT,
    COL_ROWS,
    COL_NOTE,
    COL_PROBLEM,
    COLUMNS
};

static const attn_column verify_columns[COLUMNS] = {
    { "engine", "engine", false },   { "device", "device", true },
    { "result", "result", false },   { "worst_of_bound", "worst", true },
    { "max_error", "max", true },    { "plain_max_error", "plain", true },
    { "mean_error", "mean", true },  { "plain_mean_error", "plain", true },
    { "nmse", "nmse", true },        { "drift_of_bound", "drift", true },
    { "rows", "rows", true },        { "note", "note", false },
    { "problem", "problem", false },
};

void attn_verify_report_init(attn_verify_report *report, const attn_session *session) {
    *report = (attn_verify_report){ .session = session };
    attn_table_init(&report->table, verify_columns, COLUMNS);
}

void attn_verify_report_free(attn_verify_report *report) {
    attn_table_free(&report->table);
}

/* ------------------------------------------------------------------------------------ how cases were drawn */

/* The tally that is printed at a place, from 1 on, and its word; NULL after the last one. */
static const attn_word_tally *find_tally(int place, const attn_word **word) {
    for (int n = 0; (*word = attn_word_row(n)); n++) {
        for (int t = 0; t < ATTN_WORD_TALLIES; t++) {
            if ((*word)->tallies[t].place == place) {
                return &(*word)->tallies[t];
            }
        }
    }
    return NULL;
}

void attn_verify_report_count(attn_verify_report *report, const attn_case *c, const clattn_problem *problem) {
    const attn_word_tally *tally;
    const attn_word *word;
    report->cases++;
    report->beyond_512 += problem->key_length > 512 ? 1 : 0;
    report->beyond_4096 += problem->key_length > 4096 ? 1 : 0;
    report->empty += problem->batch == 0 || problem->query_length == 0 || problem->key_length == 0 ? 1 : 0;
    for (int place = 1; place <= ATTN_TALLIES && (tally = find_tally(place, &word)); place++) {
        report->tallies[place - 1] += tally->counts(word, c, problem, tally->value) ? 1 : 0;
    }
}

/* ------------------------------------------------------------------------------------ results */

static void count_reason(attn_verify_engine *engine, const char *text) {
    const char *start = strstr(text, ": "); /* after "engine on device N: " */
    start = start ? start + 2 : text;
    int r = 0;
    char text_cut[sizeof engine->reasons[r].text];
    attn_text_copy(text_cut, sizeof text_cut, start, strlen(start));
    while (r < engine->reason_count && strcmp(engine->reasons[r].text, text_cut) != 0) {
        r++;
    }
    if (r == engine->reason_count) {
        if (r == ATTN_REASONS) {
            return;
        }
        engine->reason_count++;
        memcpy(engine->reasons[r].text, text_cut, sizeof text_cut);
    }
    engine->reasons[r].count++;
}

static void add_to_table(attn_table *table, const attn_target *target, const attn_case *c,
                         const attn_gate_result *result) {
    attn_table_row(table);
    attn_table_set(table, COL_ENGINE, "%s", target->engine);
    attn_table_set(table, COL_DEVICE, "%" PRId64, target->device);
    attn_table_set(table, COL_RESULT, "%s", result->refused ? "refused" : result->passed ? "passed" : "failed");
    attn_table_set(table, COL_NOTE, "%s", result->failure);
    attn_table_set(table, COL_PROBLEM, "%s", c->text);
    if (result->refused) {
        return;
    }
    attn_table_set(table, COL_WORST, "%.3g", result->worst);
    attn_table_set(table, COL_ROWS, "%" PRId64, result->rows);
    if (result->plain_max > 0) {
        attn_table_set(table, COL_MAX, "%.3g", result->max_error);
        attn_table_set(table, COL_PLAIN_MAX, "%.3g", result->plain_max);
        attn_table_set(table, COL_MEAN, "%.3g", result->mean_error);
        attn_table_set(table, COL_PLAIN_MEAN, "%.3g", result->plain_mean);
        attn_table_set(table, COL_NMSE, "%.3g", result->nmse);
        attn_table_set(table, COL_DRIFT, "%.3g", result->drift);
    }
}

void attn_verify_report_add(attn_verify_report *report, const attn_case *c, const clattn_problem *problem, int t,
                            const attn_gate_result *result) {
    attn_verify_engine *engine = &report->engines[t];
    add_to_table(&report->table, &report->session->targets[t], c, result);
    if (result->refused) {
        engine->refused++;
        report->refused++;
        count_reason(engine, result->failure);
        return;
    }
    report->served++;
    engine->passed += result->passed ? 1 : 0;
    engine->failed += result->passed ? 0 : 1;
    engine->beyond_512 += problem->key_length > 512 ? 1 : 0;
    engine->beyond_4096 += problem->key_length > 4096 ? 1 : 0;
    engine->worst = fmax(engine->worst, result->worst);
    if (result->plain_max > 0 && result->plain_mean > 0) {
        engine->worst_max = fmax(engine->worst_max, result->max_error / result->plain_max);
        engine->worst_mean = fmax(engine->worst_mean, result->mean_error / result->plain_mean);
    }
}

/* One count of the line, unless it is 0; ten stand side by side. */
static void print_tally(const char *name, int64_t count, int *on_line) {
    if (count > 0) {
        const char *comma = *on_line == 0 ? "" : *on_line % 10 == 0 ? ",\n " : ",";
        printf("%s %s %" PRId64, comma, name, count);
        ++*on_line;
    }
}

static void print_drawing(const attn_verify_report *report, int64_t random_count, int64_t seed) {
    const attn_word_tally *tally;
    const attn_word *word;
    int on_line = 0;
    printf("%" PRId64 " problem%s", report->cases, report->cases == 1 ? "" : "s");
    if (random_count > 0) {
        printf(" (%" PRId64 " drawn from seed %" PRId64 ")", random_count, seed);
    }
    printf(": %" PRId64 " with more than 512 keys, %" PRId64 " with more than 4096;\n ", report->beyond_512,
           report->beyond_4096);
    for (int place = 1; place <= ATTN_TALLIES && (tally = find_tally(place, &word)); place++) {
        print_tally(tally->name, report->tallies[place - 1], &on_line);
    }
    print_tally("a size of 0", report->empty, &on_line);
    printf("\n");
}

void attn_verify_report_print(const attn_verify_report *report, int64_t random_count, int64_t seed) {
    print_drawing(report, random_count, seed);
    for (int t = 0; t < report->session->target_count; t++) {
        const attn_verify_engine *engine = &report->engines[t];
        char device[300];
        attn_session_device_name(report->session, report->session->targets[t].device, device, sizeof device);
        printf("%-15s %" PRId64 " passed (%" PRId64 " with more than 512 keys, %" PRId64
               " with more than 4096), %" PRId64 " failed, %" PRId64 " refused; "
               "nearest "
               "to a bound %.2f",
               report->session->targets[t].engine, engine->passed, engine->beyond_512, engine->beyond_4096,
               engine->failed, engine->refused, engine->worst);
        if (engine->worst_max > 0) {
            printf("; errors at most %.2fx of plain in the maximum, %.2fx in the mean", engine->worst_max,
                   engine->worst_mean);
        }
        printf("; on %s\n", device);
        for (int r = 0; r < engine->reason_count; r++) {
            printf("                refused %" PRId64 ": %s\n", engine->reasons[r].count, engine->reasons[r].text);
        }
    }
}

void attn_verify_report_json(const void *user, const attn_table *table, bool complete, FILE *file) {
    (void)user;
    (void)complete; /* the rows alone: an array, as it always was */
    attn_table_json(table, file, "");
    fputc('\n', file);
}
