// Local memory of attention_fused_gpu.cl, for the kernel and for the host, which has variables of these names: BLOCK_QUERY,
// BLOCK_KEY, THREADS_X, SLICE, KEEP_QUERY, VALUE_VECTORS, DIM. In float4: what the work-items share, tiles of queries, of keys
// (later weights), of values, and room to reduce rows.
#ifndef ATTN_GROUP_LOCAL_CL_H
#define ATTN_GROUP_LOCAL_CL_H

#define QUERY_WIDTH (KEEP_QUERY ? (DIM + SLICE - 1) / SLICE * SLICE : SLICE) // floats
#define VALUE_WIDTH (4 * VALUE_VECTORS * THREADS_X)

// Rows of queries, keys and weights are read down a column, so they are padded.
#define QUERY_STRIDE (QUERY_WIDTH / 4 + 1)
#define KEY_STRIDE (SLICE / 4 + 1)
#define WEIGHT_STRIDE (BLOCK_KEY / 4 + 1)
#define VALUE_STRIDE (VALUE_WIDTH / 4)
#define REDUCE_STRIDE (THREADS_X / 4 + 1)

#define GROUP_SIZE 20 // a group_block
#define QUERY_SIZE (BLOCK_QUERY * QUERY_STRIDE)
#define KEY_SIZE (BLOCK_KEY * KEY_STRIDE)
#define WEIGHT_SIZE (BLOCK_QUERY * WEIGHT_STRIDE)
#define SHARED_SIZE (KEY_SIZE > WEIGHT_SIZE ? KEY_SIZE : WEIGHT_SIZE)
#define VALUE_SIZE (BLOCK_KEY * VALUE_STRIDE)
#define REDUCE_SIZE (BLOCK_QUERY * REDUCE_STRIDE)
#define LOCAL_BYTES ((GROUP_SIZE + QUERY_SIZE + SHARED_SIZE + VALUE_SIZE + REDUCE_SIZE) * 16)

#endif
