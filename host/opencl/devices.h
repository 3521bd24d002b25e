/* What the runtime asks of OpenCL: the list of devices and their lives. A build without OpenCL has the same calls (devices_none.c). */
#ifndef ATTN_OPENCL_DEVICES_H
#define ATTN_OPENCL_DEVICES_H

#include "base/memory.h"

struct attn_opencl_device;

/** Finds every device of every platform. No OpenCL or no device is no error: *count = 0. The array is attn_allocate'd.
 * `left_out` (may be NULL) gets a line for each platform or device that cannot be used. */
clattn_status attn_opencl_find(attn_memory *memory, struct attn_opencl_device ***devices, int64_t *count,
                               clattn_report *left_out);

/** A device of the caller's context (cl_context, cl_device_id as void *). NO_DEVICE when it is not in the context;
 * OPENCL_ERROR, with a line in `left_out`, when it cannot be used. */
clattn_status attn_opencl_adopt(attn_memory *memory, void *context, void *device, struct attn_opencl_device **result,
                                clattn_report *left_out);

/** Releases context, queue, programs. NULL does nothing. */
void attn_opencl_destroy(struct attn_opencl_device *device);

/** Frees the host's memory of a device that another process made, from which this one was forked; calls no OpenCL. */
void attn_opencl_forget(struct attn_opencl_device *device);

/** Fills info; capabilities were asked once, at find time. */
void attn_opencl_describe(const struct attn_opencl_device *device, clattn_device_info *info);

/** The context (made when first asked for) and device id. Any thread. */
clattn_status attn_opencl_context(struct attn_opencl_device *device, void **context, void **id);

/** Whether this device was adopted from the same context and id. */
bool attn_opencl_is(const struct attn_opencl_device *device, const void *context, const void *id);

#endif
