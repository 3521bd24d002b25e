/*
 * The table engine x feature: what an engine must serve wherever it is built and has a device. A refusal inside the
 * table counts as a failure of `clattn verify` and of the tests. An engine that can more may serve more.
 */
#include "verify/must_serve.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FP32 = 1 << CLATTN_FP32, FP16 = 1 << CLATTN_FP16, BF16 = 1 << CLATTN_BF16, FP64 = 1 << CLATTN_FP64 };

static const struct {
    const char *engine;
    unsigned types;
    bool weights;             /* at all four stages */
    int64_t max_head_dim;     /* of head_dim and value_dim; 0 = any */
    int64_t max_query_length; /* 0 = any */
} attn_table[] = {
    /* engine          types                      weights  head_dim  query_length */
    { "reference", FP32 | FP16 | BF16 | FP64, true, 0, 0 }, { "cpu", FP32 | FP16 | BF16 | FP64, true, 0, 0 },
    { "opencl", FP32 | FP16 | BF16, true, 0, 0 }, /* the best of those below */
    { "opencl-unfused", FP32 | FP16 | BF16, true, 0, 0 },   { "opencl-fused", FP32 | FP16 | BF16, false, 576, 0 },
    { "opencl-decode", FP32 | FP16 | BF16, false, 576, 0 },
};

/* The numbers of a problem that OpenCL engines take as float. */
static bool fits_float(double x) {
    return x == 0 || (fabs(x) >= (double)FLT_MIN && fabs(x) <= (double)FLT_MAX);
}

bool attn_must_serve(const char *engine, const clattn_problem *problem) {
    for (size_t e = 0; e < sizeof attn_table / sizeof attn_table[0]; e++) {
        if (strcmp(attn_table[e].engine, engine) != 0) {
            continue;
        }
        int64_t dim = problem->head_dim > problem->value_dim ? problem->head_dim : problem->value_dim;
        bool numbers =
            strncmp(engine, "opencl", 6) != 0 || (fits_float(problem->scale) && fits_float(problem->softcap));
        return numbers && (attn_table[e].types >> problem->type & 1u) != 0 &&
               (attn_table[e].weights || problem->weights == CLATTN_WEIGHTS_NONE) &&
               (attn_table[e].max_head_dim == 0 || dim <= attn_table[e].max_head_dim) &&
               (attn_table[e].max_query_length == 0 || problem->query_length <= attn_table[e].max_query_length);
    }
    return false;
}
