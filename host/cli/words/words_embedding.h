/* Where a word model's vectors come from: a seed, word vectors as text, or an array in the vocabulary's order. */
#ifndef ATTN_CLI_WORDS_WORDS_EMBEDDING_H
#define ATTN_CLI_WORDS_WORDS_EMBEDDING_H

#include "words/words_model.h"

/** Whether a path (or NULL) names an array in the vocabulary's order, not a file of words and vectors. */
bool attn_word_vectors_are_npy(const char *path);

/** Reads embeddings by the settings: dim, seed, table. */
int attn_word_model_embed(attn_word_model *model, attn_error *error);

#endif
