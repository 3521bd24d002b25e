/* What the files of opencl-unfused share. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_H

#include "engines/opencl/opencl_body.h"
#include "engines/opencl/opencl_grid.h"
#include "engines/opencl/unfused/opencl_unfused_parts.h"
#include "engines/opencl/unfused/opencl_unfused_product.h"

/** The kernels of a slot: of both directions, of the forward, of backward. */
enum {
    ATTN_UNFUSED_GATHER,
    ATTN_UNFUSED_SOFTMAX,
    ATTN_UNFUSED_OUTPUT,
    ATTN_UNFUSED_GATHER_GIVEN = ATTN_UNFUSED_SOFTMAX, /* of output's type */
    ATTN_UNFUSED_DELTA,
    ATTN_UNFUSED_SCORES,
    ATTN_UNFUSED_REPAIR,
    ATTN_UNFUSED_STORE,
    ATTN_UNFUSED_BIAS,
    ATTN_UNFUSED_ROWS,
    ATTN_UNFUSED_BIAS_ROWS, /* of the type of grad_bias */
    ATTN_UNFUSED_KERNELS
};

typedef struct attn_unfused_state {
    attn_memory *memory;
    struct attn_opencl_device *device;
    clattn_problem problem;
    attn_opencl_body body; /* of the kernels beside the products */
    clattn_block_override blocks;
    bool caller_workspace;
    attn_slot_kernel kernels[ATTN_SLOT_KERNELS]; /* their programs are the device's */
    uint32_t regions;                            /* of the workspace */
    int row_group, row_width;                    /* softmax: work-items a row, floats a vector */
    int lanes;                                   /* work-items that share a row's dims in the copies */
    int64_t workspace_size;                      /* bytes */
} attn_unfused_state;

extern const attn_engine attn_engine_opencl_unfused;

clattn_status attn_unfused_sizes_of(const attn_unfused_state *state, int64_t query_length, int64_t key_length,
                                    attn_unfused_sizes *sizes);
clattn_status attn_unfused_execute(void *state, const attn_execution *execution);

/** Builds `name` for a type into a place of the state's kernels, with as many lanes as it allows. */
clattn_status attn_unfused_build_copy(attn_unfused_state *state, const attn_device *device, int place, const char *name,
                                      clattn_type type, const char *defines, clattn_report *report);

/** Builds a kernel with ROW_GROUP work-items a row, or as many as it allows. */
clattn_status attn_unfused_build_rows(attn_unfused_state *state, const attn_device *device, int place, const char *name,
                                      clattn_report *report);

#endif
