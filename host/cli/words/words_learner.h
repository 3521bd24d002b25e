/*
 * A word model that learns: a decoder over the vocabulary of a text and the end of a sentence, and the file that holds
 * all of it: settings, vocabulary, text, parameters, the optimiser's state, the losses so far.
 */
#ifndef ATTN_CLI_WORDS_WORDS_LEARNER_H
#define ATTN_CLI_WORDS_WORDS_LEARNER_H

#include "case/session.h"
#include "clattn/clattn_learning.h"
#include "words/words_settings.h"
#include "words/words_text.h"

enum { ATTN_LEARN_EVERY = 100 }; /* steps from one look at what was held out to the next */

/** Losses, in the order in which they came. */
typedef struct attn_losses {
    float *list;
    int64_t count, capacity;
} attn_losses;

typedef struct attn_learner {
    attn_session session;
    attn_learner_settings settings;
    attn_word_text *text;     /* the vocabulary; its sentences once they were read */
    const char *path;         /* of the file, for errors */
    clattn_safetensors *file; /* that it is read from; NULL where it is new */
    clattn_decoder *decoder;
    clattn_parameters *parameters;
    clattn_optimiser *optimiser; /* of one that learns */
    clattn_plan_info info;
    int64_t words, end; /* the vocabulary's and the end of a sentence, which is the last */
    int64_t dim;
    float *start;                    /* [words, dim]: the table of embeddings before the first step */
    float *logits;                   /* [rows, words] of a forward */
    clattn_decoder_past *past;       /* of one that is asked: what it was asked last, as far as it is kept */
    int64_t *past_ids;               /* [context] */
    int64_t steps;                   /* made so far */
    attn_losses losses, validations; /* of every step; after every ATTN_LEARN_EVERY steps */
} attn_learner;

/** Opens the runtime; words takes one engine. */
int attn_learner_session(attn_learner *learner, const attn_options *options, attn_error *error);

/** Makes the decoder by the settings and text; batch: rows of a call; learn: with an optimiser. */
int attn_learner_make(attn_learner *learner, int64_t batch, bool learn, attn_error *error);

/** The model in the file at path, to be asked; its text is not read. Opens the session too. */
int attn_learner_open(attn_learner *learner, const char *path, attn_word_text *text, const attn_options *options,
                      attn_error *error);

void attn_learner_close(attn_learner *learner);

/** The rows' logits, in learner->logits. ids: [batch, context], or fewer where the batch is 1. */
int attn_learner_forward(attn_learner *learner, const int64_t *ids, int64_t count, attn_error *error);

/**
 * Of one batch: the logits behind the last word, of which the last `context` are seen. A text that goes on from the
 * last call's costs its new words alone.
 */
int attn_learner_next(attn_learner *learner, const int64_t *ids, int64_t count, const float **logits,
                      attn_error *error);

bool attn_losses_add(attn_losses *losses, double loss);

/** "2 blocks of 2 heads, vectors of 32, context 9, 27456 parameters, engine cpu" */
void attn_learner_describe(const attn_learner *learner, char *text, size_t size);

/** The same as members of a JSON object, each followed by ", ". */
void attn_learner_json(const attn_learner *learner, FILE *file);

#endif
