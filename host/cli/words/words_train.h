/* Parts of words train. */
#ifndef ATTN_CLI_WORDS_WORDS_TRAIN_H
#define ATTN_CLI_WORDS_WORDS_TRAIN_H

#include "words/words.h"
#include "words/words_batches.h"

/** Makes words->learner ready, a new one or that of a file, and what its steps read. */
int attn_words_train_begin(attn_words *words, attn_batches *batches, attn_error *error);

/** Draws the losses so far into an .svg or .png file. */
int attn_words_plot_losses(const attn_learner *learner, const char *path, attn_error *error);

#endif
