/* What the files of opencl-unfused share. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_H

#include "engines/opencl/opencl_body.h"
#include "engines/opencl/opencl_grid.h"
#include "engines/opencl/unfused/opencl_unfused_parts.h"
#include "engines/opencl/unfused/opencl_unfused_product.h"

typedef struct attn_unfused_state {
    attn_memory *memory;
    struct attn_opencl_device *device;
    clattn_problem problem;
    attn_opencl_body body; /* of the kernels beside the products */
    clattn_block_override blocks;
    bool caller_workspace;
    cl_program gather, softmax, output; /* the device's */
    int row_group, row_width;           /* softmax: work-items a row, floats a vector */
    int lanes;                          /* work-items that share a row's dims in the copies */
    int64_t workspace_size;             /* bytes */
} attn_unfused_state;

/** The kernels of a slot. */
enum { ATTN_UNFUSED_GATHER, ATTN_UNFUSED_SOFTMAX, ATTN_UNFUSED_OUTPUT };

extern const attn_engine attn_engine_opencl_unfused;

clattn_status attn_unfused_sizes_of(const attn_unfused_state *state, int64_t query_length, int64_t key_length,
                                    attn_unfused_sizes *sizes);
clattn_status attn_unfused_execute(void *state, const attn_execution *execution);

#endif
