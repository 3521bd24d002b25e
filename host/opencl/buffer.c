/*
 * Device memory: allocated with the limit checked first, counted with the runtime's memory. Host memory is used in
 * place on CPU devices when it starts at a cache line. Knows nothing of tensors.
 */
#include "opencl/buffer.h"

#include <inttypes.h>

#include "base/report.h"

enum { IN_PLACE_ALIGNMENT = 64 }; /* below it implementations copy behind our back */

static clattn_status check_size(const struct attn_opencl_device *device, int64_t size, const char *what,
                                clattn_report *report) {
    if (size > device->info.max_allocation) {
        return attn_refuse(report, CLATTN_DEVICE_OUT_OF_MEMORY,
                           "%s needs one buffer of %" PRId64 " bytes; the most that %s allows is %" PRId64, what, size,
                           device->info.name, device->info.max_allocation);
    }
    return CLATTN_OK;
}

clattn_status attn_buffer_reserve(struct attn_opencl_device *device, int64_t size, const char *what,
                                  attn_buffer *buffer, clattn_report *report) {
    if (buffer->memory && buffer->size >= size) {
        return CLATTN_OK;
    }
    attn_buffer_release(buffer);
    size = attn_max(size, 64);
    ATTN_TRY(check_size(device, size, what, report));
    cl_int code = CL_SUCCESS;
    cl_mem memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, (size_t)size, NULL, &code);
    if (code != CL_SUCCESS) {
        attn_report_line(report, "%s: %" PRId64 " bytes on %s:", what, size, device->info.name);
        return attn_cl_check(code, "clCreateBuffer", report);
    }
    *buffer = (attn_buffer){ device, memory, size, size };
    attn_memory_count_device(device->memory, size);
    return CLATTN_OK;
}

clattn_status attn_buffer_wrap(struct attn_opencl_device *device, void *host, int64_t size, const char *what,
                               attn_buffer *buffer, clattn_report *report) {
    ATTN_TRY(check_size(device, size, what, report));
    cl_int code = CL_SUCCESS;
    cl_mem memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, (size_t)size, host, &code);
    ATTN_TRY(attn_cl_check(code, "clCreateBuffer", report));
    *buffer = (attn_buffer){ device, memory, size, 0 };
    return CLATTN_OK;
}

void attn_buffer_release(attn_buffer *buffer) {
    if (buffer->memory) {
        (void)clReleaseMemObject(buffer->memory);
        if (buffer->counted > 0) {
            attn_memory_count_device(buffer->device->memory, -buffer->counted);
        }
    }
    *buffer = (attn_buffer){ 0 };
}

bool attn_buffer_can_wrap(const struct attn_opencl_device *device, const void *host) {
    return device->is_cpu && (uintptr_t)host % IN_PLACE_ALIGNMENT == 0;
}
