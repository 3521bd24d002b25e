/*
 * words probe: looks from one word of a sentence before and after a change, and reports what moved: each weight, the context
 * vector, the word nearest to it. Weights and contexts are the model's; here are the changes and the differences.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture/chart.h"
#include "words/words.h"

/* One sentence as seen from its word `from`. */
typedef struct sentence_view {
    attn_word_span span;
    int64_t from;
    float *pattern; /* [heads, count, count] */
    float *context; /* [dim], of the word looked from */
    int64_t nearest;
    double distance;
} sentence_view;

/* A change: tokens first .. first + removed go, added come in their place. */
typedef struct word_change {
    int64_t first, removed;
    attn_word_span added;
} word_change;

typedef struct probe {
    attn_words *w;
    attn_word_span sentence;
    word_change change;
    bool one; /* the change was given; else each word in turn */
    int64_t from;
    int64_t *changed; /* ids of the changed sentence */
    sentence_view before, after;
} probe;

static void view_free(sentence_view *view) {
    free(view->pattern);
    free(view->context);
    *view = (sentence_view){ 0 };
}

static int look(attn_words *w, attn_word_span span, int64_t from, sentence_view *view, attn_error *error) {
    const attn_word_model *model = &w->model;
    size_t pattern = (size_t)(model->heads * span.count * span.count) * sizeof(float);
    size_t context = (size_t)model->dim * sizeof(float);
    view_free(view);
    *view = (sentence_view){ .span = span, .from = from, .pattern = malloc(pattern), .context = malloc(context) };
    if (!view->pattern || !view->context) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (attn_word_model_attend(&w->model, span, 0, span, error) != ATTN_DONE) {
        return error->status;
    }
    memcpy(view->pattern, model->weights, pattern);
    memcpy(view->context, model->context + from * model->dim, context);
    view->nearest = attn_word_model_nearest(model, view->context, &view->distance);
    return ATTN_DONE;
}

static float seen(const sentence_view *view, int64_t head, int64_t key) {
    return view->pattern[(head * view->span.count + view->from) * view->span.count + key];
}

/* Makes the changed sentence and looks at it. */
static int look_changed(probe *p, const word_change *c, attn_error *error) {
    int64_t rest = p->sentence.count - c->first - c->removed;
    memcpy(p->changed, p->sentence.ids, (size_t)c->first * sizeof *p->changed);
    if (c->added.count > 0) {
        memcpy(p->changed + c->first, c->added.ids, (size_t)c->added.count * sizeof *p->changed);
    }
    memcpy(p->changed + c->first + c->added.count, p->sentence.ids + c->first + c->removed,
           (size_t)rest * sizeof *p->changed);
    int64_t from = p->from < c->first ? p->from : p->from - c->removed + c->added.count;
    attn_word_span changed = { p->changed, p->sentence.count - c->removed + c->added.count };
    return look(p->w, changed, from, &p->after, error);
}

/* ------------------------------------------------------------------------------------------------ what is asked */

/* Where the words stand in the sentence, or -1. */
static int64_t find_words(attn_word_span sentence, attn_word_span words) {
    for (int64_t at = 0; at + words.count <= sentence.count; at++) {
        if (memcmp(sentence.ids + at, words.ids, (size_t)words.count * sizeof *words.ids) == 0) {
            return at;
        }
    }
    return -1;
}

/* A flag's words in the sentence, or a place given as a number. */
static int read_place(probe *p, const char *flag, const char *value, int64_t *place, int64_t *count,
                      attn_error *error) {
    int64_t *ids = NULL, number = 0;
    if (attn_words_cut(p->w, flag, value, &ids, count, error) != ATTN_DONE) {
        return error->status;
    }
    *place = find_words(p->sentence, (attn_word_span){ ids, *count });
    free(ids);
    if (*place < 0 && attn_text_integer(value, &number) == 0 && number >= 1 && number <= p->sentence.count) {
        *place = number - 1;
        *count = 1;
    }
    return *place >= 0 ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "%s \"%s\": not in the sentence", flag, value);
}

static int read_from(probe *p, attn_error *error) {
    int64_t count = 1;
    p->from = p->sentence.count - 1;
    if (!p->w->word) {
        return ATTN_DONE;
    }
    if (read_place(p, "--word", p->w->word, &p->from, &count, error) != ATTN_DONE) {
        return error->status;
    }
    return count == 1 ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "--word \"%s\": one word is expected", p->w->word);
}

static int read_change(probe *p, int64_t **added, attn_error *error) {
    const attn_words *w = p->w;
    word_change *c = &p->change;
    int64_t at = 0;
    c->first = p->sentence.count;
    if (w->remove && read_place(p, "--remove", w->remove, &c->first, &c->removed, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->remove && p->from >= c->first && p->from < c->first + c->removed) {
        return attn_fail(error, ATTN_USAGE, "--remove \"%s\": that is the word looked from; --word names another",
                         w->remove);
    }
    if (w->add && attn_words_cut(p->w, "--add", w->add, added, &c->added.count, error) != ATTN_DONE) {
        return error->status;
    }
    c->added.ids = *added;
    if (!w->at) {
        return ATTN_DONE;
    }
    if (!w->add || w->remove) {
        return attn_fail(error, ATTN_USAGE, "--at: goes with --add, without --remove");
    }
    if (attn_options_number("--at", w->at, 1, &at, error) == ATTN_DONE && at > p->sentence.count + 1) {
        attn_fail(error, ATTN_USAGE, "--at %" PRId64 ": the sentence has %" PRId64 " words", at, p->sentence.count);
    }
    c->first = at - 1;
    return error->status;
}

/* ------------------------------------------------------------------------------------------------ what is printed */

static double context_moves(const probe *p) {
    double sum = 0;
    for (int64_t d = 0; d < p->w->model.dim; d++) {
        double difference = (double)p->after.context[d] - (double)p->before.context[d];
        sum += difference * difference;
    }
    return sqrt(sum);
}

static void print_row(const probe *p, int64_t head, int64_t old_key, int64_t new_key, int width) {
    const attn_words *w = p->w;
    int64_t id = old_key >= 0 ? p->sentence.ids[old_key] : p->after.span.ids[new_key];
    double before = old_key >= 0 ? (double)seen(&p->before, head, old_key) : 0;
    double after = new_key >= 0 ? (double)seen(&p->after, head, new_key) : 0;
    fputs(new_key < 0 ? "   - " : old_key < 0 ? "   + " : old_key == p->from ? "   * " : "     ", stdout);
    attn_words_print_padded(w->text.words[id], width);
    printf(old_key >= 0 ? "  %.4f" : "       ", before);
    printf(new_key >= 0 ? "  %.4f" : "       ", after);
    printf("  %+.4f\n", after - before);
}

/* The sentence and its change side by side: what stays, what goes (-), what comes (+). */
static void print_change(const probe *p) {
    const word_change *c = &p->change;
    int width = attn_words_width(p->w, p->sentence), added = attn_words_width(p->w, c->added);
    width = added > width ? added : width;
    for (int64_t h = 0; h < p->w->model.heads; h++) {
        char title[32] = "";
        if (p->w->model.heads > 1) {
            snprintf(title, sizeof title, "head %" PRId64, h + 1);
        }
        printf("     %-*s  %-6s  %-6s  change\n", width, title, "before", "after");
        for (int64_t old = 0; old <= p->sentence.count; old++) {
            for (int64_t n = 0; old == c->first && n < c->added.count; n++) {
                print_row(p, h, -1, old + n, width);
            }
            bool goes = old >= c->first && old < c->first + c->removed;
            if (old < p->sentence.count) {
                print_row(p, h, old, goes ? -1 : old < c->first ? old : old - c->removed + c->added.count, width);
            }
        }
    }
    const char *const *words = (const char *const *)p->w->text.words;
    printf("the context vector moves by %.4f\n", context_moves(p));
    printf("the prediction %s: %s (distance %.4f), before %s (%.4f)\n",
           p->after.nearest != p->before.nearest ? "changes" : "stays", words[p->after.nearest], p->after.distance,
           words[p->before.nearest], p->before.distance);
}

static int print_each(probe *p, attn_error *error) {
    const attn_words *w = p->w;
    int width = attn_words_width(w, p->sentence);
    printf("prediction: %s (distance %.4f)\n\n%*staken away%*s  its weight  context moves  prediction\n",
           w->text.words[p->before.nearest], p->before.distance, 5, "", width > 10 ? width - 10 : 0, "");
    width = width < 10 ? 10 : width;
    for (int64_t t = 0; t < p->sentence.count; t++) {
        word_change change = { t, 1, { NULL, 0 } };
        float weight = 0;
        if (t == p->from) {
            continue;
        }
        if (look_changed(p, &change, error) != ATTN_DONE) {
            return error->status;
        }
        for (int64_t h = 0; h < w->model.heads; h++) {
            weight += seen(&p->before, h, t) / (float)w->model.heads;
        }
        printf("%3" PRId64 "  ", t + 1);
        attn_words_print_padded(w->text.words[p->sentence.ids[t]], width);
        printf("  %10.4f  %13.4f  %s%s\n", (double)weight, context_moves(p), w->text.words[p->after.nearest],
               p->after.nearest != p->before.nearest ? "  (changes)" : "");
    }
    return ATTN_DONE;
}

/* ------------------------------------------------------------------------------------------------ JSON, pictures */

static void json_view(const probe *p, const sentence_view *view) {
    const attn_words *w = p->w;
    fputs("\"sentence\": ", stdout);
    attn_words_json_span(w, view->span, stdout);
    fputs(", \"weights\": [", stdout);
    for (int64_t h = 0; h < w->model.heads; h++) {
        fputs(h > 0 ? ", " : "", stdout);
        attn_words_json_numbers(view->pattern + (h * view->span.count + view->from) * view->span.count,
                                view->span.count, stdout);
    }
    fputs("], \"context\": ", stdout);
    attn_words_json_numbers(view->context, w->model.dim, stdout);
    fputs(", \"nearest\": ", stdout);
    attn_json_write_string(stdout, w->text.words[view->nearest]);
    fputs(", \"distance\": ", stdout);
    attn_json_write_number(stdout, view->distance, 9);
}

static int json_change(probe *p, const word_change *change, const char *separator, attn_error *error) {
    if (look_changed(p, change, error) != ATTN_DONE) {
        return error->status;
    }
    printf("%s\n  { \"at\": %" PRId64 ", \"removed\": ", separator, change->first + 1);
    attn_words_json_span(p->w, (attn_word_span){ p->sentence.ids + change->first, change->removed }, stdout);
    fputs(", \"added\": ", stdout);
    attn_words_json_span(p->w, change->added, stdout);
    fputs(", \"context_moves\": ", stdout);
    attn_json_write_number(stdout, context_moves(p), 9);
    fputs(",\n    ", stdout);
    json_view(p, &p->after);
    fputs(" }", stdout);
    return ATTN_DONE;
}

static int json_probe(probe *p, attn_error *error) {
    int status = ATTN_DONE;
    fputs("{ \"word\": ", stdout);
    attn_json_write_string(stdout, p->w->text.words[p->sentence.ids[p->from]]);
    printf(", \"place\": %" PRId64 ", ", p->from + 1);
    attn_word_model_json(&p->w->model, stdout);
    fputs("\n  ", stdout);
    json_view(p, &p->before);
    fputs(",\n\"changes\": [", stdout);
    if (p->one) {
        status = json_change(p, &p->change, "", error);
    }
    const char *separator = "";
    for (int64_t t = 0; t < p->sentence.count && !p->one && status == ATTN_DONE; t++) {
        word_change change = { t, 1, { NULL, 0 } };
        if (t != p->from) {
            status = json_change(p, &change, separator, error);
            separator = ",";
        }
    }
    fputs("\n] }\n", stdout);
    return status;
}

/* Before and after side by side, head by head. */
static int plot_change(const probe *p, const char *caption, attn_error *error) {
    int64_t heads = p->w->model.heads;
    attn_word_pattern *patterns = calloc((size_t)(2 * heads), sizeof *patterns);
    char(*titles)[40] = calloc((size_t)(2 * heads), sizeof *titles);
    int status = patterns && titles ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t n = 0; n < 2 * heads && status == ATTN_DONE; n++) {
        const sentence_view *view = n % 2 == 0 ? &p->before : &p->after;
        snprintf(titles[n], sizeof titles[n], "head %" PRId64 ", %s", n / 2 + 1, n % 2 == 0 ? "before" : "after");
        patterns[n] =
            (attn_word_pattern){ titles[n], view->span, view->pattern + n / 2 * view->span.count * view->span.count };
    }
    status = status == ATTN_DONE ? attn_words_plot(p->w, patterns, 2 * heads, 2, caption, error) : status;
    free(patterns);
    free(titles);
    return status;
}

static int tell(probe *p, attn_error *error) {
    attn_words *w = p->w;
    char description[1024];
    attn_word_model_describe(&w->model, description, sizeof description);
    if (p->one && look_changed(p, &p->change, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->plot && plot_change(p, description, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->json) {
        return json_probe(p, error);
    }
    attn_words_print_span(w, p->sentence, stdout);
    if (p->one) {
        fputs("\n-> ", stdout);
        attn_words_print_span(w, p->after.span, stdout);
    }
    printf("\nlooked at from \"%s\": %s\n", w->text.words[p->sentence.ids[p->from]], description);
    if (p->one) {
        print_change(p);
        return ATTN_DONE;
    }
    return print_each(p, error);
}

static int probe_run(probe *p, int64_t **added, attn_error *error) {
    attn_words *w = p->w;
    if (read_from(p, error) != ATTN_DONE || read_change(p, added, error) != ATTN_DONE) {
        return error->status;
    }
    int64_t longest = p->sentence.count + p->change.added.count;
    if (longest > ATTN_WORDS_PICTURE_MAX) {
        return attn_fail(error, ATTN_USAGE, "--add: %" PRId64 " words; at most %d", longest, ATTN_WORDS_PICTURE_MAX);
    }
    p->one = w->add || w->remove;
    if (!p->one && p->sentence.count < 2) {
        return attn_fail(error, ATTN_USAGE, "SENTENCE: one word; there is nothing to take away");
    }
    p->changed = malloc((size_t)longest * sizeof *p->changed);
    if (!p->changed) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (attn_word_model_open(&w->model, &w->text, &w->settings, &w->options, longest, longest, error) != ATTN_DONE ||
        look(w, p->sentence, p->from, &p->before, error) != ATTN_DONE) {
        return error->status;
    }
    return tell(p, error);
}

int attn_words_probe(attn_words *w, attn_error *error) {
    probe p = { .w = w };
    int64_t *ids = NULL, *added = NULL, count = 0;
    if (w->plot && !w->add && !w->remove) {
        return attn_fail(error, ATTN_USAGE, "--plot: needs --add or --remove, the change to draw");
    }
    if (w->plot && attn_plot_check(w->plot, error) != ATTN_DONE) {
        return error->status;
    }
    int status = attn_words_read_sentence(w, &ids, &count, error);
    p.sentence = (attn_word_span){ ids, count };
    status = status == ATTN_DONE ? probe_run(&p, &added, error) : status;
    view_free(&p.before);
    view_free(&p.after);
    free(p.changed);
    free(added);
    free(ids);
    return status;
}
