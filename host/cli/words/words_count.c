/*
 * words count, and how words are printed by all sub-commands. Knows nothing of attention.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "words/words.h"
#include "words/words_embedding.h"

static const char show_sentence[] = "I saw a man in the park with a telescope.";

int attn_words_cut(attn_words *w, const char *flag, const char *value, int64_t **ids, int64_t *count,
                   attn_error *error) {
    return attn_word_text_cut(&w->text, flag, value, !attn_word_vectors_are_npy(w->settings.vectors), ids, count,
                              error);
}

int attn_words_read_text(attn_words *w, attn_error *error) {
    return w->sentence ? attn_word_text_take(&w->text, "--sentence", w->sentence, error)
                       : attn_word_text_read(&w->text, w->text_path, error);
}

int attn_words_read_sentence(attn_words *w, int64_t **ids, int64_t *count, attn_error *error) {
    bool npy = attn_word_vectors_are_npy(w->settings.vectors);
    *ids = NULL;
    w->text.name = "the sentence";
    bool said = w->text_path || w->sentence;
    bool own_words = w->settings.vectors && !npy && !said; /* the file need not know the six sentences */
    if (!own_words && attn_words_read_text(w, error) != ATTN_DONE) {
        return error->status;
    }
    const char *sentence = w->argument ? w->argument : w->sentence ? w->sentence : show_sentence;
    if (attn_words_cut(w, "SENTENCE", sentence, ids, count, error) != ATTN_DONE) {
        return error->status;
    }
    return *count <= ATTN_WORDS_PICTURE_MAX ? ATTN_DONE
                                            : attn_fail(error, ATTN_USAGE, "SENTENCE: %" PRId64 " words; at most %d",
                                                        *count, ATTN_WORDS_PICTURE_MAX);
}

int attn_words_find_one(attn_words *w, const char *argument, int64_t *word, attn_error *error) {
    int64_t *ids = NULL, count = 0;
    if (attn_word_text_cut(&w->text, "WORD", argument, false, &ids, &count, error) != ATTN_DONE) {
        return error->status;
    }
    *word = ids[0];
    free(ids);
    return count == 1 ? ATTN_DONE
                      : attn_fail(error, ATTN_USAGE, "\"%s\": one word is expected, this is %" PRId64, argument, count);
}

const char *attn_words_name(const attn_words *w, int64_t word) {
    return word < w->text.word_count ? w->text.words[word] : "(the end of the sentence)";
}

void attn_words_json_name(const attn_words *w, int64_t word, FILE *file) {
    if (word < w->text.word_count) {
        attn_json_write_string(file, w->text.words[word]);
    } else {
        fputs("null", file);
    }
}

const char *attn_words_noun(const attn_words *w) {
    switch (w->text.tokens) {
        case ATTN_TOKENS_SUBWORDS: return "pieces";
        case ATTN_TOKENS_CHARACTERS: return "characters";
        default: return "words";
    }
}

void attn_words_print_span(const attn_words *w, attn_word_span span, FILE *file) {
    for (int64_t t = 0; t < span.count; t++) {
        fprintf(file, "%s%s", t > 0 ? " " : "", w->text.words[span.ids[t]]);
    }
}

char *attn_words_as_text(const attn_words *w, attn_word_span span) {
    static const char space[] = "\xe2\x96\x81"; /* U+2581 stands for one in pieces */
    bool spaces = w->text.tokens == ATTN_TOKENS_SPACE || w->text.tokens == ATTN_TOKENS_WORDS;
    bool pieces = w->text.tokens == ATTN_TOKENS_SUBWORDS;
    size_t size = 1, used = 0;
    for (int64_t t = 0; t < span.count; t++) {
        size += span.ids[t] < w->text.word_count ? strlen(w->text.words[span.ids[t]]) + 1 : 1;
    }
    char *joined = malloc(size);
    for (int64_t t = 0; t < span.count && joined; t++) { /* beyond the vocabulary lies the end of a sentence */
        const char *word = span.ids[t] < w->text.word_count ? w->text.words[span.ids[t]] : "\n";
        if (spaces && t > 0) {
            joined[used++] = ' ';
        }
        while (*word != '\0') {
            bool stands = pieces && strncmp(word, space, sizeof space - 1) == 0;
            if (!stands || used > 0) {
                joined[used++] = (char)(stands ? ' ' : *word);
            }
            word += stands ? sizeof space - 1 : 1;
        }
    }
    if (joined) {
        joined[used] = '\0';
    }
    return joined;
}

void attn_words_json_span(const attn_words *w, attn_word_span span, FILE *file) {
    fputc('[', file);
    for (int64_t t = 0; t < span.count; t++) {
        fputs(t > 0 ? ", " : "", file);
        attn_json_write_string(file, w->text.words[span.ids[t]]);
    }
    fputc(']', file);
}

void attn_words_json_numbers(const float *numbers, int64_t count, FILE *file) {
    fputc('[', file);
    for (int64_t n = 0; n < count; n++) {
        fputs(n > 0 ? ", " : "", file);
        attn_json_write_number(file, (double)numbers[n], 9);
    }
    fputc(']', file);
}

void attn_words_print_padded(const char *word, int width) {
    printf("%s%*s", word, width > attn_utf8_width(word) ? width - attn_utf8_width(word) : 0, "");
}

int attn_words_width(const attn_words *w, attn_word_span span) {
    int width = 8;
    for (int64_t t = 0; t < span.count; t++) {
        int own = attn_utf8_width(w->text.words[span.ids[t]]);
        width = own > width ? own : width;
    }
    return width < 30 ? width : 30;
}

typedef struct frequency {
    int64_t word, count;
} frequency;

static int more_often(const void *first, const void *second) {
    const frequency *a = first, *b = second;
    return a->count != b->count ? (a->count < b->count ? 1 : -1) : (a->word > b->word) - (a->word < b->word);
}

static void print_frequencies(const attn_words *w, const frequency *sorted) {
    int64_t words = w->text.word_count;
    printf("%" PRId64 " sentence%s, %" PRId64 " %s, a vocabulary of %" PRId64 "\n", w->text.sentence_count,
           w->text.sentence_count == 1 ? "" : "s", w->text.token_count, attn_words_noun(w), words);
    for (int64_t n = 0; n < words; n++) {
        printf("%6" PRId64 "  %s\n", sorted[n].count, w->text.words[sorted[n].word]);
    }
}

static void json_frequencies(const attn_words *w) {
    printf("{ \"sentences\": %" PRId64 ", \"words\": %" PRId64 ", \"vocabulary\": %" PRId64 ", \"frequencies\": [",
           w->text.sentence_count, w->text.token_count, w->text.word_count);
    for (int64_t n = 0; n < w->text.word_count; n++) {
        printf("%s\n  { \"word\": ", n > 0 ? "," : "");
        attn_json_write_string(stdout, w->text.words[n]);
        printf(", \"count\": %" PRId64 " }", w->text.counts[n]);
    }
    fputs("\n] }\n", stdout);
}

int attn_words_count(attn_words *w, attn_error *error) {
    if (attn_words_read_text(w, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->json) { /* in the vocabulary's own order */
        json_frequencies(w);
        return ATTN_DONE;
    }
    frequency *sorted = malloc((size_t)w->text.word_count * sizeof *sorted);
    if (!sorted) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int64_t n = 0; n < w->text.word_count; n++) {
        sorted[n] = (frequency){ n, w->text.counts[n] };
    }
    qsort(sorted, (size_t)w->text.word_count, sizeof *sorted, more_often);
    print_frequencies(w, sorted);
    free(sorted);
    return ATTN_DONE;
}
