/*
 * Which engine on which device serves a problem. The only chooser, for attention and for every other operation.
 */
#ifndef ATTN_RUNTIME_CHOOSE_H
#define ATTN_RUNTIME_CHOOSE_H

#include "engines/engine_list.h"

/** clattn_plan_options, checked. */
typedef struct attn_plan_options {
    const char *engine; /* the caller's string; NULL = the best */
    int64_t device;     /* or CLATTN_ANY_DEVICE */
    int64_t concurrency;
    bool caller_workspace, batch_invariant, allow_tf32;
    clattn_block_override blocks; /* body: one of the strings of an engine's list */
} attn_plan_options;

/** Checks options and fills in defaults; NULL = all defaults. INVALID_ARGUMENT names the field. */
clattn_status attn_plan_options_resolve(const clattn_plan_options *options, attn_plan_options *resolved, clattn_report *report);

/** Puts into a copy of a device what engines see of the options. */
void attn_plan_options_set(const attn_plan_options *options, attn_device *device);

/** An engine that supports the problem, on a device. */
typedef struct attn_candidate {
    const attn_engine *engine;
    attn_device device; /* a copy, with the options and the tuning rows that are in force */
    int preference;
} attn_candidate;

/** All of them, best first; equals in the order of the engines' list, then of the devices. */
typedef struct attn_choice {
    attn_candidate *candidates; /* of the runtime's memory */
    int64_t count;
    bool named_known, named_built, device_known, device_lost; /* of what the options name */
} attn_choice;

/**
 * Asks every engine of the list on every device, without building anything.
 * @param declined  gets a line for each that declines
 * @param choice    attn_choice_release() gives its memory back, also after an error
 * @return INVALID_ARGUMENT, NO_DEVICE or UNSUPPORTED when there is no candidate; OUT_OF_MEMORY
 */
clattn_status attn_choice_make(clattn_runtime *runtime, const attn_engine_list *engines, const void *problem,
                               const attn_plan_options *options, attn_choice *choice, clattn_report *declined,
                               clattn_report *report);
void attn_choice_release(clattn_runtime *runtime, attn_choice *choice);

/** Whether another candidate may serve what this one could not make ready; anything else ends the search. */
bool attn_choice_goes_on(clattn_status status);

#endif
