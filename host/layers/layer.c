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

bool attn_layer_multiply(int64_t a, int64_t b, int64_t *product) {
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, product);
}

bool attn_layer_meet(const float *a, int64_t a_count, const float *b, int64_t b_count) {
    uintptr_t from = (uintptr_t)a, other = (uintptr_t)b;
    if (!a || !b || a_count <= 0 || b_count <= 0) {
        return false;
    }
    return from <= other ? (other - from) / sizeof *a < (uint64_t)a_count : (from - other) / sizeof *a < (uint64_t)b_count;
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

/* Copies a structure's start; one of another size is of no version and gets zeros, which every call refuses. */
static void start_structure(void *structure, size_t size, const void *from, size_t known) {
    if (structure) {
        memset(structure, 0, size);
        memcpy(structure, from, size == known ? known : 0);
    }
}

void clattn_attention_layer_io_init(clattn_attention_layer_io *io, size_t size) {
    static const clattn_attention_layer_io start = CLATTN_ATTENTION_LAYER_IO_INIT;
    start_structure(io, size, &start, sizeof start);
}

void clattn_additive_layer_options_init(clattn_additive_layer_options *options, size_t size) {
    static const clattn_additive_layer_options start = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    start_structure(options, size, &start, sizeof start);
}

void clattn_additive_layer_io_init(clattn_additive_layer_io *io, size_t size) {
    static const clattn_additive_layer_io start = CLATTN_ADDITIVE_LAYER_IO_INIT;
    start_structure(io, size, &start, sizeof start);
}

void clattn_glimpse_options_init(clattn_glimpse_options *options, size_t size) {
    static const clattn_glimpse_options start = CLATTN_GLIMPSE_OPTIONS_INIT;
    start_structure(options, size, &start, sizeof start);
}

void clattn_glimpse_io_init(clattn_glimpse_io *io, size_t size) {
    static const clattn_glimpse_io start = CLATTN_GLIMPSE_IO_INIT;
    start_structure(io, size, &start, sizeof start);
}
