/*
 * The calls that take OpenCL handles: adopt the caller's context, enqueue on the caller's queue, cl_mem as tensors.
 * Everything else is in clattn.h; without this header no OpenCL header is needed. A library built without OpenCL does not
 * have these calls.
 */
#ifndef CLATTN_OPENCL_H
#define CLATTN_OPENCL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include "clattn/clattn.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Adds @p device of the caller's @p context to the runtime, so that plans for it use that context and cl_mem of it.
 * Retains the context until the runtime ends. Adopting the same pair again gives the same index.
 *
 * @param index  receives the device's index, for clattn_plan_options.device
 * @return INVALID_ARGUMENT, NO_DEVICE (the device is not in the context), OUT_OF_MEMORY,
 *         OPENCL_ERROR (the device cannot be used: clattn_runtime_get_left_out() says why)
 * Threads: any. The device's numbers: clattn_runtime_get_device().
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_adopt_opencl(clattn_runtime *runtime, cl_context context,
                                                                  cl_device_id device, int64_t *index);

/** The context a device's plans use; not retained for the caller. NO_DEVICE for the CPU. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_runtime_get_context(clattn_runtime *runtime, int64_t index, cl_context *context,
                                                                 cl_device_id *device);

/**
 * Enqueues one call on the caller's queue and returns at once. The plan's problem says memory = CLATTN_MEMORY_OPENCL;
 * every `data` in @p tensors is a cl_mem of the plan's context, every `offset` counts elements. No copy to or from the
 * host, no allocation. In-order and out-of-order queues: the dispatches of the call are chained by events.
 *
 * The event is that of the call's last command. Every command of a call waits for the one before it, on queues of both
 * kinds, so the event is complete when all of them are, and ends in an error when one of them does or when an event in
 * @p wait does. The times that OpenCL's profiling gives for it are those of the last command alone: for the whole call take
 * the end of this event and the start of a marker enqueued before the call, or ask for clattn_tensors.timing. An error ends
 * with its call: the plan serves the next one.
 *
 * When the submission fails half-way, the call returns after what was submitted has ended: nothing reads or writes the
 * tensors any more. So it waits for the events in @p wait too: a user event that this very thread would set afterwards is
 * then waited for in vain.
 *
 * @param wait, wait_count  events to wait for, as in clEnqueueNDRangeKernel
 * @param event             may be NULL; receives the event that ends with the call, or NULL on an error; the caller releases
 *                          it
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW, OUT_OF_MEMORY, DEVICE_OUT_OF_MEMORY, OPENCL_ERROR: of the submission;
 *         DEADLOCK (from a progress function), NO_DEVICE (after a fork). Later errors are the event's status. Lengths given in
 *         device memory cannot be checked here: kernels clamp them to the call's lengths.
 * Threads: any. Calls beyond the plan's concurrency are ordered on the device after an earlier one.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_enqueue(clattn_plan *plan, cl_command_queue queue, const clattn_tensors *tensors,
                                                     cl_uint wait_count, const cl_event *wait, cl_event *event);

#ifdef __cplusplus
}
#endif
#endif
