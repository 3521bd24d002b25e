/*
 * What OpenCL engines share before a call: which body runs on a device, the tuning rows for it, and building its program.
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_BODY_H
#define ATTN_ENGINES_OPENCL_OPENCL_BODY_H

#include "engines/opencl/opencl_call.h"
#include "tuning/block_sizes.h"
#include "tuning/tuning_user.h"

/**
 * What kernels are written for. Those on matrix units are of opencl-fused alone: fp16 and bf16 take ATTN_BODY_MMA, fp32
 * takes ATTN_BODY_TF32.
 */
typedef enum attn_opencl_body { ATTN_BODY_CPU, ATTN_BODY_GPU, ATTN_BODY_MMA, ATTN_BODY_TF32 } attn_opencl_body;

/** The bodies of engines without matrix units. Any may run on any OpenCL device. */
extern const attn_body attn_opencl_bodies[];

/** Rows of such a list. */
#define ATTN_BODY_CPU_SHAPED                                                                                           \
    { "cpu-shaped", "a work-item on vectors, the choice on CPU devices", attn_opencl_why_not }
#define ATTN_BODY_GPU_SHAPED                                                                                           \
    { "gpu-shaped", "work-groups and local memory, the choice on GPUs", attn_opencl_why_not }

/** Why no OpenCL body runs on the device: it is no OpenCL device. */
const char *attn_opencl_why_not(const attn_device *device);

/** The body for the device: the one asked for, or by the device's kind; matrix units only when asked for. */
attn_opencl_body attn_opencl_body_choose(const attn_device *device);

/** Whether programs may use subgroup shuffles: kernels look at the subgroup's size themselves. */
bool attn_opencl_has_shuffles(const struct attn_opencl_device *device);

/** What both engines refuse: attn_opencl_supports(), weights out, dims beyond 576. */
bool attn_opencl_body_supports(const clattn_problem *problem, const attn_device *device, unsigned serves,
                               clattn_report *why_not);

/** Lanes of the vectors that CPU-shaped kernels use on the device: 4, 8 or 16. */
int64_t attn_opencl_vector(const struct attn_opencl_device *device);

enum { ATTN_OPENCL_ROWS = 16 }; /* of a table, that are tried */

/** The rows of a tuning table that apply to a type, a dim and the device, best first. For any operation. */
int64_t attn_opencl_find_rows_of(const char *table, clattn_type type, int64_t dim, const attn_device *device,
                                 attn_tuning_row rows[ATTN_OPENCL_ROWS]);

/** The rows of a tuning table that apply to problem and device, best first. */
int64_t attn_opencl_find_rows(const char *table, const clattn_problem *problem, const attn_device *device,
                              attn_tuning_row rows[ATTN_OPENCL_ROWS]);

/**
 * Builds program `name` (its kernel has the same name) and checks that it fits the device: work-group of `threads`,
 * local memory, and, where `spills_matter`, private memory. Refusals (UNSUPPORTED, or the build's status) leave a line.
 */
clattn_status attn_opencl_build(const attn_device *device, const char *name, const char *options, int64_t threads,
                                bool spills_matter, cl_program *program, clattn_plan_info *info, clattn_report *report);

/** Fills what opencl-fused and opencl-decode report alike. */
void attn_opencl_body_describe(clattn_plan_info *info);

#endif
