// Local memory of attention_fused_mma.cl, and the sizes that must divide each other, for the kernel and for the host, which
// has variables of these names: BLOCK_QUERY, BLOCK_KEY, WARPS, STAGES, DIM, QUERY_LOCAL, TILE_LANES, TILE_SCRATCH_WORDS.
// In elements of the storage type: the stages, each a block of keys and its values; queries behind them, or, until they are
// in registers, in the last part of the stages; then what each warp has for itself.
#ifndef ATTN_WARP_LOCAL_CL_H
#define ATTN_WARP_LOCAL_CL_H

#define THREADS (WARPS * TILE_LANES)
#define COPY_LANES (DIM % 64 ? 4 : 8) // work-items that copy a row
#define PASS (THREADS / COPY_LANES)   // rows that all of them copy at once

#define BLOCK_SIZE (BLOCK_KEY * DIM) // a block of keys, or of values
#define STAGE_SIZE (2 * BLOCK_SIZE)
#define QUERY_SIZE (BLOCK_QUERY * DIM)
#define QUERY_AT (QUERY_LOCAL ? STAGES * STAGE_SIZE : STAGES * STAGE_SIZE - QUERY_SIZE)
#define MEMORY_SIZE (STAGES * STAGE_SIZE + QUERY_LOCAL * QUERY_SIZE)
#define LOCAL_BYTES (MEMORY_SIZE * 2 + WARPS * TILE_SCRATCH_WORDS * 4)

#define ROWS_FAR (1 << 30) // further than any key of a call: the host sees to that

#endif
