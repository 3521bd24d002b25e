/* Errors of the program (exit status and one readable line) and strict reading of numbers. */
#ifndef ATTN_CLI_BASE_TEXT_H
#define ATTN_CLI_BASE_TEXT_H

#include <stdio.h>

#include "clattn/clattn.h"

/** Exit status of the program. */
enum { ATTN_DONE = 0, ATTN_MISMATCH = 1, ATTN_USAGE = 2, ATTN_UNSERVED = 3 };

/** What went wrong: an exit status and what to print on stderr. */
typedef struct attn_error {
    int status;
    char text[9216];
} attn_error;

/**
 * Fills error and returns status. Bad input is reported in one line: control characters become `?`.
 * `return attn_fail(error, ATTN_USAGE, "batch=%s: not a number", value);`
 */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int attn_fail(attn_error *error, int status, const char *format, ...);

/** An answer of the library as exit status. */
int attn_exit_status(clattn_status status);

/**
 * Fails with a library status and its report, in the program's words: the first line for bad input, every line where
 * nothing can serve.
 */
int attn_fail_status(attn_error *error, clattn_status status, const clattn_report *report);

/** Reads a whole decimal integer: 0 = read, 1 = not a number, 2 = does not fit. */
int attn_text_integer(const char *text, int64_t *value);
int attn_text_unsigned(const char *text, uint64_t *value);

/** Reads a whole finite decimal number; 0 = read. */
int attn_text_number(const char *text, double *value);

/** Splits at commas into at most max parts; -1 when there are more, or one is empty or longer than 63 characters. */
int attn_text_split(const char *text, char parts[][64], int max);

/** snprintf at the end of text of that size; what does not fit is cut, which "..." at the end shows. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void attn_text_add(char *text, size_t size, const char *format, ...);

/** Copies the first `length` characters; what does not fit is cut, which "..." at the end shows. */
void attn_text_copy(char *text, size_t size, const char *from, size_t length);

/** Seconds of a steady clock. */
double attn_seconds(void);

/** "1.5 MiB" into text. */
const char *attn_text_bytes(double bytes, char text[32]);

/** "1.23 ms" into text. */
const char *attn_text_seconds(double seconds, char text[32]);

#endif
