/* The oracle of gradients. */
#ifndef ATTN_ENGINES_REFERENCE_REFERENCE_BACKWARD_H
#define ATTN_ENGINES_REFERENCE_REFERENCE_BACKWARD_H

#include "engines/engine.h"

/** Fills the part of info that is backward's own. */
clattn_status attn_reference_backward_prepare(const clattn_problem *problem, const struct attn_threads *threads,
                                              clattn_plan_info *info, clattn_report *report);

clattn_status attn_reference_backward_execute(struct attn_threads *threads, const attn_execution *execution);

#endif
