/*
 * What stands before and behind the weights of `words show`: scores, which the softmax makes weights of, and the context
 * vectors that the weights make. Weights and context vectors are the engine's; fused engines hold no scores, so they are
 * computed here, for every engine alike, from query and key as attention saw them.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "words/words.h"

/* A head's scores [count, count]; -INFINITY where a row does not look. */
void attn_words_head_scores(const attn_word_model *model, int64_t head, int64_t count, float *scores) {
    int64_t dim = model->dim, own = dim / model->heads;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j < count; j++) {
            const float *query = model->attention.query + i * dim + head * own;
            const float *key = model->attention.key + j * dim + head * own;
            double sum = 0;
            for (int64_t d = 0; d < own; d++) {
                sum += (double)query[d] * (double)key[d];
            }
            bool hidden = model->attention.kind.causal && j > i;
            scores[i * count + j] = hidden ? -INFINITY : (float)(sum * model->scale);
        }
    }
}

int attn_words_print_scores(const attn_words *w, attn_word_span span, attn_error *error) {
    float *scores = malloc((size_t)(span.count * span.count) * sizeof *scores);
    if (!scores) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    puts("scores: the scaled product of the query of a row and the key of a column");
    for (int64_t h = 0; h < w->model.heads; h++) {
        char title[32];
        snprintf(title, sizeof title, "head %" PRId64, h + 1);
        attn_words_head_scores(&w->model, h, span.count, scores);
        attn_words_map_numbers(w, title, span, scores);
    }
    free(scores);
    puts("\nweights: the softmax of a row's scores;");
    return ATTN_DONE;
}

void attn_words_print_vector(const float *vector, int64_t count, int indent) {
    for (int64_t d = 0; d < count; d++) {
        if (d > 0 && d % 8 == 0) {
            printf("\n%*s", indent, "");
        }
        printf("%8.4f", (double)vector[d]);
    }
}

void attn_words_print_contexts(const attn_words *w, attn_word_span span) {
    int width = attn_words_width(w, span);
    printf("\ncontext vectors: the sum of the values, %s, by a row's weights%s\n",
           w->settings.project ? "W_value times a word's vector" : "which are the words' vectors",
           w->model.heads > 1 ? ", head by head" : "");
    for (int64_t i = 0; i < span.count; i++) {
        printf("%3" PRId64 " ", i + 1);
        attn_words_print_padded(w->text.words[span.ids[i]], width + 1);
        attn_words_print_vector(w->model.context + i * w->model.dim, w->model.dim, width + 5);
        fputc('\n', stdout);
    }
}
