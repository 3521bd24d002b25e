/*
 * The table engine x feature: what an engine must serve wherever it is built and has a device. A refusal inside the
 * table counts as a failure of `clattn verify` and of the tests. An engine that can more may serve more.
 */
#include "verify/must_serve.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What training asks for. */
enum { BACKWARD = 1, DROPOUT = 2, PREFIX = 4, OUTPUT_TYPE = 8, FORWARD = 14, TRAINING = 15 };

enum { FP32 = 1 << CLATTN_FP32, FP16 = 1 << CLATTN_FP16, BF16 = 1 << CLATTN_BF16, FP64 = 1 << CLATTN_FP64 };

/* "opencl" is the best of the three below. */
static const struct {
    const char *engine;
    unsigned types;
    bool weights;         /* at all four stages */
    unsigned training;    /* of the bits above */
    int64_t max_head_dim; /* of head_dim and value_dim; 0 = any */
} served[] = {
    { .engine = "reference", .types = FP32 | FP16 | BF16 | FP64, .weights = true, .training = TRAINING },
    { .engine = "cpu", .types = FP32 | FP16 | BF16 | FP64, .weights = true, .training = TRAINING },
    { .engine = "opencl", .types = FP32 | FP16 | BF16, .weights = true, .training = TRAINING },
    { .engine = "opencl-unfused", .types = FP32 | FP16 | BF16, .weights = true, .training = TRAINING },
    { .engine = "opencl-fused", .types = FP32 | FP16 | BF16, .training = TRAINING, .max_head_dim = 576 },
    { .engine = "opencl-decode", .types = FP32 | FP16 | BF16, .training = FORWARD, .max_head_dim = 576 },
};

/* The numbers of a problem that OpenCL engines take as float. */
static bool fits_float(double x) {
    return x == 0 || (fabs(x) >= (double)FLT_MIN && fabs(x) <= (double)FLT_MAX);
}

/* What a problem asks for of training. */
static unsigned asked_training(const clattn_problem *p) {
    return (p->direction == CLATTN_BACKWARD ? BACKWARD : 0u) | (p->dropout > 0 || p->dropout_mask ? DROPOUT : 0u) |
           (p->prefix > 0 ? PREFIX : 0u) | (p->output_type != CLATTN_RESULT_STORAGE ? OUTPUT_TYPE : 0u);
}

bool attn_must_serve(const char *engine, const clattn_problem *problem) {
    for (size_t e = 0; e < sizeof served / sizeof served[0]; e++) {
        if (strcmp(served[e].engine, engine) != 0) {
            continue;
        }
        int64_t dim = problem->head_dim > problem->value_dim ? problem->head_dim : problem->value_dim;
        bool numbers =
            strncmp(engine, "opencl", 6) != 0 || (fits_float(problem->scale) && fits_float(problem->softcap));
        return numbers && (asked_training(problem) & ~served[e].training) == 0 && (served[e].types >> problem->type & 1u) != 0 &&
               (served[e].weights || problem->weights == CLATTN_WEIGHTS_NONE) &&
               (served[e].max_head_dim == 0 || dim <= served[e].max_head_dim);
    }
    return false;
}
