/*
 * Which keys a row may attend to. Written once for the CPU engines; kernels/include/mask.cl.h says the same for devices,
 * and the reference engine says it again on purpose.
 */
#include "problem/mask.h"

#include "base/memory.h"
#include "problem/problem.h"

int64_t attn_used_query_length(const attn_call *call, int64_t b) {
    return call->query_lengths.data ? attn_integer(&call->query_lengths, b) : call->query_length;
}

int64_t attn_used_key_length(const attn_call *call, int64_t b) {
    return call->key_lengths.data ? attn_integer(&call->key_lengths, b) : call->key_length;
}

int64_t attn_call_offset(const clattn_problem *problem, const attn_call *call, int64_t b) {
    switch (problem->alignment) {
        case CLATTN_ALIGN_BOTTOM_RIGHT: return attn_used_key_length(call, b) - attn_used_query_length(call, b);
        case CLATTN_ALIGN_PAST: return call->past_length;
        case CLATTN_ALIGN_OFFSET: return problem->offset;
        case CLATTN_ALIGN_OFFSETS: return attn_integer(&call->offsets, b);
        default: return 0;
    }
}

attn_row_rule attn_row_rule_of(const clattn_problem *problem, const attn_call *call, int64_t b) {
    const int64_t open = INT64_MAX / 2;
    attn_row_rule rule = { .query_length = attn_used_query_length(call, b),
                           .key_length = attn_used_key_length(call, b),
                           .from = -open,
                           .to = open,
                           .prefix_to = open };
    int64_t offset = attn_call_offset(problem, call, b);
    rule.prefix = attn_min(problem->prefix, rule.key_length);
    if (problem->causal) {
        rule.to = offset + 1;
        rule.prefix_to = offset + 1;
    }
    if (problem->window_right != CLATTN_OPEN) {
        rule.to = attn_min(rule.to, offset + problem->window_right + 1);
    }
    if (problem->window_left != CLATTN_OPEN) {
        rule.from = offset - problem->window_left;
    }
    return rule;
}

attn_key_range attn_row_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t i) {
    attn_row_rule rule = attn_row_rule_of(problem, call, b);
    return attn_rule_keys(&rule, i);
}

attn_key_range attn_rows_keys(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first,
                              int64_t count) {
    int64_t last = attn_min(first + count, attn_used_query_length(call, b)) - 1;
    if (last < first) {
        return (attn_key_range){ 0, 0 };
    }
    attn_key_range range = attn_row_keys(problem, call, b, first);
    range.end = attn_max(range.begin, attn_row_keys(problem, call, b, last).end);
    return range;
}

attn_key_range attn_rows_prefix(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t first,
                                int64_t count) {
    attn_row_rule rule = attn_row_rule_of(problem, call, b);
    int64_t last = attn_min(first + count, rule.query_length) - 1;
    return last < first ? (attn_key_range){ 0, 0 } : attn_rule_prefix(&rule, last);
}

bool attn_mask_allows(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                      int64_t j) {
    const attn_view *mask = &call->mask;
    const uint8_t *data = mask->data;
    int64_t row = attn_view_row(mask, b, h, i);
    switch (problem->mask) {
        case CLATTN_MASK_BYTES: return data[row + j * mask->stride[3]] != 0;
        case CLATTN_MASK_BITS: {
            int64_t bit = j * mask->stride[3];
            return (data[row + bit / 8] >> (bit % 8) & 1) != 0;
        }
        default: return true;
    }
}
