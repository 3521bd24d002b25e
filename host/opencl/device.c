/*
 * OpenCL devices: finding them, adopting the caller's, the context and queue made when first needed, and their end.
 * Knows nothing of problems and engines. What a device can do is asked in capabilities.c.
 */
#include "opencl/device.h"

#include <string.h>

#include "base/lock.h"
#include "base/report.h"

static struct attn_opencl_device *new_device(attn_memory *memory, cl_device_id id) {
    struct attn_opencl_device *device = attn_allocate_zeroed(memory, (int64_t)sizeof *device);
    if (device) {
        device->memory = memory;
        device->id = id;
        if (!attn_lock_init_recursive(&device->lock)) {
            attn_release(memory, device);
            return NULL;
        }
    }
    return device;
}

static void end_kept(struct attn_opencl_device *device, bool forget) {
    while (device->kept) {
        attn_opencl_kept *kept = device->kept;
        device->kept = kept->next;
        kept->end(device, kept, forget);
    }
}

void attn_opencl_destroy(struct attn_opencl_device *device) {
    if (!device) {
        return;
    }
    if (device->queue) {
        (void)clFinish(device->queue);
    }
    end_kept(device, false);
    if (device->nothing) {
        (void)clReleaseMemObject(device->nothing);
        attn_memory_count_device(device->memory, -64);
    }
    if (device->queue) {
        (void)clReleaseCommandQueue(device->queue);
    }
    if (device->context) {
        (void)clReleaseContext(device->context);
    }
    pthread_mutex_destroy(&device->lock);
    attn_release(device->memory, device);
}

void attn_opencl_forget(struct attn_opencl_device *device) {
    end_kept(device, true);
    attn_release(device->memory, device);
}

static void leave_out(clattn_report *left_out, const char *call, cl_int code) {
    attn_report_line(left_out, "an OpenCL platform is left out: %s failed: %s (%d)", call, attn_cl_name(code), (int)code);
}

/* Appends the devices of one platform. A platform that does not answer has none. */
static clattn_status find_in_platform(attn_memory *memory, cl_platform_id platform, struct attn_opencl_device **devices,
                                      int64_t room, int64_t *count, clattn_report *left_out) {
    cl_uint n = 0;
    cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &n);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && n == 0)) {
        return CLATTN_OK;
    }
    cl_device_id *ids = code == CL_SUCCESS ? attn_allocate(memory, (int64_t)n * (int64_t)sizeof *ids) : NULL;
    if (code == CL_SUCCESS && !ids) {
        return CLATTN_OUT_OF_MEMORY;
    }
    code = code == CL_SUCCESS ? clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, n, ids, NULL) : code;
    if (code != CL_SUCCESS) {
        leave_out(left_out, "clGetDeviceIDs", code);
        n = 0;
    }
    clattn_status status = CLATTN_OK;
    for (cl_uint k = 0; k < n && *count < room && status == CLATTN_OK; ++k) {
        struct attn_opencl_device *device = new_device(memory, ids[k]);
        if (!device) {
            status = CLATTN_OUT_OF_MEMORY;
        } else if (attn_opencl_ask(device, left_out) != CLATTN_OK) {
            attn_opencl_destroy(device);
        } else {
            devices[(*count)++] = device;
        }
    }
    attn_release(memory, ids);
    return status;
}

clattn_status attn_opencl_find(attn_memory *memory, struct attn_opencl_device ***devices, int64_t *count,
                               clattn_report *left_out) {
    enum { MOST_PLATFORMS = 32, MOST_DEVICES = 256, NO_PLATFORM = -1001 /* of the loader */ };
    cl_platform_id platforms[MOST_PLATFORMS];
    cl_uint n = 0;
    *devices = NULL;
    *count = 0;
    cl_int code = clGetPlatformIDs(MOST_PLATFORMS, platforms, &n);
    if (code != CL_SUCCESS || n == 0) {
        if (code != CL_SUCCESS && code != NO_PLATFORM) {
            leave_out(left_out, "clGetPlatformIDs", code);
        }
        return CLATTN_OK;
    }
    struct attn_opencl_device **list = attn_allocate_zeroed(memory, MOST_DEVICES * (int64_t)sizeof *list);
    if (!list) {
        return CLATTN_OUT_OF_MEMORY;
    }
    int64_t found = 0;
    for (cl_uint k = 0; k < n && k < MOST_PLATFORMS; ++k) {
        clattn_status status = find_in_platform(memory, platforms[k], list, MOST_DEVICES, &found, left_out);
        if (status != CLATTN_OK) {
            while (found > 0) {
                attn_opencl_destroy(list[--found]);
            }
            attn_release(memory, list);
            return status;
        }
    }
    *devices = list;
    *count = found;
    return CLATTN_OK;
}

/* NO_DEVICE when the context does not hold the device, or is none. */
static clattn_status check_context(cl_context context, cl_device_id id, clattn_report *left_out) {
    cl_device_id ids[256];
    size_t size = 0;
    cl_int code = clGetContextInfo(context, CL_CONTEXT_DEVICES, 0, NULL, &size);
    size = size < sizeof ids ? size : sizeof ids;
    if (code == CL_SUCCESS) {
        code = clGetContextInfo(context, CL_CONTEXT_DEVICES, size, ids, NULL);
    }
    if (code != CL_SUCCESS) {
        return code == CL_INVALID_CONTEXT ? CLATTN_NO_DEVICE : attn_cl_check(code, "clGetContextInfo", left_out);
    }
    for (size_t k = 0; k < size / sizeof ids[0]; ++k) {
        if (ids[k] == id) {
            return CLATTN_OK;
        }
    }
    return CLATTN_NO_DEVICE;
}

clattn_status attn_opencl_adopt(attn_memory *memory, void *context, void *device_id,
                                struct attn_opencl_device **result, clattn_report *left_out) {
    *result = NULL;
    if (!context || !device_id) {
        return CLATTN_INVALID_ARGUMENT;
    }
    ATTN_TRY(check_context(context, device_id, left_out));
    struct attn_opencl_device *device = new_device(memory, device_id);
    if (!device) {
        return CLATTN_OUT_OF_MEMORY;
    }
    device->adopted = true;
    clattn_status status = attn_opencl_ask(device, left_out);
    if (status == CLATTN_OK) {
        status = attn_cl_check(clRetainContext(context), "clRetainContext", left_out);
        device->context = status == CLATTN_OK ? context : NULL;
    }
    if (status != CLATTN_OK) {
        attn_opencl_destroy(device);
        return status;
    }
    *result = device;
    return CLATTN_OK;
}

void attn_opencl_describe(const struct attn_opencl_device *device, clattn_device_info *info) {
    *info = device->info;
}

/* Each part is made once; what was made before an error stays and the next call goes on from there. */
static clattn_status open_locked(struct attn_opencl_device *device, clattn_report *report) {
    static const char zeros[64];
    cl_int code = CL_SUCCESS;
    if (!device->context) {
        device->context = clCreateContext(NULL, 1, &device->id, NULL, NULL, &code);
        ATTN_TRY(attn_cl_check(code, "clCreateContext", report));
    }
    if (!device->queue) {
        device->queue = clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
        ATTN_TRY(attn_cl_check(code, "clCreateCommandQueue", report));
    }
    if (!device->nothing) {
        device->nothing = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof zeros,
                                         (void *)(uintptr_t)zeros, &code);
        ATTN_TRY(attn_cl_check(code, "clCreateBuffer", report));
        attn_memory_count_device(device->memory, (int64_t)sizeof zeros);
    }
    device->opened = true;
    return CLATTN_OK;
}

clattn_status attn_opencl_open(struct attn_opencl_device *device, clattn_report *report) {
    pthread_mutex_lock(&device->lock);
    clattn_status status = device->opened ? CLATTN_OK : open_locked(device, report);
    pthread_mutex_unlock(&device->lock);
    return status;
}

clattn_status attn_opencl_context(struct attn_opencl_device *device, void **context, void **id) {
    ATTN_TRY(attn_opencl_open(device, NULL));
    *context = device->context;
    *id = device->id;
    return CLATTN_OK;
}

bool attn_opencl_is(const struct attn_opencl_device *device, const void *context, const void *id) {
    return device->adopted && device->context == (cl_context)(uintptr_t)context &&
           device->id == (cl_device_id)(uintptr_t)id;
}

void attn_opencl_at_end(struct attn_opencl_device *device, attn_opencl_kept *kept) {
    pthread_mutex_lock(&device->lock);
    kept->next = device->kept;
    device->kept = kept;
    pthread_mutex_unlock(&device->lock);
}
