/* Long commands that a signal ends early, but in order: with what they have measured so far. */
#ifndef ATTN_CLI_BASE_INTERRUPT_H
#define ATTN_CLI_BASE_INTERRUPT_H

#include "base/text.h"

/**
 * From now on the first SIGINT, SIGTERM or SIGHUP asks the command to stop; the second ends the program at once. A signal
 * that the program was started to ignore stays ignored.
 */
void attn_interrupt_watch(void);

/** The signal that asked to stop; 0 = none. */
int attn_interrupted(void);

/** Fails with 128 + the signal and its name; what: what became of the results. */
int attn_interrupt_fail(attn_error *error, const char *what);

#endif
