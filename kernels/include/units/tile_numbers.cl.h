// What the host must know of the warp tiles: work-items of a warp, 32-bit words of an operand that each has, and the words
// of local memory that a warp needs for itself where a tile is made of local memory. For host and kernels.
// To add a unit: its two numbers.
#ifndef ATTN_TILE_NUMBERS_CL_H
#define ATTN_TILE_NUMBERS_CL_H

#define NVIDIA_LANES 32 // and of the portable tiles
#define MFMA_LANES 64
#define MFMA_WORDS 2
#define GFX11_LANES 32
#define GFX11_WORDS 8
#define GFX12_LANES 32
#define GFX12_WORDS 4
#define INTEL_LANES 16
#define INTEL_WORDS 8

// Words a lane keeps in local memory: a query, a key and a value tile's, or both operands of an emulated unit.
#define PORTABLE_LANE_WORDS 6
#define PORTABLE_TF32_LANE_WORDS 12
#define EMULATED_LANE_WORDS(words) (2 * (words))

#endif
