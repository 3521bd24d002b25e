/* What training asks for and an engine may not serve yet. */
#ifndef ATTN_ENGINES_UNSERVED_H
#define ATTN_ENGINES_UNSERVED_H

#include "problem/problem.h"

/** Bits of what an engine serves of it. Backward with dropout needs both bits, and so on. */
enum {
    ATTN_SERVES_BACKWARD = 1,
    ATTN_SERVES_DROPOUT = 2, /* and its mask */
    ATTN_SERVES_PREFIX = 4,
    ATTN_SERVES_OUTPUT_TYPE = 8
};

/** Whether the problem asks for something that is not among `serves`. Says what, by field. */
bool attn_is_unserved(const clattn_problem *problem, unsigned serves, clattn_report *why_not);

#endif
