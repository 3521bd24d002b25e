/*
 * Plain unfused attention of one row: float, one accumulator a sum, keys in index order, libm's exp. What the gate
 * compares errors with and what bench calls one-thread float loops.
 */
#ifndef ATTN_CLI_PLAIN_H
#define ATTN_CLI_PLAIN_H

#include "clattn/clattn.h"

/** What one row sees. Keys and values are dense float rows. */
typedef struct attn_plain {
    const float *query, *keys, *values;
    int64_t key_length, head_dim, value_dim;
    float scale, softcap;
    const float *added;           /* bias and ALiBi; NULL = none */
    const unsigned char *allowed; /* NULL = all */
    bool has_sink;
    float sink;
    bool round_weights; /* scores and weights are stored in the type below */
    clattn_type type;
} attn_plain;

/** Writes value_dim floats, not rounded to the storage type. scores: key_length floats of the caller's. */
void attn_plain_row(const attn_plain *plain, float *scores, float *output);

#endif
