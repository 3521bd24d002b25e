/* What the suites of the judge of gradients share: a case with its gold, and a runtime of two threads to compute it. */
#ifndef TESTS_GATE_GRADIENT_CASE_H
#define TESTS_GATE_GRADIENT_CASE_H

#include "gate/gate.h"

/** Makes the case of one line; fails the test when it cannot. */
void gate_gradient_begin(const char *line, clattn_runtime **runtime, attn_case_data *data, attn_gradient_gold **gold);
void gate_gradient_end(clattn_runtime *runtime, attn_case_data *data, attn_gradient_gold *gold);

#endif
