/* An allocator that knows what it gave, and fails when it is asked to. */
#ifndef TESTS_LEDGER_H
#define TESTS_LEDGER_H

#include "clattn/clattn.h"

/** Counts; request number `fail_at` is refused (counted from 1; 0 = none). */
typedef struct ledger {
    int requests, fail_at, live;
} ledger;

/** For clattn_runtime_options. Any thread. */
clattn_allocator ledger_allocator(ledger *l);

#endif
