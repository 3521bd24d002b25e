/*
 * What all OpenCL engines share: one call's way from attn_execution to kernel arguments and back.
 *
 *     open a slot     attn_opencl_slot_open(): an engine's slot begins with an attn_opencl_slot, then its kernels
 *     a call          attn_opencl_call_begin(): tensors as cl_mem (host memory is placed on the device), the struct
 *                     that kernels take, the chain of commands on the right queue, waiting for what it must
 *                     ... attn_chain_step(), attn_chain_launch() on call.chain ...
 *                     attn_opencl_call_end(): outputs back to the host, or the caller's event; also after an error
 *
 * Kernels take `attn_arguments arguments` first (attn_pass_arguments), then buffers as they need them; those that
 * look at masks and lengths take ATTN_EXTRAS_PARAMETERS (attn_pass_extras).
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_CALL_H
#define ATTN_ENGINES_OPENCL_OPENCL_CALL_H

#include "engines/engine.h"
#include "engines/opencl/opencl_host_memory.h"
#include "opencl/launch.h"
#include "opencl/program.h"

/** What one call under way needs for itself; the first member of every OpenCL engine's slot. Start from all zero. */
typedef struct attn_opencl_slot {
    struct attn_opencl_device *device;
    cl_event last;                          /* the end of the call before, which may still run: it uses the workspace */
    attn_buffer staging[ATTN_TENSOR_COUNT]; /* host memory that cannot be used in place */
    attn_buffer workspace;                  /* empty when callers bring theirs */
} attn_opencl_slot;

/** Allocates the workspace (0 where callers bring theirs) and, for host memory on a GPU, the staging.
 * On an error the slot is closed. Opens the device. */
clattn_status attn_opencl_slot_open(attn_opencl_slot *slot, struct attn_opencl_device *device,
                                    const clattn_problem *problem, int64_t workspace_size, clattn_report *report);

/** Waits for the last call and gives everything back. Kernels are the engine's to release, before or after. */
void attn_opencl_slot_close(attn_opencl_slot *slot);

typedef struct attn_opencl_call {
    attn_opencl_slot *slot;
    const attn_execution *execution;
    const clattn_problem *problem; /* of the execution */
    const attn_call *asked;        /* likewise */
    attn_placement placements[ATTN_TENSOR_COUNT];
    attn_arguments arguments; /* made when all is placed, and so is the next */
    attn_training training;
    cl_mem workspace;         /* NULL when the workspace size is 0 */
    attn_chain chain;
    cl_event waits[2];
    attn_host_memory host;        /* tensors in host memory */
    attn_buffer caller_workspace; /* that in host memory */
} attn_opencl_call;

/** On an error everything is closed already: do not call _end(). */
clattn_status attn_opencl_call_begin(attn_opencl_call *call, attn_opencl_slot *slot, const attn_execution *execution);

/** Ends the call with `status`, or with the first error of ending it. */
clattn_status attn_opencl_call_end(attn_opencl_call *call, clattn_status status);

/** Tells the caller's progress function; CANCELLED when it says so. Host memory only: waits for the chain first. */
clattn_status attn_opencl_progress(attn_opencl_call *call, double done);

void attn_pass_arguments(attn_kernel_call *kernel, const attn_opencl_call *call);
void attn_pass_extras(attn_kernel_call *kernel, const attn_opencl_call *call); /* the seven of ATTN_EXTRAS_PARAMETERS */
void attn_pass_training(attn_kernel_call *kernel, const attn_opencl_call *call); /* and first_rows, first_keys */

/** Both, for programs with attn_training_defines(): what training adds to ATTN_EXTRAS_PARAMETERS where they define it. */
void attn_pass_rules(attn_kernel_call *kernel, const attn_opencl_call *call);
void attn_pass_layout(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id);
void attn_pass_tensor(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id);

/**
 * What no OpenCL engine serves: no OpenCL device, fp64, host workspace on a GPU; and what is not among `serves`, the
 * ATTN_SERVES_ bits of the engine. One line in why_not.
 */
bool attn_opencl_supports(const clattn_problem *problem, const attn_device *device, unsigned serves,
                          clattn_report *why_not);

/** ATTN_PREFER_GPU or ATTN_PREFER_OPENCL_CPU, by device. */
int attn_opencl_preference(const attn_device *device);

#endif
