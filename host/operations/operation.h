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
    bool lost_with_fork;  /* on an OpenCL device: of use in `process` alone */
    int64_t process;      /* that made it */
    pthread_mutex_t lock; /* one call at a time; checked */
} attn_operation;

/** What the caller wants: engine NULL = the best, "opencl..." = the OpenCL one; device or CLATTN_ANY_DEVICE. */
typedef struct attn_operation_wish {
    const char *engine;
    int64_t device;
} attn_operation_wish;

/** Where a plan keeps its problem: a plan's structure begins with its attn_operation. */
typedef struct attn_operation_shape {
    const attn_operation_engine *const *engines;
    int64_t count;
    int64_t plan_size, problem_at, problem_size;
} attn_operation_shape;

/**
 * *plan = new memory of the shape with the checked problem in it, prepared by the best engine that supports it: a GPU,
 * then the CPU, then OpenCL on a CPU. attn_operation_destroy frees it and takes NULL.
 */
clattn_status attn_operation_create(clattn_runtime *runtime, const attn_operation_shape *shape, const void *problem,
                                    attn_operation_wish wish, void **plan, clattn_report *report);
void attn_operation_destroy(void *plan);

/** What a plan tells of itself. */
clattn_status attn_operation_get_info(const void *plan, clattn_operation_info *info);

/** One call, after those of other threads; DEADLOCK when it is made from inside another of this thread. */
clattn_status attn_operation_run(attn_operation *operation, const void *call, clattn_report *report);

/** Dense memory of a call; data NULL or bytes 0 = none. Outputs come first in a list of them. */
typedef struct attn_operation_memory {
    const char *name;
    const void *data;
    int64_t bytes;
    bool written;
} attn_operation_memory;

/** Refuses memory that reaches beyond the address space, and outputs that overlap anything else of the list. */
clattn_status attn_operation_check_memory(const attn_operation_memory *list, size_t count, clattn_report *report);

#endif
