/*
 * What is set of a word model that learns: read from flags, kept in its file as notes, read again from there. To add a
 * setting: its name here, its row in words_settings.c, its line of help.
 */
#ifndef ATTN_CLI_WORDS_WORDS_SETTINGS_H
#define ATTN_CLI_WORDS_WORDS_SETTINGS_H

#include "base/text.h"

typedef enum attn_learn_setting {
    ATTN_LEARN_TOKENS,
    ATTN_LEARN_SENTENCES,
    ATTN_LEARN_CONTEXT, /* the most words that are looked at together; 0 = by the text */
    ATTN_LEARN_DIM,
    ATTN_LEARN_HEADS,
    ATTN_LEARN_BLOCKS,
    ATTN_LEARN_BATCH, /* sequences of a step; 0 = by the text */
    ATTN_LEARN_OPTIMISER,
    ATTN_LEARN_RATE, /* 0 = by the optimiser */
    ATTN_LEARN_SEED,
    ATTN_LEARN_VALIDATE, /* the share of the text that is not learnt */
    ATTN_LEARN_STEPS,
    ATTN_LEARN_SETTINGS
} attn_learn_setting;

/** Whole numbers, and names by their place in a list; a rate and a share are numbers. */
typedef struct attn_learner_settings {
    int64_t whole[ATTN_LEARN_SETTINGS];
    double number[ATTN_LEARN_SETTINGS];
} attn_learner_settings;

/** The defaults, and over them what texts say (NULL = nothing). */
int attn_learner_settings_read(attn_learner_settings *settings, const char *const texts[ATTN_LEARN_SETTINGS],
                               attn_error *error);

/** One setting from what its flag says; NULL = nothing, and it stays as it is. */
int attn_learner_settings_given(attn_learner_settings *settings, attn_learn_setting which, const char *text,
                                attn_error *error);

/** One setting from the text of a note of the file at path. */
int attn_learner_settings_note(attn_learner_settings *settings, attn_learn_setting which, const char *text,
                               const char *path, attn_error *error);

/** The setting as text, which attn_learner_settings_note() reads to the same bits. */
void attn_learner_settings_text(const attn_learner_settings *settings, attn_learn_setting which, char text[64]);

/** The flag, and its name without strokes, which is that of the note. */
const char *attn_learner_settings_flag(attn_learn_setting which);
const char *attn_learner_settings_name(attn_learn_setting which);

/** Refuses what texts say where the model of the file at path, which has `settings`, was begun otherwise. */
int attn_learner_settings_same(const attn_learner_settings *settings, const char *const texts[ATTN_LEARN_SETTINGS],
                               const char *path, attn_error *error);

#endif
