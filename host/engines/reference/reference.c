/*
 * The reference engine: the oracle the others are checked against. Plain loops in double (long double for fp64), no blocks,
 * no shared mathematics; slow on purpose. It may use base/ and the views of problem/call.h, and no rule of problem/mask.h.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "cpu/threads.h"
#include "engines/engine.h"
#include "engines/engine_body.h"
#include "engines/reference/reference.h"
#include "engines/reference/reference_backward.h"
#include "engines/reference/reference_dropout.h"

#define ATTN_REFERENCE_WIDE 0
#include "engines/reference/reference_row.h"
#undef ATTN_REFERENCE_WIDE
#define ATTN_REFERENCE_WIDE 1
#include "engines/reference/reference_row.h"

void attn_reference_row(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h, int64_t i,
                        clattn_reference_row *row, long double *scratch) {
    attn_position at = attn_reference_position(p, c, b, h, i);
    attn_row_arrays out = { row->raw, row->softcap, row->scores, row->weights, row->magnitude };
    long double **arrays[] = { &out.raw, &out.softcap, &out.scores, &out.weights };
    for (int k = 0; k < 4; k++) {
        *arrays[k] = *arrays[k] ? *arrays[k] : scratch + k * c->key_length;
    }
    if (p->type == CLATTN_FP64) {
        long_row(p, c, &at, &out, row);
    } else {
        double_row(p, c, &at, &out, row);
    }
}

static void write_weights(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h, int64_t i,
                          const clattn_reference_row *row) {
    int64_t head = h - p->weights_first_head, line = i - p->weights_first_row;
    if (p->weights == CLATTN_WEIGHTS_NONE || head < 0 || head >= p->weights_heads || line < 0 ||
        line >= p->weights_rows) {
        return;
    }
    const long double *stages[] = { NULL, row->raw, row->softcap, row->scores, row->weights };
    int64_t used = attn_reference_position(p, c, b, h, i).key_length, index = attn_view_row(&c->weights, b, head, line);
    clattn_type type = p->type == CLATTN_FP64                 ? CLATTN_FP64
                       : p->weights == CLATTN_WEIGHTS_SOFTMAX ? p->type
                                                              : CLATTN_FP32;
    for (int64_t j = 0; j < p->key_length; j++) {
        double x = row->row_used && j < used ? (double)stages[p->weights][j] : 0;
        attn_set_element(type, c->weights.data, index + j, x);
    }
}

/** Of every key, allowed or not, inside the lengths or not. */
static void write_dropout_mask(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h, int64_t i) {
    attn_position at = attn_reference_position(p, c, b, h, i);
    for (int64_t j = 0; p->dropout_mask && j < p->key_length; j++) {
        ((uint8_t *)c->dropout_mask.data)[attn_view_row(&c->dropout_mask, b, h, i) + j] =
            attn_reference_keeps(p, c, &at, j);
    }
}

/** A slice of the rows of one call. */
typedef struct reference_job {
    const attn_execution *execution;
    int64_t first;
} reference_job;

static int64_t scratch_bytes(const clattn_problem *p) {
    return (5 * attn_max(p->key_length, 1) + p->value_dim) * (int64_t)sizeof(long double);
}

static void run_row(void *user, int64_t item, int64_t worker) {
    const reference_job *job = user;
    const clattn_problem *p = job->execution->problem;
    const attn_call *c = job->execution->call;
    long double *scratch = (long double *)((char *)job->execution->workspace + worker * scratch_bytes(p));
    int64_t index = job->first + item, i = index % c->query_length, h = index / c->query_length % p->query_heads;
    int64_t b = index / c->query_length / p->query_heads;
    clattn_reference_row row = { .raw = scratch,
                                 .softcap = scratch + c->key_length,
                                 .scores = scratch + 2 * c->key_length,
                                 .weights = scratch + 3 * c->key_length,
                                 .keep = p->dropout > 0 ? scratch + 4 * c->key_length : NULL,
                                 .output = scratch + 5 * c->key_length };
    attn_reference_row(p, c, b, h, i, &row, NULL);
    int64_t output = attn_view_row(&c->output, b, h, i);
    clattn_type output_type = p->output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : p->type;
    for (int64_t d = 0; d < p->value_dim; d++) {
        attn_set_element(output_type, c->output.data, output + d, (double)row.output[d]);
    }
    if (p->logsumexp) {
        clattn_type type = p->type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
        attn_set_element(type, c->logsumexp.data, attn_view_row(&c->logsumexp, b, h, i), (double)row.logsumexp);
    }
    write_weights(p, c, b, h, i, &row);
    write_dropout_mask(p, c, b, h, i);
}

static bool supports(const void *asked, const attn_device *device, clattn_report *why_not) {
    const clattn_problem *problem = asked;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the reference runs on the CPU");
        return false;
    }
    if (problem->memory != CLATTN_MEMORY_HOST) {
        attn_report_line(why_not, "memory: the reference takes host memory");
        return false;
    }
    return attn_body_alone(device, why_not);
}

static int preference(const void *problem, const attn_device *device) {
    (void)problem;
    (void)device;
    return ATTN_PREFER_NEVER;
}

static clattn_status prepare(const void *asked, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    const clattn_problem *problem = asked;
    bool wide = problem->type == CLATTN_FP64;
    strcpy(info->kernel, wide ? "plain loops in long double" : "plain loops in double");
    info->accumulate = wide ? "fp80" : "fp64";
    info->clean_values = true;
    *state = device->threads;
    if (problem->direction == CLATTN_BACKWARD) {
        return attn_reference_backward_prepare(problem, device->threads, info, report);
    }
    int64_t limit = INT64_MAX / (int64_t)sizeof(long double) / attn_threads_count(device->threads) / 8;
    if (problem->key_length > limit || problem->value_dim > limit) {
        return attn_refuse(report, CLATTN_OVERFLOW, "key_length: a row's scores have more than 2^63 - 1 bytes");
    }
    info->workspace_size = scratch_bytes(problem) * attn_threads_count(device->threads);
    return CLATTN_OK;
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const clattn_problem *p = execution->problem;
    const attn_call *call = execution->call;
    if (p->direction == CLATTN_BACKWARD) {
        return attn_reference_backward_execute(state, execution);
    }
    int64_t rows = p->batch * p->query_heads * call->query_length, slice = 64 * attn_threads_count(state);
    int64_t start = attn_clock_now();
    for (int64_t first = 0; first < rows; first += slice) {
        reference_job job = { execution, first };
        attn_threads_run(state, attn_min(slice, rows - first), run_row, &job);
        if (call->progress &&
            !call->progress(call->progress_user, (double)attn_min(first + slice, rows) / (double)rows)) {
            return CLATTN_CANCELLED;
        }
    }
    if (call->timing) {
        call->timing->count = 1;
        strcpy(call->timing->steps[0].name, "attention");
        call->timing->steps[0].seconds = attn_clock_seconds_since(start);
    }
    return CLATTN_OK;
}

static void release(void *state) {
    (void)state; /* the runtime's threads */
}

const attn_engine attn_engine_reference = {
    .name = "reference",
    .supports = supports,
    .preference = preference,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
