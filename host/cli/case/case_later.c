/*
 * Readers of words that a later release will serve. When a word is served, its row in case_words.c gets a member and
 * another reader, and the reader here goes.
 */
#include "case/case_later.h"

#include <string.h>

#include "case/word_readers.h"

/* Notes the word, unless its value asks for nothing; the first one is reported. */
static int note(attn_case *c, const attn_word *word, bool asks) {
    if (asks && c->later[0] == '\0') {
        attn_text_copy(c->later, sizeof c->later, word->name, strlen(word->name));
    }
    return ATTN_DONE;
}

int attn_later_named(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int chosen = 0;
    return attn_word_choose(word, value, &chosen, error) == ATTN_DONE ? note(c, word, chosen != 0) : error->status;
}

int attn_later_size(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    int64_t size = 0;
    char wants[64];
    if (attn_text_integer(value, &size) != 0 || size < word->minimum) {
        snprintf(wants, sizeof wants, "a whole number of %s is expected",
                 word->minimum > 0 ? "at least 1" : "0 or more");
        return attn_word_bad(error, word, value, wants);
    }
    return note(c, word, size > 0);
}

int attn_later_ring(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    int64_t sizes[2] = { 0, 0 };
    int count = attn_text_split(value, parts, 2);
    for (int p = 0; p < count; p++) {
        if (attn_text_integer(parts[p], &sizes[p]) != 0 || sizes[p] < 1 - p) {
            count = -1;
        }
    }
    return count >= 1 ? note(c, word, true) : attn_word_bad(error, word, value, "C,K is expected, whole numbers");
}

int attn_later_rotary(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    char parts[2][64];
    int64_t dims = 0;
    bool right = attn_text_split(value, parts, 2) == 2 && attn_text_integer(parts[1], &dims) == 0 && dims >= 2 &&
                 dims % 2 == 0 && (strcmp(parts[0], "interleaved") == 0 || strcmp(parts[0], "halves") == 0);
    return right ? note(c, word, true)
                 : attn_word_bad(error, word, value, "interleaved,R or halves,R with an even R is expected");
}

int attn_later_base(attn_case *c, const attn_word *word, const char *value, attn_error *error) {
    double base = 0;
    return attn_text_number(value, &base) == 0 && base > 0
               ? note(c, word, true)
               : attn_word_bad(error, word, value, "a number above 0 is expected");
}
