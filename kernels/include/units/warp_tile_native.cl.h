// What the units of warp_tile_columns.cl.h need when they are real: exchange and vote of AMD's waves and Intel's
// sub-groups, the device's own powers of two (a denormal one may become 0: such a weight counts for nothing).
// Compiled, never run on a card. To add a maker: its branch.
#ifndef ATTN_WARP_TILE_NATIVE_CL_H
#define ATTN_WARP_TILE_NATIVE_CL_H

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

#define TILE_STATIC 1
#define TILE_SCRATCH_WORDS 0
#define tile_exp2(x) native_exp2(x)
#define unit_pack_half(low, high) as_uint((half2)((half)(low), (half)(high))) // to nearest, ties to even

// A register that is written here and not later: clang moves AMD's products down across barriers, to where they are
// used, but not the reads of local memory before them, so that a whole block of operands waits in registers.
#define UNIT_PIN(x) __asm__ volatile("" : "+v"(x))

#if WARP_TILE_INTEL
#define tile_any(w, x) sub_group_any(x)
#elif TILE_LANES == 64
#define unit_exchange(w, x, distance) ((uint)__builtin_amdgcn_ds_bpermute(((w)->lane ^ (distance)) * 4, (int)(x)))
#define tile_any(w, x) (__builtin_amdgcn_ballot_w64((x) != 0) != 0)
#else // distance 16 only: the same lane of the other row of 16
#define unit_exchange(w, x, distance) __builtin_amdgcn_permlanex16((x), (x), 0x76543210u, 0xfedcba98u, false, false)
#define tile_any(w, x) (__builtin_amdgcn_ballot_w32((x) != 0) != 0)
#endif

#endif
