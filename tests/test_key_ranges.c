/*
 * Which keys a row may attend to (problem/mask.h): the two ranges of every row hold what the rule says key by key, stand apart,
 * and never fall from row to row; so do those of several rows. Over all small lengths, offsets, windows and prefixes.
 */
#include "problem/mask.h"
#include "problem/problem.h"
#include "support/suite.h"

enum { MOST_KEYS = 6, MOST_SIDE = 4, MOST_ROWS = 5, MOST_OFFSET = 8 };

/** A window side: 0, 1, ... or open. */
static int64_t side_of(int n) {
    return n == MOST_SIDE ? CLATTN_OPEN : n;
}

static bool is_inside(attn_key_range range, int64_t j) {
    return j >= range.begin && j < range.end;
}

/** clattn.h's words. */
static bool rule_allows(const clattn_problem *p, int64_t used_rows, int64_t used_keys, int64_t i, int64_t j) {
    int64_t at = i + p->offset;
    bool in_window = (p->window_left == CLATTN_OPEN || j >= at - p->window_left) &&
                     (p->window_right == CLATTN_OPEN || j <= at + p->window_right);
    return i < used_rows && j < used_keys && (!p->causal || j <= at) && (in_window || j < p->prefix);
}

static void check_row(const clattn_problem *p, const attn_row_rule *rule, int64_t used_rows, int64_t used_keys,
                      int64_t i) {
    attn_key_range keys = attn_rule_keys(rule, i), prefix = attn_rule_prefix(rule, i);
    ck_assert(keys.begin >= 0 && keys.begin <= keys.end && keys.end <= used_keys);
    ck_assert(prefix.begin == 0 && prefix.end >= 0 && (prefix.end == 0 || prefix.end <= keys.begin));
    for (int64_t j = 0; j < MOST_KEYS; j++) {
        ck_assert_msg((is_inside(keys, j) || is_inside(prefix, j)) == rule_allows(p, used_rows, used_keys, i, j),
                      "row %d, key %d: offset %d, window %d and %d, prefix %d, causal %d, %d keys", (int)i, (int)j,
                      (int)p->offset, (int)p->window_left, (int)p->window_right, (int)p->prefix, p->causal,
                      (int)used_keys);
    }
    if (i > 0 && i < used_rows) {
        attn_key_range before = attn_rule_keys(rule, i - 1), prefix_before = attn_rule_prefix(rule, i - 1);
        ck_assert(before.begin <= keys.begin && before.end <= keys.end);
        ck_assert(prefix_before.end == 0 || prefix_before.end == prefix.end);
    }
}

/** Of rows first .. first + count: all keys that one of them attends, and no block of prefix that none does. */
static void check_rows(const clattn_problem *p, const attn_call *call, const attn_row_rule *rule) {
    for (int64_t first = 0; first < MOST_ROWS; first++) {
        for (int64_t count = 1; count <= MOST_ROWS - first; count++) {
            attn_key_range keys = attn_rows_keys(p, call, 0, first, count),
                           prefix = attn_rows_prefix(p, call, 0, first, count);
            int64_t most = 0;
            for (int64_t i = first; i < first + count; i++) {
                attn_key_range row = attn_rule_keys(rule, i), own = attn_rule_prefix(rule, i);
                ck_assert(row.begin == row.end || (row.begin >= keys.begin && row.end <= keys.end));
                most = own.end > most ? own.end : most;
            }
            ck_assert(prefix.begin == 0 && prefix.end == most);
        }
    }
}

static void check_problem(const clattn_problem *p) {
    for (int32_t used_keys = 0; used_keys <= MOST_KEYS; used_keys++) {
        for (int32_t used_rows = MOST_ROWS - 2; used_rows <= MOST_ROWS; used_rows++) {
            const attn_call call = { .query_length = MOST_ROWS,
                                     .key_length = MOST_KEYS,
                                     .query_lengths = { &used_rows, 0, CLATTN_INT32 },
                                     .key_lengths = { &used_keys, 0, CLATTN_INT32 } };
            attn_row_rule rule = attn_row_rule_of(p, &call, 0);
            for (int64_t i = 0; i < MOST_ROWS; i++) {
                check_row(p, &rule, used_rows, used_keys, i);
            }
            check_rows(p, &call, &rule);
        }
    }
}

START_TEST(test_ranges) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.alignment = CLATTN_ALIGN_OFFSET;
    p.query_length = MOST_ROWS, p.key_length = MOST_KEYS;
    for (int left = 0; left <= MOST_SIDE; left++) {
        for (int right = 0; right <= MOST_SIDE; right++) {
            p.window_left = side_of(left), p.window_right = side_of(right);
            for (p.offset = -MOST_OFFSET; p.offset <= MOST_OFFSET; p.offset++) {
                for (int variant = 0; variant < 2 * (MOST_KEYS + 1); variant++) {
                    p.causal = variant % 2 == 1;
                    p.prefix = left < MOST_SIDE || right < MOST_SIDE ? variant / 2 : 0;
                    check_problem(&p);
                }
            }
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_ranges };
    return suite_run(SUITE_OF("key_ranges", tests, 60), SUITE_FORK);
}
