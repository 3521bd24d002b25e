// Local memory of attention_backward_gpu.cl, for the kernel and for the host, which has variables of these names: OWN (lines
// of a work-group), WALK, THREADS_X, SLICE, VALUE_VECTORS. In float4: what the work-items share, logsumexp and delta of rows,
// tiles of the group's lines and of those that it walks over (later what pairs give to each other), and columns.
#ifndef ATTN_BACKWARD_LOCAL_CL_H
#define ATTN_BACKWARD_LOCAL_CL_H

// What a pass is asked for.
#define WANTS_FIRST 1  // grad_query, grad_key
#define WANTS_SECOND 2 // grad_value
#define WANTS_REPAIR 4 // lines that are not finite are flagged and left out
#define WANTS_ADD 8    // gradients are added to what is there

#define WIDTH (4 * VALUE_VECTORS * THREADS_X) // columns of a product, floats

// Lines and shares are read down a column, so they are padded.
#define LINE_STRIDE (SLICE / 4 + 1)
#define SHARE_STRIDE (WALK / 4 + 1)
#define COLUMN_STRIDE (WIDTH / 4)
#define REDUCE_STRIDE (THREADS_X / 4 + 1)

#define BLOCK_SIZE 41 // a backward_block
#define NUMBER_SIZE ((OWN > WALK ? OWN : WALK) / 2 + 1)
#define OWN_SIZE (OWN * LINE_STRIDE)
#define OTHER_SIZE (WALK * LINE_STRIDE)
#define SHARE_SIZE (OWN * SHARE_STRIDE)
#define LINES_SIZE (OWN_SIZE + OTHER_SIZE > 2 * SHARE_SIZE ? OWN_SIZE + OTHER_SIZE : 2 * SHARE_SIZE)
#define COLUMN_SIZE (WALK * COLUMN_STRIDE)
#define LOCAL_BYTES ((BLOCK_SIZE + NUMBER_SIZE + LINES_SIZE + COLUMN_SIZE) * 16)

#endif
