// Where things are, in 64-bit elements: a tensor may be longer than 2^31 elements.
#ifndef ATTN_INDEX_CL_H
#define ATTN_INDEX_CL_H

#include "include/arguments.cl.h"

// Element (b, h, i, 0) of a tensor.
static inline long attn_row_at(const attn_layout *layout, long b, long h, long i) {
    return layout->offset + b * layout->stride[0] + h * layout->stride[1] + i * layout->stride[2];
}

// Element `at` of an array of 32-bit (wide = 0) or 64-bit integers.
static inline long attn_integer_at(__global const void *integers, int wide, long at) {
    return wide ? ((__global const long *)integers)[at] : (long)((__global const int *)integers)[at];
}

// Row b, h, i of logsumexp: one float.
#define ATTN_LOGSUMEXP_AT(a, b, h, i) attn_row_at(&(a)->logsumexp, b, h, i)

#endif
