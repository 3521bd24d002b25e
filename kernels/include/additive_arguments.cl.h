// What the kernels of additive.cl know of one call: one definition for host and device. 64-bit members come first,
// so that no compiler pads differently.
#ifndef ATTN_ADDITIVE_ARGUMENTS_CL_H
#define ATTN_ADDITIVE_ARGUMENTS_CL_H

#include "arguments.cl.h"

typedef struct additive_arguments {
    attn_int64 batch, query_length, key_length; // as the memory lies
    attn_int64 rows, keys;                      // of this call
    attn_int64 hidden, value_dim;
    attn_int64 mask_stride[3];
    attn_int32 has_mask, has_query_lengths, has_key_lengths, unused;
} additive_arguments;

#endif
