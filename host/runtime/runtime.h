/* The runtime's inside: what is owned and by whom. */
#ifndef ATTN_RUNTIME_RUNTIME_H
#define ATTN_RUNTIME_RUNTIME_H

#include <pthread.h>

#include "runtime/plan.h"

struct clattn_runtime {
    attn_memory memory;
    struct attn_threads *threads;
    pthread_mutex_t lock;  /* guards the list of devices and the tuning; recursive */
    attn_device **devices; /* each its own block: plans keep pointers; device 0 is the CPU */
    int64_t device_count;
    clattn_report left_out; /* OpenCL devices that cannot be used; grows under the lock */
    struct attn_tuning_user *tuning, *tuning_read; /* in force, or NULL; the newest read, which leads to the older */
};

struct clattn_plan {
    attn_plan core;
    clattn_problem problem; /* resolved */
};

/** Appends a device. The list owns `opencl`. */
clattn_status attn_runtime_add_device(clattn_runtime *runtime, clattn_device_kind kind, struct attn_opencl_device *opencl);

/** Gives back what was read of tuning files; at the runtime's end. */
void attn_runtime_forget_tuning(clattn_runtime *runtime);

/** Device `index`, or NULL. The pointer stays valid as long as the runtime. */
const attn_device *attn_runtime_device(clattn_runtime *runtime, int64_t index);

/** Whether the device is OpenCL's and was found by another process, from which this one was forked: leave it alone. */
bool attn_device_is_lost(const attn_device *device);

/** Resolves a call of attention and runs it. */
clattn_status attn_attention_run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission);

#endif
