/*
 * What opencl-fused and opencl-decode share: which body runs on a device, the tuning rows for it, slots, dispatches cut to a
 * bounded amount of work, and the repair of rows that a masked value spoilt.
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_BODY_H
#define ATTN_ENGINES_OPENCL_OPENCL_BODY_H

#include "engines/opencl/opencl_call.h"
#include "tuning/tuning_user.h"

/**
 * How kernels are shaped. Those on matrix units are of opencl-fused alone; its bodies of these take ATTN_SHAPE_MMA for fp16
 * and bf16, and ATTN_SHAPE_TF32 for fp32.
 */
typedef enum attn_shape { ATTN_SHAPE_CPU, ATTN_SHAPE_GPU, ATTN_SHAPE_MMA, ATTN_SHAPE_TF32 } attn_shape;

/** The bodies of engines without matrix units. Any may run on any OpenCL device. */
extern const attn_body attn_shape_bodies[];

/** Rows of such a list. */
#define ATTN_BODY_CPU_SHAPED { "cpu-shaped", "a work-item on vectors, the choice on CPU devices", attn_shape_why_not }
#define ATTN_BODY_GPU_SHAPED { "gpu-shaped", "work-groups and local memory, the choice on GPUs", attn_shape_why_not }

/** Why no OpenCL body runs on the device: it is no OpenCL device. */
const char *attn_shape_why_not(const attn_device *device);

/** The shape for the device: that of the body asked for, or by the device's kind; matrix units only when asked for. */
attn_shape attn_shape_choose(const attn_device *device);

/** What both engines refuse: attn_opencl_supports(), weights out, dims beyond 576. */
bool attn_shape_supports(const clattn_problem *problem, const attn_device *device, clattn_report *why_not);

/** Lanes of the vectors that CPU-shaped kernels use on the device: 4, 8 or 16. */
int64_t attn_shape_vector(const struct attn_opencl_device *device);

enum {
    ATTN_SHAPE_ROWS = 16,
    ATTN_SHAPE_DIMS = 576,   /* head_dim and value_dim, at most */
    ATTN_SHAPE_THREADS = 1024 /* work-items of a group that a row may ask for; the device may allow fewer */
};

/** The rows of a tuning table that apply to problem and device, best first. */
int64_t attn_shape_find(const char *table, const clattn_problem *problem, const attn_device *device,
                        attn_tuning_row rows[ATTN_SHAPE_ROWS]);

/**
 * Builds program `name` (its kernel has the same name) and checks that it fits the device: work-group of `threads`,
 * local memory, and, where `spills_matter`, private memory. Refusals (UNSUPPORTED, or the build's status) leave a line.
 */
clattn_status attn_shape_build(const attn_device *device, const char *name, const char *options, int64_t threads,
                               bool spills_matter, cl_program *program, clattn_plan_info *info, clattn_report *report);

/** A kernel over numbered work-groups; its second argument is the number of the first one. */
typedef struct attn_grid {
    attn_kernel_call kernel; /* all arguments set, the second to anything */
    const char *what;
    int64_t groups;
    int64_t threads; /* work-items of a group; 0 = groups are single work-items, grouped as the implementation likes */
    double work;     /* floating-point operations of one group */
} attn_grid;

/** Launches the grid, in as many dispatches as keep each short. Progress goes from `from` to `to`; may be CANCELLED. */
clattn_status attn_grid_launch(attn_opencl_call *call, attn_grid grid, double from, double to);

/** What one call of either engine needs for itself: the kernel that attends, one before or after it, repair. */
typedef struct attn_shape_slot {
    attn_opencl_slot base; /* first */
    cl_kernel main, other, repair;
} attn_shape_slot;

/** Where a slot's kernels come from; a program that is NULL gives none. */
typedef struct attn_slot_programs {
    cl_program main, other, repair;
    const char *main_kernel, *other_kernel;
} attn_slot_programs;

clattn_status attn_shape_slot_open(const attn_device *device, const clattn_problem *problem, int64_t workspace_size,
                                   const attn_slot_programs *programs, void **slot, clattn_report *report);

/** slot: as opened, or NULL. */
void attn_shape_slot_close(const attn_device *device, void *slot);

/** Whether rows may need repair: a key inside the lengths can be forbidden to some rows and allowed to others. */
bool attn_repair_needed(const clattn_problem *problem);

/** Launches attention_repair over all rows. */
clattn_status attn_repair_launch(attn_opencl_call *call, cl_kernel repair);

/** Fills what both engines tell alike. */
void attn_shape_describe(clattn_plan_info *info);

#endif
