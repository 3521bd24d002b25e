/* Executes a golden problem on an engine and compares every number it writes. */
#ifndef TESTS_GOLDEN_CHECK_H
#define TESTS_GOLDEN_CHECK_H

#include "support/golden.h"

/** UNSUPPORTED when the engine refuses on that device; else OK, or the test has failed with a sentence. */
clattn_status golden_check(clattn_runtime *runtime, golden *g, const char *engine, int64_t device, clattn_report *report);

#endif
