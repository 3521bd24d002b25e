// How keys and values lie when packed, in fp32: keys in panels of TILE_KEYS as [head_dim][key], so that a vector holds
// keys; values as rows. Per batch entry and key-value head PACK_KEYS keys; what pads is zero. Used by attention_pack.cl
// (which writes) and attention_fused_cpu.cl (which reads); the host sizes it with the same rules.
#ifndef ATTN_PACK_CL_H
#define ATTN_PACK_CL_H

#define PACK_ROUND(x, step) (((x) + (step) - 1) / (step) * (step))
#define PACK_KEYS(keys) PACK_ROUND(keys, TILE_KEYS)
#define PACK_DIMS(dims) PACK_ROUND(dims, 4)
#define PACK_COLUMNS(columns) PACK_ROUND(columns, VECTOR)

#endif
