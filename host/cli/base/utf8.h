/* UTF-8: checking it, walking over it, and what the program needs to know of a character. */
#ifndef ATTN_CLI_BASE_UTF8_H
#define ATTN_CLI_BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/** Bytes of the character at text, of which there are `left`, and its number into *code; 0 when there is none. */
int attn_utf8_next(const char *text, int64_t left, uint32_t *code);

/** Writes a character, at most 4 bytes; answers how many. */
int attn_utf8_put(char *text, uint32_t code);

/** White space of Unicode. */
bool attn_utf8_is_space(uint32_t code);

/** Marks that stand on the letter before them (U+0300 to U+036F). */
bool attn_utf8_is_mark(uint32_t code);

/** Characters of a NUL-ended text, marks not counted. */
int attn_utf8_width(const char *text);

#endif
