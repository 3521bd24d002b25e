/* Device memory, counted: buffers of our own, and host memory used in place. */
#ifndef ATTN_OPENCL_BUFFER_H
#define ATTN_OPENCL_BUFFER_H

#include "opencl/device.h"

/** Start from all zero; memory == NULL is no buffer. */
typedef struct attn_buffer {
    struct attn_opencl_device *device;
    cl_mem memory;
    int64_t size;    /* bytes */
    int64_t counted; /* of these, bytes that attn_memory counts: 0 for host memory used in place */
} attn_buffer;

/** Makes `buffer` hold at least `size` bytes, keeping what it has when that is enough (the contents are lost else). A
 * size beyond CL_DEVICE_MAX_MEM_ALLOC_SIZE is refused with both numbers; `what` names the buffer in that line. */
clattn_status attn_buffer_reserve(struct attn_opencl_device *device, int64_t size, const char *what,
                                  attn_buffer *buffer, clattn_report *report);

/** Host memory as a buffer in place (CL_MEM_USE_HOST_PTR); for CPU devices. */
clattn_status attn_buffer_wrap(struct attn_opencl_device *device, void *host, int64_t size, const char *what,
                               attn_buffer *buffer, clattn_report *report);

/** Gives the memory back; of an empty buffer does nothing. */
void attn_buffer_release(attn_buffer *buffer);

/** Whether host memory at this address can be used in place on the device. */
bool attn_buffer_can_wrap(const struct attn_opencl_device *device, const void *host);

#endif
