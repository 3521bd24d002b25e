/*
 * What a step of training reads: rows of words and of the words that follow them. Which rows a step has is a function
 * of the seed and the step's number, so a training that is resumed reads what it would have read.
 */
#ifndef ATTN_CLI_WORDS_WORDS_BATCHES_H
#define ATTN_CLI_WORDS_WORDS_BATCHES_H

#include "words/words_settings.h"
#include "words/words_vocabulary.h"

/** A run of the stream; each of its words has a successor there. */
typedef struct attn_piece {
    int64_t first, count;
} attn_piece;

typedef struct attn_batches {
    int64_t context, batch, seed;
    bool windows;    /* of characters: anywhere in the stream; else a sentence, or a part of a long one */
    int64_t *stream; /* the sentences, each with its end */
    int64_t stream_length;
    int64_t learnt_length; /* of it, where windows are learnt */
    attn_piece *pieces;    /* those that are learnt, then those held out; of windows beside one another */
    int64_t piece_count, learnt_count;
    int64_t *order, epoch; /* of the learnt pieces in one pass over them */
} attn_batches;

/** Fills in what settings leave to the text: context, batch, rate. end: the number of a sentence's end. */
int attn_batches_open(attn_batches *batches, const attn_word_text *text, attn_learner_settings *settings, int64_t end,
                      attn_error *error);
void attn_batches_close(attn_batches *batches);

/** The rows of a step: ids and labels [batch, context]; answers how many labels count. */
int64_t attn_batches_step(attn_batches *batches, int64_t step, int64_t *ids, int64_t *labels);

/**
 * Rows for a loss that is told: of the pieces that are learnt, or of those held out, at most `most`, spread evenly over
 * all; those from number `at` on, as many as a batch has. Rows beyond are empty; what two windows share counts once.
 * @return rows that are filled; 0 = number `at` is none
 */
int64_t attn_batches_look(const attn_batches *batches, bool held, int64_t most, int64_t at, int64_t *ids,
                          int64_t *labels);

#endif
