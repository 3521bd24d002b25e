/* An OpenCL device: what it can do, asked once, and what is made for it when first needed. For engines and this
 * folder. */
#ifndef ATTN_OPENCL_DEVICE_H
#define ATTN_OPENCL_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "opencl/cl_status.h"
#include "opencl/devices.h"

struct attn_opencl_device;

/** What lives as long as a device and ends with it: the first member of whatever that is. */
typedef struct attn_opencl_kept {
    struct attn_opencl_kept *next;

    /** Ends it and gives its memory back, while the context is still there; `forget`: its memory alone, no call of OpenCL. */
    void (*end)(struct attn_opencl_device *device, struct attn_opencl_kept *kept, bool forget);
} attn_opencl_kept;

struct attn_opencl_device {
    attn_memory *memory;
    cl_device_id id;
    bool adopted; /* the context is the caller's */

    /* Capabilities: never change after the device is found. */
    clattn_device_info info;
    bool is_cpu;               /* runs on the host's processors: host memory is used in place, kernels are CPU-shaped */
    int64_t float_vector;      /* native width of float vectors, 1 to 16 */
    int64_t c_version;         /* OpenCL C: 120, 200, 300 */
    int64_t nvidia_capability; /* 90 = compute capability 9.0; 0 = not NVIDIA, or not reported */
    int64_t smallest_sub_group; /* Intel's, 8, 16 or 32; 0 = not reported */
    char extensions[4096];     /* as the device lists them, cut when longer */

    /* Made by attn_opencl_open(), constant afterwards. */
    cl_context context;
    cl_command_queue queue; /* in order, profiling on; any thread may enqueue */
    cl_mem nothing;         /* 64 zero bytes: the argument for tensors that a call does not have */

    atomic_int tried;       /* what engines have done here once, a bit each, so that they do it no more */

    pthread_mutex_t lock; /* recursive; of what is below, and of opening */
    bool opened;
    int64_t local_memory_found; /* 0 = not asked for yet: local_memory.h */
    attn_opencl_kept *kept;     /* programs, and what other files and libraries keep; the last one kept comes first */
};

/** Makes context, queue and `nothing` if they are not there yet. Any thread. */
clattn_status attn_opencl_open(struct attn_opencl_device *device, clattn_report *report);

/** Whether the device lists the extension. */
bool attn_opencl_has_extension(const struct attn_opencl_device *device, const char *name);

/** Has `kept`, which the device takes over, ended when the device ends; the last one kept first. Any thread. */
void attn_opencl_at_end(struct attn_opencl_device *device, attn_opencl_kept *kept);

/* capabilities.c: fills what is constant. OPENCL_ERROR, and a line in the report, when the device does not answer, has no
 * compiler or is below OpenCL 1.2. */
clattn_status attn_opencl_ask(struct attn_opencl_device *device, clattn_report *report);

#endif
