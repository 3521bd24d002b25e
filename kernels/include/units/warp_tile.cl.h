// The warp tile: what one warp (TILE_LANES work-items in step) does with tiles of TILE_ROWS x 16 numbers. A body says
// which instructions make it and which lane holds what; the kernel above knows neither. A body defines
//   TILE_LANES; TILE_ROWS (rows of queries and of accumulators); TILE_C: floats of an accumulator that a lane holds;
//   TILE_ROW_SETS: rows of a tile that a lane holds a part of; TILE_SET(n): of which of them element n is;
//   TILE_RUN: elements n, n + 1, .. (n a multiple of it) that are neighbours in a row;
//   tile_row(w) + TILE_ROW(set), tile_column(w) + TILE_COLUMN(n): where an element is (the macros: constants);
//   optionally TILE_SPREAD: so many neighbouring tiles of outputs share their columns, in turns; TILE_KERNEL: an
//   attribute of the kernel; tile_settle(c): the sum is complete, should the compiler need to know;
//   TILE_QUERY_WORDS, TILE_KEY_WORDS, TILE_VALUE_WORDS, TILE_WEIGHT_WORDS: 32-bit words of a lane's operands;
//   TILE_STATIC: 1 = the kernel declares its local memory, 0 = it is an argument; TILE_SCRATCH_WORDS: a warp's own part;
//   tile_begin(scratch): the warp_tile, with members lane and warp at least;
//   tile_load_query, _keys, _values(w, words, rows, i, d): an operand from rows in local memory, rows 16 i (queries:
//   TILE_ROWS i) and columns 16 d on; element (row, column) is at CHUNK_AT(row, column / 8) + column % 8;
//   tile_scores(w, c, query, keys): c += query . keys; tile_values(w, c, weights, values): c += weights * values;
//   tile_weights(w, words, c): an accumulator rounded to the storage type, as the operand of tile_values();
//   tile_row_max, tile_row_sum(w, x): over the lanes that share the rows of one set; the maximum ignores NaN;
//   tile_any(w, x): whether any lane says so; tile_exp2(x); tile_pack(low, high): two rounded numbers in a word;
//   TILE_HERE(x): may be left out; an int that the compiler must not compute, nor what depends on it, before this place;
//   tile_copy(to, from, ok): 16 aligned bytes from global to local memory, zeros and nothing read when not ok; there
//   after tile_commit(), tile_wait(n) (all groups of copies but the last n) and a barrier.
// To add a body: a header with these, and a line below. Compute scores transposed if that lets weights stay in place.
#ifndef ATTN_WARP_TILE_CL_H
#define ATTN_WARP_TILE_CL_H

// For functions that take tiles: only inlined do they leave them in registers.
#define TILE_INLINE static inline __attribute__((always_inline))

// Element 0 of chunk c (16 bytes) of row r in local memory. Rows lie dense; their chunks are permuted by the low bits of
// the row, in eights or (rows that are no whole eights) in fours, so that eight rows of a column lie in different banks.
#define CHUNK_AT(r, c) (((r) * CHUNKS + ((c) ^ (DIM % 64 ? (r) / 2 & 3 : (r) & 7))) * 8)

// From `at` in the tile of row 0 and column 0 to the same place of the tile of row 16 i and column 16 d.
#define CHUNK_TILE(at, i, d)                                                                                           \
    (((at) ^ ((d) % (DIM % 64 ? 2 : 4) * 16)) + (d) / (DIM % 64 ? 2 : 4) * (DIM % 64 ? 32 : 64) + (i) * 16 * DIM)

#include "include/units/tile_numbers.cl.h"
#if WARP_TILE_NVIDIA
#include "include/units/warp_tile_nvidia.cl.h"
#elif WARP_TILE_AMD_MFMA || WARP_TILE_AMD_GFX11 || WARP_TILE_AMD_GFX12 || WARP_TILE_INTEL
#include "include/units/warp_tile_columns.cl.h"
#elif TILE_EMULATED
#error "a matrix unit without a line here"
#else
#include "include/units/warp_tile_portable.cl.h"
#endif
#ifndef TILE_HERE
#define TILE_HERE(x)
#endif
#ifndef TILE_SPREAD
#define TILE_SPREAD 1
#endif
#ifndef tile_settle
#define tile_settle(c)
#endif
#ifndef TILE_KERNEL
#define TILE_KERNEL
#endif
#ifdef TILE_M16N8 // here, once: the library includes a file once a program, whichever branch it stands in
#include "include/units/warp_tile_m16n8.cl.h"
#endif

#endif
