/* Parts of words train. */
#ifndef ATTN_CLI_WORDS_WORDS_TRAIN_H
#define ATTN_CLI_WORDS_WORDS_TRAIN_H

#include "words/words.h"
#include "words/words_batches.h"

/** Draws the losses so far into an .svg or .png file. */
int attn_words_plot_losses(const attn_learner *learner, const char *path, attn_error *error);

#endif
