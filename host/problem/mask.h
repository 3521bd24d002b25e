/*
 * Which keys a row may attend to, for host memory. The range by lengths, causal rule and window is a contiguous interval;
 * mask and bias are looked up inside it. The reference engine restates these rules on purpose and does not call this.
 */
#ifndef ATTN_PROBLEM_MASK_H
#define ATTN_PROBLEM_MASK_H

#include "problem/call.h"

/** Keys begin <= j < end; empty when begin >= end. */
typedef struct attn_key_range {
    int64_t begin, end;
} attn_key_range;

/** Used lengths of entry b: the given ones, or the call's. */
int64_t attn_used_query_length(const attn_call *call, int64_t b);
int64_t attn_used_key_length(const attn_call *call, int64_t b);

/** Key position of row 0 of entry b. */
int64_t attn_call_offset(const clattn_problem *problem, const attn_call *call, int64_t b);

/** Keys that used lengths, causal rule and window allow for row i of entry b. Monotone in i: begin and end never fall. */
attn_key_range attn_row_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t i);

/** The union over rows first .. first + count - 1 (those inside the used length). */
attn_key_range attn_rows_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first, int64_t count);

/** Whether the mask (if any) allows (b, h, i, j). */
bool attn_mask_allows(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i, int64_t j);

#endif
