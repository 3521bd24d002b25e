/*
 * Attention of some rows over others, with its weights, whatever engine serves: one that writes no weights out (the fused
 * ones never hold them) is asked with unit vectors for values; what comes out is then the weights themselves. Knows
 * nothing of words.
 */
#ifndef ATTN_CLI_WORDS_WORDS_ATTENTION_H
#define ATTN_CLI_WORDS_WORDS_ATTENTION_H

#include "case/session.h"
#include "clattn/clattn_layers.h"

/** Which attention: heads that share a vector out, over keys of the same dim. */
typedef struct attn_word_attention_kind {
    int64_t max_rows, max_keys; /* the largest a call will bring */
    int64_t dim, heads;
    double scale;
    bool causal;  /* by the places that a call says */
    bool project; /* query, key and value are projected */
} attn_word_attention_kind;

typedef struct attn_word_attention {
    clattn_runtime *runtime;
    attn_word_attention_kind kind;
    clattn_plan_info info;
    clattn_attention_layer *layer;
    clattn_plan *unit_plan;   /* for engines that write no weights */
    int64_t unit_block;       /* keys whose weights one call of it reads */
    float *query, *key;       /* as attention saw them, for the unit plan */
    float *raw;               /* weights as the layer writes them */
    float *units, *unit_rows; /* unit values; weights as outputs */
    float *weights;           /* [heads, rows, keys] of the last call */
    float *context;           /* [rows, dim] of the last call */
} attn_word_attention;

int attn_word_attention_open(attn_word_attention *attention, const attn_session *session,
                             const attn_word_attention_kind *kind, attn_error *error);
void attn_word_attention_close(attn_word_attention *attention);

/** Vectors of one call: rows, and keys, which are the memory. first: the place of the first row among the keys. */
typedef struct attn_word_attention_call {
    const float *rows, *keys;
    int64_t row_count, key_count, first;
    const clattn_attention_weights *projections; /* NULL = none */
} attn_word_attention_call;

/** Fills weights and context. */
int attn_word_attention_compute(attn_word_attention *attention, const attn_word_attention_call *call,
                                attn_error *error);

#endif
