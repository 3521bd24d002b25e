/*
 * Which rows a work-group makes (kernels/include/row_blocks.cl.h, which the host and the kernels share): each row of
 * each head once, those with the most keys under a causal rule first, heads together where a block has room for them.
 */
#include <stdint.h>

#include "support/suite.h"

#include "../kernels/include/arguments.cl.h"

#include "../kernels/include/row_blocks.cl.h"

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
    const TTest *const tests[] = { test_each_row_is_in_one_block, test_the_last_rows_come_first,
                                   test_heads_share_blocks_of_few_rows_only };
    return suite_run(SUITE_OF("row_blocks", tests, 10), SUITE_FORK);
}
