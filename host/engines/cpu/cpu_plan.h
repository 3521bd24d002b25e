/* What the cpu engine decides about a problem before any call: kernels, then each path its own part. */
#ifndef ATTN_ENGINES_CPU_CPU_PLAN_H
#define ATTN_ENGINES_CPU_CPU_PLAN_H

#include "engines/cpu/cpu_path.h"

/** Makes a plan for problem on device. Refusals name the field. */
clattn_status attn_cpu_plan_make(const clattn_problem *problem, const attn_device *device, attn_cpu_plan **plan,
                                 clattn_report *report);

/** NULL does nothing. */
void attn_cpu_plan_free(attn_cpu_plan *plan);

/** Bytes that a call wants. The plan was made, so they fit. */
int64_t attn_cpu_plan_workspace(const attn_cpu_plan *plan);

#endif
