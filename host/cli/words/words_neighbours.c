/*
 * words neighbours: which vectors point where a word's does, before training and after it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "words/words.h"

typedef struct neighbour {
    int64_t word;
    double cosine;
} neighbour;

static int nearer(const void *first, const void *second) {
    const neighbour *a = first, *b = second;
    return a->cosine != b->cosine ? (a->cosine < b->cosine ? 1 : -1) : (a->word > b->word) - (a->word < b->word);
}

static double cosine(const float *a, const float *b, int64_t dim) {
    double product = 0, length_a = 0, length_b = 0;
    for (int64_t d = 0; d < dim; d++) {
        product += (double)a[d] * (double)b[d];
        length_a += (double)a[d] * (double)a[d];
        length_b += (double)b[d] * (double)b[d];
    }
    return length_a > 0 && length_b > 0 ? product / sqrt(length_a * length_b) : 0;
}

/* All other words of the vocabulary, the nearest first. */
static neighbour *find_neighbours(const attn_words *w, int64_t word, const float *table) {
    int64_t dim = w->learner.dim, count = 0;
    neighbour *list = malloc((size_t)w->text.word_count * sizeof *list);
    for (int64_t n = 0; n < w->text.word_count && list; n++) {
        if (n != word) {
            list[count++] = (neighbour){ n, cosine(table + word * dim, table + n * dim, dim) };
        }
    }
    if (list) {
        qsort(list, (size_t)count, sizeof *list, nearer);
    }
    return list;
}

static void print_neighbours(const attn_words *w, int64_t word, const neighbour *before, const neighbour *after,
                             int64_t count) {
    int width = 8;
    for (int64_t n = 0; n < count; n++) {
        int own = attn_words_width(w, (attn_word_span){ &before[n].word, 1 });
        width = own > width ? own : width;
    }
    printf("nearest to \"%s\" (cosine)\n", w->text.words[word]);
    printf("  %-*s  after %" PRId64 " steps\n", width + 9, "before training", w->learner.steps);
    for (int64_t n = 0; n < count; n++) {
        printf("  %7.4f  ", before[n].cosine);
        attn_words_print_padded(w->text.words[before[n].word], width);
        printf("  %7.4f  %s\n", after[n].cosine, w->text.words[after[n].word]);
    }
}

static void json_list(const attn_words *w, const char *name, const neighbour *list, int64_t count) {
    printf("\"%s\": [", name);
    for (int64_t n = 0; n < count; n++) {
        fputs(n > 0 ? ",\n  { \"word\": " : "\n  { \"word\": ", stdout);
        attn_json_write_string(stdout, w->text.words[list[n].word]);
        fputs(", \"cosine\": ", stdout);
        attn_json_write_number(stdout, list[n].cosine, 9);
        fputs(" }", stdout);
    }
    fputs("\n]", stdout);
}

static void json_neighbours(const attn_words *w, int64_t word, const neighbour *before, const neighbour *after,
                            int64_t count) {
    fputs("{ \"word\": ", stdout);
    attn_json_write_string(stdout, w->text.words[word]);
    fputs(", ", stdout);
    attn_learner_json(&w->learner, stdout);
    json_list(w, "before", before, count);
    fputs(", ", stdout);
    json_list(w, "after", after, count);
    fputs(" }\n", stdout);
}

static int compare(const attn_words *w, int64_t word, int64_t top, attn_error *error) {
    clattn_parameter table;
    if (clattn_parameters_get(w->learner.parameters, 0, &table) != CLATTN_OK) {
        return attn_fail(error, ATTN_UNSERVED, "the decoder has no table of embeddings");
    }
    int64_t others = w->text.word_count - 1, count = top < others ? top : others;
    neighbour *before = find_neighbours(w, word, w->learner.start), *after = find_neighbours(w, word, table.value);
    int status = before && after ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    if (status == ATTN_DONE) {
        (w->json ? json_neighbours : print_neighbours)(w, word, before, after, count);
    }
    free(before);
    free(after);
    return status;
}

int attn_words_neighbours(attn_words *w, attn_error *error) {
    int64_t top = 5, word;
    if (attn_options_number("--top", w->top, 1, &top, error) != ATTN_DONE) {
        return error->status;
    }
    if (!w->argument) {
        return attn_fail(error, ATTN_USAGE, "words neighbours: WORD is missing");
    }
    if (attn_words_open_learner(w, false, error) != ATTN_DONE ||
        attn_words_find_one(w, w->argument, &word, error) != ATTN_DONE) {
        return error->status;
    }
    return compare(w, word, top, error);
}
