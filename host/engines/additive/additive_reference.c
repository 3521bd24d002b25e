/*
 * Additive attention by plain loops in double that read like clattn_additive.h: the oracle. Shares no mathematics with
 * the other engines. Knows neither threads nor instruction sets.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engines/additive/additive_engines.h"

typedef struct reference_state {
    clattn_additive_problem problem;
    attn_memory *memory;
    double *scores; /* [key_length] */
} reference_state;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the reference runs on the CPU");
        return false;
    }
    return true;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report) {
    const clattn_additive_problem *p = problem;
    reference_state *made = attn_allocate_zeroed(device->memory, sizeof *made);
    double *scores = attn_allocate(device->memory, p->key_length * (int64_t)sizeof *scores);
    if (!made || !scores) {
        attn_release(device->memory, made);
        attn_release(device->memory, scores);
        return attn_refuse(report, CLATTN_OUT_OF_MEMORY, "key_length: no memory for a row of scores");
    }
    *made = (reference_state){ *p, device->memory, scores };
    strcpy(info->kernel, "plain loops in double");
    info->workspace_size = p->key_length * (int64_t)sizeof *scores;
    *state = made;
    return CLATTN_OK;
}

static void release(void *state) {
    reference_state *s = state;
    attn_release(s->memory, s->scores);
    attn_release(s->memory, s);
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

static void write_output(const reference_state *s, const attn_additive_call *call, int64_t b, int64_t i, int64_t keys,
                         double sum, double top) {
    const clattn_additive_problem *p = &s->problem;
    float *output = call->output + (b * p->query_length + i) * p->value_dim;
    for (int64_t d = 0; d < p->value_dim; d++) {
        double x = 0;
        for (int64_t j = 0; j < keys; j++) {
            if (attn_additive_allowed(call, b, i, j)) {
                x += exp(s->scores[j] - top) / sum * (double)call->value[(b * p->key_length + j) * p->value_dim + d];
            }
        }
        output[d] = (float)x;
    }
}

static void compute_row(const reference_state *s, const attn_additive_call *call, int64_t b, int64_t i) {
    const clattn_additive_problem *p = &s->problem;
    int64_t keys = i < attn_additive_rows(call, b) ? attn_additive_keys(call, b) : 0, count = 0;
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        bool allowed = attn_additive_allowed(call, b, i, j);
        s->scores[j] = allowed ? score(p, call, b, i, j) : -INFINITY;
        top = s->scores[j] > top ? s->scores[j] : top;
        count += allowed;
    }
    for (int64_t j = 0; j < keys && count > 0; j++) {
        sum += attn_additive_allowed(call, b, i, j) ? exp(s->scores[j] - top) : 0;
    }
    write_output(s, call, b, i, count > 0 ? keys : 0, sum, top);
    for (int64_t j = 0; call->weights && j < call->key_length; j++) {
        bool used = j < keys && attn_additive_allowed(call, b, i, j);
        call->weights[(b * p->query_length + i) * p->key_length + j] =
            used ? (float)(exp(s->scores[j] - top) / sum) : 0;
    }
    if (call->logsumexp) {
        call->logsumexp[b * p->query_length + i] = count > 0 ? (float)(top + log(sum)) : -INFINITY;
    }
}

static clattn_status execute(void *state, const void *call) {
    const reference_state *s = state;
    const attn_additive_call *c = call;
    for (int64_t b = 0; b < s->problem.batch; b++) {
        for (int64_t i = 0; i < c->query_length; i++) {
            compute_row(s, c, b, i);
        }
    }
    return CLATTN_OK;
}

const attn_operation_engine attn_additive_reference = { "reference", true, supports, prepare, execute, release };
