/*
 * What is known of one word of a problem: one row of the table in case_words.c. Readers, lists, tables, help, random
 * problems and the counts of `clattn verify` take what they need from the row.
 */
#ifndef ATTN_CLI_CASE_CASE_WORDS_H
#define ATTN_CLI_CASE_CASE_WORDS_H

#include "case/case.h"

enum { ATTN_WORD_NAMES = 4, ATTN_WORD_DRAWN = 12, ATTN_WORD_TALLIES = 4 };

typedef struct attn_word attn_word;
typedef struct attn_drawing attn_drawing;

/** Reads a value into the members that the row names. */
typedef int (*attn_word_reader)(attn_case *c, const attn_word *word, const char *value, attn_error *error);

/** A value that is a name, and what it stands for. */
typedef struct attn_word_name {
    const char *name;
    int value;
} attn_word_name;

/**
 * How random problems draw the word. Words are drawn by turns, from 1 on. Of words of one turn all chances are drawn
 * before the first value. Whatever changes an earlier turn changes every problem drawn so far: new words go last.
 */
typedef struct attn_word_draw {
    int turn;     /* 0: never drawn */
    int per_cent; /* how often; 0: no chance is drawn, `say` decides */
    void (*say)(attn_drawing *drawing, const attn_word *word);
    int second_per_cent;                 /* for `say`: how often the value has its second part */
    const char *values[ATTN_WORD_DRAWN]; /* for `say`: one of these; what stands twice comes twice as often */
} attn_word_draw;

/** What `clattn verify` counts of the word. */
typedef struct attn_word_tally {
    int place; /* in the printed line, from 1 on */
    const char *name;
    bool (*counts)(const attn_word *word, const attn_case *c, const clattn_problem *resolved, int value);
    int value; /* for `counts` */
} attn_word_tally;

struct attn_word {
    const char *name;
    attn_word_reader read;

    /* Offsets in attn_case; 0 = none. */
    size_t member; /* where the value goes */
    size_t second; /* where its second part goes; of a size, the size that it equals where it is not given; of numbers
                      by entry, the size that none of them may pass */
    size_t given;  /* a bool: the word was given */

    int64_t minimum;                       /* of a size */
    attn_word_name names[ATTN_WORD_NAMES]; /* that a value may be */
    bool needed;                           /* a problem that draws its own data is incomplete without it */
    bool drawing;                          /* only problems that draw their own data take it */
    bool whole;                            /* commas belong to the value; else a,b means two problems */
    bool by_entry;                         /* `member` is a list, one number a batch entry */
    bool column;                           /* tables show it in a column of its own */
    bool later;                            /* a later release will serve it */
    const char *form, *help;               /* the help's name=form and its lines */
    attn_word_draw draw;
    attn_word_tally tallies[ATTN_WORD_TALLIES];
};

/** Row number n; NULL after the last one. */
const attn_word *attn_word_row(int n);

/** The row of a name of `length` characters; NULL when there is none. */
const attn_word *attn_word_find(const char *name, size_t length);

/** Where an offset of the row lies in a case. */
static inline void *attn_word_at(attn_case *c, size_t offset) {
    return (char *)c + offset;
}

/** The number at an offset of the row that lies in the case's problem. */
int64_t attn_word_size(const clattn_problem *problem, size_t offset);

/** Whether the word was given; false where the row has no `given`. */
bool attn_word_given(const attn_word *word, const attn_case *c);

#endif
