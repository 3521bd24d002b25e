/*
 * Which keys a row may attend to, for host memory. Lengths, causal rule, window and prefix leave a contiguous interval, and
 * before it, where a prefix stands apart from the window, a second one that begins with key 0; mask and bias are looked up
 * inside them. The reference engine restates these rules on purpose and does not call this.
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
 * max(0, i + from) <= j < min(key_length, i + to), and 0 <= j < min(prefix, i + prefix_to).
 */
typedef struct attn_row_rule {
    int64_t query_length, key_length; /* used */
    int64_t from, to;
    int64_t prefix, prefix_to; /* prefix is at most key_length */
} attn_row_rule;

/** The rule of entry b. */
attn_row_rule attn_row_rule_of(const clattn_problem *problem, const attn_call *call, int64_t b);

/**
 * Keys of row i by a rule: what attn_row_keys() answers. A prefix that meets the window, or reaches beyond it, belongs to
 * them: the range then begins with key 0.
 */
static inline attn_key_range attn_rule_keys(const attn_row_rule *rule, int64_t i) {
    if (i >= rule->query_length) {
        return (attn_key_range){ 0, 0 };
    }
    int64_t begin = i + rule->from > 0 ? i + rule->from : 0;
    begin = begin < rule->key_length ? begin : rule->key_length;
    int64_t end = i + rule->to < rule->key_length ? i + rule->to : rule->key_length;
    int64_t prefix = i + rule->prefix_to < rule->prefix ? i + rule->prefix_to : rule->prefix;
    if (begin <= prefix) {
        begin = 0;
        end = end > prefix ? end : prefix;
    }
    return (attn_key_range){ begin, end > begin ? end : begin };
}

/**
 * The keys of row i that attn_rule_keys() leaves out: a prefix with a gap behind it, else nothing. From the first row on
 * that has such keys all used rows have the same.
 */
static inline attn_key_range attn_rule_prefix(const attn_row_rule *rule, int64_t i) {
    bool apart = i < rule->query_length && attn_rule_keys(rule, i).begin > 0;
    return (attn_key_range){ 0, apart ? rule->prefix : 0 };
}

/** Used lengths of entry b: the given ones, or the call's. */
int64_t attn_used_query_length(const attn_call *call, int64_t b);
int64_t attn_used_key_length(const attn_call *call, int64_t b);

/** Key position of row 0 of entry b. */
int64_t attn_call_offset(const clattn_problem *problem, const attn_call *call, int64_t b);

/**
 * Keys that used lengths, causal rule and window allow for row i of entry b, as attn_rule_keys(). Monotone in i: begin and
 * end never fall.
 */
attn_key_range attn_row_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t i);

/** The union over rows first .. first + count - 1 (those inside the used length). */
attn_key_range attn_rows_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first,
                              int64_t count);

/** The same of what attn_rule_prefix() answers. */
attn_key_range attn_rows_prefix(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first,
                                int64_t count);

/** Whether the mask (if any) allows (b, h, i, j). */
bool attn_mask_allows(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i, int64_t j);

#endif
