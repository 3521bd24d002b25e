/* Programs built from the embedded sources, one build for each device, source and options. */
#ifndef ATTN_OPENCL_PROGRAM_H
#define ATTN_OPENCL_PROGRAM_H

#include "opencl/device.h"

/**
 * The program `name` of kernels/programs.cmake built with `options`, from the device's cache or built now; two
 * threads never build the same one twice. Opens the device. The program belongs to the device and lives as long; do
 * not release it. -cl-std=CL1.2 is added unless the options name a -cl-std. On failure the compiler's log goes into
 * the report.
 */
clattn_status attn_program_get(struct attn_opencl_device *device, const char *name, const char *options,
                               cl_program *program, clattn_report *report);

/** Builds without looking at what the device keeps; its context must be there. The caller releases the program. */
clattn_status attn_program_build(const struct attn_opencl_device *device, const char *name, const char *options,
                                 cl_program *result, clattn_report *report);

/** A kernel for one slot: clSetKernelArg is not thread-safe, so no two calls under way share one. The caller releases
 * it. */
clattn_status attn_kernel_create(cl_program program, const char *kernel, cl_kernel *result, clattn_report *report);

/** What a built kernel needs and allows on the device. */
typedef struct attn_kernel_limits {
    int64_t work_group;     /* most work-items of a group */
    int64_t preferred;      /* work-group sizes should be a multiple of it */
    int64_t local_memory;   /* bytes a group, without local arguments */
    int64_t private_memory; /* bytes a work-item; -1 = not reported */
} attn_kernel_limits;

clattn_status attn_kernel_ask(const struct attn_opencl_device *device, cl_kernel kernel, attn_kernel_limits *limits,
                              clattn_report *report);

#endif
