/* What the sub-commands of `clattn words` share: the flags as read, the text, the model. */
#ifndef ATTN_CLI_WORDS_WORDS_H
#define ATTN_CLI_WORDS_WORDS_H

#include "base/table.h"
#include "words/words_learner.h"
#include "words/words_model.h"

enum { ATTN_WORDS_PICTURE_MAX = 200 }; /* words of a sentence whose whole pattern is made */

/** What every flag and word said; NULL = not given. */
typedef struct attn_words {
    attn_options options;
    attn_word_settings settings;
    const char *text_path, *sentence, *tokens, *sentences, *subword_model;
    const char *map, *plot;
    const char *word, *add, *remove, *at;
    const char *model_path, *top, *prompt, *stop, *most, *temperature, *top_k;
    const char *learn[ATTN_LEARN_SETTINGS]; /* what flags say of a learner's settings */
    bool json, self, resume;
    char *argument; /* WORD or SENTENCE; NULL = not given */
    attn_word_text text;
    attn_word_model model;
    attn_learner learner;
} attn_words;

int attn_words_count(attn_words *words, attn_error *error);
int attn_words_weights(attn_words *words, attn_error *error);
int attn_words_show(attn_words *words, attn_error *error);
int attn_words_probe(attn_words *words, attn_error *error);
int attn_words_train(attn_words *words, attn_error *error);
int attn_words_predict(attn_words *words, attn_error *error);
int attn_words_generate(attn_words *words, attn_error *error);
int attn_words_neighbours(attn_words *words, attn_error *error);

/** Those two of the model of --model. */
int attn_words_weights_learnt(attn_words *words, attn_error *error);
int attn_words_show_learnt(attn_words *words, attn_error *error);

/** Prints what lies on the way to the weights of `show`, scores, and what they make, context vectors. */
void attn_words_head_scores(const attn_word_model *model, int64_t head, int64_t count, float *scores);
int attn_words_print_scores(const attn_words *words, attn_word_span span, attn_error *error);
void attn_words_print_contexts(const attn_words *words, attn_word_span span);

/** Vectors as lines of eight numbers, the later ones behind `indent` blanks. */
void attn_words_print_vector(const float *vector, int64_t count, int indent);

/** Opens the model of --model, which must be given; with `sentences` its text too. */
int attn_words_open_learner(attn_words *words, bool sentences, attn_error *error);

/** Reads what --sentence or --text says, or the six sentences. */
int attn_words_read_text(attn_words *words, attn_error *error);

/**
 * Reads the text and, after it, the sentence of the command line (or the articles'), whose words may be new where the
 * vectors are drawn or stand in a file of words.
 * @param ids malloc'ed
 */
int attn_words_read_sentence(attn_words *words, int64_t **ids, int64_t *count, attn_error *error);

/** Cuts a flag's words by the rules of that sentence. */
int attn_words_cut(attn_words *words, const char *flag, const char *value, int64_t **ids, int64_t *count,
                   attn_error *error);

/** The number of a word of the command line, which must be one word of the vocabulary. */
int attn_words_find_one(attn_words *words, const char *argument, int64_t *word, attn_error *error);

/** What a learner's word is called; the end of a sentence is one too, and null in JSON. */
const char *attn_words_name(const attn_words *words, int64_t word);
void attn_words_json_name(const attn_words *words, int64_t word, FILE *file);

/** What the text's tokens are: "words", "pieces", "characters". */
const char *attn_words_noun(const attn_words *words);

/** "The quick brown fox" */
void attn_words_print_span(const attn_words *words, attn_word_span span, FILE *file);

/** The words as they would stand in a text: with spaces between, or as pieces and characters say; malloc'ed, NULL = no
 * memory. */
char *attn_words_as_text(const attn_words *words, attn_word_span span);

/** ["The", "quick", "brown", "fox"] */
void attn_words_json_span(const attn_words *words, attn_word_span span, FILE *file);

/** [0.1, 0.2] */
void attn_words_json_numbers(const float *numbers, int64_t count, FILE *file);

/** A word and spaces up to width, on stdout. */
void attn_words_print_padded(const char *word, int width);

/** The widest word of a span, at least 8 and at most 30. */
int attn_words_width(const attn_words *words, attn_word_span span);

/* ------------------------------------------------------------------------------------------------ patterns */

/** A pattern of attention to draw: a row looks at columns, which are the same words. */
typedef struct attn_word_pattern {
    const char *title;
    attn_word_span span;
    const float *weights; /* [count, count] */
} attn_word_pattern;

/** The smallest and the largest weight of patterns, between which shades go. */
typedef struct attn_word_range {
    double lightest, darkest;
} attn_word_range;

attn_word_range attn_words_find_range(const attn_word_pattern *patterns, int64_t count);

/** 0 (lightest) to 1. */
double attn_words_shade(const attn_word_range *range, double weight);

/** Checks --map: numbers, blocks, colours; by default what standard output can show. */
int attn_words_map_check(const char *map, attn_error *error);

/** Whether patterns become plain numbers there. */
bool attn_words_map_has_numbers(const char *map);

/** Prints numbers of the words of a sentence beside each other, [count, count], under a title; -infinity is a blank place. */
void attn_words_map_numbers(const attn_words *words, const char *title, attn_word_span span, const float *numbers);

/** Prints patterns on standard output. */
void attn_words_map(const attn_words *words, const attn_word_pattern *patterns, int64_t count);

/** Draws patterns into words->plot, an .svg or .png file, so many columns of them. */
int attn_words_plot(const attn_words *words, const attn_word_pattern *patterns, int64_t count, int columns,
                    const char *caption, attn_error *error);

#endif
