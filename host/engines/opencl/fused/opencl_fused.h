/* The inside of opencl-fused: what a plan holds, and the four bodies. */
#ifndef ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_H
#define ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_H

#include "engines/opencl/fused/opencl_fused_backward.h"
#include "engines/opencl/opencl_body.h"
#include "engines/opencl/opencl_grid.h"

/** The kernels of a slot. */
enum { ATTN_FUSED_MAIN, ATTN_FUSED_PACK, ATTN_FUSED_REPAIR };

typedef struct attn_fused {
    clattn_problem problem;
    attn_device device;
    attn_opencl_body body;
    const char *program;                  /* its kernel has the same name */
    cl_program main, pack, repair, mask;  /* pack: CPU-shaped only; repair: only when rows may need it */
    int64_t block_query;                  /* rows of a work-group */
    int64_t threads;                      /* work-items of a work-group */
    int64_t local_memory;                 /* bytes of the kernel's local argument, if it has one */
    int64_t tile_rows, tile_keys, vector; /* CPU-shaped: the register tile */
    int64_t workspace_size;
    attn_backward backward; /* of backward problems, in place of the above */
} attn_fused;

/** Takes one row of the program's table: checks it and builds. `last`: no other row will be tried. */
typedef clattn_status attn_fused_take(attn_fused *fused, const attn_tuning_row *row, bool last, clattn_plan_info *info,
                                      clattn_report *report);

attn_fused_take attn_fused_cpu_take, attn_fused_gpu_take, attn_fused_mma_take, attn_fused_tf32_take;

/** Submits the dispatches of one call, repair excepted. */
clattn_status attn_fused_cpu_submit(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call);

/** Whether matrix tiles hold the problem; if not, one line in why_not (may be NULL). */
bool attn_fused_mma_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not);
bool attn_fused_tf32_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not);

/* ---- bodies with a work-group a block of rows (opencl_fused_groups.c) */

/** One work-group a block of rows; a block may hold rows of several heads: kernels/include/row_blocks.cl.h. */
clattn_status attn_fused_groups_submit(const attn_fused *fused, attn_grid_slot *slot, attn_opencl_call *call);

/** Fills what follows from the sizes that were built. */
void attn_fused_groups_describe(attn_fused *fused, const attn_blocks *blocks, int64_t threads, clattn_plan_info *info);

/** Whether scores need more than a factor and a range of keys: kernels on matrix units then finish them one by one. */
bool attn_fused_is_keywise(const clattn_problem *problem);

/** Whether the dims fit matrix units; else one line in why_not (may be NULL) that names them and `tiles`. */
bool attn_fused_matrix_dims_fit(const clattn_problem *problem, const char *tiles, clattn_report *why_not);

/** UNSUPPORTED, with both numbers, where a kernel needs more local memory than there is. */
clattn_status attn_fused_local_fits(const char *kernel, int64_t need, int64_t most, clattn_report *report);

#endif
