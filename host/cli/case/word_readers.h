/* What reads the values of words. A reader takes what it must know from the word's row. Errors name word and value. */
#ifndef ATTN_CLI_CASE_WORD_READERS_H
#define ATTN_CLI_CASE_WORD_READERS_H

#include "case/case_words.h"

/** WORD=VALUE: what is expected. */
int attn_word_bad(attn_error *error, const attn_word *word, const char *value, const char *wants);

/** What the value stands for among the row's names. */
int attn_word_choose(const attn_word *word, const char *value, int *chosen, attn_error *error);

int attn_read_size(attn_case *c, const attn_word *word, const char *value, attn_error *error);   /* int64_t */
int attn_read_seed(attn_case *c, const attn_word *word, const char *value, attn_error *error);   /* uint64_t */
int attn_read_number(attn_case *c, const attn_word *word, const char *value, attn_error *error); /* double */
int attn_read_positive(attn_case *c, const attn_word *word, const char *value, attn_error *error);
int attn_read_probability(attn_case *c, const attn_word *word, const char *value, attn_error *error); /* below 1 */

/** One of the row's names: into an enum, or into a bool. */
int attn_read_named(attn_case *c, const attn_word *word, const char *value, attn_error *error);
int attn_read_switch(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** One of the row's names, or a number, which goes to `second`. */
int attn_read_align(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** LEFT,RIGHT into `member` and `second`. */
int attn_read_window(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** FIRST,COUNT into `member` and `second`. */
int attn_read_part(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/**
 * A broadcast shape into `second`. `member` becomes the value of the row's second name where the last part is that
 * name, else that of the first.
 */
int attn_read_dims(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** One number a batch entry, or `random`. */
int attn_read_lengths(attn_case *c, const attn_word *word, const char *value, attn_error *error);
int attn_read_offsets(attn_case *c, const attn_word *word, const char *value, attn_error *error);

#endif
