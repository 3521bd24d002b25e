/* The problems of a command that was given only some of their words. */
#ifndef ATTN_CLI_CASE_CASE_DEFAULT_H
#define ATTN_CLI_CASE_CASE_DEFAULT_H

#include "case/case.h"
#include "case/options.h"

/** Joins the words of a command line to one line, so that a whole line may also be one argument. */
int attn_words_join(const attn_options *options, char line[ATTN_CASE_TEXT], attn_error *error);

/**
 * Adds the cases of a line. A line that gives query_length and head_dim stands for itself. One that gives less takes
 * every word that it does not give from the default line. An empty line is the default line.
 */
int attn_cases_default(attn_cases *cases, const char *line, const char *default_line, attn_error *error);

/** Whether the line has a word of that name. */
bool attn_line_gives(const char *line, const char *name, size_t length);

/** What the line gives the word, up to the next blank or the end; NULL = nothing. */
const char *attn_line_value(const char *line, const char *name, size_t length);

/** Whether the line gives all words that a problem needs. */
bool attn_line_gives_enough(const char *line);

#endif
