/* What only the reference serves so far. */
#ifndef ATTN_ENGINES_UNSERVED_H
#define ATTN_ENGINES_UNSERVED_H

#include "problem/problem.h"

/** Whether the problem asks for any of it: backward, dropout, prefix, an output type of its own. Says which, by field. */
bool attn_is_unserved(const clattn_problem *problem, clattn_report *why_not);

#endif
