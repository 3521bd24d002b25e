/* Whether outputs would be written twice or over inputs. */
#ifndef ATTN_PROBLEM_OVERLAP_H
#define ATTN_PROBLEM_OVERLAP_H

#include "problem/call.h"

/** One past the last element of a view over `extent` (0 when empty); false when it does not fit. */
bool attn_view_end(const attn_view *view, const int64_t extent[4], int64_t *end);

/** Refuses outputs that overlap themselves, inputs or each other. Buffers of OpenCL are compared by handle. */
clattn_status attn_check_overlap(const clattn_problem *problem, const attn_call *call);

#endif
