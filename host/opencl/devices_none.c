/* devices.h in a build without OpenCL: no devices, and nothing to adopt. Only such builds compile this file. */
#include "opencl/devices.h"

clattn_status attn_opencl_find(attn_memory *memory, struct attn_opencl_device ***devices, int64_t *count,
                               clattn_report *left_out) {
    (void)memory, (void)left_out;
    *devices = NULL;
    *count = 0;
    return CLATTN_OK;
}

clattn_status attn_opencl_adopt(attn_memory *memory, void *context, void *device, struct attn_opencl_device **result,
                                clattn_report *left_out) {
    (void)memory, (void)context, (void)device, (void)left_out;
    *result = NULL;
    return CLATTN_NO_DEVICE;
}

void attn_opencl_destroy(struct attn_opencl_device *device) {
    (void)device;
}

void attn_opencl_forget(struct attn_opencl_device *device) {
    (void)device;
}

void attn_opencl_describe(const struct attn_opencl_device *device, clattn_device_info *info) {
    (void)device, (void)info;
}

clattn_status attn_opencl_context(struct attn_opencl_device *device, void **context, void **id) {
    (void)device, (void)context, (void)id;
    return CLATTN_NO_DEVICE;
}

bool attn_opencl_is(const struct attn_opencl_device *device, const void *context, const void *id) {
    (void)device, (void)context, (void)id;
    return false;
}
