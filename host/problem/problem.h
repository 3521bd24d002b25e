/* A problem: defaults filled in, every field checked. Knows nothing of engines and devices. */
#ifndef ATTN_PROBLEM_PROBLEM_H
#define ATTN_PROBLEM_PROBLEM_H

#include "clattn/clattn.h"
#include "problem/training.h"

/**
 * Copies @p problem with every CLATTN_SAME replaced, shapes filled in ([1 or full] each), has_scale and scale set, and
 * checks it. After this: kv_heads >= 1 where query_heads >= 1, all sizes >= 0, every tensor's byte size fits int64.
 * What is not asked for is made 0: the shapes of no mask and no bias, the ranges of no weights, the gradients of a forward.
 * An alignment that has no effect (no causal, window, ALiBi) is made TOP_LEFT. UNSET stays where it does not matter for the
 * largest lengths: engines read it as offset 0, and attn_call_resolve refuses the calls for which it would matter.
 * A window side that limits nothing is made CLATTN_OPEN; i + offset +- side never overflows.
 */
clattn_status attn_problem_resolve(const clattn_problem *problem, clattn_problem *resolved, clattn_report *report);

/** Whether causal, window or ALiBi is on: the features that look at the offset. */
bool attn_problem_uses_offset(const clattn_problem *problem);

static inline bool attn_problem_has_window(const clattn_problem *problem) {
    return problem->window_left != CLATTN_OPEN || problem->window_right != CLATTN_OPEN;
}

/** Scores that causal and window allow, over batch and query heads, at the largest lengths: what bench counts FLOPs on. */
double attn_problem_scores(const clattn_problem *problem);

/** Type of the weights written out: the storage type for softmax, else fp32 (fp64 for fp64). */
clattn_type attn_weights_type(const clattn_problem *problem);

/** Type of logsumexp: fp32, or fp64 for fp64. */
clattn_type attn_logsumexp_type(const clattn_problem *problem);

/** Whether a dense tensor of four dimensions fits int64 bytes. Zero dimensions hide nothing: they count as one. */
clattn_status attn_check_bytes(const char *name, int64_t a, int64_t b, int64_t c, int64_t d, int64_t size,
                               clattn_report *report);

/** Type of the bias' elements. */
clattn_type attn_bias_type(const clattn_problem *problem);

#endif
