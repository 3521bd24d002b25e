/*
 * Measuring for `clattn tune`: a candidate is the only row of its table while its plan is made, so that what the engine
 * refuses is seen. It must pass the gate, on the problem and on a small one with ragged edges, before it is timed, in
 * rounds that alternate with the best so far.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/median.h"
#include "tune/tune.h"

enum {
    MOST_PRIVATE = 1024, /* bytes a GPU kernel may keep outside registers, as docs/tuning.md says */
    ROUNDS_TRY = 7,
    ROUNDS_DECIDE = 31
};

static const double LEAST_GAIN = 0.02;  /* a smaller gain is not worth a row */
static const double NOISE_FACTOR = 3;   /* and it must exceed this many times the noise */
static const double SLOT = 0.01;        /* seconds of one plan in one round, where one call is shorter */
static const double MUCH_SLOWER = 1.5;  /* one round shows it */

/* One call. On a GPU the time of its kernels, without copies between host and device. */
static clattn_status attn_time_call(const attn_tune *tune, clattn_plan *plan, double *seconds) {
    clattn_tensors tensors = tune->data->tensors;
    clattn_timing timing = { 0 };
    tensors.timing = tune->on_gpu ? &timing : NULL;
    double began = attn_seconds();
    clattn_status status = clattn_execute(plan, &tensors);
    *seconds = attn_seconds() - began;
    if (tune->on_gpu && timing.count > 0) {
        *seconds = 0;
        for (int64_t s = 0; s < timing.count; s++) {
            *seconds += timing.steps[s].seconds;
        }
    }
    return status;
}

/* The fastest of as many calls as fit a slot, so that short calls do not measure the clock. */
static clattn_status attn_time_slot(const attn_tune *tune, clattn_plan *plan, double *seconds) {
    double began = attn_seconds(), once;
    *seconds = INFINITY;
    do {
        clattn_status status = attn_time_call(tune, plan, &once);
        if (status != CLATTN_OK) {
            return status;
        }
        *seconds = fmin(*seconds, once);
    } while (attn_seconds() - began < SLOT);
    return CLATTN_OK;
}

/* What two plans took in the same rounds. */
typedef struct attn_comparison {
    double medians[2];
    double ratio; /* median over the rounds of the second's time over the first's */
    double noise; /* of the ratio: the median deviation over the square root of the rounds */
} attn_comparison;

static void attn_compare_rounds(double times[2][ATTN_TUNE_ROUNDS], int count, attn_comparison *found) {
    double ratios[ATTN_TUNE_ROUNDS];
    for (int n = 0; n < count; n++) {
        ratios[n] = times[1][n] / times[0][n];
    }
    found->ratio = attn_median(ratios, count);
    for (int n = 0; n < count; n++) {
        ratios[n] = fabs(ratios[n] - found->ratio);
    }
    found->noise = 1.4826 * attn_median(ratios, count) / sqrt(count); /* as a standard deviation, were it normal */
    found->medians[0] = attn_median(times[0], count);
    found->medians[1] = attn_median(times[1], count);
}

/* Alternating rounds of two plans. A candidate that is much slower is seen in the first; a decision is not made by one. */
static clattn_status attn_rounds(const attn_tune *tune, clattn_plan *plans[2], int rounds, attn_comparison *found) {
    double times[2][ATTN_TUNE_ROUNDS], unused;
    int count = 0;
    for (int p = 0; p < 2; p++) { /* not counted: the first call of a plan makes things */
        clattn_status status = attn_time_call(tune, plans[p], &unused);
        if (status != CLATTN_OK) {
            return status;
        }
    }
    for (bool enough = false; count < rounds && !enough; count++) {
        for (int p = 0; p < 2; p++) { /* the order turns from round to round */
            int which = (p + count) % 2;
            clattn_status status = attn_time_slot(tune, plans[which], &times[which][count]);
            if (status != CLATTN_OK) {
                return status;
            }
        }
        bool late = attn_seconds() - tune->began > tune->seconds || attn_interrupted() != 0;
        int least = rounds == ROUNDS_DECIDE && attn_interrupted() != 0 ? 8 : 4; /* cut short, it decides with care */
        bool hopeless = rounds == ROUNDS_TRY && count == 0 && times[1][0] > MUCH_SLOWER * times[0][0];
        enough = hopeless || (late && count >= least);
    }
    attn_compare_rounds(times, count, found);
    return CLATTN_OK;
}

static clattn_status attn_plan_now(const attn_tune *tune, clattn_plan **plan, clattn_plan_info *info,
                                   clattn_report *report) {
    clattn_plan_options options = tune->data->options;
    options.engine = tune->engine;
    options.device = tune->device;
    clattn_status status = clattn_plan_create(tune->session->runtime, &tune->data->problem, &options, plan, report);
    if (status == CLATTN_OK) {
        status = clattn_plan_get_info(*plan, info);
        info->engine = tune->engine;
    }
    return status;
}

/* The gate on the problem and on the small one. Fills why when the answer is not ATTN_TUNE_TIMED. */
static int attn_check(const attn_tune *tune, attn_tune_outcome *outcome, char *why, size_t size, attn_error *error) {
    attn_gate_options options = { .max_work = 3e7 };
    attn_case_data *const cases[2] = { tune->tails, tune->data };
    *outcome = ATTN_TUNE_TIMED;
    for (int n = 0; n < 2 && *outcome == ATTN_TUNE_TIMED; n++) {
        attn_gate_result result;
        if (cases[n] == NULL) {
            continue;
        }
        if (attn_gate_engine(tune->session->runtime, tune->engine, tune->device, cases[n], &options, &result, error) !=
            ATTN_DONE) {
            return error->status;
        }
        if (result.refused || !result.passed) {
            *outcome = result.refused ? ATTN_TUNE_REFUSED : ATTN_TUNE_WRONG;
            attn_text_copy(why, size, result.failure, strlen(result.failure));
        }
    }
    return ATTN_DONE;
}

/* A problem of the same program with few rows and keys, none of them a multiple of anything. */
static int attn_make_tails(attn_tune *tune, attn_error *error) {
    const clattn_problem *p = &tune->data->problem;
    char line[512];
    attn_cases cases = { 0 };
    snprintf(line, sizeof line,
             "type=%s head_dim=%lld value_dim=%lld query_heads=%lld kv_heads=1 query_length=%lld key_length=331 "
             "causal=yes align=bottom_right mask=1,1,q,k seed=7%s",
             clattn_type_name(p->type), (long long)p->head_dim, (long long)p->value_dim,
             (long long)(p->query_heads / p->kv_heads), (long long)(p->query_length < 77 ? p->query_length : 77),
             p->direction == CLATTN_BACKWARD ? " direction=backward" : "");
    int status = attn_cases_line(&cases, line, error);
    tune->tails = status == ATTN_DONE ? calloc(1, sizeof *tune->tails) : NULL;
    if (status == ATTN_DONE && tune->tails == NULL) {
        status = attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (status == ATTN_DONE) {
        status = attn_case_data_create(tune->tails, &cases.items[0], true, error);
        if (status != ATTN_DONE) {
            free(tune->tails);
            tune->tails = NULL;
        } else {
            tune->tails->options.blocks = &tune->session->blocks;
        }
    }
    attn_cases_free(&cases);
    return status;
}

int attn_tune_begin(attn_tune *tune, attn_error *error) {
    clattn_runtime *runtime = tune->session->runtime;
    clattn_report report = { 0 };
    clattn_plan_info info = { 0 };
    clattn_device_info device = { 0 };
    attn_tune_outcome outcome;
    const clattn_problem *p = &tune->data->problem;
    tune->best_item = -1;
    if (clattn_runtime_get_device(runtime, tune->device, &device) != CLATTN_OK ||
        clattn_inspect_tuning(runtime, NULL, false, NULL) != CLATTN_OK) {
        return attn_fail(error, ATTN_UNSERVED, "device %lld does not answer", (long long)tune->device);
    }
    tune->on_gpu = device.kind == CLATTN_DEVICE_OPENCL_GPU;
    if (attn_plan_now(tune, &tune->base, &info, &report) != CLATTN_OK) {
        tune->skipped[0] = '\0';
        attn_text_add(tune->skipped, sizeof tune->skipped, "refused: %.*s", (int)strcspn(report.text, "\n"),
                      report.text);
        return ATTN_DONE;
    }
    if (!attn_tune_find_table(info.program, p->head_dim > p->value_dim ? p->head_dim : p->value_dim, &tune->table)) {
        snprintf(tune->skipped, sizeof tune->skipped, "%s has no table of block sizes", tune->engine);
        return ATTN_DONE;
    }
    if (attn_make_tails(tune, error) != ATTN_DONE ||
        attn_check(tune, &outcome, tune->skipped, sizeof tune->skipped, error) != ATTN_DONE) {
        return error->status;
    }
    tune->wrong = outcome == ATTN_TUNE_WRONG;
    return ATTN_DONE;
}

static void attn_set_outcome(attn_tune_candidate *candidate, attn_tune_outcome outcome, const char *why) {
    candidate->outcome = outcome;
    attn_text_copy(candidate->why, sizeof candidate->why, why, strcspn(why, "\n"));
}

/* Times a plan that passed against the best so far; keeps it where it is faster. */
static void attn_time_candidate(attn_tune *tune, int item, clattn_plan *plan) {
    attn_tune_candidate *candidate = &tune->items[item];
    clattn_plan *plans[2] = { tune->best != NULL ? tune->best : tune->base, plan };
    attn_comparison found;
    double before = tune->best_item < 0 ? 1 : tune->items[tune->best_item].ratio;
    clattn_status status = attn_rounds(tune, plans, ROUNDS_TRY, &found);
    if (status != CLATTN_OK) {
        attn_set_outcome(candidate, ATTN_TUNE_REFUSED, clattn_status_message(status));
        clattn_plan_destroy(plan);
        return;
    }
    candidate->outcome = ATTN_TUNE_TIMED;
    candidate->ratio = before * found.ratio;
    if (found.ratio < 1) {
        clattn_plan_destroy(tune->best);
        tune->best = plan;
        tune->best_item = item;
    } else {
        clattn_plan_destroy(plan);
    }
}

int attn_tune_try(attn_tune *tune, int item, attn_error *error) {
    attn_tune_candidate *candidate = &tune->items[item];
    char key[64], row[ATTN_TUNE_LINE], text[3 * ATTN_TUNE_LINE];
    clattn_report report = { 0 };
    clattn_plan *plan = NULL;
    clattn_plan_info info = { 0 };
    attn_tune_outcome outcome;
    snprintf(key, sizeof key, "*,*,*,*,%lld,", (long long)tune->table.head_dim_max);
    attn_tune_row(tune, key, item, "", row, sizeof row);
    snprintf(text, sizeof text, "[%s]\n%s\n%s\n", tune->table.name, tune->table.header, row);
    if (clattn_inspect_tuning(tune->session->runtime, text, true, &report) != CLATTN_OK) {
        attn_set_outcome(candidate, ATTN_TUNE_REFUSED, report.text);
        return ATTN_DONE;
    }
    clattn_status status = attn_plan_now(tune, &plan, &info, &report);
    if (status != CLATTN_OK) {
        attn_set_outcome(candidate, ATTN_TUNE_REFUSED,
                         report.text[0] != '\0' ? report.text : clattn_status_message(status));
        return ATTN_DONE;
    }
    if (tune->on_gpu && info.private_memory > MOST_PRIVATE) {
        candidate->outcome = ATTN_TUNE_REFUSED;
        snprintf(candidate->why, sizeof candidate->why, "spills %lld bytes a work-item", (long long)info.private_memory);
        clattn_plan_destroy(plan);
        return ATTN_DONE;
    }
    if (attn_check(tune, &outcome, candidate->why, sizeof candidate->why, error) != ATTN_DONE) {
        clattn_plan_destroy(plan);
        return error->status;
    }
    if (outcome != ATTN_TUNE_TIMED) {
        candidate->outcome = outcome;
        clattn_plan_destroy(plan);
        return ATTN_DONE;
    }
    attn_time_candidate(tune, item, plan);
    return ATTN_DONE;
}

int attn_tune_decide(attn_tune *tune, attn_error *error) {
    clattn_plan *plans[2] = { tune->base, tune->best != NULL ? tune->best : tune->base };
    attn_comparison found;
    tune->seconds *= 1.2; /* the search has used its time; a decision in five rounds is a poor one */
    clattn_status status = attn_rounds(tune, plans, ROUNDS_DECIDE, &found);
    if (status != CLATTN_OK) {
        return attn_fail(error, ATTN_UNSERVED, "the best candidate fails: %s", clattn_status_message(status));
    }
    tune->base_seconds = found.medians[0];
    tune->best_seconds = found.medians[1];
    tune->gain = 1 / found.ratio - 1;
    tune->noise = found.noise;
    tune->kept = tune->best != NULL && tune->gain > LEAST_GAIN && tune->gain > NOISE_FACTOR * tune->noise;
    return ATTN_DONE;
}

void attn_tune_end(attn_tune *tune) {
    clattn_plan_destroy(tune->base);
    clattn_plan_destroy(tune->best);
    tune->base = tune->best = NULL;
    (void)!clattn_inspect_tuning(tune->session->runtime, NULL, false, NULL);
    if (tune->tails != NULL) {
        attn_case_data_free(tune->tails);
        free(tune->tails);
    }
    if (tune->data != NULL) {
        attn_case_data_free(tune->data);
        free(tune->data);
    }
    tune->tails = tune->data = NULL;
}
