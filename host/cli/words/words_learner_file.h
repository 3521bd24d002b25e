/* The file of a word model that learns: .safetensors, with settings and vocabulary in its notes. */
#ifndef ATTN_CLI_WORDS_WORDS_LEARNER_FILE_H
#define ATTN_CLI_WORDS_WORDS_LEARNER_FILE_H

#include "words/words_learner.h"

/** Opens it; reads settings, steps and vocabulary, and looks whether the arrays are those of such a model. */
int attn_learner_file_open(attn_learner *learner, const char *path, attn_error *error);

/** The text that it learns, into learner->text. */
int attn_learner_file_text(attn_learner *learner, attn_error *error);

/** Parameters; and, of one that learns, the optimiser's state and the losses. */
int attn_learner_file_parameters(attn_learner *learner, attn_error *error);

/** Refuses, before anything is learnt, a vocabulary that no file has room for. */
int attn_learner_file_fits(const attn_learner *learner, attn_error *error);

/** Writes it, whole or not at all. */
int attn_learner_file_write(const attn_learner *learner, const char *path, attn_error *error);

#endif
