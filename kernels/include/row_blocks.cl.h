// Which rows a work-group makes, for kernels with a work-group a block of rows, and for the host that counts the
// groups. Rows are those of one head; where a block has room for more rows than a head has, those of all the heads that
// share a key-value head, numbered position * heads + head, so that keys and values are read once for them.
// Knows no device; include arguments.cl.h first. To change the order: here, and in tests/test_row_blocks.c.
#ifndef ATTN_ROW_BLOCKS_CL_H
#define ATTN_ROW_BLOCKS_CL_H

// Scales from here on may meet differences of scores instead of scores: with less, a masked key could lose its -inf.
#define ATTN_SMALLEST_SCALE 1e-30f

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

// Batch entry of work-group `number`, for kernels that need it before the rest.
static inline attn_int64 attn_block_entry(const attn_arguments *a, attn_int64 number, attn_int64 blocks,
                                          attn_int64 block_query) {
    return number / blocks / (a->query_heads / attn_block_heads(a->group, a->query_length, block_query));
}

// The rows of one work-group.
typedef struct attn_row_block {
    attn_int64 b, h, first; // batch entry, first head, number of the first row
    attn_int32 heads, rows; // heads that share the block, rows that exist
} attn_row_block;

static inline attn_row_block attn_get_row_block(const attn_arguments *a, attn_int64 number, attn_int64 blocks,
                                                attn_int64 block_query) {
    attn_row_block at;
    at.heads = (attn_int32)attn_block_heads(a->group, a->query_length, block_query);
    const attn_int64 set = number / blocks, sets = a->query_heads / at.heads; // of heads that share blocks
    at.b = set / sets;
    at.h = set % sets * at.heads;
    at.first = attn_block_first(number, blocks, block_query);
    const attn_int64 rows = a->query_length * at.heads - at.first;
    at.rows = (attn_int32)(rows < block_query ? rows : block_query);
    return at;
}

// Position and head of row n of a block, wherever that lies in memory. Rows of several heads are few.
#define ATTN_ROW_POSITION(at, n) \
    ((at)->heads == 1 ? (at)->first + (n) : (attn_int64)(((attn_int32)(at)->first + (n)) / (at)->heads))
#define ATTN_ROW_HEAD(at, n) \
    ((at)->heads == 1 ? (at)->h : (at)->h + ((attn_int32)(at)->first + (n)) % (at)->heads)

#endif
