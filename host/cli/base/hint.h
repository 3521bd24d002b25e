/* "did you mean": the known name that is nearest to a mistyped one. */
#ifndef ATTN_CLI_BASE_HINT_H
#define ATTN_CLI_BASE_HINT_H

#include <stddef.h>

enum { ATTN_HINT_MAX = 64 };

typedef struct attn_hint {
    char typed[ATTN_HINT_MAX]; /* "" = too long to be a slip */
    char text[ATTN_HINT_MAX + 32];
    int distance; /* of the nearest so far */
} attn_hint;

/** Begins with what was typed, `length` characters of it. */
void attn_hint_begin(attn_hint *hint, const char *typed, size_t length);

/** Looks at a name that would have been right. */
void attn_hint_try(attn_hint *hint, const char *name);

/** "; did you mean NAME?", or "" where nothing is near. */
const char *attn_hint_text(const attn_hint *hint);

#endif
