/* What program_cache.c asks of program.c. */
#ifndef ATTN_OPENCL_PROGRAM_BUILD_H
#define ATTN_OPENCL_PROGRAM_BUILD_H

#include "opencl/device.h"

/** Builds without looking into the cache. The caller releases the program. */
clattn_status attn_program_build(const struct attn_opencl_device *device, const char *name, const char *options,
                                 cl_program *result, clattn_report *report);

#endif
