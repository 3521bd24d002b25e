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

/**
 * The same rule with what does not change from row to row already looked up: row i < query_length of the entry attends
 * max(0, i + from) <= j < min(key_length, i + to).
 */
typedef struct attn_row_rule {
    int64_t query_length, key_length; /* used */
    int64_t from, to;
} attn_row_rule;

/** The rule of entry b. */
attn_row_rule attn_row_rule_of(const clattn_problem *problem, const attn_call *call, int64_t b);

/** Keys of row i by a rule: what attn_row_keys() answers. */
static inline attn_key_range attn_rule_keys(const attn_row_rule *rule, int64_t i) {
    if (i >= rule->query_length) {
        return (attn_key_range){ 0, 0 };
    }
    int64_t begin = i + rule->from > 0 ? i + rule->from : 0;
    begin = begin < rule->key_length ? begin : rule->key_length;
    int64_t end = i + rule->to < rule->key_length ? i + rule->to : rule->key_length;
    return (attn_key_range){ begin, end > begin ? end : begin };
}

/** Used lengths of entry b: the given ones, or the call's. */
int64_t attn_used_query_length(const attn_call *call, int64_t b);
int64_t attn_used_key_length(const attn_call *call, int64_t b);

/** Key position of row 0 of entry b. */
int64_t attn_call_offset(const clattn_problem *problem, const attn_call *call, int64_t b);

/** Keys that used lengths, causal rule and window allow for row i of entry b. Monotone in i: begin and end never fall. */
attn_key_range attn_row_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t i);

/** The union over rows first .. first + count - 1 (those inside the used length). */
attn_key_range attn_rows_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first,
                              int64_t count);

/** Whether the mask (if any) allows (b, h, i, j). */
bool attn_mask_allows(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i, int64_t j);

#endif
