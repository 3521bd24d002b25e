/* What training asks of a problem: the direction's members, dropout, types of results. */
#ifndef ATTN_PROBLEM_TRAINING_H
#define ATTN_PROBLEM_TRAINING_H

#include "clattn/clattn.h"

/**
 * Checks dropout, prefix and all that belongs to a direction, for attn_problem_resolve(). After this: gradients is 0, and
 * so is what belongs to it, in a forward problem; logsumexp is true in a backward one; a type of results that is the
 * storage type anyway is STORAGE; prefix is 0 where no window hides anything, and at most key_length.
 */
clattn_status attn_training_resolve(clattn_problem *problem, clattn_report *report);

/** Type of output and grad_output. */
clattn_type attn_output_type(const clattn_problem *problem);

/** Type of grad_query, grad_key and grad_value. */
clattn_type attn_gradient_type(const clattn_problem *problem);

/** Type of grad_bias. grad_alibi_slopes and grad_sinks have that of logsumexp. */
clattn_type attn_grad_bias_type(const clattn_problem *problem);

/** Whether the problem is backward and asks for all of these CLATTN_GRADIENT_ bits. */
static inline bool attn_wants_gradient(const clattn_problem *problem, uint32_t bits) {
    return problem->direction == CLATTN_BACKWARD && (problem->gradients & bits) == bits;
}

/** Bytes that a backward reads and writes beside the compulsory traffic of its forward. */
double attn_gradient_bytes(const clattn_problem *problem);

#endif
