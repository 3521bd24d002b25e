/*
 * Readers of words that a later release will serve. They read as strictly as others, so that such a word is refused by
 * name; a value that asks for nothing (packed=no) is served. They write no member.
 */
#ifndef ATTN_CLI_CASE_CASE_LATER_H
#define ATTN_CLI_CASE_CASE_LATER_H

#include "case/case_words.h"

/** One of the row's names; those of value 0 ask for nothing. */
int attn_later_named(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** A whole number of at least the row's minimum; 0 asks for nothing. */
int attn_later_size(attn_case *c, const attn_word *word, const char *value, attn_error *error);

int attn_later_ring(attn_case *c, const attn_word *word, const char *value, attn_error *error);
int attn_later_rotary(attn_case *c, const attn_word *word, const char *value, attn_error *error);
int attn_later_base(attn_case *c, const attn_word *word, const char *value, attn_error *error);

#endif
