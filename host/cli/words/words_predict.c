/*
 * words predict: what a model that has learnt expects after a text.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "words/words.h"
#include "words/words_choice.h"
#include "words/words_learner_file.h"

int attn_words_open_learner(attn_words *w, bool sentences, attn_error *error) {
    if (!w->model_path) {
        return attn_fail(error, ATTN_USAGE, "--model FILE is missing; `clattn words train` writes one");
    }
    int status = attn_learner_open(&w->learner, w->model_path, &w->text, &w->options, error);
    return status == ATTN_DONE && sentences ? attn_learner_file_text(&w->learner, error) : status;
}

static void print_predictions(const attn_words *w, attn_word_span text, const attn_choice *choices, int64_t count) {
    char *joined = attn_words_as_text(w, text);
    printf("%s\npredicted next word: ", joined ? joined : "");
    free(joined);
    for (int64_t c = 0; c < count; c++) {
        if (c == 0) {
            printf("%s\n", attn_words_name(w, choices[c].word));
        }
        printf("%9.4f  %s\n", choices[c].probability, attn_words_name(w, choices[c].word));
    }
}

static void json_predictions(const attn_words *w, attn_word_span text, const attn_choice *choices, int64_t count) {
    fputs("{ \"text\": ", stdout);
    attn_words_json_span(w, text, stdout);
    fputs(", ", stdout);
    attn_learner_json(&w->learner, stdout);
    fputs("\"predictions\": [", stdout);
    for (int64_t c = 0; c < count; c++) {
        fputs(c > 0 ? ",\n  { \"word\": " : "\n  { \"word\": ", stdout);
        attn_words_json_name(w, choices[c].word, stdout);
        fputs(", \"probability\": ", stdout);
        attn_json_write_number(stdout, choices[c].probability, 9);
        fputs(" }", stdout);
    }
    fputs("\n] }\n", stdout);
}

static int predict(attn_words *w, attn_word_span text, int64_t top, attn_error *error) {
    const float *logits;
    int64_t words = w->learner.words;
    attn_choice *choices = malloc((size_t)words * sizeof *choices);
    int status = choices ? attn_learner_next(&w->learner, text.ids, text.count, &logits, error)
                         : attn_fail(error, ATTN_UNSERVED, "out of memory");
    if (status == ATTN_DONE) {
        attn_choices_sort(choices, words, logits, 1);
        (w->json ? json_predictions : print_predictions)(w, text, choices, top < words ? top : words);
    }
    free(choices);
    return status;
}

int attn_words_predict(attn_words *w, attn_error *error) {
    int64_t top = 5, *ids = NULL, count = 0;
    if (attn_options_number("--top", w->top, 1, &top, error) != ATTN_DONE) {
        return error->status;
    }
    if (!w->argument) {
        return attn_fail(error, ATTN_USAGE, "words predict: TEXT is missing");
    }
    if (attn_words_open_learner(w, false, error) != ATTN_DONE ||
        attn_word_text_cut(&w->text, "TEXT", w->argument, false, &ids, &count, error) != ATTN_DONE) {
        return error->status;
    }
    int status = predict(w, (attn_word_span){ ids, count }, top, error);
    free(ids);
    return status;
}
