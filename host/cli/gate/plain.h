/*
 * Plain unfused attention of one row: float, one accumulator a sum, keys in index order, libm's exp. What the gate
 * compares errors with and what bench calls one-thread float loops.
 */
#ifndef ATTN_CLI_GATE_PLAIN_H
#define ATTN_CLI_GATE_PLAIN_H

#include "clattn/clattn.h"

/** What is rounded between the steps, as an engine's plan says. */
typedef enum attn_plain_form {
    ATTN_PLAIN_FP32,   /* nothing */
    ATTN_PLAIN_STORED, /* scores and weights, to the storage type */
    ATTN_PLAIN_TF32,   /* weights, to TF32; query, keys and values the caller has rounded */
    ATTN_PLAIN_FORMS
} attn_plain_form;

/** What one row sees. Keys and values are dense float rows. */
typedef struct attn_plain {
    const float *query, *keys, *values;
    int64_t key_length, head_dim, value_dim;
    float scale, softcap;
    const float *added;           /* bias and ALiBi; NULL = none */
    const unsigned char *allowed; /* NULL = all */
    bool has_sink;
    float sink;
    attn_plain_form form;
    clattn_type type;  /* that of storage */
    const float *keep; /* dropout's factors; NULL = none */
} attn_plain;

/** Writes value_dim floats, not rounded to the storage type. scores: key_length floats of the caller's. */
void attn_plain_row(const attn_plain *plain, float *scores, float *output);

/** Of a backward row: what the forward made and what the loss gives; and where gradients go, dense float rows. */
typedef struct attn_plain_gradients {
    const float *output, *grad_output; /* of the row */
    float logsumexp;
    float *grad_query;              /* of the row, written */
    float *grad_keys, *grad_values; /* of the head, added to */
} attn_plain_gradients;

/** Backward of one row: five plain loops a key, nothing stored of the size of the scores. */
void attn_plain_backward_row(const attn_plain *plain, const attn_plain_gradients *g);

/** x to the nearest number with 10 bits after the point; halves to the even one. */
float attn_plain_tf32(float x);

#endif
