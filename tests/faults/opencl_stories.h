/* What tests/test_opencl_failures.c makes fail: a plan and a call each. To cover more, add a row. */
#ifndef TESTS_FAULTS_OPENCL_STORIES_H
#define TESTS_FAULTS_OPENCL_STORIES_H

#include "clattn/clattn.h"

enum { ROWS = 7, KEYS = 19, DIM = 16, HEADS = 2, OUTPUT = HEADS * ROWS * DIM };

typedef enum kind { ATTENTION, ADDITIVE, LINEAR } kind;

typedef struct story {
    const char *name;
    kind kind;
    const char *engine;
    const char *body; /* NULL = the choice of the engine */
    clattn_type type;
    bool gpu;     /* the device says that it is one: memory is copied there and back */
    bool rich;    /* masks, lengths and whatever else has memory of its own; strided tensors */
    bool enqueue; /* cl_mem, on a queue out of order */
    bool backward; /* the numbers that are compared are grad_query's */
} story;

static const story stories[] = {
    { "fused", ATTENTION, "opencl-fused", NULL, CLATTN_FP32, false, false, false },
    { "decode", ATTENTION, "opencl-decode", NULL, CLATTN_FP32, false, false, false },
    { "unfused", ATTENTION, "opencl-unfused", NULL, CLATTN_FP32, false, false, false },
    { "additive", ADDITIVE, "opencl", NULL, CLATTN_FP32, false, true, false },
    { "linear", LINEAR, "opencl", NULL, CLATTN_FP32, false, true, false },
    { "fused, rich, enqueued", ATTENTION, "opencl-fused", NULL, CLATTN_FP32, false, true, true },
    { "decode, rich", ATTENTION, "opencl-decode", NULL, CLATTN_FP32, false, true, false },
    { "decode, rich, enqueued", ATTENTION, "opencl-decode", NULL, CLATTN_FP16, false, true, true },
    { "unfused, rich", ATTENTION, "opencl-unfused", NULL, CLATTN_FP32, true, true, false },
    { "unfused, enqueued", ATTENTION, "opencl-unfused", NULL, CLATTN_FP16, false, true, true },
    { "fused, a GPU", ATTENTION, "opencl-fused", "gpu-shaped", CLATTN_FP32, true, true, false },
    { "decode, a GPU", ATTENTION, "opencl-decode", "gpu-shaped", CLATTN_FP32, true, true, false },
    { "matrix units", ATTENTION, "opencl-fused", "matrix", CLATTN_FP16, true, false, false },
    { "matrix units, TF32", ATTENTION, "opencl-fused", "matrix", CLATTN_FP32, false, false, true },
    { "additive, a GPU", ADDITIVE, "opencl", NULL, CLATTN_FP32, true, false, false },
    { "unfused, gradients", ATTENTION, "opencl-unfused", NULL, CLATTN_FP32, true, true, false, true },
    { "fused, gradients", ATTENTION, "opencl-fused", NULL, CLATTN_FP32, false, true, false, true },
    { "fused, gradients, a GPU", ATTENTION, "opencl-fused", "gpu-shaped", CLATTN_FP32, true, true, true, true },
    { "unfused, gradients, enqueued", ATTENTION, "opencl-unfused", NULL, CLATTN_FP16, false, true, true, true },
};
enum { STORIES = sizeof stories / sizeof stories[0] };

#endif
