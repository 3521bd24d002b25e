/* The inside of opencl-fused: what a plan holds, and the four bodies. */
#ifndef ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_H
#define ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_H

#include "engines/opencl/opencl_body.h"

typedef struct attn_fused {
    clattn_problem problem;
    attn_device device;
    attn_shape shape;
    cl_program main, pack, repair;        /* pack: CPU-shaped only; repair: only when rows may need it */
    int64_t block_query;                  /* rows of a work-group */
    bool shares_heads;                    /* a block may hold rows of several heads: kernels/include/row_blocks.cl.h */
    int64_t threads;                      /* work-items of a work-group */
    int64_t local_memory;                 /* bytes of the kernel's local argument, if it has one */
    int64_t tile_rows, tile_keys, vector; /* CPU-shaped: the register tile */
    int64_t workspace_size;
} attn_fused;

/** Chooses blocks and builds; fills fused and info. */
clattn_status attn_fused_cpu_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report);
clattn_status attn_fused_gpu_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report);
clattn_status attn_fused_mma_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report);
clattn_status attn_fused_tf32_prepare(attn_fused *fused, clattn_plan_info *info, clattn_report *report);

/** Submits the dispatches of one call, repair excepted. */
clattn_status attn_fused_cpu_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call);

/** One work-group a block of rows: what the GPU-shaped and the matrix-unit bodies submit alike (opencl_fused_gpu.c). */
clattn_status attn_fused_groups_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call,
                                       const char *kernel);
clattn_status attn_fused_gpu_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call);
clattn_status attn_fused_mma_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call);
clattn_status attn_fused_tf32_submit(const attn_fused *fused, attn_shape_slot *slot, attn_opencl_call *call);

/** Whether matrix tiles hold the problem; if not, one line in why_not (may be NULL). */
bool attn_fused_mma_serves(const clattn_problem *problem, clattn_report *why_not);
bool attn_fused_tf32_serves(const clattn_problem *problem, clattn_report *why_not);

/** Whether the device has matrix units that serve the problem, and nothing else was asked for. */
bool attn_fused_mma_wanted(const clattn_problem *problem, const attn_device *device);
bool attn_fused_tf32_wanted(const clattn_problem *problem, const attn_device *device);

#endif
