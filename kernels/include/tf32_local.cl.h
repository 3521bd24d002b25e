// Local memory of attention_fused_tf32.cl, and the sizes that must divide each other, for the kernel and for the host, which
// has variables of these names: BLOCK_QUERY, BLOCK_KEY, WARPS, STAGES, DIM, SPLIT, TILE_SCRATCH_WORDS.
// In floats: the stages of keys, then those of values; scores that warps exchange; what each warp has for itself.
#ifndef ATTN_TF32_LOCAL_CL_H
#define ATTN_TF32_LOCAL_CL_H

#define THREADS (WARPS * 32)
#define CHUNKS (DIM / 4)        // a chunk is 16 bytes of a row
#define PASS (THREADS / CHUNKS) // rows that all work-items copy at once
#define CHAIN (BLOCK_KEY < 32 ? BLOCK_KEY / 8 : 4) // steps of 8 keys that one sum of a matrix unit takes

#define BLOCK_SIZE (BLOCK_KEY * DIM)
#define SHARED_SIZE (SPLIT > 1 ? SPLIT * BLOCK_QUERY * BLOCK_KEY : 0)
#define MEMORY_SIZE (2 * STAGES * BLOCK_SIZE + SHARED_SIZE)
#define LOCAL_BYTES (MEMORY_SIZE * 4 + WARPS * TILE_SCRATCH_WORDS * 4)

#endif
