/* What the operations beside attention share: choosing an engine and a device, and one call at a time. */
#ifndef ATTN_OPERATIONS_OPERATION_H
#define ATTN_OPERATIONS_OPERATION_H

#include <pthread.h>

#include "engines/operation.h"

/** An engine with the problem made ready. */
typedef struct attn_operation {
    clattn_runtime *runtime;
    const attn_operation_engine *engine;
    void *state;
    clattn_operation_info info;
    pthread_mutex_t lock; /* one call at a time */
} attn_operation;

/** What the caller wants: engine NULL = the best, "opencl..." = the OpenCL one; device or CLATTN_ANY_DEVICE. */
typedef struct attn_operation_wish {
    const char *engine;
    int64_t device;
} attn_operation_wish;

/**
 * Prepares the problem with the best engine of the table that supports it: a GPU, then the CPU, then OpenCL on a CPU.
 * `made` is to be released unless this fails.
 */
clattn_status attn_operation_prepare(clattn_runtime *runtime, const attn_operation_engine *const *engines,
                                     int64_t count, const void *problem, attn_operation_wish wish, attn_operation *made,
                                     clattn_report *report);

clattn_status attn_operation_run(attn_operation *operation, const void *call);

void attn_operation_release(attn_operation *operation);

#endif
