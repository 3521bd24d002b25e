/*
 * Submitting work: the arguments of a kernel, and the chain of one call's commands. Each command of a chain waits for
 * the one before it through its event, so queues may be out of order. Every OpenCL status is checked and reported.
 *
 *     attn_chain_begin(&chain, device, queue, wait_count, wait, report, timing);
 *     ATTN_TRY(attn_chain_step(&chain, "scores"));
 *     attn_kernel_call call = attn_kernel_call_begin(kernel);
 *     attn_pass_buffer(&call, memory);  attn_pass(&call, &arguments, sizeof arguments);
 *     ATTN_TRY(attn_chain_launch(&chain, &call, 2, global, local, "scores"));
 *     status = attn_chain_end(&chain, &event);          also after an error: closes the chain either way
 */
#ifndef ATTN_OPENCL_LAUNCH_H
#define ATTN_OPENCL_LAUNCH_H

#include "clattn/clattn_inspect.h"
#include "opencl/device.h"

/** A kernel while its arguments are set, in order. The first error sticks and is reported by the launch. */
typedef struct attn_kernel_call {
    cl_kernel kernel;
    cl_uint next;
    cl_int error;
} attn_kernel_call;

attn_kernel_call attn_kernel_call_begin(cl_kernel kernel);
void attn_pass(attn_kernel_call *call, const void *value, size_t size);
void attn_pass_buffer(attn_kernel_call *call, cl_mem memory);
void attn_pass_int64(attn_kernel_call *call, int64_t value);
void attn_pass_int32(attn_kernel_call *call, int32_t value);
void attn_pass_float(attn_kernel_call *call, float value);
void attn_pass_local(attn_kernel_call *call, int64_t bytes); /* a __local pointer */

typedef struct attn_chain {
    struct attn_opencl_device *device;
    cl_command_queue queue;
    bool in_order; /* the queue runs its commands one after another by itself */
    clattn_report *report;
    clattn_timing *timing; /* NULL = no waits between steps */
    cl_uint wait_count;    /* what the first command waits for: not owned */
    const cl_event *wait;
    cl_event last; /* the end of the last command: owned; NULL before the first */
    bool unknown;  /* commands may be under way that no event of ours stands for */
    int64_t step;  /* index of the timing step that is open, or -1 */
    int64_t step_began;
} attn_chain;

/** queue NULL = the device's own. `wait` must live until the first command is submitted. timing's count is made 0. */
void attn_chain_begin(attn_chain *chain, struct attn_opencl_device *device, cl_command_queue queue, cl_uint wait_count,
                      const cl_event *wait, clattn_report *report, clattn_timing *timing);

/** The commands from here on belong to the step of that name; repeated names add up. Without timing does nothing. */
clattn_status attn_chain_step(attn_chain *chain, const char *name);

/** Enqueues the kernel. local NULL = the implementation's choice. An empty grid enqueues nothing. `what` names it in
 * reports. */
clattn_status attn_chain_launch(attn_chain *chain, const attn_kernel_call *call, cl_uint dimensions,
                                const size_t *global, const size_t *local, const char *what);

/** What the next command has to wait for, for commands that the caller enqueues itself; hand their event to
 * attn_chain_follow(). */
cl_uint attn_chain_wait(const attn_chain *chain, const cl_event **wait);

/** The command of this event is now the last; takes the event over. */
void attn_chain_follow(attn_chain *chain, cl_event event);

/** Commands may have been submitted whose events nobody has: after an error the end of the chain waits for the whole
 * queue. */
void attn_chain_lose(attn_chain *chain);

/** For libraries that enqueue without a wait list: what follows on the queue waits for the chain. A barrier where the
 * queue's own order does not see to it. */
clattn_status attn_chain_barrier(attn_chain *chain);

/** Blocks until the last command has ended; an error of a command is an error here. */
clattn_status attn_chain_finish(attn_chain *chain);

/**
 * Closes the chain: the last step's time, a flush, and *event = the last command's event (a marker's when there was no
 * command). event may be NULL. After an error call it too: it waits for all that was submitted (so that memory may go)
 * and sets *event = NULL. `status` is what the call has come to; an error in it wins.
 */
clattn_status attn_chain_end(attn_chain *chain, clattn_status status, cl_event *event);

#endif
