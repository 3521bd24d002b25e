// What a kernel knows of one call: one plain struct of fixed-size members, passed by value, with one definition
// for host and device. The host fills it in opencl_arguments.c; 64-bit members come first, so that no compiler pads
// differently. To add a field: add it before the first 32-bit member (or keep those at an even number), and fill it
// on the host.
#ifndef ATTN_ARGUMENTS_CL_H
#define ATTN_ARGUMENTS_CL_H

#ifdef __OPENCL_VERSION__
typedef long attn_int64;
typedef int attn_int32;
#else
#include <stdint.h>
typedef int64_t attn_int64;
typedef int32_t attn_int32;
#endif

// Element (b, h, i, d) of a tensor is at offset + b * stride[0] + h * stride[1] + i * stride[2] + d * stride[3], in
// elements (bit masks: bytes). Dimensions that are broadcast have stride 0.
typedef struct attn_layout {
    attn_int64 offset;
    attn_int64 stride[4];
} attn_layout;

// Bits of attn_arguments.features: what is given besides query, key and value.
#define ATTN_HAS_MASK_BYTES 0x0001
#define ATTN_HAS_MASK_BITS 0x0002
#define ATTN_HAS_BIAS_FP32 0x0004    // bias in fp32
#define ATTN_HAS_BIAS_STORAGE 0x0008 // bias in the storage type
#define ATTN_HAS_ALIBI 0x0010
#define ATTN_HAS_SINKS 0x0020
#define ATTN_HAS_SOFTCAP 0x0040
#define ATTN_HAS_QUERY_LENGTHS 0x0080
#define ATTN_HAS_KEY_LENGTHS 0x0100
#define ATTN_HAS_BAND 0x0200 // causal or window: rows have a key range of their own
#define ATTN_HAS_LOGSUMEXP 0x0400
#define ATTN_HAS_WIDE_QUERY_LENGTHS 0x0800 // lengths and offsets are 64-bit integers, not 32-bit
#define ATTN_HAS_WIDE_KEY_LENGTHS 0x1000
#define ATTN_HAS_WIDE_OFFSETS 0x2000

// What changes a score after softcap, key by key; without these a row is a key range and nothing else.
#define ATTN_HAS_KEYWISE                                                                                               \
    (ATTN_HAS_MASK_BYTES | ATTN_HAS_MASK_BITS | ATTN_HAS_BIAS_FP32 | ATTN_HAS_BIAS_STORAGE | ATTN_HAS_ALIBI)

// Where the queries stand among the keys: attn_arguments.offset_kind.
#define ATTN_OFFSET_NUMBER 0       // attn_arguments.offset
#define ATTN_OFFSET_BOTTOM_RIGHT 1 // used key length - used query length of the entry
#define ATTN_OFFSET_ARRAY 2        // one a batch entry

// An open side of the band: further than any position is from any key, so that it is no width of a window that a row
// could distinguish from another. Offsets lie within ATTN_MOST_OFFSET on both sides; then sums of all three stay inside 64 bits.
#define ATTN_FAR ((attn_int64)1 << 62)
#define ATTN_MOST_OFFSET ((attn_int64)1 << 61)

// Stage of attn_arguments.weights_stage, numbered like clattn_weights_stage.
#define ATTN_STAGE_NONE 0
#define ATTN_STAGE_RAW 1
#define ATTN_STAGE_SOFTCAP 2
#define ATTN_STAGE_BIAS 3
#define ATTN_STAGE_SOFTMAX 4

typedef struct attn_arguments {
    attn_int64 batch, query_heads, kv_heads;
    attn_int64 group;                    // query heads a key-value head
    attn_int64 query_length, key_length; // of this call
    attn_int64 head_dim, value_dim;
    attn_int64 band_left, band_right; // i + offset - left <= j <= i + offset + right; causal is right <= 0
    attn_int64 offset;
    attn_layout query, key, value, output;
    attn_layout mask, bias; // over [batch, query_heads, query_length, key_length]
    attn_layout logsumexp;  // over [batch, query_heads, query_length]
    attn_layout weights;    // over [batch, chosen heads, chosen rows, key_length]
    attn_int64 slopes_at, sinks_at, query_lengths_at, key_lengths_at, offsets_at; // first element
    attn_int64 weights_first_head, weights_heads, weights_first_row, weights_rows;
    float scale, softcap; // softcap 0 = none
    attn_int32 features, offset_kind;
    attn_int32 weights_stage, unused;
} attn_arguments;

#endif
