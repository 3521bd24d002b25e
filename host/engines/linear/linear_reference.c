/*
 * Linear maps by the formula: plain loops that sum in double, so that they can judge the other engines. Knows no device
 * but the CPU.
 */
#include <string.h>

#include "engines/engine_body.h"
#include "engines/linear/linear_engines.h"

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (device->kind != CLATTN_DEVICE_CPU) {
        attn_report_line(why_not, "device: the reference runs on the CPU");
    }
    return device->kind == CLATTN_DEVICE_CPU && attn_body_alone(device, why_not);
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report) {
    (void)problem;
    (void)device;
    (void)report;
    strcpy(info->kernel, "plain loops in double");
    *state = NULL;
    return CLATTN_OK;
}

static void release(void *state) {
    (void)state; /* nothing is kept */
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const clattn_linear_problem *p = execution->problem;
    const attn_linear_call *c = execution->call;
    (void)state;
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t o = 0; o < p->out_dim; o++) {
            float *output = &c->output[r * p->out_dim + o];
            double sum = (c->b ? (double)c->b[o] : 0) + (c->add ? (double)*output : 0);
            for (int64_t i = 0; i < p->in_dim; i++) {
                sum += (double)c->input[r * p->in_dim + i] * (double)c->w[o * p->in_dim + i];
            }
            *output = (float)sum;
        }
    }
    return CLATTN_OK;
}

const attn_engine attn_linear_reference = {
    .name = "reference",
    .supports = supports,
    .preference = attn_prefer_never,
    .prepare = prepare,
    .execute = execute,
    .release = release,
};
