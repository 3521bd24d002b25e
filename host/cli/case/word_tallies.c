/* When `clattn verify` counts a word. */
#include "case/word_tallies.h"

#include <stddef.h>

/* What a member holds: as resolved, where it is one of the problem's. */
static const void *at_member(const attn_word *word, const attn_case *c, const clattn_problem *resolved) {
    size_t inside = word->member - offsetof(attn_case, problem);
    return inside < sizeof *resolved ? (const char *)resolved + inside : (const char *)c + word->member;
}

bool attn_counts_is(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    return *(const int *)at_member(word, c, resolved) == value;
}

bool attn_counts_not(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    return !attn_counts_is(word, c, resolved, value);
}

bool attn_counts_on(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)value;
    return *(const bool *)at_member(word, c, resolved);
}

bool attn_counts_given(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)resolved;
    (void)value;
    return attn_word_given(word, c);
}

bool attn_counts_number(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)value;
    return *(const double *)at_member(word, c, resolved) > 0;
}

bool attn_counts_size(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)c;
    (void)value;
    return attn_word_size(resolved, word->member) > 0;
}

bool attn_counts_differs(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)c;
    (void)value;
    return attn_word_size(resolved, word->member) != attn_word_size(resolved, word->second);
}

bool attn_counts_window(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value) {
    (void)c;
    (void)value;
    return attn_word_size(resolved, word->member) != CLATTN_OPEN ||
           attn_word_size(resolved, word->second) != CLATTN_OPEN;
}
