// What training adds to a kernel's arguments: dropout and the prefix. Kernels that are built for either (-DATTN_DROPOUT=1,
// -DATTN_PREFIX=1) take it with ATTN_EXTRAS_PARAMETERS; the layouts of gradients are arguments of their own, so that all of
// a kernel's arguments stay below the 1024 bytes that every device takes. The host fills it in opencl_training.c; padding
// as in arguments.cl.h, which must be included first.
#ifndef ATTN_TRAINING_CL_H
#define ATTN_TRAINING_CL_H

// Bits of attn_training.features.
#define ATTN_HAS_DROPOUT 0x01
#define ATTN_HAS_DROPOUT_MASK 0x02 // written on request
#define ATTN_HAS_FIRST_ROWS 0x04   // one a batch entry, in place of first_row
#define ATTN_HAS_FIRST_KEYS 0x08
#define ATTN_HAS_WIDE_FIRST_ROWS 0x10 // 64-bit integers
#define ATTN_HAS_WIDE_FIRST_KEYS 0x20
#define ATTN_HAS_CAUSAL 0x40 // hides keys of the prefix too

typedef struct attn_training {
    attn_int64 prefix; // keys before this position are hidden by no window
    attn_int64 first_entry, first_head, first_row, first_key; // what dropout counts from
    attn_int64 first_rows_at, first_keys_at;                  // first element
    attn_layout dropout_mask; // bytes, over [batch, query_heads, query_length, key_length]
    attn_int32 seed_low, seed_high;
    attn_int32 threshold; // unsigned: a weight is kept when its word is at least this
    float keep;           // what a kept weight is multiplied with
    attn_int32 features, unused;
} attn_training;

#endif
