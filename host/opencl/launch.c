/*
 * Kernel arguments and chains of commands. Knows nothing of tensors and engines. Step times are taken with the host's
 * clock around a wait, because libraries on the queue do not hand out all their events.
 */
#include "opencl/launch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/report.h"

attn_kernel_call attn_kernel_call_begin(cl_kernel kernel) {
    return (attn_kernel_call){ kernel, 0, CL_SUCCESS };
}

void attn_pass(attn_kernel_call *call, const void *value, size_t size) {
    if (call->error == CL_SUCCESS) {
        call->error = clSetKernelArg(call->kernel, call->next++, size, value);
    }
}

void attn_pass_buffer(attn_kernel_call *call, cl_mem memory) {
    attn_pass(call, &memory, sizeof memory);
}

void attn_pass_int64(attn_kernel_call *call, int64_t value) {
    cl_long wide = value;
    attn_pass(call, &wide, sizeof wide);
}

void attn_pass_int32(attn_kernel_call *call, int32_t value) {
    cl_int narrow = value;
    attn_pass(call, &narrow, sizeof narrow);
}

void attn_pass_float(attn_kernel_call *call, float value) {
    attn_pass(call, &value, sizeof value);
}

void attn_pass_local(attn_kernel_call *call, int64_t bytes) {
    attn_pass(call, NULL, (size_t)bytes);
}

void attn_chain_begin(attn_chain *chain, struct attn_opencl_device *device, cl_command_queue queue, cl_uint wait_count,
                      const cl_event *wait, clattn_report *report, clattn_timing *timing) {
    *chain = (attn_chain){ .device = device,
                           .queue = queue ? queue : device->queue,
                           .report = report,
                           .timing = timing,
                           .wait_count = wait_count,
                           .wait = wait,
                           .step = -1 };
    cl_command_queue_properties properties = CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    (void)clGetCommandQueueInfo(chain->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    chain->in_order = (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0;
    if (timing) {
        timing->count = 0;
    }
}

cl_uint attn_chain_wait(const attn_chain *chain, const cl_event **wait) {
    if (chain->last) {
        *wait = &chain->last;
        return 1;
    }
    *wait = chain->wait_count > 0 ? chain->wait : NULL;
    return chain->wait_count;
}

void attn_chain_follow(attn_chain *chain, cl_event event) {
    if (chain->last) {
        (void)clReleaseEvent(chain->last);
    }
    chain->last = event;
}

void attn_chain_lose(attn_chain *chain) {
    chain->unknown = true;
}

clattn_status attn_chain_finish(attn_chain *chain) {
    const cl_event *wait = NULL;
    cl_uint count = attn_chain_wait(chain, &wait);
    if (count == 0) {
        return CLATTN_OK;
    }
    return attn_cl_check(clWaitForEvents(count, wait), "clWaitForEvents", chain->report);
}

static int64_t find_step(clattn_timing *timing, const char *name) {
    enum { ROOM = sizeof timing->steps / sizeof timing->steps[0] };
    for (int64_t k = 0; k < timing->count; ++k) {
        if (strcmp(timing->steps[k].name, name) == 0) {
            return k;
        }
    }
    if (timing->count == ROOM) {
        return ROOM - 1;
    }
    snprintf(timing->steps[timing->count].name, sizeof timing->steps[0].name, "%s", name);
    timing->steps[timing->count].seconds = 0.0;
    return timing->count++;
}

/* name NULL = no step follows. */
clattn_status attn_chain_step(attn_chain *chain, const char *name) {
    if (!chain->timing) {
        return CLATTN_OK;
    }
    ATTN_TRY(attn_chain_finish(chain));
    if (chain->step >= 0) {
        chain->timing->steps[chain->step].seconds += attn_clock_seconds_since(chain->step_began);
    }
    chain->step = name ? find_step(chain->timing, name) : -1;
    chain->step_began = attn_clock_now();
    return CLATTN_OK;
}

clattn_status attn_chain_launch(attn_chain *chain, const attn_kernel_call *call, cl_uint dimensions,
                                const size_t *global, const size_t *local, const char *what) {
    if (call->error != CL_SUCCESS) {
        attn_report_line(chain->report, "kernel %s, argument %u:", what, (unsigned)call->next - 1);
        return attn_cl_check(call->error, "clSetKernelArg", chain->report);
    }
    for (cl_uint k = 0; k < dimensions; ++k) {
        if (global[k] == 0) {
            return CLATTN_OK;
        }
    }
    const cl_event *wait = NULL;
    cl_uint count = attn_chain_wait(chain, &wait);
    cl_event event = NULL;
    cl_int code =
        clEnqueueNDRangeKernel(chain->queue, call->kernel, dimensions, NULL, global, local, count, wait, &event);
    if (code != CL_SUCCESS) {
        attn_report_line(chain->report, "kernel %s:", what);
        return attn_cl_check(code, "clEnqueueNDRangeKernel", chain->report);
    }
    attn_chain_follow(chain, event);
    return CLATTN_OK;
}

clattn_status attn_chain_barrier(attn_chain *chain) {
    const cl_event *wait = NULL;
    cl_uint count = attn_chain_wait(chain, &wait);
    if (chain->in_order && (chain->last || count == 0)) {
        return CLATTN_OK;
    }
    cl_event event = NULL;
    cl_int code = clEnqueueBarrierWithWaitList(chain->queue, count, wait, &event);
    ATTN_TRY(attn_cl_check(code, "clEnqueueBarrierWithWaitList", chain->report));
    attn_chain_follow(chain, event);
    return CLATTN_OK;
}

static clattn_status end_well(attn_chain *chain, cl_event *event) {
    ATTN_TRY(attn_chain_step(chain, NULL));
    if (event && !chain->last) {
        cl_event marker = NULL;
        cl_int code = clEnqueueMarkerWithWaitList(chain->queue, chain->wait_count,
                                                  chain->wait_count > 0 ? chain->wait : NULL, &marker);
        ATTN_TRY(attn_cl_check(code, "clEnqueueMarkerWithWaitList", chain->report));
        chain->last = marker;
    }
    return attn_cl_check(clFlush(chain->queue), "clFlush", chain->report);
}

/* After an error nothing may be under way any more: memory that commands read and write is about to go. */
static void wait_for_all(const attn_chain *chain) {
    const bool waited = !chain->last || clWaitForEvents(1, &chain->last) == CL_SUCCESS;
    if (!waited || chain->unknown) {
        (void)clFinish(chain->queue);
    }
}

clattn_status attn_chain_end(attn_chain *chain, clattn_status status, cl_event *event) {
    if (status == CLATTN_OK) {
        status = end_well(chain, event);
    }
    if (event) {
        *event = NULL;
    }
    if (status != CLATTN_OK) {
        wait_for_all(chain);
    }
    if (status == CLATTN_OK && event) {
        *event = chain->last;
    } else if (chain->last) {
        (void)clReleaseEvent(chain->last);
    }
    chain->last = NULL;
    return status;
}
