/* The part of a call that training brings: gradients, and where dropout counts from. */
#ifndef ATTN_PROBLEM_CALL_TRAINING_H
#define ATTN_PROBLEM_CALL_TRAINING_H

#include "problem/call.h"

/** The gradients of a backward call, given and asked for. */
clattn_status attn_call_view_gradients(const clattn_problem *problem, const clattn_tensors *tensors, attn_call *call);

/** Seed and place of dropout, and the mask that is written. Nothing is looked at where the problem has neither. */
clattn_status attn_call_view_dropout(const clattn_problem *problem, const clattn_tensors *tensors, attn_call *call);

#endif
