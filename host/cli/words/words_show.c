/*
 * words show: the whole pattern of attention inside a sentence, head by head: on standard output, as JSON, as a picture.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "picture/chart.h"
#include "words/words.h"

static int json_patterns(const attn_words *w, attn_word_span span, attn_error *error) {
    const attn_word_model *model = &w->model;
    float *scores = malloc((size_t)(span.count * span.count) * sizeof *scores);
    if (!scores) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    fputs("{ \"sentence\": ", stdout);
    attn_words_json_span(w, span, stdout);
    fputs(", ", stdout);
    attn_word_model_json(model, stdout);
    fputs("\"weights\": [", stdout);
    for (int64_t r = 0; r < model->heads * span.count; r++) {
        fputs(r == 0 ? "\n  [" : r % span.count == 0 ? "],\n  [" : ",\n   ", stdout);
        attn_words_json_numbers(model->weights + r * span.count, span.count, stdout);
    }
    fputs("]\n], \"context\": [", stdout);
    for (int64_t r = 0; r < span.count; r++) {
        fputs(r > 0 ? ",\n  " : "\n  ", stdout);
        attn_words_json_numbers(model->context + r * model->dim, model->dim, stdout);
    }
    fputs("\n], \"scores\": [", stdout);
    for (int64_t h = 0; h < model->heads; h++) {
        attn_words_head_scores(model, h, span.count, scores);
        for (int64_t i = 0; i < span.count; i++) {
            fputs(i > 0 ? ",\n   " : h > 0 ? "],\n  [" : "\n  [", stdout);
            attn_words_json_numbers(scores + i * span.count, span.count, stdout);
        }
    }
    fputs("]\n] }\n", stdout);
    free(scores);
    return ATTN_DONE;
}

/* Scores, weights, context vectors, as numbers; in shades and colours the weights alone. */
static int print_steps(const attn_words *w, attn_word_span span, const attn_word_pattern *patterns, attn_error *error) {
    bool numbers = attn_words_map_has_numbers(w->map);
    if (numbers && attn_words_print_scores(w, span, error) != ATTN_DONE) {
        return error->status;
    }
    attn_words_map(w, patterns, w->model.heads);
    if (numbers) {
        attn_words_print_contexts(w, span);
    } else {
        puts("\n--map numbers prints scores and context vectors too");
    }
    return ATTN_DONE;
}

static int show_patterns(attn_words *w, attn_word_span span, attn_error *error) {
    int64_t heads = w->model.heads;
    char description[1024];
    char(*titles)[32] = malloc((size_t)heads * sizeof *titles);
    attn_word_pattern *patterns = malloc((size_t)heads * sizeof *patterns);
    int status = titles && patterns ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    attn_word_model_describe(&w->model, description, sizeof description);
    for (int64_t h = 0; h < heads && status == ATTN_DONE; h++) {
        snprintf(titles[h], sizeof titles[h], "head %" PRId64, h + 1);
        patterns[h] = (attn_word_pattern){ titles[h], span, w->model.weights + h * span.count * span.count };
    }
    if (status == ATTN_DONE && w->plot) {
        status = attn_words_plot(w, patterns, heads, (int)ceil(sqrt((double)heads)), description, error);
    }
    if (status == ATTN_DONE && w->json) {
        status = json_patterns(w, span, error);
    } else if (status == ATTN_DONE) {
        attn_words_print_span(w, span, stdout);
        printf("\n%s\n", description);
        status = print_steps(w, span, patterns, error);
    }
    free(titles);
    free(patterns);
    return status;
}

int attn_words_show(attn_words *w, attn_error *error) {
    int64_t *ids = NULL, count = 0;
    if (attn_words_map_check(w->map, error) != ATTN_DONE || (w->plot && attn_plot_check(w->plot, error) != ATTN_DONE)) {
        return error->status;
    }
    if (w->model_path) {
        return attn_words_show_learnt(w, error);
    }
    int status = attn_words_read_sentence(w, &ids, &count, error);
    attn_word_span span = { ids, count };
    status = status == ATTN_DONE
                 ? attn_word_model_open(&w->model, &w->text, &w->settings, &w->options, count, count, error)
                 : status;
    status = status == ATTN_DONE ? attn_word_model_attend(&w->model, span, 0, span, error) : status;
    status = status == ATTN_DONE ? show_patterns(w, span, error) : status;
    free(ids);
    return status;
}
