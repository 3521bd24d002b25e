/* The runtime's inside: what is owned and by whom. */
#ifndef ATTN_RUNTIME_RUNTIME_H
#define ATTN_RUNTIME_RUNTIME_H

#include <pthread.h>

#include "engines/engine_list.h"

struct clattn_runtime {
    attn_memory memory;
    struct attn_threads *threads;
    pthread_mutex_t lock;  /* guards the list of devices and the block override; recursive */
    attn_device **devices; /* each its own block: plans keep pointers; device 0 is the CPU */
    int64_t device_count;
    clattn_report left_out; /* OpenCL devices that cannot be used; grows under the lock */
    clattn_block_override blocks;
    struct attn_tuning_user *tuning, *tuning_read; /* in force, or NULL; the newest read, which leads to the older */
};

/** What one call under way uses. */
typedef struct attn_slot {
    void *engine_slot; /* of the engine's slot_open */
    void *workspace;   /* host engines */
    bool leased;
    pthread_t holder;   /* while leased: the thread whose call it is */
    int64_t last_lease; /* the longest unused is taken first */
} attn_slot;

struct clattn_plan {
    clattn_runtime *runtime;
    attn_device device; /* a copy: block overrides are those of creation */
    const attn_engine *engine;
    clattn_problem problem; /* resolved */
    clattn_plan_info info;
    void *state;
    attn_slot *slots;
    int64_t slot_count, leases;
    int64_t process; /* that made it */
    pthread_mutex_t lock;
    pthread_cond_t returned;
};

/** Appends a device. The list owns `opencl`. */
clattn_status attn_runtime_add_device(clattn_runtime *runtime, clattn_device_kind kind, struct attn_opencl_device *opencl);

/** Whether another engine may serve what this one could not make ready; anything else ends the search. */
static inline bool attn_try_next(clattn_status status) {
    return status == CLATTN_UNSUPPORTED || status == CLATTN_BUILD_FAILED || status == CLATTN_DEVICE_OUT_OF_MEMORY ||
           status == CLATTN_OUT_OF_MEMORY || status == CLATTN_OVERFLOW ||
           status == CLATTN_OPENCL_ERROR;
}

/** Gives back what was read of tuning files; at the runtime's end. */
void attn_runtime_forget_tuning(clattn_runtime *runtime);

/** Device `index`, or NULL. The pointer stays valid as long as the runtime. */
const attn_device *attn_runtime_device(clattn_runtime *runtime, int64_t index);

/** Whether the device is OpenCL's and was found by another process, from which this one was forked: leave it alone. */
bool attn_device_is_lost(const attn_device *device);

/** Resolves the call and runs it on a free slot. */
clattn_status attn_plan_run(clattn_plan *plan, const clattn_tensors *tensors, const attn_submission *submission);

#endif
