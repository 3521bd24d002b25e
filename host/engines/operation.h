/*
 * Engines of the operations beside attention: linear maps, additive attention. The same idea as engine.h, smaller: an
 * operation hands its own problem and call structures through as void pointers, and its plan lets one call in at a
 * time.
 */
#ifndef ATTN_ENGINES_OPERATION_H
#define ATTN_ENGINES_OPERATION_H

#include "clattn/clattn_additive.h"
#include "engines/engine.h"

typedef struct attn_operation_engine {
    const char *name;     /* "reference", "cpu", "opencl" */
    bool only_when_named; /* never the best */

    /** Whether it can serve the problem on the device; else one line in why_not that names the field. */
    bool (*supports)(const void *problem, const attn_device *device, clattn_report *why_not);

    /** Makes the problem ready. The device outlives the state. Fills info->kernel and workspace_size. */
    clattn_status (*prepare)(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report);

    /** One call at a time. */
    clattn_status (*execute)(void *state, const void *call);

    void (*release)(void *state);
} attn_operation_engine;

#endif
