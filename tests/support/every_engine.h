/* Runs a test's problem on every engine and device that must serve it. */
#ifndef TESTS_EVERY_ENGINE_H
#define TESTS_EVERY_ENGINE_H

#include "clattn/clattn_inspect.h"
#include "support/suite.h"

/** An engine on a device. */
typedef struct engine_at {
    clattn_runtime *runtime;
    const char *engine;
    int64_t device;
    char name[256]; /* for messages */
    const clattn_block_override *blocks; /* NULL; or what a test asks for, as the next */
    bool batch_invariant;
} engine_at;

/** Calls check(at) for each built engine on each of its devices; a runtime each. fp64 as said: OpenCL engines have none. */
void for_every_engine(bool fp64, void (*check)(const engine_at *at));

/**
 * Fills blocks with body n of the engine, for `for (n = 0; engine_take_body(at, n, &blocks); n++)`. Body 0 is the engine's own
 * choice, NULL. false past the last one.
 */
bool engine_take_body(const engine_at *at, int64_t n, clattn_block_override *blocks);

/** The options of a plan there. */
clattn_plan_options engine_options(const engine_at *at);

/** Plans and executes; fails the test with the reason when either is refused. */
void engine_execute(const engine_at *at, clattn_problem problem, const clattn_tensors *tensors);

#endif
