// Which rows a work-group makes, for kernels with a work-group a block of rows, and for the host that counts the
// groups. Rows are those of one head; where a block has room for more rows than a head has, those of all the heads that
// share a key-value head, numbered position * heads + head, so that keys and values are read once for them.
// Knows no device; include arguments.cl.h first. To change the order: here, and in tests/test_row_blocks.c.
#ifndef ATTN_ROW_BLOCKS_CL_H
#define ATTN_ROW_BLOCKS_CL_H

// Heads whose rows share a block: 1, or all `group` of a key-value head.
static inline attn_int64 attn_block_heads(attn_int64 group, attn_int64 query_length, attn_int64 block_query) {
    return query_length < block_query ? group : 1;
}

// Blocks of the rows of `heads` heads.
static inline attn_int64 attn_block_count(attn_int64 heads, attn_int64 query_length, attn_int64 block_query) {
    return (heads * query_length + block_query - 1) / block_query;
}

// First row of work-group `number`. The last rows come first: under a causal rule they have the most keys, and a long
// group that starts last would keep the device waiting.
static inline attn_int64 attn_block_first(attn_int64 number, attn_int64 blocks, attn_int64 block_query) {
    return (blocks - 1 - number % blocks) * block_query;
}

#endif
