/* Linear maps as their engines see them. */
#ifndef ATTN_ENGINES_LINEAR_LINEAR_ENGINES_H
#define ATTN_ENGINES_LINEAR_LINEAR_ENGINES_H

#include "clattn/clattn_linear.h"
#include "engines/engine.h"

/** One call: output[rows, out] (+)= input[rows, in] w[out, in]^T + b[out]. */
typedef struct attn_linear_call {
    int64_t rows;
    const float *input, *w, *b; /* b NULL = none */
    bool add;
    float *output;
    clattn_report *report;
} attn_linear_call;

extern const attn_engine attn_linear_reference, attn_linear_cpu, attn_linear_opencl;

#endif
