/*
 * What the layers share. Sees the public headers alone, as all of this folder; a line of a report ends with a newline
 * and is left out whole when it no longer fits, as everywhere.
 */
#include "layers/layer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void attn_layer_clear(clattn_report *report) {
    if (report) {
        report->length = 0;
        report->truncated = false;
        report->text[0] = '\0';
    }
}

clattn_status attn_layer_refuse(clattn_report *report, clattn_status status, const char *format, ...) {
    if (!report) {
        return status;
    }
    size_t room = sizeof report->text - report->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(report->text + report->length, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length + 2 > room) {
        report->text[report->length] = '\0';
        report->truncated = true;
        return status;
    }
    report->length += (size_t)length;
    report->text[report->length++] = '\n';
    report->text[report->length] = '\0';
    return status;
}

float *attn_layer_floats(clattn_runtime *runtime, int64_t count) {
    return count < 0 || count > INT64_MAX / (int64_t)sizeof(float)
               ? NULL
               : clattn_allocate(runtime, count * (int64_t)sizeof(float));
}

clattn_status attn_layer_linear(clattn_runtime *runtime, int64_t rows, int64_t in_dim, int64_t out_dim,
                                const char *engine, int64_t device, clattn_linear_plan **plan, clattn_report *report) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    problem.rows = rows;
    problem.in_dim = in_dim;
    problem.out_dim = out_dim;
    problem.engine = engine;
    problem.device = device;
    return clattn_linear_plan_create(runtime, &problem, plan, report);
}

clattn_status attn_layer_apply(clattn_linear_plan *plan, int64_t rows, const float *input, const float *w,
                               const float *b, bool add, float *output, clattn_report *report) {
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    tensors.rows = rows;
    tensors.input = input;
    tensors.w = w;
    tensors.b = b;
    tensors.add = add;
    tensors.output = output;
    tensors.report = report;
    return clattn_linear_execute(plan, &tensors);
}
