/*
 * Runs a case on an engine for the gate: twice, into memory filled with different patterns, so that results that
 * differ, that are not written, and writes outside are all seen.
 */
#include <stdlib.h>
#include <string.h>

#include "base/speech.h"
#include "gate/gate.h"
#include "gate/gate_row.h"

static int copy_outputs(const attn_case_data *data, attn_guarded copies[3], attn_error *error) {
    const attn_guarded *const from[3] = { &data->output, &data->logsumexp, &data->weights };
    for (int n = 0; n < 3; n++) {
        copies[n] = (attn_guarded){ 0 };
        if (!from[n]->block) {
            continue;
        }
        copies[n].block = malloc((size_t)from[n]->bytes + 1);
        if (!copies[n].block) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory for a copy of the result");
        }
        copies[n].data = copies[n].block;
        copies[n].bytes = from[n]->bytes;
        memcpy(copies[n].data, from[n]->data, (size_t)from[n]->bytes);
    }
    return ATTN_DONE;
}

static const char *compare_rows(const attn_case_data *data, const attn_guarded *copy) {
    const attn_rows *rows = &data->output_rows;
    int64_t size = clattn_type_size(attn_case_output_type(&data->problem));
    for (int64_t b = 0; b < rows->sizes[0]; b++) {
        for (int64_t h = 0; h < rows->sizes[1]; h++) {
            for (int64_t i = 0; i < rows->sizes[2]; i++) {
                int64_t at = attn_rows_at(rows, b, h, i) * size;
                if (memcmp((char *)data->output.data + at, (char *)copy->data + at, (size_t)(rows->dim * size)) != 0) {
                    return "output";
                }
            }
        }
    }
    return NULL;
}

/* NULL, or the output whose elements differ from those of the run before. */
static const char *compare_outputs(const attn_case_data *data, const attn_guarded copies[3]) {
    if (compare_rows(data, &copies[0])) {
        return "output";
    }
    if (copies[1].block && memcmp(data->logsumexp.data, copies[1].data, (size_t)copies[1].bytes) != 0) {
        return "logsumexp";
    }
    return copies[2].block && memcmp(data->weights.data, copies[2].data, (size_t)copies[2].bytes) != 0 ? "weights"
                                                                                                       : NULL;
}

static void gate_fail(attn_gate_result *result, const char *what, const char *which) {
    if (which && result->failures++ == 0) {
        snprintf(result->failure, sizeof result->failure, "%s: %s", what, which);
    }
}

static int execute_failed(attn_gate_result *result, clattn_status status, const clattn_report *report) {
    result->failures++;
    result->failure[0] = '\0';
    attn_text_add(result->failure, sizeof result->failure, "execute: %s: %.*s", clattn_status_message(status),
                  (int)strcspn(report->text, "\n"), report->text);
    return ATTN_DONE;
}

static int execute_twice(clattn_plan *plan, attn_case_data *data, attn_guarded copies[3], attn_gate_result *result,
                         attn_error *error) {
    clattn_report report = { 0 };
    clattn_tensors tensors = data->tensors;
    tensors.report = &report;
    attn_case_data_fill_outputs(data, 0xff);
    clattn_status status = clattn_execute(plan, &tensors);
    if (status != CLATTN_OK) {
        return execute_failed(result, status, &report);
    }
    if (copy_outputs(data, copies, error) != ATTN_DONE) {
        return error->status;
    }
    gate_fail(result, "guard zones: something is written outside", attn_case_data_check_guards(data, 0xff));
    attn_case_data_fill_outputs(data, 0x5a);
    status = clattn_execute(plan, &tensors);
    if (status != CLATTN_OK) {
        return execute_failed(result, status, &report);
    }
    gate_fail(result, "rule 7 (the same call twice gives the same bits): they differ", compare_outputs(data, copies));
    gate_fail(result, "guard zones: something is written outside", attn_case_data_check_guards(data, 0x5a));
    return ATTN_DONE;
}

static void flatten(const char *text, char *line, size_t size) {
    attn_speak(text, line, size);
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '\n') {
            *at = at[1] == '\0' ? '\0' : ';';
        }
    }
}

clattn_plan *attn_gate_plan(clattn_runtime *runtime, const char *engine, int64_t device, const attn_case_data *data,
                            bool own_workspace, attn_gate_result *result) {
    clattn_plan_options options = data->options;
    clattn_plan *plan = NULL;
    clattn_report report = { 0 };
    options.engine = engine;
    options.device = device;
    options.caller_workspace = own_workspace;
    clattn_status status = clattn_plan_create(runtime, &data->problem, &options, &plan, &report);
    if (status == CLATTN_OK) {
        status = clattn_plan_get_info(plan, &result->info);
    }
    if (status != CLATTN_OK) {
        result->refused = true;
        result->passed = false;
        flatten(report.text[0] != '\0' ? report.text : clattn_status_message(status), result->failure,
                sizeof result->failure);
        clattn_plan_destroy(plan);
        return NULL;
    }
    result->info.engine = engine; /* these strings outlive the plan */
    result->info.accumulate = "";
    return plan;
}

int attn_gate_execute(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                      attn_guarded copies[3], attn_gate_result *result, attn_error *error) {
    *result = (attn_gate_result){ 0 };
    memset(copies, 0, 3 * sizeof *copies);
    clattn_plan *plan = attn_gate_plan(runtime, engine, device, data, false, result);
    int status = plan ? execute_twice(plan, data, copies, result, error) : ATTN_DONE;
    clattn_plan_destroy(plan);
    return status;
}

int attn_gate_forward(clattn_runtime *runtime, attn_case_data *data, attn_error *error) {
    clattn_problem forward = data->problem;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_report report = { 0 };
    forward.direction = CLATTN_FORWARD;
    forward.logsumexp = true;
    clattn_status status = clattn_attention(runtime, &forward, &options, &data->tensors, &report);
    if (status == CLATTN_UNSUPPORTED) {
        options.engine = "reference";
        status = clattn_attention(runtime, &forward, &options, &data->tensors, &report);
    }
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

int attn_gate_engine(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                     const attn_gate_options *options, attn_gate_result *result, attn_error *error) {
    attn_guarded copies[3];
    if (data->problem.direction == CLATTN_BACKWARD) {
        attn_gradient_gold *gold = NULL;
        int judged = attn_gate_gradients_create(&gold, data, options, error);
        if (judged == ATTN_DONE) {
            judged = attn_gate_gradients_engine(runtime, engine, device, data, gold, result, error);
        }
        attn_gate_gradients_free(gold);
        return judged;
    }
    int status = attn_gate_execute(runtime, engine, device, data, copies, result, error);
    if (status == ATTN_DONE && !result->refused && copies[0].block) {
        attn_gate_subject subject = { copies[0].data, copies[1].data, copies[2].data, result };
        status = attn_gate_check(data, options, &subject, 1, error);
    }
    for (int n = 0; n < 3; n++) {
        free(copies[n].block);
    }
    return status;
}
