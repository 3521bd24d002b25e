/*
 * The table engine x feature: what an engine must serve wherever it is built and has a device. A refusal inside the
 * table counts as a failure of `clattn verify` and of the tests. An engine that can more may serve more.
 */
#include "verify/must_serve.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FP32 = 1 << CLATTN_FP32, FP16 = 1 << CLATTN_FP16, BF16 = 1 << CLATTN_BF16, FP64 = 1 << CLATTN_FP64 };

/* "opencl" is the best of the three below. */
static const struct {
    const char *engine;
    unsigned types;
    bool weights;         /* at all four stages */
    bool training;        /* backward, dropout, prefix, an output type of its own */
    int64_t max_head_dim; /* of head_dim and value_dim; 0 = any */
} served[] = {
    { .engine = "reference", .types = FP32 | FP16 | BF16 | FP64, .weights = true, .training = true },
    { .engine = "cpu", .types = FP32 | FP16 | BF16 | FP64, .weights = true },
    { .engine = "opencl", .types = FP32 | FP16 | BF16, .weights = true },
    { .engine = "opencl-unfused", .types = FP32 | FP16 | BF16, .weights = true },
    { .engine = "opencl-fused", .types = FP32 | FP16 | BF16, .weights = false, .max_head_dim = 576 },
    { .engine = "opencl-decode", .types = FP32 | FP16 | BF16, .weights = false, .max_head_dim = 576 },
};

/* The numbers of a problem that OpenCL engines take as float. */
static bool fits_float(double x) {
    return x == 0 || (fabs(x) >= (double)FLT_MIN && fabs(x) <= (double)FLT_MAX);
}

bool attn_must_serve(const char *engine, const clattn_problem *problem) {
    for (size_t e = 0; e < sizeof served / sizeof served[0]; e++) {
        if (strcmp(served[e].engine, engine) != 0) {
            continue;
        }
        int64_t dim = problem->head_dim > problem->value_dim ? problem->head_dim : problem->value_dim;
        bool numbers =
            strncmp(engine, "opencl", 6) != 0 || (fits_float(problem->scale) && fits_float(problem->softcap));
        bool training = problem->direction == CLATTN_BACKWARD || problem->dropout > 0 || problem->prefix > 0 ||
                        problem->output_type != CLATTN_RESULT_STORAGE;
        return numbers && (served[e].training || !training) && (served[e].types >> problem->type & 1u) != 0 &&
               (served[e].weights || problem->weights == CLATTN_WEIGHTS_NONE) &&
               (served[e].max_head_dim == 0 || dim <= served[e].max_head_dim);
    }
    return false;
}
