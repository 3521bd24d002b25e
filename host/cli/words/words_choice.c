/*
 * Which word comes next. In double, and of equals the first, so that all engines choose alike.
 */
#include "words/words_choice.h"

#include <math.h>
#include <stdlib.h>

static int likelier(const void *first, const void *second) {
    const attn_choice *a = first, *b = second;
    return a->probability != b->probability ? (a->probability < b->probability ? 1 : -1)
                                            : (a->word > b->word) - (a->word < b->word);
}

void attn_choices_sort(attn_choice *choices, int64_t words, const float *logits, double temperature) {
    double most = -INFINITY, sum = 0;
    for (int64_t w = 0; w < words; w++) {
        most = fmax(most, (double)logits[w]);
    }
    for (int64_t w = 0; w < words; w++) {
        choices[w] = (attn_choice){ w, exp(((double)logits[w] - most) / temperature) };
        sum += choices[w].probability;
    }
    for (int64_t w = 0; w < words; w++) {
        choices[w].probability /= sum;
    }
    qsort(choices, (size_t)words, sizeof *choices, likelier);
}

int64_t attn_choice_best(const float *logits, int64_t words) {
    int64_t best = 0;
    for (int64_t w = 1; w < words; w++) {
        best = logits[w] > logits[best] ? w : best;
    }
    return best;
}

int64_t attn_choices_draw(const attn_choice *choices, int64_t count, double part) {
    double sum = 0, reached = 0;
    for (int64_t c = 0; c < count; c++) {
        sum += choices[c].probability;
    }
    for (int64_t c = 0; c < count; c++) {
        reached += choices[c].probability;
        if (reached > part * sum) {
            return choices[c].word;
        }
    }
    return choices[count - 1].word;
}
