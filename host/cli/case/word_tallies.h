/* When `clattn verify` counts a word; `value` is that of the row's tally. */
#ifndef ATTN_CLI_CASE_WORD_TALLIES_H
#define ATTN_CLI_CASE_WORD_TALLIES_H

#include "case/case_words.h"

/** The enum at `member` is the value; is not. */
bool attn_counts_is(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);
bool attn_counts_not(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);

/** The bool at `member`; the word was given. */
bool attn_counts_on(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);
bool attn_counts_given(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);

/** The number at `member` is above 0: of a double, of a size. */
bool attn_counts_number(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);
bool attn_counts_size(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);

/** The sizes at `member` and `second` differ. */
bool attn_counts_differs(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);

/** One of two sides is not open. */
bool attn_counts_window(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);

#endif
