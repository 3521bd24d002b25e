/* How much local memory a kernel may declare: what the device reports, or more where a trial shows it. */
#ifndef ATTN_OPENCL_LOCAL_MEMORY_H
#define ATTN_OPENCL_LOCAL_MEMORY_H

#include "opencl/device.h"

/**
 * Bytes of local memory that static arrays of one work-group may have. CL_DEVICE_LOCAL_MEM_SIZE, unless the device is
 * NVIDIA's, which may give more: found by trial at the first request, in a context of its own. Any thread.
 */
int64_t attn_opencl_local_memory(struct attn_opencl_device *device);

/** The trial: whether `groups` work-groups that declare `bytes` each find all of it theirs. Any failure is a no. */
bool attn_opencl_try_local(const struct attn_opencl_device *device, int64_t bytes, int64_t groups);

#endif
