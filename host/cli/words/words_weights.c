/*
 * words weights: one word looks at every sentence. Prints weights, the weighted sum, and the word nearest to it. The
 * weights and the sum are the model's; nothing is computed here.
 */
#include <inttypes.h>

#include "words/words.h"

/* Where the word stands in the sentence; after its end when it does not. */
static int64_t place_of(int64_t word, attn_word_span sentence) {
    int64_t place = 0;
    while (place < sentence.count && sentence.ids[place] != word) {
        place++;
    }
    return place;
}

static void print_weights(const attn_words *w, attn_word_span sentence) {
    const attn_word_model *model = &w->model;
    int width = attn_words_width(w, sentence);
    for (int64_t t = 0; t < sentence.count; t++) {
        fputs("     ", stdout);
        attn_words_print_padded(w->text.words[sentence.ids[t]], width);
        for (int64_t h = 0; h < model->heads; h++) {
            printf("  %.4f", (double)model->weights[h * sentence.count + t]);
        }
        fputc('\n', stdout);
    }
    fputs("   context ", stdout);
    attn_words_print_vector(model->context, model->dim, 11);
    double distance;
    int64_t nearest = attn_word_model_nearest(model, model->context, &distance);
    printf("\n   nearest  %s (distance %.4f)\n", w->text.words[nearest], distance);
}

static void json_weights(const attn_words *w, attn_word_span sentence) {
    const attn_word_model *model = &w->model;
    double distance;
    int64_t nearest = attn_word_model_nearest(model, model->context, &distance);
    fputs("\n  { \"sentence\": ", stdout);
    attn_words_json_span(w, sentence, stdout);
    fputs(", \"weights\": [", stdout);
    for (int64_t h = 0; h < model->heads; h++) {
        fputs(h > 0 ? ", " : "", stdout);
        attn_words_json_numbers(model->weights + h * sentence.count, sentence.count, stdout);
    }
    fputs("],\n    \"context\": ", stdout);
    attn_words_json_numbers(model->context, model->dim, stdout);
    fputs(", \"nearest\": ", stdout);
    attn_json_write_string(stdout, w->text.words[nearest]);
    fputs(", \"distance\": ", stdout);
    attn_json_write_number(stdout, distance, 9);
    fputs(" }", stdout);
}

static int each_sentence(attn_words *w, int64_t word, attn_error *error) {
    for (int64_t s = 0; s < w->text.sentence_count; s++) {
        attn_word_span sentence = attn_word_text_sentence(&w->text, s), row = { &word, 1 };
        if (attn_word_model_attend(&w->model, row, place_of(word, sentence), sentence, error) != ATTN_DONE) {
            return error->status;
        }
        if (w->json) {
            fputs(s > 0 ? "," : "", stdout);
            json_weights(w, sentence);
            continue;
        }
        printf("\n%" PRId64 ". ", s + 1);
        attn_words_print_span(w, sentence, stdout);
        fputc('\n', stdout);
        print_weights(w, sentence);
    }
    return ATTN_DONE;
}

static int print_all(attn_words *w, int64_t word, attn_error *error) {
    char description[1024];
    if (!w->json) {
        attn_word_model_describe(&w->model, description, sizeof description);
        printf("\"%s\": %s\n", w->text.words[word], description);
        return each_sentence(w, word, error);
    }
    fputs("{ \"word\": ", stdout);
    attn_json_write_string(stdout, w->text.words[word]);
    fputs(", ", stdout);
    attn_word_model_json(&w->model, stdout);
    fputs("\"sentences\": [", stdout);
    int status = each_sentence(w, word, error);
    fputs("\n] }\n", stdout);
    return status;
}

int attn_words_weights(attn_words *w, attn_error *error) {
    const char *argument = w->argument ? w->argument : "fox";
    int64_t word, longest = 0;
    if (w->model_path) {
        return attn_words_weights_learnt(w, error);
    }
    if (attn_words_read_text(w, error) != ATTN_DONE ||
        attn_words_find_one(w, argument, &word, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t s = 0; s < w->text.sentence_count; s++) {
        int64_t length = attn_word_text_sentence(&w->text, s).count;
        longest = length > longest ? length : longest;
    }
    if (!w->self && !w->settings.has_scale) {
        w->settings.has_scale = true;
        w->settings.scale = 1;
    }
    int status = attn_word_model_open(&w->model, &w->text, &w->settings, &w->options, 1, longest, error);
    return status == ATTN_DONE ? print_all(w, word, error) : status;
}
