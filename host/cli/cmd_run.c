/*
 * `clattn run`: attention on the user's own arrays. Reads and checks everything first, computes, writes every output
 * beside its place and then puts them there. The problem is made in run_inputs.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/rows_file.h"
#include "case/case_help.h"
#include "case/session.h"
#include "commands.h"
#include "run_inputs.h"

static const char run_help[] = "clattn run PROBLEM... --query F --key F --value F --output F [FILES] [OPTIONS]\n"
                               "\n"
                               "Attention on .npy arrays (little-endian, C order) of [batch, heads, length, dim]\n"
                               "(layout=bshd: [batch, length, heads, dim]). Sizes and types come from the files:\n"
                               "float32, float16, float64; bf16 as uint16 with type=bf16. One engine serves.\n"
                               "With output_type=fp32 and gradient_type=fp32 results are float32.\n"
                               "Everything is checked before anything is written; each output is written whole\n"
                               "or not at all. B, Hq, Sq, Sk: batch, query heads, query and key length.\n"
                               "In:\n"
                               "  --query FILE          the queries\n"
                               "  --key FILE            the keys\n"
                               "  --value FILE          the values\n"
                               "  --past-key FILE       put before the new keys\n"
                               "  --past-value FILE     put before the new values\n"
                               "  --mask FILE           bool, true = attend: 1 to 4 dimensions, broadcast from\n"
                               "                        the right to [B, Hq, Sq, Sk]\n"
                               "  --bias FILE           the same, float32 or the storage type\n"
                               "  --key-lengths FILE    used keys, [B], int32 or int64\n"
                               "  --query-lengths FILE  used rows, [B], int32 or int64\n"
                               "  --offsets FILE        the alignment, one an entry, [B], int32 or int64\n"
                               "  --alibi-slopes FILE   [Hq], float32\n"
                               "  --sinks FILE          [Hq], float32\n"
                               "  --grad-output FILE    [B, Hq, Sq, dim] as output (direction=backward: the\n"
                               "                        forward runs first, on the same engine)\n"
                               "  --grad-logsumexp FILE [B, Hq, Sq], float32 (float64 for fp64)\n"
                               "Out:\n"
                               "  --output FILE         the result\n"
                               "  --logsumexp FILE      [B, Hq, Sq]\n"
                               "  --weights FILE        [B, Hq, Sq, Sk]\n"
                               "  --weights-stage STAGE raw, softcap, bias or softmax (softmax)\n"
                               "  --present-key FILE    past and new keys\n"
                               "  --present-value FILE  past and new values\n"
                               "  --dropout-mask FILE   [B, Hq, Sq, Sk], bool, true = kept\n"
                               "  --grad-query FILE     gradient of the queries\n"
                               "  --grad-key FILE       of the keys, past and new ones\n"
                               "  --grad-value FILE     of the values, past and new ones\n"
                               "  --grad-bias FILE      the bias's shape and type\n"
                               "  --grad-alibi-slopes FILE  [Hq], float32 (float64 for fp64)\n"
                               "  --grad-sinks FILE     the same\n"
                               "  --json                what was written, as JSON on standard output\n"
                               "Of a later release: --query-starts --key-starts --rotary-cos --rotary-sin.\n";

static const char *const later_flags[] = { "--query-starts", "--key-starts", "--rotary-cos", "--rotary-sin" };
enum { ATTN_LATER_FLAGS = sizeof later_flags / sizeof later_flags[0] };

static int read_flags(attn_run *run, attn_options *options, bool *json, int argc, char **argv, attn_error *error) {
    attn_flag flags[ATTN_RUN_INPUTS + ATTN_RUN_OUTPUTS + ATTN_LATER_FLAGS + 2];
    int count = 0;
    for (int i = 0; i < ATTN_RUN_INPUTS; i++) {
        flags[count++] = (attn_flag){ attn_run_input_flags[i], &run->input_path[i], NULL };
    }
    for (int o = 0; o < ATTN_RUN_OUTPUTS; o++) {
        flags[count++] = (attn_flag){ attn_run_output_flags[o], &run->output_path[o], NULL };
    }
    for (int l = 0; l < ATTN_LATER_FLAGS; l++) {
        flags[count++] = (attn_flag){ later_flags[l], NULL, NULL };
    }
    flags[count++] = (attn_flag){ "--weights-stage", &run->weights_stage, NULL };
    flags[count++] = (attn_flag){ "--json", NULL, json };
    attn_case_init(&run->c);
    if (attn_options_read(options, flags, count, argc, argv, error) != ATTN_DONE || options->help) {
        return options->help ? ATTN_DONE : error->status;
    }
    if (attn_case_read(&run->c, options->word_count, options->words, error) != ATTN_DONE) {
        return error->status;
    }
    if (run->c.drawing[0] != '\0' && run->c.later[0] == '\0') {
        return attn_fail(error, ATTN_USAGE, "%s: a word of problems that draw their own data; run reads files",
                         run->c.drawing);
    }
    return attn_case_refuse_later(&run->c, error) == ATTN_DONE ? attn_run_check_direction(run, error) : error->status;
}

static int check_outputs(attn_run *run, attn_error *error) {
    static const char *const stages[] = { "raw", "softcap", "bias", "softmax" };
    bool any = false;
    for (int o = 0; o < ATTN_RUN_OUTPUTS; o++) {
        any = any || run->output_path[o];
        for (int before = 0; before < o && run->output_path[o]; before++) {
            if (run->output_path[before] && attn_output_same_place(run->output_path[before], run->output_path[o])) {
                return attn_fail(error, ATTN_USAGE, "%s %s: %s writes the same file", attn_run_output_flags[o],
                                 run->output_path[o], attn_run_output_flags[before]);
            }
        }
    }
    if (!any) {
        return attn_fail(error, ATTN_USAGE, "--output is missing");
    }
    run->c.problem.logsumexp = run->output_path[ATTN_RUN_LOGSUMEXP];
    if (run->weights_stage && !run->output_path[ATTN_RUN_WEIGHTS]) {
        return attn_fail(error, ATTN_USAGE, "--weights-stage needs --weights");
    }
    if (!run->output_path[ATTN_RUN_WEIGHTS]) {
        return ATTN_DONE;
    }
    for (int s = 0; s < 4; s++) {
        if (strcmp(run->weights_stage ? run->weights_stage : "softmax", stages[s]) == 0) {
            run->c.problem.weights = (clattn_weights_stage)(CLATTN_WEIGHTS_RAW + s);
            return ATTN_DONE;
        }
    }
    return attn_fail(error, ATTN_USAGE, "--weights-stage %s: raw, softcap, bias or softmax is expected",
                     run->weights_stage);
}

/* Fails with the option and the file that the report's first word is about, where it is one of them. */
static int fail_file(const attn_run *run, clattn_status status, const clattn_report *report, attn_error *error) {
    attn_error inner = { 0 };
    (void)attn_fail_status(&inner, status, report);
    for (int i = 0; i < ATTN_RUN_INPUTS && status == CLATTN_INVALID_TENSORS; i++) {
        const char *flag = attn_run_input_flags[i] + 2, *field = report->text;
        while (*flag != '\0' && (*flag == *field || (*flag == '-' && *field == '_'))) {
            flag++;
            field++;
        }
        if (*flag == '\0' && (*field == ':' || *field == '[') && run->input_path[i]) {
            return attn_fail(error, inner.status, "%s %s: %s", attn_run_input_flags[i], run->input_path[i], inner.text);
        }
    }
    return attn_fail(error, inner.status, "%s", inner.text);
}

/* Makes the plan, computes, and adds its time; nothing is executed where `check` is set. */
static int compute_one(attn_run *run, const attn_session *session, const clattn_problem *problem, bool check,
                            clattn_plan_info *info, double *seconds, attn_error *error) {
    clattn_report report = { 0 };
    clattn_plan *plan = NULL;
    clattn_plan_options options = run->c.options;
    options.engine = session->engine;
    options.device = session->device;
    options.blocks = &session->blocks;
    clattn_status status = clattn_tensors_check(problem, &run->tensors, &report);
    status = status != CLATTN_OK ? status : clattn_plan_create(session->runtime, problem, &options, &plan, &report);
    status = status != CLATTN_OK ? status : clattn_plan_get_info(plan, info);
    if (status == CLATTN_OK && !check) {
        run->tensors.report = &report;
        double start = attn_seconds();
        status = clattn_execute(plan, &run->tensors);
        *seconds += attn_seconds() - start;
    }
    clattn_plan_destroy(plan);
    run->tensors.report = NULL;
    return status == CLATTN_OK ? ATTN_DONE : fail_file(run, status, &report, error);
}

/* Checks the tensors, makes the plans, computes. What serves the gradients serves the forward before them. */
static int compute(attn_run *run, const attn_session *session, clattn_plan_info *info, double *seconds,
                   attn_error *error) {
    clattn_report report = { 0 };
    attn_session same = *session;
    clattn_status status = clattn_problem_resolve(&run->problem, &(clattn_problem){ 0 }, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    if (attn_run_make_outputs(run, error) != ATTN_DONE) {
        return error->status;
    }
    if (run->backward) {
        if (compute_one(run, session, &run->gradients, true, info, seconds, error) != ATTN_DONE) {
            return error->status;
        }
        same.engine = info->engine;
        same.device = info->device;
    }
    if (compute_one(run, &same, &run->problem, false, info, seconds, error) != ATTN_DONE) {
        return error->status;
    }
    return run->backward ? compute_one(run, &same, &run->gradients, false, info, seconds, error) : ATTN_DONE;
}

static const attn_npy *output_array(const attn_run *run, int which) {
    switch (which) {
        case ATTN_RUN_PRESENT_KEY: return &run->input[ATTN_RUN_KEY];
        case ATTN_RUN_PRESENT_VALUE: return &run->input[ATTN_RUN_VALUE];
        default: return &run->output[which];
    }
}

/* A place that cannot be written is reported before anything is computed. */
static int try_outputs(const attn_run *run, attn_error *error) {
    int status = ATTN_DONE;
    for (int o = 0; o < ATTN_RUN_OUTPUTS && status == ATTN_DONE; o++) {
        status = attn_output_try(run->output_path[o], error);
    }
    return status;
}

/* Writes all outputs beside their places, then puts them there. */
static int write_outputs(const attn_run *run, attn_error *error) {
    attn_output_file files[ATTN_RUN_OUTPUTS];
    int status = ATTN_DONE;
    memset(files, 0, sizeof files);
    for (int o = 0; o < ATTN_RUN_OUTPUTS && status == ATTN_DONE; o++) {
        if (run->output_path[o]) {
            status = attn_output_open(&files[o], run->output_path[o], error);
            status = status != ATTN_DONE ? status : attn_npy_write(output_array(run, o), &files[o], error);
        }
    }
    if (status == ATTN_DONE && attn_interrupted() != 0) {
        status = attn_interrupt_fail(error, "nothing was written");
    }
    for (int o = 0; o < ATTN_RUN_OUTPUTS && status == ATTN_DONE; o++) {
        if (run->output_path[o]) {
            status = attn_output_commit(&files[o], error);
        }
    }
    for (int o = 0; o < ATTN_RUN_OUTPUTS; o++) {
        attn_output_discard(&files[o]);
    }
    return status;
}

static void print_run(const attn_run *run, const attn_session *session, const clattn_plan_info *info, double seconds,
                      bool json) {
    char device[300], time[32], shape[256];
    const char *separator = "";
    attn_session_device_name(session, info->device, device, sizeof device);
    if (!json) {
        printf("%s on %s, %s\n", info->engine, device, attn_text_seconds(seconds, time));
    } else {
        printf("{ \"engine\": \"%s\", \"device\": ", info->engine);
        attn_json_write_string(stdout, device);
        fputs(", \"seconds\": ", stdout);
        attn_json_write_number(stdout, seconds, 9);
        fputs(", \"outputs\": [", stdout);
    }
    for (int o = 0; o < ATTN_RUN_OUTPUTS; o++) {
        if (!run->output_path[o]) {
            continue;
        }
        const attn_npy *array = output_array(run, o);
        attn_npy_shape_text(array, shape);
        if (!json) {
            printf("wrote %s: %s %s\n", run->output_path[o], attn_npy_type_name(array->type), shape);
            continue;
        }
        printf("%s{ \"name\": \"%s\", \"path\": ", separator, attn_run_output_flags[o] + 2);
        attn_json_write_string(stdout, run->output_path[o]);
        printf(", \"type\": \"%s\", \"shape\": [", attn_npy_type_name(array->type));
        for (int d = 0; d < array->dims; d++) {
            printf("%s%" PRId64, d > 0 ? ", " : "", array->shape[d]);
        }
        printf("] }");
        separator = ", ";
    }
    fputs(json ? "] }\n" : "", stdout);
}

static int run_all(attn_run *run, const attn_options *options, bool json, attn_error *error) {
    attn_session session;
    clattn_plan_info info = { 0 };
    double seconds = 0;
    if (check_outputs(run, error) != ATTN_DONE || try_outputs(run, error) != ATTN_DONE ||
        attn_run_read(run, error) != ATTN_DONE || attn_session_open(&session, options, error) != ATTN_DONE) {
        return error->status;
    }
    int status = session.listed ? attn_fail(error, ATTN_USAGE, "--engine %s: run takes one engine", options->engine)
                                : compute(run, &session, &info, &seconds, error);
    attn_interrupt_watch(); /* from here on no half of a file may stay behind */
    status = status != ATTN_DONE ? status : write_outputs(run, error);
    if (status == ATTN_DONE) {
        print_run(run, &session, &info, seconds, json);
    }
    attn_session_close(&session);
    return status;
}

int attn_command_run(int argc, char **argv, attn_error *error) {
    attn_options options;
    bool json = false;
    attn_run *run = calloc(1, sizeof *run);
    if (!run) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    int status = read_flags(run, &options, &json, argc, argv, error);
    if (status == ATTN_DONE && options.help) {
        attn_help_print(run_help, ATTN_HELP_PROBLEM);
    } else if (status == ATTN_DONE) {
        status = run_all(run, &options, json, error);
    }
    attn_run_free(run);
    free(run);
    return status;
}
