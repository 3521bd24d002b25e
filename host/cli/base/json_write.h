/* JSON as the program writes it: always UTF-8, never a number that JSON has not. */
#ifndef ATTN_CLI_BASE_JSON_WRITE_H
#define ATTN_CLI_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** A string with its quotes. Bytes that are no UTF-8 become U+FFFD, one each. */
void attn_json_write_string(FILE *file, const char *text);

/** The same for the first `length` bytes of text. */
void attn_json_write_part(FILE *file, const char *text, size_t length);

/** A number with at most so many digits; infinities and what is no number are null. */
void attn_json_write_number(FILE *file, double value, int digits);

/** true or false. */
void attn_json_write_bool(FILE *file, bool value);

/** The parts of text between separators as a list: of strings, or of numbers. An empty text is an empty list. */
void attn_json_write_list(FILE *file, const char *text, char separator, bool numbers);

#endif
