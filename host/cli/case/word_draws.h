/*
 * A problem that is being drawn at random, and what draws the value of a word. The words' rows say what is drawn, how
 * often, and in what order. The sizes are drawn together, before any word.
 */
#ifndef ATTN_CLI_CASE_WORD_DRAWS_H
#define ATTN_CLI_CASE_WORD_DRAWS_H

#include "case/case_words.h"

struct attn_drawing {
    uint64_t seed, n, next;    /* the next number drawn is a function of these alone */
    clattn_problem sizes;      /* the sizes alone, resolved */
    bool has_offsets;          /* an alignment for each entry was drawn in place of one */
    const char *words;         /* said for every problem; they go before what is drawn */
    bool has_part;             /* a part of the weights was drawn, not all of them */
    char text[ATTN_CASE_TEXT]; /* the words so far */
};

uint64_t attn_draw_below(attn_drawing *drawing, uint64_t n);
bool attn_draw_chance(attn_drawing *drawing, uint64_t per_cent);

/** Says all words: draws turn after turn, as the rows want it. */
void attn_draw_words(attn_drawing *drawing);

/* For the rows. */
void attn_say_one(attn_drawing *drawing, const attn_word *word);  /* one of the row's values */
void attn_say_size(attn_drawing *drawing, const attn_word *word); /* unless it is that of `second`, or 0 without one */
void attn_say_any_size(attn_drawing *drawing, const attn_word *word);
void attn_say_window(attn_drawing *drawing, const attn_word *word);
void attn_say_align(attn_drawing *drawing, const attn_word *word);
void attn_say_offsets(attn_drawing *drawing, const attn_word *word);
void attn_say_dims(attn_drawing *drawing, const attn_word *word);
void attn_say_weights(attn_drawing *drawing, const attn_word *word);
void attn_say_heads(attn_drawing *drawing, const attn_word *word);
void attn_say_rows(attn_drawing *drawing, const attn_word *word);
void attn_say_layout(attn_drawing *drawing, const attn_word *word);
void attn_say_tf32(attn_drawing *drawing, const attn_word *word);
void attn_say_seed(attn_drawing *drawing, const attn_word *word);
void attn_say_wide(attn_drawing *drawing, const attn_word *word);           /* where the type has 16 bits */
void attn_say_wide_gradients(attn_drawing *drawing, const attn_word *word); /* backward alone */
void attn_say_prefix(attn_drawing *drawing, const attn_word *word);         /* where there is a window */
void attn_say_add(attn_drawing *drawing, const attn_word *word);            /* where no gradient has 16 bits */

#endif
