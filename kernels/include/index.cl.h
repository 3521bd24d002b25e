// Where things are, in 64-bit elements: a tensor may be longer than 2^31 elements.
#ifndef ATTN_INDEX_CL_H
#define ATTN_INDEX_CL_H

#include "include/arguments.cl.h"

// Element (b, h, i, 0) of a tensor.
static inline long attn_row_at(const attn_layout *layout, long b, long h, long i) {
    return layout->offset + b * layout->stride[0] + h * layout->stride[1] + i * layout->stride[2];
}

// Where key (or value) j of a head begins, counted from its key 0. Whoever reads keys or values asks here where a block
// of them begins, and goes on from there by strides: the keys of a block lie in one run, however the runs of a cache
// lie. The host says the same in problem/key_run.h.
static inline long attn_key_offset(long stride, long j) {
    return j * stride;
}

// Element 0 of key (or value) j of key-value head g of entry b.
static inline long attn_key_at(const attn_layout *layout, long b, long g, long j) {
    return layout->offset + b * layout->stride[0] + g * layout->stride[1] + attn_key_offset(layout->stride[2], j);
}

// Element `at` of an array of 32-bit (wide = 0) or 64-bit integers.
static inline long attn_integer_at(__global const void *integers, int wide, long at) {
    return wide ? ((__global const long *)integers)[at] : (long)((__global const int *)integers)[at];
}

// Row b, h, i of logsumexp: one float.
#define ATTN_LOGSUMEXP_AT(a, b, h, i) attn_row_at(&(a)->logsumexp, b, h, i)

#endif
