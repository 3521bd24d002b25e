/* Between additive_opencl.c, which makes plans and slots, and additive_opencl_run.c, which runs calls. */
#ifndef ATTN_ENGINES_ADDITIVE_ADDITIVE_OPENCL_H
#define ATTN_ENGINES_ADDITIVE_ADDITIVE_OPENCL_H

#include "engines/additive/additive_engines.h"
#include "opencl/buffer.h"

/* Buffers of a slot. */
enum {
    ATTN_ADDITIVE_QUERY,
    ATTN_ADDITIVE_KEY,
    ATTN_ADDITIVE_V,
    ATTN_ADDITIVE_VALUE,
    ATTN_ADDITIVE_MASK,
    ATTN_ADDITIVE_QUERY_LENGTHS,
    ATTN_ADDITIVE_KEY_LENGTHS,
    ATTN_ADDITIVE_OUTPUT,
    ATTN_ADDITIVE_LOGSUMEXP,
    ATTN_ADDITIVE_WEIGHTS,
    ATTN_ADDITIVE_BUFFERS
};

typedef struct attn_additive_state {
    clattn_additive_problem problem;
    attn_device device;
    struct attn_opencl_device *opencl;
    cl_program program, weights_program; /* the cache's; the second only when weights are asked for */
    int64_t group, block, vector;        /* work-items of a row, keys of a block, lanes */
} attn_additive_state;

/* What a call under way needs for itself. */
typedef struct attn_additive_slot {
    attn_buffer buffers[ATTN_ADDITIVE_BUFFERS];
    cl_kernel kernel, weights_kernel;
} attn_additive_slot;

clattn_status attn_additive_opencl_execute(void *state, const attn_execution *execution);

#endif
