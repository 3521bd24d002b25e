/*
 * Additive attention by plain loops in double that read like clattn_additive.h: the oracle. Shares no mathematics with
 * the other engines. Knows neither threads nor instruction sets.
 */
#include <math.h>
#include <string.h>

#include "engines/additive/additive_engines.h"
#include "engines/engine_body.h"

/* One row under way. */
typedef struct row_work {
    const clattn_additive_problem *problem;
    const attn_additive_call *call;
    double *scores; /* [key_length] */
} row_work;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the reference runs on the CPU");
        return false;
    }
    return attn_body_alone(device, why_not);
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    const clattn_additive_problem *p = problem;
    (void)device;
    (void)report;
    strcpy(info->kernel, "plain loops in double");
    info->workspace_size = p->key_length * (int64_t)sizeof(double);
    *state = NULL;
    return CLATTN_OK;
}

static void release(void *state) {
    (void)state; /* nothing is kept */
}

static double score(const clattn_additive_problem *p, const attn_additive_call *call, int64_t b, int64_t i, int64_t j) {
    const float *query = call->query + (b * p->query_length + i) * p->hidden;
    const float *key = call->key + (b * p->key_length + j) * p->hidden;
    double sum = 0;
    for (int64_t h = 0; h < p->hidden; h++) {
        sum += (double)call->v[h] * tanh((double)query[h] + (double)key[h]);
    }
    return sum;
}

static void write_output(const row_work *w, int64_t b, int64_t i, int64_t keys, double sum, double top) {
    const clattn_additive_problem *p = w->problem;
    const attn_additive_call *call = w->call;
    float *output = call->output + (b * p->query_length + i) * p->value_dim;
    for (int64_t d = 0; d < p->value_dim; d++) {
        double x = 0;
        for (int64_t j = 0; j < keys; j++) {
            if (attn_additive_allowed(call, b, i, j)) {
                x += exp(w->scores[j] - top) / sum * (double)call->value[(b * p->key_length + j) * p->value_dim + d];
            }
        }
        output[d] = (float)x;
    }
}

static void compute_row(const row_work *w, int64_t b, int64_t i) {
    const clattn_additive_problem *p = w->problem;
    const attn_additive_call *call = w->call;
    int64_t keys = i < attn_additive_rows(call, b) ? attn_additive_keys(call, b) : 0, count = 0;
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        bool allowed = attn_additive_allowed(call, b, i, j);
        w->scores[j] = allowed ? score(p, call, b, i, j) : -INFINITY;
        top = w->scores[j] > top ? w->scores[j] : top;
        count += allowed;
    }
    for (int64_t j = 0; j < keys && count > 0; j++) {
        sum += attn_additive_allowed(call, b, i, j) ? exp(w->scores[j] - top) : 0;
    }
    write_output(w, b, i, count > 0 ? keys : 0, sum, top);
    for (int64_t j = 0; call->weights && j < call->key_length; j++) {
        bool used = j < keys && attn_additive_allowed(call, b, i, j);
        call->weights[(b * p->query_length + i) * p->key_length + j] =
            used ? (float)(exp(w->scores[j] - top) / sum) : 0;
    }
    if (call->logsumexp) {
        call->logsumexp[b * p->query_length + i] = count > 0 ? (float)(top + log(sum)) : -INFINITY;
    }
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const row_work w = { execution->problem, execution->call, execution->workspace };
    (void)state;
    for (int64_t b = 0; b < w.problem->batch; b++) {
        for (int64_t i = 0; i < w.call->query_length; i++) {
            compute_row(&w, b, i);
        }
    }
    return CLATTN_OK;
}

const attn_engine attn_additive_reference = {
    .name = "reference",
    .supports = supports,
    .preference = attn_prefer_never,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
