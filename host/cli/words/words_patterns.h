/* Where each word looks in a model that has learnt: the weights of every block and head. */
#ifndef ATTN_CLI_WORDS_WORDS_PATTERNS_H
#define ATTN_CLI_WORDS_WORDS_PATTERNS_H

#include "words/words_attention.h"
#include "words/words_learner.h"

typedef struct attn_word_patterns {
    attn_learner *learner;
    clattn_block *block; /* computes every block of the model */
    attn_word_attention attention;
    float *state, *next, *normed; /* [most, dim] */
    float *kept;
    int64_t blocks, heads;
    float *weights; /* [blocks, heads, count, count] of the last call; 0 above the diagonal */
} attn_word_patterns;

/** most: words that a call will bring, at most the model's context. */
int attn_word_patterns_open(attn_word_patterns *patterns, attn_learner *learner, int64_t most, attn_error *error);
void attn_word_patterns_close(attn_word_patterns *patterns);

/** Of words that the model sees together. */
int attn_word_patterns_compute(attn_word_patterns *patterns, attn_word_span span, attn_error *error);

#endif
