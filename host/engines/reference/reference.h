/* The oracle, a row at a time. */
#ifndef ATTN_ENGINES_REFERENCE_REFERENCE_H
#define ATTN_ENGINES_REFERENCE_REFERENCE_H

#include "clattn/clattn_inspect.h"
#include "problem/call.h"

/** One row of a resolved problem and call. Arrays of `row` that are NULL (raw, softcap, scores, weights) come from scratch. */
void attn_reference_row(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                        clattn_reference_row *row, long double *scratch);

#endif
