/*
 * Judges gradients (rule 6): runs a backward case twice, into memory filled with different patterns, and compares every
 * element with the gold. Where nothing contributes it must be exactly 0.
 */
#include "gate/gate_gradients.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "case/case_fill.h"
#include "gate/gate_row.h"

static void check_element(const attn_gradient_gold *gold, int which, const int64_t at[4], int64_t place, int64_t n,
                          double got, attn_gate_result *result) {
    const attn_case_gradient *g = &gold->data->gradients[which];
    double start = attn_case_gradient_start(gold->data, which, n), exact = start + gold->arrays[which].gold[place];
    double bound = attn_gradient_bound(gold, which, place, n, &result->info), error = 0;
    bool nothing = gold->arrays[which].most[place] == 0;
    result->outputs++;
    bool right = nothing ? got == start : attn_gate_is_within(g->type, got, (long double)exact, bound, &error);
    if (!right) {
        attn_gate_break(result,
                        "rule 6 (%s): %s[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                        "] is %.9g, gold %.9g, error %.3g, bound %.3g",
                        !nothing                            ? "gradients"
                        : gold->data->problem.gradients_add ? "nothing contributes: as it was before"
                                                            : "nothing contributes: exactly 0",
                        g->name, at[0], at[1], at[2], at[3], got, exact, error, bound);
    }
    if (isfinite(error) && bound > 0) {
        result->worst = fmax(result->worst, error / bound);
    }
}

static void check_gradient(const attn_gradient_gold *gold, int which, attn_gate_result *result) {
    const attn_case_gradient *g = &gold->data->gradients[which];
    const attn_gold_array *array = &gold->arrays[which];
    const attn_rows *r = &g->rows;
    for (int64_t row = 0; row < array->rows; row++) {
        int64_t at[4] = { row / r->sizes[2] / r->sizes[1], row / r->sizes[2] % r->sizes[1], row % r->sizes[2], 0 };
        if (array->place[row] == 0) {
            continue;
        }
        result->rows++;
        for (int64_t d = 0; d < r->dim; d++) {
            int64_t place = attn_gold_at(array, row, d);
            double got = clattn_get_element(g->type, g->memory.data, attn_rows_at(r, at[0], at[1], at[2]) + d);
            at[3] = d;
            if (place >= 0) {
                check_element(gold, which, at, place, row * r->dim + d, got, result);
            }
        }
    }
}

void attn_gate_gradients_check(const attn_case_data *data, const attn_gradient_gold *gold, attn_gate_result *result) {
    (void)data;
    for (int which = 0; which < ATTN_GRADIENTS; which++) {
        check_gradient(gold, which, result);
    }
}

/* ------------------------------------------------------------------------------------ runs */

static void note(attn_gate_result *result, const char *what, const char *which) {
    if (which) {
        attn_gate_break(result, "%s: %s", what, which);
    }
}

static int copy_gradients(const attn_case_data *data, void *copies[ATTN_GRADIENTS], attn_error *error) {
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        const attn_guarded *memory = &data->gradients[g].memory;
        copies[g] = memory->block ? malloc((size_t)memory->bytes + 1) : NULL;
        if (memory->block && !copies[g]) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory for a copy of the result");
        }
        if (copies[g]) {
            memcpy(copies[g], memory->data, (size_t)memory->bytes);
        }
    }
    return ATTN_DONE;
}

/* NULL, or the gradient whose elements differ from those of the run before. */
static const char *compare_gradients(const attn_case_data *data, void *const copies[ATTN_GRADIENTS]) {
    for (int n = 0; n < ATTN_GRADIENTS; n++) {
        const attn_case_gradient *g = &data->gradients[n];
        const attn_rows *r = &g->rows;
        int64_t size = clattn_type_size(g->type), rows = copies[n] ? r->sizes[0] * r->sizes[1] * r->sizes[2] : 0;
        for (int64_t row = 0; row < rows; row++) {
            int64_t b = row / r->sizes[2] / r->sizes[1], h = row / r->sizes[2] % r->sizes[1];
            int64_t at = attn_rows_at(r, b, h, row % r->sizes[2]) * size;
            if (memcmp((char *)g->memory.data + at, (char *)copies[n] + at, (size_t)(r->dim * size)) != 0) {
                return g->name;
            }
        }
    }
    return NULL;
}

/* Gradients and workspace hold the pattern before; 0xff is NaN. */
static bool execute(clattn_plan *plan, attn_case_data *data, attn_guarded *workspace, unsigned char pattern,
                    attn_gate_result *result) {
    clattn_report report = { 0 };
    clattn_tensors tensors = data->tensors;
    tensors.report = &report;
    tensors.workspace = workspace->data;
    tensors.workspace_size = workspace->bytes;
    attn_case_gradients_fill(data, pattern);
    attn_guarded_fill(workspace, pattern);
    clattn_status status = clattn_execute(plan, &tensors);
    if (status != CLATTN_OK) {
        attn_gate_break(result, "execute: %s: %.*s", clattn_status_message(status), (int)strcspn(report.text, "\n"),
                        report.text);
    }
    return status == CLATTN_OK;
}

/* A sum over all that backward only reads, its guards left out: nobody may write there. */
static uint64_t sum_inputs(const attn_case_data *data) {
    const attn_guarded *const inputs[] = { &data->query,       &data->key,     &data->value,
                                           &data->mask,        &data->bias,    &data->slopes,
                                           &data->sinks,       &data->output,  &data->logsumexp,
                                           &data->grad_output, &data->delta,   &data->grad_logsumexp,
                                           &data->key_lengths, &data->offsets, &data->query_lengths };
    uint64_t sum = 0;
    for (size_t n = 0; n < sizeof inputs / sizeof *inputs; n++) {
        for (int64_t i = 0; inputs[n]->block && i < inputs[n]->bytes; i++) {
            sum = (sum ^ ((const unsigned char *)inputs[n]->data)[i]) * UINT64_C(0x100000001b3);
        }
    }
    return sum;
}

/* NULL, or what was written beside. */
static const char *find_outside(attn_case_data *data, attn_guarded *workspace, unsigned char pattern) {
    if (workspace->block) {
        memset(workspace->data, pattern, (size_t)workspace->bytes);
        if (!attn_guarded_holds(workspace, pattern)) {
            return "the workspace";
        }
    }
    return attn_case_gradients_check_guards(data, pattern);
}

static int run_twice(clattn_plan *plan, attn_case_data *data, attn_guarded *workspace, const attn_gradient_gold *gold,
                     attn_gate_result *result, attn_error *error) {
    static const char outside[] = "guard zones: something is written outside";
    void *copies[ATTN_GRADIENTS] = { NULL };
    int status = ATTN_DONE;
    const uint64_t inputs = sum_inputs(data);
    if (execute(plan, data, workspace, 0xff, result)) {
        attn_gate_gradients_check(data, gold, result);
        status = copy_gradients(data, copies, error);
        note(result, outside, find_outside(data, workspace, 0xff));
    }
    if (status == ATTN_DONE && copies[ATTN_GRAD_QUERY] && execute(plan, data, workspace, 0x5a, result)) {
        note(result, "rule 7 (the same call twice gives the same bits): they differ", compare_gradients(data, copies));
        note(result, outside, find_outside(data, workspace, 0x5a));
    }
    note(result, "an input has changed, which only outputs may", sum_inputs(data) != inputs ? "inputs" : NULL);
    for (int g = 0; g < ATTN_GRADIENTS; g++) {
        free(copies[g]);
    }
    return status;
}

int attn_gate_gradients_engine(clattn_runtime *runtime, const char *engine, int64_t device, attn_case_data *data,
                               const attn_gradient_gold *gold, attn_gate_result *result, attn_error *error) {
    attn_guarded workspace = { 0 };
    *result = (attn_gate_result){ .passed = true };
    clattn_plan *plan = attn_gate_plan(runtime, engine, device, data, true, result);
    bool own = plan;
    if (!plan && strstr(result->failure, "caller_workspace")) { /* host memory is no workspace of a GPU */
        *result = (attn_gate_result){ .passed = true };
        plan = attn_gate_plan(runtime, engine, device, data, false, result);
    }
    int status = plan && own ? attn_guarded_create(&workspace, result->info.workspace_size, error) : ATTN_DONE;
    if (plan && status == ATTN_DONE) {
        status = run_twice(plan, data, &workspace, gold, result, error);
    }
    free(workspace.block);
    clattn_plan_destroy(plan);
    return status;
}
