/*
 * The calls that take OpenCL handles (clattn_opencl.h). Only in builds with OpenCL; handles pass through unread.
 */
#include "clattn/clattn_opencl.h"

#include "base/visit.h"
#include "opencl/devices.h"
#include "runtime/runtime.h"

static int64_t find_adopted(const clattn_runtime *runtime, cl_context context, cl_device_id device) {
    for (int64_t i = 0; i < runtime->device_count; i++) {
        const attn_device *d = runtime->devices[i];
        if (d->opencl && !attn_device_is_lost(d) && attn_opencl_is(d->opencl, context, device)) {
            return i;
        }
    }
    return -1;
}

static clattn_status adopt(clattn_runtime *runtime, cl_context context, cl_device_id device, int64_t *index) {
    struct attn_opencl_device *made = NULL;
    ATTN_TRY(attn_opencl_adopt(&runtime->memory, context, device, &made, &runtime->left_out));
    clattn_device_info info;
    attn_opencl_describe(made, &info);
    clattn_status status = attn_runtime_add_device(runtime, info.kind, made);
    if (status != CLATTN_OK) {
        attn_opencl_destroy(made);
        return status;
    }
    *index = runtime->device_count - 1;
    return CLATTN_OK;
}

clattn_status clattn_runtime_adopt_opencl(clattn_runtime *runtime, cl_context context, cl_device_id device, int64_t *index) {
    if (!runtime || !context || !device || !index) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    pthread_mutex_lock(&runtime->lock);
    *index = find_adopted(runtime, context, device);
    clattn_status status = *index >= 0 ? CLATTN_OK : adopt(runtime, context, device, index);
    pthread_mutex_unlock(&runtime->lock);
    attn_visit_end(&visit);
    return status;
}

clattn_status clattn_runtime_get_context(clattn_runtime *runtime, int64_t index, cl_context *context, cl_device_id *device) {
    if (!runtime || !context || !device) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const attn_device *found = attn_runtime_device(runtime, index);
    if (!found || !found->opencl || attn_device_is_lost(found)) {
        return CLATTN_NO_DEVICE;
    }
    void *handles[2] = {NULL, NULL};
    attn_visit visit = attn_visit_begin();
    clattn_status status = attn_opencl_context(found->opencl, &handles[0], &handles[1]);
    attn_visit_end(&visit);
    if (status == CLATTN_OK) {
        *context = handles[0];
        *device = handles[1];
    }
    return status;
}

clattn_status clattn_enqueue(clattn_plan *plan, cl_command_queue queue, const clattn_tensors *tensors, cl_uint wait_count,
                             const cl_event *wait, cl_event *event) {
    if (event) {
        *event = NULL;
    }
    if (!plan || !queue || !tensors || (wait_count > 0) != (wait != NULL) || plan->problem.memory != CLATTN_MEMORY_OPENCL) {
        return CLATTN_INVALID_ARGUMENT;
    }
    const attn_submission submission = {queue, wait_count, wait, event};
    return attn_attention_run(plan, tensors, &submission);
}
