/*
 * What all OpenCL engines share: slots, and the beginning and end of a call. Host memory goes through
 * opencl_host_memory.c, the kernels' struct through opencl_arguments.c. Knows nothing of kernels.
 */
#include "engines/opencl/opencl_call.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "base/report.h"
#include "engines/unserved.h"

/* Kernels take numbers as float, and some devices take what is smaller than a normal one for 0. */
static bool is_normal_float(double x) {
    return x == 0 || (fabs(x) >= (double)FLT_MIN && fabs(x) <= (double)FLT_MAX);
}

static bool numbers_fit(const clattn_problem *problem, clattn_report *why_not) {
    const bool scale = is_normal_float(problem->scale);
    if (!scale || !is_normal_float(problem->softcap)) {
        attn_report_line(why_not, "%s: %g does not fit a float between 2^-126 and 2^128", scale ? "softcap" : "scale",
                         scale ? problem->softcap : problem->scale);
        return false;
    }
    return true;
}

bool attn_opencl_supports(const clattn_problem *problem, const attn_device *device, unsigned serves,
                          clattn_report *why_not) {
    if (!device->opencl) {
        attn_report_line(why_not, "device: not an OpenCL device");
        return false;
    }
    if (problem->type == CLATTN_FP64) {
        attn_report_line(why_not, "type: fp64 is for the CPU engines");
        return false;
    }
    if (attn_is_unserved(problem, serves, why_not)) {
        return false;
    }
    if (problem->memory == CLATTN_MEMORY_HOST && device->caller_workspace &&
        device->kind == CLATTN_DEVICE_OPENCL_GPU) {
        attn_report_line(why_not, "caller_workspace: host memory cannot be the workspace of a GPU");
        return false;
    }
    return numbers_fit(problem, why_not);
}

int attn_opencl_preference(const attn_device *device) {
    return device->kind == CLATTN_DEVICE_OPENCL_GPU ? ATTN_PREFER_GPU : ATTN_PREFER_OPENCL_CPU;
}

/* On a device that cannot use host memory in place, room for the largest tensors, dense. */
static clattn_status open_staging(attn_opencl_slot *slot, const clattn_problem *problem, clattn_report *report) {
    attn_call largest = { .query_length = problem->query_length, .key_length = problem->key_length };
    attn_placement placements[ATTN_TENSOR_COUNT];
    attn_opencl_placements(problem, &largest, slot->device->nothing, placements);
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        const attn_placement *p = &placements[id];
        bool large = id <= ATTN_TENSOR_OUTPUT || (id >= ATTN_TENSOR_GRAD_OUTPUT && id <= ATTN_TENSOR_GRAD_VALUE);
        if (p->name && large) {
            int64_t bytes = p->size[0] * p->size[1] * p->size[2] * p->size[3] * p->element;
            ATTN_TRY(attn_buffer_reserve(slot->device, bytes, p->name, &slot->staging[id], report));
        }
    }
    return CLATTN_OK;
}

clattn_status attn_opencl_slot_open(attn_opencl_slot *slot, struct attn_opencl_device *device,
                                    const clattn_problem *problem, int64_t workspace_size, clattn_report *report) {
    *slot = (attn_opencl_slot){ .device = device };
    clattn_status status = attn_opencl_open(device, report);
    if (status == CLATTN_OK && workspace_size > 0) {
        status = attn_buffer_reserve(device, workspace_size, "workspace", &slot->workspace, report);
    }
    if (status == CLATTN_OK && problem->memory == CLATTN_MEMORY_HOST && !device->is_cpu) {
        status = open_staging(slot, problem, report);
    }
    if (status != CLATTN_OK) {
        attn_opencl_slot_close(slot);
    }
    return status;
}

static void forget_last(attn_opencl_slot *slot) {
    if (slot->last) {
        (void)clReleaseEvent(slot->last);
        slot->last = NULL;
    }
}

void attn_opencl_slot_close(attn_opencl_slot *slot) {
    if (slot->last) {
        (void)clWaitForEvents(1, &slot->last);
        forget_last(slot);
    }
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        attn_buffer_release(&slot->staging[id]);
    }
    attn_buffer_release(&slot->workspace);
}

/* What a cl_mem is. A handle that is none is the caller's mistake; other errors are the device's. */
static clattn_status ask_memory(cl_mem memory, const char *name, size_t *size, cl_context *context,
                                clattn_report *report) {
    cl_int code = clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof *size, size, NULL);
    if (code == CL_SUCCESS) {
        code = clGetMemObjectInfo(memory, CL_MEM_CONTEXT, sizeof *context, context, NULL);
    }
    if (code == CL_INVALID_MEM_OBJECT) {
        return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s is not a cl_mem", name);
    }
    return attn_cl_check(code, "clGetMemObjectInfo", report);
}

/* Device memory: the caller's cl_mem, each of the plan's context and long enough for what the call walks. */
static clattn_status take_tensors(attn_opencl_call *call) {
    clattn_report *report = call->asked->report;
    for (int id = 0; id < ATTN_TENSOR_COUNT; ++id) {
        attn_placement *p = &call->placements[id];
        if (!p->name) {
            continue;
        }
        size_t size = 0;
        cl_context context = NULL;
        ATTN_TRY(ask_memory(p->data, p->name, &size, &context, report));
        if (context != call->slot->device->context) {
            return attn_refuse(report, CLATTN_INVALID_TENSORS, "%s is not a cl_mem of the plan's context", p->name);
        }
        if (p->first < 0 || p->end > (int64_t)size / p->element) {
            return attn_refuse(report, CLATTN_INVALID_TENSORS,
                               "%s reaches element %" PRId64 " of a cl_mem of %zu bytes, which holds %" PRId64, p->name,
                               p->end - 1, size, (int64_t)size / p->element);
        }
        p->memory = p->data;
    }
    return CLATTN_OK;
}

static clattn_status take_workspace(attn_opencl_call *call) {
    const attn_call *tensors = call->asked;
    call->workspace = call->slot->workspace.memory;
    if (!call->execution->workspace || tensors->workspace_size <= 0) {
        return CLATTN_OK;
    }
    if (call->problem->memory == CLATTN_MEMORY_OPENCL) {
        size_t size = 0;
        cl_context context = NULL;
        ATTN_TRY(ask_memory(tensors->workspace, "workspace", &size, &context, tensors->report));
        if (context != call->slot->device->context || (int64_t)size < tensors->workspace_size) {
            return attn_refuse(tensors->report, CLATTN_INVALID_TENSORS,
                               "workspace is not a cl_mem of workspace_size bytes in the plan's context");
        }
        call->workspace = tensors->workspace;
        return CLATTN_OK;
    }
    attn_buffer *region = &call->caller_workspace;
    ATTN_TRY(attn_buffer_wrap(call->slot->device, tensors->workspace, tensors->workspace_size, "workspace", region,
                              tensors->report));
    call->workspace = region->memory;
    return CLATTN_OK;
}

static clattn_status check_queue(const attn_opencl_call *call) {
    cl_command_queue queue = call->execution->submission.queue;
    cl_context context = NULL;
    cl_device_id id = NULL;
    if (!queue) {
        return CLATTN_OK;
    }
    cl_int code = clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    if (code == CL_SUCCESS) {
        code = clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof id, &id, NULL);
    }
    const bool wrong = context != call->slot->device->context || id != call->slot->device->id;
    if (code == CL_INVALID_COMMAND_QUEUE || (code == CL_SUCCESS && wrong)) {
        return attn_refuse(call->asked->report, CLATTN_INVALID_ARGUMENT,
                           "queue: not a queue of the plan's context and device");
    }
    return attn_cl_check(code, "clGetCommandQueueInfo", call->asked->report);
}

/* A call before this one that ended in an error is over: to wait for its event would hand the error on for ever. */
static void forget_failed(attn_opencl_slot *slot) {
    cl_int state = CL_QUEUED;
    if (slot->last &&
        clGetEventInfo(slot->last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL) == CL_SUCCESS &&
        state < 0) {
        forget_last(slot);
    }
}

/* The first command waits for the caller's events and for the slot's call before this one. */
static clattn_status begin_chain(attn_opencl_call *call) {
    const attn_submission *submission = &call->execution->submission;
    const attn_call *tensors = call->asked;
    cl_uint count = submission->wait_count;
    const cl_event *wait = submission->wait;
    cl_command_queue queue = submission->queue;
    forget_failed(call->slot);
    if (call->slot->last && count > 0) {
        cl_int code = clEnqueueMarkerWithWaitList(queue ? queue : call->slot->device->queue, count, wait,
                                                  &call->waits[0]);
        ATTN_TRY(attn_cl_check(code, "clEnqueueMarkerWithWaitList", tensors->report));
        call->waits[1] = call->slot->last;
        wait = call->waits;
        count = 2;
    } else if (call->slot->last) {
        wait = &call->slot->last;
        count = 1;
    }
    attn_chain_begin(&call->chain, call->slot->device, queue, count, wait, tensors->report, tensors->timing);
    return CLATTN_OK;
}

static void close_call(attn_opencl_call *call) {
    attn_host_memory_release(&call->host);
    attn_buffer_release(&call->caller_workspace);
    if (call->waits[0]) {
        (void)clReleaseEvent(call->waits[0]);
        call->waits[0] = NULL;
    }
}

static clattn_status begin(attn_opencl_call *call) {
    attn_opencl_placements(call->problem, call->asked, call->slot->device->nothing, call->placements);
    ATTN_TRY(check_queue(call));
    ATTN_TRY(take_workspace(call));
    if (call->problem->memory == CLATTN_MEMORY_OPENCL) {
        ATTN_TRY(take_tensors(call));
    } else {
        ATTN_TRY(attn_host_memory_place(&call->host));
    }
    attn_opencl_arguments(call->problem, call->asked, call->placements, &call->arguments);
    attn_opencl_training(call->problem, call->asked, call->placements, &call->training);
    return begin_chain(call);
}

clattn_status attn_opencl_call_begin(attn_opencl_call *call, attn_opencl_slot *slot, const attn_execution *execution) {
    *call = (attn_opencl_call){
        .slot = slot, .execution = execution, .problem = execution->problem, .asked = execution->call
    };
    call->host = (attn_host_memory){ .device = slot->device,
                                     .placements = call->placements,
                                     .staging = slot->staging,
                                     .report = call->asked->report };
    clattn_status status = begin(call);
    if (status != CLATTN_OK) {
        close_call(call);
    }
    return status;
}

clattn_status attn_opencl_call_end(attn_opencl_call *call, clattn_status status) {
    const attn_submission *submission = &call->execution->submission;
    bool host = call->problem->memory == CLATTN_MEMORY_HOST;
    cl_event event = NULL;
    if (host && status == CLATTN_OK) {
        status = attn_chain_finish(&call->chain);
    }
    status = attn_chain_end(&call->chain, status, host ? NULL : &event);
    if (host && status == CLATTN_OK) {
        status = attn_host_memory_fetch(&call->host, call->chain.queue);
    }
    forget_last(call->slot);
    call->slot->last = event;
    if (event && submission->event) {
        cl_int code = clRetainEvent(event);
        *(cl_event *)submission->event = code == CL_SUCCESS ? event : NULL;
        status = attn_cl_check(code, "clRetainEvent", call->asked->report);
    }
    close_call(call);
    return status;
}

clattn_status attn_opencl_progress(attn_opencl_call *call, double done) {
    const attn_call *tensors = call->asked;
    if (!tensors->progress || call->problem->memory != CLATTN_MEMORY_HOST) {
        return CLATTN_OK;
    }
    ATTN_TRY(attn_chain_finish(&call->chain));
    return tensors->progress(tensors->progress_user, done) ? CLATTN_OK : CLATTN_CANCELLED;
}

void attn_pass_arguments(attn_kernel_call *kernel, const attn_opencl_call *call) {
    attn_pass(kernel, &call->arguments, sizeof call->arguments);
}

void attn_pass_training(attn_kernel_call *kernel, const attn_opencl_call *call) {
    attn_pass(kernel, &call->training, sizeof call->training);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_FIRST_ROWS);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_FIRST_KEYS);
}

void attn_pass_rules(attn_kernel_call *kernel, const attn_opencl_call *call) {
    attn_pass_extras(kernel, call);
    if (call->problem->dropout > 0 || call->problem->prefix > 0) {
        attn_pass_training(kernel, call);
    }
}

void attn_pass_layout(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id) {
    attn_pass(kernel, &call->placements[id].layout, sizeof call->placements[id].layout);
}

void attn_pass_tensor(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id) {
    attn_pass_buffer(kernel, call->placements[id].memory);
}

void attn_pass_extras(attn_kernel_call *kernel, const attn_opencl_call *call) {
    for (int id = ATTN_TENSOR_MASK; id <= ATTN_TENSOR_OFFSETS; ++id) {
        attn_pass_buffer(kernel, call->placements[id].memory);
    }
}
