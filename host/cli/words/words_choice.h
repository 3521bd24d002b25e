/* Words by their probability, and a choice among them. */
#ifndef ATTN_CLI_WORDS_WORDS_CHOICE_H
#define ATTN_CLI_WORDS_WORDS_CHOICE_H

#include <stdint.h>

typedef struct attn_choice {
    int64_t word;
    double probability;
} attn_choice;

/** All words, the likeliest first, of equals the first: softmax of logits / temperature (> 0). */
void attn_choices_sort(attn_choice *choices, int64_t words, const float *logits, double temperature);

/** The likeliest word, of equals the first. */
int64_t attn_choice_best(const float *logits, int64_t words);

/** Draws one of the first count; part: 0 <= part < 1. */
int64_t attn_choices_draw(const attn_choice *choices, int64_t count, double part);

#endif
