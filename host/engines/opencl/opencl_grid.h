/*
 * How OpenCL engines launch: dispatches cut to a bounded amount of work, the repair of rows that a masked value spoilt, and
 * slots with the kernels that one call needs for itself.
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_GRID_H
#define ATTN_ENGINES_OPENCL_OPENCL_GRID_H

#include "engines/opencl/opencl_call.h"

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

/** Whether rows may need repair: a key inside the lengths can be forbidden to some rows, or dropped, and count in others. */
bool attn_repair_needed(const clattn_problem *problem);

/** Builds attention_repair for the problem. */
clattn_status attn_repair_build(struct attn_opencl_device *device, const clattn_problem *problem, cl_program *program,
                                clattn_report *report);

/** Launches attention_repair over all rows. */
clattn_status attn_repair_launch(attn_opencl_call *call, cl_kernel repair);

/** Builds what writes the dropout mask, where the problem asks for one. */
clattn_status attn_dropout_mask_build(struct attn_opencl_device *device, const clattn_problem *problem,
                                      cl_program *program, clattn_report *report);

/** Writes the dropout mask; nothing where the kernel is NULL. */
clattn_status attn_dropout_mask_launch(attn_opencl_call *call, cl_kernel mask);

/* The most that an engine has; the last is where the dropout mask's kernel is, for all engines. */
enum { ATTN_SLOT_KERNELS = 13, ATTN_SLOT_MASK = 12 };

/** What one call needs for itself: clSetKernelArg is not thread-safe. Which kernel is which, the engine says. */
typedef struct attn_grid_slot {
    attn_opencl_slot base; /* first */
    cl_kernel kernels[ATTN_SLOT_KERNELS];
} attn_grid_slot;

/** Where a kernel of a slot comes from; a program that is NULL gives none. */
typedef struct attn_slot_kernel {
    cl_program program;
    const char *name;
} attn_slot_kernel;

clattn_status attn_grid_slot_open(struct attn_opencl_device *device, const clattn_problem *problem,
                                  int64_t workspace_size, const attn_slot_kernel kernels[ATTN_SLOT_KERNELS],
                                  void **slot, clattn_report *report);

/** attn_engine.slot_close of every engine with such slots. slot: as opened, or NULL. */
void attn_grid_slot_close(void *state, void *slot);

/** attn_engine.execute of engines whose work is `submit`; calls without rows submit nothing. */
clattn_status attn_grid_execute(const void *state, const attn_execution *execution,
                                clattn_status (*submit)(const void *state, attn_grid_slot *slot,
                                                        attn_opencl_call *call));

#endif
