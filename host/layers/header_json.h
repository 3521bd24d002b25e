/* The JSON that headers of .safetensors files are made of: objects, strings, arrays of whole numbers. */
#ifndef ATTN_LAYERS_HEADER_JSON_H
#define ATTN_LAYERS_HEADER_JSON_H

#include <stdbool.h>
#include <stdint.h>

/** A place in a text that ends at `length`. The text is changed: strings are decoded in place. */
typedef struct attn_header_json {
    char *text;
    int64_t length, at;
    const char *error; /* the first thing that was wrong; NULL = nothing yet */
} attn_header_json;

/** Whether the next character, after white space, is this one; then it is taken. */
bool attn_header_take(attn_header_json *json, char c);

/** Takes the character or notes that it was expected. */
bool attn_header_expect(attn_header_json *json, char c, const char *what);

/** A string, decoded, NUL-ended, inside the text; NULL on error. */
char *attn_header_string(attn_header_json *json);

/** A whole number >= 0 that fits; -1 on error. */
int64_t attn_header_integer(attn_header_json *json);

/** `[1, 2, ...]` of at most `most` numbers; answers how many, -1 on error. */
int64_t attn_header_integers(attn_header_json *json, int64_t *numbers, int64_t most);

/** Whether nothing but white space is left. */
bool attn_header_at_end(attn_header_json *json);

#endif
