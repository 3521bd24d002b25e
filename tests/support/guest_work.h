/*
 * Calls of every kind that computes on the CPU, for tests of what must not change their bits: a fork, a pool of threads,
 * the caller's floating-point environment. Inputs hold denormal numbers. Large enough that threads share them.
 */
#ifndef TESTS_GUEST_WORK_H
#define TESTS_GUEST_WORK_H

#include <stdbool.h>

#include "clattn/clattn.h"

enum { GUEST_BYTES = 1 << 17 }; /* of the outputs of one work, at most */

typedef struct guest_work {
    const char *name;
    /** Writes its outputs from the beginning of `out`, which is cleared before. */
    clattn_status (*run)(clattn_runtime *runtime, unsigned char out[GUEST_BYTES]);
    bool shared; /* over threads: by the runtime's, not by the calling thread alone */
} guest_work;

extern const guest_work guest_works[];
extern const int guest_work_count;

/** Draws the inputs; once, before the first work. */
void guest_begin(void);

/** Runs a work on cleared memory and fails the test unless it succeeds. */
void guest_run(const guest_work *work, clattn_runtime *runtime, unsigned char out[GUEST_BYTES]);

/** A runtime of so many threads, without OpenCL. */
clattn_runtime *guest_runtime(int64_t threads);

/**
 * Runs body(user) in a child made by fork(), which has 30 seconds. Answers what it answered (0 to 99), or 100 + the signal
 * that ended it.
 */
int guest_in_child(int (*body)(void *user), void *user);

#endif
