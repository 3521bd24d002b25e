/* The bodies of the cpu engine: kernels of an instruction set, and a unit for bf16 beside them. */
#ifndef ATTN_ENGINES_CPU_CPU_BODIES_H
#define ATTN_ENGINES_CPU_CPU_BODIES_H

#include "engines/cpu/cpu_kernels.h"
#include "engines/engine.h"

extern const attn_body attn_cpu_bodies[];

/** What a body consists of. */
typedef struct attn_cpu_body {
    const attn_cpu_kernels *kernels;
    const attn_cpu_unit *unit; /* of prefill: one for bf16, or the kernels' own floats */
} attn_cpu_body;

/**
 * What the body of that name consists of; NULL = the best for the problem that is here.
 * @return false when it cannot run here (attn_engine_supports() has said why)
 */
bool attn_cpu_body_choose(const char *name, const clattn_problem *problem, attn_cpu_body *body);

#endif
