/*
 * words show and words weights of a model that has learnt: the same pictures and numbers as of a drawn one, block by
 * block. A word of a decoder looks back only.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "picture/chart.h"
#include "words/words.h"
#include "words/words_choice.h"
#include "words/words_patterns.h"

/* ------------------------------------------------------------------------------------------------ show */

static void json_patterns(const attn_words *w, const attn_word_patterns *p, attn_word_span span) {
    int64_t rows = p->blocks * p->heads * span.count;
    fputs("{ \"sentence\": ", stdout);
    attn_words_json_span(w, span, stdout);
    fputs(", ", stdout);
    attn_learner_json(&w->learner, stdout);
    fputs("\"weights\": [[", stdout);
    for (int64_t r = 0; r < rows; r++) {
        bool head = r % span.count == 0, block = r % (span.count * p->heads) == 0;
        fputs(r == 0 ? "\n  [" : block ? "]\n], [\n  [" : head ? "],\n  [" : ",\n   ", stdout);
        attn_words_json_numbers(p->weights + r * span.count, span.count, stdout);
    }
    fputs("]\n]] }\n", stdout);
}

static int show_patterns(const attn_words *w, const attn_word_patterns *p, attn_word_span span, attn_error *error) {
    int64_t count = p->blocks * p->heads;
    char description[512];
    char(*titles)[64] = malloc((size_t)count * sizeof *titles);
    attn_word_pattern *patterns = malloc((size_t)count * sizeof *patterns);
    int status = titles && patterns ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    attn_learner_describe(&w->learner, description, sizeof description);
    for (int64_t n = 0; n < count && status == ATTN_DONE; n++) {
        snprintf(titles[n], sizeof titles[n], "block %" PRId64 ", head %" PRId64, n / p->heads + 1, n % p->heads + 1);
        patterns[n] = (attn_word_pattern){ titles[n], span, p->weights + n * span.count * span.count };
    }
    if (status == ATTN_DONE && w->plot) { /* a row of panels a block */
        status = attn_words_plot(w, patterns, count, (int)p->heads, description, error);
    }
    if (status == ATTN_DONE && w->json) {
        json_patterns(w, p, span);
    } else if (status == ATTN_DONE) {
        attn_words_print_span(w, span, stdout);
        printf("\n%s\n", description);
        attn_words_map(w, patterns, count);
    }
    free(titles);
    free(patterns);
    return status;
}

/* The sentence of the command line, or the first of the model's text; a part of it that the model sees at once. */
static int find_sentence(attn_words *w, int64_t **ids, int64_t *count, attn_error *error) {
    const int64_t context = w->learner.settings.whole[ATTN_LEARN_CONTEXT];
    const int64_t most = context < ATTN_WORDS_PICTURE_MAX ? context : ATTN_WORDS_PICTURE_MAX;
    if (w->argument) {
        if (attn_word_text_cut(&w->text, "SENTENCE", w->argument, false, ids, count, error) != ATTN_DONE) {
            return error->status;
        }
    } else {
        int64_t sentence = 0;
        while (attn_word_text_sentence(&w->text, sentence).count == 0) { /* there is one with words */
            sentence++;
        }
        attn_word_span first = attn_word_text_sentence(&w->text, sentence);
        *count = first.count < most ? first.count : most;
        *ids = malloc((size_t)*count * sizeof **ids);
        if (!*ids) {
            return attn_fail(error, ATTN_UNSERVED, "out of memory");
        }
        memcpy(*ids, first.ids, (size_t)*count * sizeof **ids);
    }
    if (*count > context) {
        return attn_fail(error, ATTN_USAGE, "SENTENCE: %" PRId64 " words; %s sees %" PRId64 " together", *count,
                         w->model_path, context);
    }
    return *count <= most ? ATTN_DONE
                          : attn_fail(error, ATTN_USAGE, "SENTENCE: %" PRId64 " words; at most %" PRId64, *count, most);
}

int attn_words_show_learnt(attn_words *w, attn_error *error) {
    attn_word_patterns patterns = { 0 };
    int64_t *ids = NULL, count = 0;
    int status = attn_words_open_learner(w, !w->argument, error);
    status = status == ATTN_DONE ? find_sentence(w, &ids, &count, error) : status;
    status = status == ATTN_DONE ? attn_word_patterns_open(&patterns, &w->learner, count, error) : status;
    attn_word_span span = { ids, count };
    status = status == ATTN_DONE ? attn_word_patterns_compute(&patterns, span, error) : status;
    status = status == ATTN_DONE ? show_patterns(w, &patterns, span, error) : status;
    attn_word_patterns_close(&patterns);
    free(ids);
    return status;
}

/* ------------------------------------------------------------------------------------------------ weights */

/* The word's row of head n, counted through all blocks. */
static const float *last_row(const attn_word_patterns *p, int64_t n, int64_t count) {
    return p->weights + ((n + 1) * count - 1) * count;
}

static void print_weights(const attn_words *w, const attn_word_patterns *p, attn_word_span seen,
                          const attn_choice *next) {
    int width = attn_words_width(w, seen);
    printf("     %*s", width, "");
    for (int64_t n = 0; n < p->blocks * p->heads; n++) {
        char head[48];
        snprintf(head, sizeof head, "%" PRId64 ".%" PRId64, n / p->heads + 1, n % p->heads + 1);
        printf("  %6s", head);
    }
    fputc('\n', stdout);
    for (int64_t t = 0; t < seen.count; t++) {
        fputs("     ", stdout);
        attn_words_print_padded(w->text.words[seen.ids[t]], width);
        for (int64_t n = 0; n < p->blocks * p->heads; n++) {
            printf("  %.4f", (double)last_row(p, n, seen.count)[t]);
        }
        fputc('\n', stdout);
    }
    printf("   predicted next word  %s (%.4f)\n", attn_words_name(w, next->word), next->probability);
}

static void json_weights(const attn_words *w, const attn_word_patterns *p, attn_word_span seen,
                         const attn_choice *next) {
    fputs("\n  { \"words\": ", stdout);
    attn_words_json_span(w, seen, stdout);
    fputs(", \"weights\": [[", stdout);
    for (int64_t n = 0; n < p->blocks * p->heads; n++) {
        fputs(n == 0 ? "" : n % p->heads == 0 ? "], [" : ", ", stdout);
        attn_words_json_numbers(last_row(p, n, seen.count), seen.count, stdout);
    }
    fputs("]],\n    \"next\": ", stdout);
    attn_words_json_name(w, next->word, stdout);
    fputs(", \"probability\": ", stdout);
    attn_json_write_number(stdout, next->probability, 9);
    fputs(" }", stdout);
}

/* What the model sees when it comes to the word: the sentence up to there, or all of it and the word behind. */
static attn_word_span find_seen(attn_word_span sentence, int64_t word, int64_t context, int64_t *room) {
    int64_t place = 0;
    while (place < sentence.count && sentence.ids[place] != word) {
        place++;
    }
    memcpy(room, sentence.ids, (size_t)place * sizeof *room);
    room[place] = word;
    int64_t count = place + 1 < context ? place + 1 : context;
    return (attn_word_span){ room + place + 1 - count, count };
}

static int one_sentence(attn_words *w, attn_word_patterns *p, attn_word_span seen, attn_choice *choices,
                        attn_error *error) {
    const float *logits;
    if (attn_word_patterns_compute(p, seen, error) != ATTN_DONE ||
        attn_learner_next(&w->learner, seen.ids, seen.count, &logits, error) != ATTN_DONE) {
        return error->status;
    }
    attn_choices_sort(choices, w->learner.words, logits, 1);
    (w->json ? json_weights : print_weights)(w, p, seen, choices);
    return ATTN_DONE;
}

static void print_begin(const attn_words *w, int64_t word) {
    char description[512];
    if (w->json) {
        fputs("{ \"word\": ", stdout);
        attn_json_write_string(stdout, w->text.words[word]);
        fputs(", ", stdout);
        attn_learner_json(&w->learner, stdout);
        fputs("\"sentences\": [", stdout);
        return;
    }
    attn_learner_describe(&w->learner, description, sizeof description);
    printf("\"%s\": %s\n", w->text.words[word], description);
}

static int each_sentence(attn_words *w, attn_word_patterns *p, int64_t word, attn_error *error) {
    const char *comma = "";
    int64_t *room = malloc((size_t)(w->text.token_count + 1) * sizeof *room);
    attn_choice *choices = malloc((size_t)w->learner.words * sizeof *choices);
    int status = room && choices ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t s = 0; s < w->text.sentence_count && status == ATTN_DONE; s++) {
        attn_word_span sentence = attn_word_text_sentence(&w->text, s);
        if (!w->json) {
            printf("\n%" PRId64 ". ", s + 1);
            attn_words_print_span(w, sentence, stdout);
            fputc('\n', stdout);
        }
        fputs(w->json ? comma : "", stdout);
        comma = ",";
        attn_word_span seen = find_seen(sentence, word, w->learner.settings.whole[ATTN_LEARN_CONTEXT], room);
        status = one_sentence(w, p, seen, choices, error);
    }
    free(room);
    free(choices);
    return status;
}

/* Words that the model sees together in the longest sentence, with the word behind it. */
static int64_t most_seen(const attn_words *w) {
    int64_t context = w->learner.settings.whole[ATTN_LEARN_CONTEXT], most = 1;
    for (int64_t s = 0; s < w->text.sentence_count; s++) {
        int64_t count = attn_word_text_sentence(&w->text, s).count + 1;
        most = count > most ? count : most;
    }
    return most < context ? most : context;
}

int attn_words_weights_learnt(attn_words *w, attn_error *error) {
    attn_word_patterns patterns = { 0 };
    int64_t word;
    if (attn_words_open_learner(w, true, error) != ATTN_DONE ||
        attn_words_find_one(w, w->argument ? w->argument : "fox", &word, error) != ATTN_DONE) {
        return error->status;
    }
    int status = attn_word_patterns_open(&patterns, &w->learner, most_seen(w), error);
    if (status == ATTN_DONE) {
        print_begin(w, word);
        status = each_sentence(w, &patterns, word, error);
        fputs(w->json ? "\n] }\n" : "", stdout);
    }
    attn_word_patterns_close(&patterns);
    return status;
}
