/*
 * What plans of all operations have in common: an engine with a problem made ready, and what the calls under way need.
 */
#ifndef ATTN_RUNTIME_PLAN_H
#define ATTN_RUNTIME_PLAN_H

#include <pthread.h>

#include "runtime/choose.h"

/** What one call under way uses. */
typedef struct attn_slot {
    void *engine_slot; /* of the engine's slot_open */
    void *workspace;   /* host engines */
    bool leased;
    pthread_t holder;   /* while leased: the thread whose call it is */
    int64_t last_lease; /* the longest unused is taken first */
} attn_slot;

/** An operation's plan begins with it. */
typedef struct attn_plan {
    clattn_runtime *runtime;
    attn_device device; /* a copy: block overrides are those of creation */
    const attn_engine *engine;
    const void *problem;       /* resolved; inside the operation's plan */
    attn_plan_options options; /* but no name of an engine: the caller's string is not kept */
    clattn_plan_info info;
    void *state;
    attn_slot *slots;
    int64_t slot_count, leases;
    int64_t process; /* that made it */
    pthread_mutex_t lock;
    pthread_cond_t returned;
} attn_plan;

/** An operation as plans see it: who may serve it, and where its plan keeps the resolved problem. */
typedef struct attn_plan_kind {
    const attn_engine_list *engines;
    int64_t plan_size, problem_at, problem_size;
} attn_plan_kind;

/**
 * *plan = new memory of the kind with a copy of the resolved problem, made ready by the best engine that can be;
 * attn_plan_destroy() ends it and takes NULL. Errors and report: as clattn_plan_create().
 */
clattn_status attn_plan_create(clattn_runtime *runtime, const attn_plan_kind *kind, const void *problem,
                               const attn_plan_options *options, void **plan, clattn_report *report);
void attn_plan_destroy(void *plan);

/** What a plan of another operation than attention says of itself. */
clattn_status attn_plan_get_operation_info(const void *plan, clattn_operation_info *info);

/** One call as a plan runs it: resolved, with what the operation's calls have in common. */
typedef struct attn_plan_call {
    const void *call;
    void *workspace; /* the caller's, where the options say so */
    attn_submission submission;
    clattn_report *report;
} attn_plan_call;

/**
 * Runs a call on a free slot; waits for one when all are in use. DEADLOCK when one of those is in use by this very thread.
 */
clattn_status attn_plan_run(attn_plan *plan, const attn_plan_call *call);

#endif
