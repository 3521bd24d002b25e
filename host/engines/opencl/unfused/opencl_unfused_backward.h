/* Backward of opencl-unfused. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_BACKWARD_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_BACKWARD_H

#include "engines/opencl/unfused/opencl_unfused.h"

/** The regions of the workspace that a backward problem uses. */
uint32_t attn_unfused_backward_regions(const clattn_problem *problem);

/** What BIAS_TOTAL holds. */
clattn_status attn_unfused_bias_elements(const clattn_problem *problem, int64_t *elements);

/** Bytes of temporary memory for the products of one pair with so many rows. */
clattn_status attn_unfused_backward_temporary(const attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes,
                                              clattn_report *report);

/** Builds all kernels beside the products. */
clattn_status attn_unfused_backward_build(attn_unfused_state *state, const attn_device *device, clattn_report *report);

clattn_status attn_unfused_execute_backward(attn_unfused_state *state, const attn_execution *execution);

#endif
