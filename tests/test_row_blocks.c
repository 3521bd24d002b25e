/*
 * Which rows a work-group makes (kernels/include/row_blocks.cl.h, which the host and the kernels share): each row of
 * each head once, those with the most keys under a causal rule first, heads together where a block has room for them.
 */
#include <stdint.h>

#include "support/suite.h"

#include "kernels/include/arguments.cl.h"

#include "kernels/include/row_blocks.cl.h"

enum { MOST_ROWS = 4096 };

START_TEST(test_each_row_is_in_one_block) {
    const int64_t lengths[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000 }, groups[] = { 1, 3, 4 };
    const int64_t block = 32;
    for (int n = 0; n < 10; n++) {
        for (int k = 0; k < 3; k++) {
            int seen[MOST_ROWS] = { 0 };
            const int64_t heads = attn_block_heads(groups[k], lengths[n], block), rows = heads * lengths[n];
            const int64_t blocks = attn_block_count(heads, lengths[n], block);
            for (int64_t number = 0; number < blocks; number++) {
                const int64_t first = attn_block_first(number, blocks, block);
                for (int64_t row = first; row < first + block && row < rows; row++) {
                    seen[row]++;
                }
            }
            for (int64_t row = 0; row < MOST_ROWS; row++) {
                ck_assert_int_eq(seen[row], row < rows);
            }
        }
    }
}
END_TEST

/* Every position of every head of every entry is a row of one block, whether heads share blocks or not. */
START_TEST(test_rows_have_a_head_and_a_position) {
    const int64_t lengths[] = { 1, 5, 31, 32, 45 }, block = 32;
    for (int n = 0; n < 5; n++) {
        const attn_arguments a = { .batch = 2, .query_heads = 6, .group = 3, .query_length = lengths[n] };
        int seen[2 * 6 * 45] = { 0 };
        const int64_t heads = attn_block_heads(a.group, a.query_length, block);
        const int64_t blocks = attn_block_count(heads, a.query_length, block);
        for (int64_t number = 0; number < a.batch * a.query_heads / heads * blocks; number++) {
            const attn_row_block at = attn_get_row_block(&a, number, blocks, block);
            ck_assert_int_eq(at.b, attn_block_entry(&a, number, blocks, block));
            ck_assert_int_eq(at.heads, heads);
            ck_assert(at.rows > 0 && at.rows <= block);
            for (int row = 0; row < at.rows; row++) {
                const int64_t h = ATTN_ROW_HEAD(&at, row), position = ATTN_ROW_POSITION(&at, row);
                ck_assert(h >= at.h && h < at.h + heads && position >= 0 && position < a.query_length);
                seen[(at.b * a.query_heads + h) * a.query_length + position]++;
            }
        }
        for (int64_t row = 0; row < a.batch * a.query_heads * a.query_length; row++) {
            ck_assert_int_eq(seen[row], 1);
        }
    }
}
END_TEST

START_TEST(test_the_last_rows_come_first) {
    const int64_t block = 64, blocks = attn_block_count(1, 1000, block);
    ck_assert_int_eq(blocks, 16);
    for (int64_t head = 0; head < 3; head++) {
        ck_assert_int_eq(attn_block_first(head * blocks, blocks, block), 960);
        for (int64_t n = 1; n < blocks; n++) {
            const int64_t before = attn_block_first(head * blocks + n - 1, blocks, block);
            ck_assert_int_eq(attn_block_first(head * blocks + n, blocks, block), before - block);
        }
        ck_assert_int_eq(attn_block_first((head + 1) * blocks - 1, blocks, block), 0);
    }
}
END_TEST

START_TEST(test_heads_share_blocks_of_few_rows_only) {
    ck_assert_int_eq(attn_block_heads(4, 63, 64), 4);
    ck_assert_int_eq(attn_block_heads(4, 64, 64), 1);
    ck_assert_int_eq(attn_block_heads(1, 1, 64), 1);
    ck_assert_int_eq(attn_block_count(4, 16, 64), 1); /* instead of 4 blocks of 16 rows each */
    ck_assert_int_eq(attn_block_count(4, 17, 64), 2);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_each_row_is_in_one_block, test_rows_have_a_head_and_a_position, test_the_last_rows_come_first,
                                   test_heads_share_blocks_of_few_rows_only };
    return suite_run(SUITE_OF("row_blocks", tests, 10), SUITE_FORK);
}
