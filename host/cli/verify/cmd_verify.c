/*
 * `clattn verify`: engines against the reference. Loops over cases and engines, stops at the first wrong result and
 * prints one problem line that reproduces it. What is right the gate says; what must be served the table in
 * must_serve.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/progress.h"
#include "case/case_default.h"
#include "case/case_help.h"
#include "case/session.h"
#include "gate/gate.h"
#include "verify/must_serve.h"
#include "verify/random_cases.h"
#include "verify/verify_report.h"
#include "commands.h"

static const char verify_help[] = "clattn verify [PROBLEM...] [OPTIONS]\n"
                                  "\n"
                                  "Engines (default: all that are here) against the reference: a bound for every\n"
                                  "element, pooled comparisons with plain evaluation, empty rows, logsumexp,\n"
                                  "weights, writes outside the outputs, the same bits twice. A refusal of what the\n"
                                  "engine must serve counts as wrong. The first wrong result ends the run: its\n"
                                  "problem line, given to `clattn verify`, shows it again. Ctrl-C ends it in order:\n"
                                  "counts and files hold what was checked until then (exit status 128 + the\n"
                                  "signal).\n"
                                  "  --cases N             random problems to draw (100 where none is given); words\n"
                                  "                        that are no whole problem, such as direction=backward,\n"
                                  "                        are those of every drawn one\n"
                                  "  --seed S              they are drawn from (1)\n"
                                  "  --dims LIST           64,128,..: head_dim and value_dim of the drawn ones\n"
                                  "  --suite FILE          problems from a file, one a line; `#` starts a comment\n"
                                  "  --full                every row of long problems, not a sample of them\n"
                                  "  --csv FILE            the results as CSV; - is standard output\n"
                                  "  --json FILE           the same as JSON; - is standard output\n";

typedef struct verify_run {
    attn_options options;
    attn_session session;
    attn_cases cases; /* from words and suite */
    int64_t random_count, seed;
    const char *dims;
    const char *random_words; /* that every random problem says */
    attn_gate_options gate;
    attn_verify_report report;
    attn_rows_file file;
    attn_gate_result results[ATTN_TARGETS_MAX];
    attn_guarded copies[ATTN_TARGETS_MAX][3];
} verify_run;

static int case_failed(const verify_run *verify, const attn_case *c, int target, attn_error *error) {
    const attn_gate_result *result = &verify->results[target];
    return attn_fail(error, ATTN_MISMATCH, "%s is wrong: %s%s (%" PRId64 " failing)\n%s",
                     verify->session.targets[target].engine, result->refused ? "refuses what it must serve: " : "",
                     result->failure, result->failures, c->text);
}

/* Runs every engine on the data, then judges all of them in one walk of the reference. */
static int judge(verify_run *verify, attn_case_data *data, attn_error *error) {
    attn_gate_subject subjects[ATTN_TARGETS_MAX];
    int count = 0;
    for (int t = 0; t < verify->session.target_count; t++) {
        const attn_target *target = &verify->session.targets[t];
        attn_gate_result *result = &verify->results[t];
        if (attn_gate_execute(verify->session.runtime, target->engine, target->device, data, verify->copies[t], result,
                              error) != ATTN_DONE) {
            return error->status;
        }
        if (!result->refused && verify->copies[t][0].block) {
            subjects[count++] = (attn_gate_subject){ verify->copies[t][0].data, verify->copies[t][1].data,
                                                     verify->copies[t][2].data, result };
        }
    }
    return attn_gate_check(data, &verify->gate, subjects, count, error);
}

/* The same for gradients: the gold is made once. */
static int judge_gradients(verify_run *verify, attn_case_data *data, attn_error *error) {
    attn_gradient_gold *gold = NULL;
    int status = attn_gate_gradients_create(&gold, data, &verify->gate, error);
    for (int t = 0; t < verify->session.target_count && status == ATTN_DONE; t++) {
        const attn_target *target = &verify->session.targets[t];
        status = attn_gate_gradients_engine(verify->session.runtime, target->engine, target->device, data, gold,
                                            &verify->results[t], error);
    }
    attn_gate_gradients_free(gold);
    return status;
}

/* A refusal is a failure where the engine must serve; not where a body was named that it has not, or not here. */
static bool may_refuse(const verify_run *verify, const attn_gate_result *result, const char *engine,
                       const clattn_problem *problem) {
    return !attn_must_serve(engine, problem) || (verify->options.body && strstr(result->failure, "body: "));
}

/* Of a long backward problem an engine makes output and logsumexp: the reference would take minutes, and inputs are inputs. */
static int make_data(const verify_run *verify, const attn_case *c, attn_case_data *data, attn_error *error) {
    clattn_problem p;
    attn_case drawn = *c;
    if (clattn_problem_resolve(&c->problem, &p, NULL) == CLATTN_OK && p.direction == CLATTN_BACKWARD) {
        double scores = (double)p.batch * (double)p.query_heads * (double)p.query_length * (double)p.key_length;
        drawn.timed = verify->gate.max_work > 0 && scores * (double)(p.head_dim + p.value_dim) > verify->gate.max_work;
    }
    int status = attn_case_data_create(data, &drawn, true, error);
    if (status == ATTN_DONE && drawn.timed) {
        status = attn_gate_forward(verify->session.runtime, data, error);
        if (status != ATTN_DONE) {
            attn_case_data_free(data);
        }
    }
    return status;
}

static int verify_case(verify_run *verify, const attn_case *c, attn_error *error) {
    attn_case_data *data = malloc(sizeof *data);
    if (!data) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    memset(verify->copies, 0, sizeof verify->copies);
    int status = make_data(verify, c, data, error);
    if (status == ATTN_DONE) {
        data->options.blocks = &verify->session.blocks;
        bool backward = data->problem.direction == CLATTN_BACKWARD;
        status = backward ? judge_gradients(verify, data, error) : judge(verify, data, error);
        for (int t = 0; t < verify->session.target_count && status == ATTN_DONE; t++) {
            attn_verify_report_add(&verify->report, c, &data->problem, t, &verify->results[t]);
            const attn_gate_result *result = &verify->results[t];
            bool wrong = result->refused
                             ? !may_refuse(verify, result, verify->session.targets[t].engine, &data->problem)
                             : !result->passed;
            status = wrong ? case_failed(verify, c, t, error) : ATTN_DONE;
        }
        attn_verify_report_count(&verify->report, c, &data->problem);
        attn_case_data_free(data);
    }
    for (int t = 0; t < verify->session.target_count; t++) {
        for (int n = 0; n < 3; n++) {
            free(verify->copies[t][n].block);
        }
    }
    free(data);
    return status;
}

static int verify_cases(verify_run *verify, attn_error *error) {
    int64_t all = verify->cases.count + verify->random_count;
    attn_case *random = malloc(sizeof *random);
    int status = random ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t n = 0; n < all && status == ATTN_DONE && attn_interrupted() == 0; n++) {
        const attn_case *c = n < verify->cases.count ? &verify->cases.items[n] : random;
        if (c == random) {
            status = attn_random_case(random, (uint64_t)verify->seed, (uint64_t)(n - verify->cases.count), verify->dims,
                                      verify->random_words, error);
        }
        if (status == ATTN_DONE) {
            attn_progress((double)n, (double)all, c->text);
            status = verify_case(verify, c, error);
            attn_rows_keep(&verify->file);
        }
    }
    attn_progress_end();
    free(random);
    return status;
}

static int verify_all(verify_run *verify, attn_error *error) {
    attn_error other = { 0 };
    if (attn_rows_try(&verify->file, error) != ATTN_DONE ||
        attn_session_open(&verify->session, &verify->options, error) != ATTN_DONE) {
        return error->status;
    }
    attn_verify_report_init(&verify->report, &verify->session);
    verify->file.table = &verify->report.table;
    verify->file.write_json = attn_verify_report_json;
    attn_interrupt_watch();
    int status = verify_cases(verify, error);
    bool complete = status == ATTN_DONE && attn_interrupted() == 0;
    attn_verify_report_print(&verify->report, verify->random_count, verify->seed);
    if ((complete || verify->report.table.row_count > 0) &&
        attn_rows_finish(&verify->file, complete, &other) != ATTN_DONE && status == ATTN_DONE) {
        status = attn_fail(error, other.status, "%s", other.text);
    }
    if (complete && status == ATTN_DONE && verify->report.served == 0 && verify->report.refused > 0) {
        status = attn_fail(error, ATTN_UNSERVED, "nothing here serves it (the reasons stand above)");
    }
    if (status == ATTN_DONE && attn_interrupted() != 0) {
        status = attn_interrupt_fail(error, "nothing was wrong until then");
    }
    attn_verify_report_free(&verify->report);
    attn_session_close(&verify->session);
    return status;
}

int attn_command_verify(int argc, char **argv, attn_error *error) {
    const char *cases = NULL, *seed = NULL, *suite = NULL, *csv = NULL, *json = NULL, *dims = NULL;
    char line[ATTN_CASE_TEXT] = "";
    bool full = false;
    const attn_flag flags[] = {
        { "--cases", &cases, NULL }, { "--seed", &seed, NULL }, { "--suite", &suite, NULL }, { "--csv", &csv, NULL },
        { "--json", &json, NULL },   { "--dims", &dims, NULL }, { "--full", NULL, &full },
    };
    verify_run *verify = calloc(1, sizeof *verify);
    if (!verify) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    verify->seed = 1;
    int status = attn_options_read(&verify->options, flags, (int)(sizeof flags / sizeof flags[0]), argc, argv, error);
    if (status == ATTN_DONE && verify->options.help) {
        attn_help_print(verify_help, ATTN_HELP_PROBLEM | ATTN_HELP_DRAWN | ATTN_HELP_LISTS);
        free(verify);
        return ATTN_DONE;
    }
    verify->random_count = verify->options.word_count > 0 || suite ? 0 : 100;
    verify->gate.max_work = full ? 0 : 4e9;
    verify->dims = dims;
    verify->file = (attn_rows_file){ .csv = csv, .json = json };
    status = status != ATTN_DONE ? status : attn_options_number("--cases", cases, 1, &verify->random_count, error);
    bool drawn = verify->random_count > 0 || cases;
    if (status == ATTN_DONE && !drawn && (dims || seed)) {
        status = attn_fail(error, ATTN_USAGE, "%s: no problems are drawn here; --cases N draws some",
                           dims ? "--dims" : "--seed");
    }
    status = status != ATTN_DONE ? status : attn_options_number("--seed", seed, 0, &verify->seed, error);
    status = status != ATTN_DONE ? status : attn_words_join(&verify->options, line, error);
    bool of_random = cases && !attn_line_gives_enough(line);
    verify->random_words = of_random ? line : "";
    status = status != ATTN_DONE || of_random ? status : attn_cases_line(&verify->cases, line, error);
    if (status == ATTN_DONE && suite) {
        status = attn_cases_file(&verify->cases, suite, error);
    }
    status = status != ATTN_DONE ? status : attn_output_take_stdout(csv, json, error);
    if (status == ATTN_DONE) {
        status = verify_all(verify, error);
    }
    attn_cases_free(&verify->cases);
    free(verify);
    return status;
}
