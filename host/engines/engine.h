/*
 * The engine interface, one for all operations. An engine turns a resolved problem of its operation into results on one
 * device. It sees the problem, the device and the call, never the plan or the runtime. engine_list.c holds the tables of
 * engines and says how to add one.
 *
 * Problems and calls are handed through as void pointers. What they point to is the operation's own: clattn_problem and
 * attn_call for attention, clattn_additive_problem and attn_additive_call for additive attention, and so on.
 */
#ifndef ATTN_ENGINES_ENGINE_H
#define ATTN_ENGINES_ENGINE_H

#include "base/memory.h"
#include "base/report.h"
#include "clattn/clattn_inspect.h"
#include "problem/call.h"
#include "problem/problem.h"

struct attn_threads;       /* cpu/threads.h */
struct attn_opencl_device; /* opencl/device.h */
struct attn_tuning_user;   /* tuning/tuning_user.h */

/** A device as engines see it, with what a plan on it is asked for. */
typedef struct attn_device {
    int64_t index;
    clattn_device_kind kind;
    attn_memory *memory;
    struct attn_threads *threads;       /* the runtime's threads; always there */
    struct attn_opencl_device *opencl;  /* NULL for the CPU */
    int64_t process;                    /* that found it: OpenCL's drivers do not survive a fork */
    clattn_block_override blocks;       /* all 0 = the engine's choice; body: one of the strings of an engine's bodies */
    bool caller_workspace, batch_invariant, allow_tf32; /* as in clattn_plan_options */
    const struct attn_tuning_user *tuning; /* the user's own rows, or NULL; to be read while a plan is made */
} attn_device;

/** The OpenCL side of a call: NULL queue = the engine's own, blocking. Handles are cl_*, kept opaque here. */
typedef struct attn_submission {
    void *queue;         /* cl_command_queue */
    uint32_t wait_count;
    const void *wait;    /* const cl_event * */
    void *event;         /* cl_event *, may be NULL */
} attn_submission;

/** One call on one slot. */
typedef struct attn_execution {
    const void *problem; /* resolved */
    const void *call;
    void *slot;      /* what slot_open returned: not shared with another call under way */
    void *workspace; /* host engines: workspace_size bytes, 64-byte aligned; OpenCL engines: the caller's, or NULL */
    attn_submission submission;
} attn_execution;

/**
 * One of the ways in which an engine computes, apart from block sizes. The engine takes one by device and problem; tests and
 * tuning ask for one by name (device->blocks.body).
 */
typedef struct attn_body {
    const char *name; /* unique in its engine; other engines may have one of the same name */
    const char *what; /* one line for people */

    /** NULL when it can run on the device, else one static sentence. Cheap. */
    const char *(*why_not)(const attn_device *device);
} attn_body;

typedef struct attn_engine {
    const char *name;

    /** Its bodies; one without a name ends them. NULL = it has one way alone, without a name. */
    const attn_body *bodies;

    /**
     * Whether it can serve the resolved problem on the device; else one line in why_not that names the field. Cheap. Call
     * attn_engine_supports(): it looks at the body that was asked for first.
     */
    bool (*supports)(const void *problem, const attn_device *device, clattn_report *why_not);

    /** The higher the better, among engines that support the problem. ATTN_PREFER_NEVER = only when named. */
    int (*preference)(const void *problem, const attn_device *device);

    /**
     * Makes the problem ready: builds, chooses blocks. Copies what it keeps of the problem; the device outlives the state.
     * Fills info (engine and device are already set).
     */
    clattn_status (*prepare)(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
                             clattn_report *report);

    /** What one call under way needs for itself (kernels with their arguments, device workspace); NULL members = none. */
    clattn_status (*slot_open)(void *state, void **slot, clattn_report *report);
    void (*slot_close)(void *state, void *slot);

    /** One call. Several may be under way at once, each with a slot and a workspace of its own. */
    clattn_status (*execute)(void *state, const attn_execution *execution);

    void (*release)(void *state);
} attn_engine;

/* Preferences: a real GPU, then the CPU engine, then OpenCL on a CPU device. Steps between are for the engines' own order. */
enum { ATTN_PREFER_GPU = 3000, ATTN_PREFER_CPU = 2000, ATTN_PREFER_OPENCL_CPU = 1000, ATTN_PREFER_NEVER = 0 };

/** For engines that have no order of their own: the device's kind alone counts. */
int attn_prefer_by_kind(const void *problem, const attn_device *device);

/** For engines that serve only when they are named. */
int attn_prefer_never(const void *problem, const attn_device *device);

#endif
