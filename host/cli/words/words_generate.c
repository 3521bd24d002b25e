/*
 * words generate: a model that has learnt writes on, word by word.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "case/case_data.h"
#include "words/words.h"
#include "words/words_choice.h"

enum { DRAW_WORD = 2000 }; /* a stream of attn_draw() */
static const int64_t NO_STOP = -1;

/* A text on its way. */
typedef struct writing {
    attn_words *words;
    int64_t *ids, room, prompt, count, most; /* room: of ids; words of the prompt; so far; new ones at most */
    int64_t stop, top_k, seed;
    double temperature;
    attn_choice *choices;
    bool stopped; /* by the stop token, not for length */
} writing;

static int read_numbers(const attn_words *w, writing *t, attn_error *error) {
    t->most = 100;
    t->seed = 1;
    t->top_k = INT64_MAX;
    if (attn_options_number("--max", w->most, 0, &t->most, error) != ATTN_DONE ||
        attn_options_number("--top-k", w->top_k, 1, &t->top_k, error) != ATTN_DONE ||
        attn_options_number("--seed", w->settings.seed_text, 0, &t->seed, error) != ATTN_DONE) {
        return error->status;
    }
    if (t->most > INT32_MAX) {
        return attn_fail(error, ATTN_USAGE, "--max %s: at most 2^31 - 1", w->most);
    }
    if (w->temperature && (attn_text_number(w->temperature, &t->temperature) != 0 || t->temperature < 0)) {
        return attn_fail(error, ATTN_USAGE, "--temperature %s: a number of at least 0 is expected", w->temperature);
    }
    return ATTN_DONE;
}

static int find_stop(const attn_words *w, writing *t, attn_error *error) {
    bool lines = w->text.tokens == ATTN_TOKENS_CHARACTERS; /* what follows a line's end was learnt, too */
    t->stop = w->stop ? attn_word_text_find(&w->text, w->stop) : w->learner.end;
    if (lines && w->stop && strcmp(w->stop, "none") == 0) {
        t->stop = NO_STOP;
        return ATTN_DONE;
    }
    return t->stop >= 0
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "--stop %.200s: not in the vocabulary of %s", w->stop, w->model_path);
}

/* Without noise the likeliest, else a draw that belongs to its place in the text. */
static int64_t choose(const writing *t, const float *logits) {
    if (t->temperature == 0) {
        return attn_choice_best(logits, t->words->learner.words);
    }
    attn_choices_sort(t->choices, t->words->learner.words, logits, t->temperature);
    int64_t among = t->top_k < t->words->learner.words ? t->top_k : t->words->learner.words;
    double part = (double)(attn_draw((uint64_t)t->seed, DRAW_WORD, (uint64_t)t->count) >> 11) * 0x1p-53;
    return attn_choices_draw(t->choices, among, part);
}

/* The first word is none that the decoder could predict: it is as frequent as at the beginning of sentences. */
static int begin_sentence(writing *t, attn_error *error) {
    attn_words *w = t->words;
    float *logits = malloc((size_t)w->learner.words * sizeof *logits);
    double *counts = calloc((size_t)w->learner.words, sizeof *counts);
    if (!logits || !counts) {
        free(logits);
        free(counts);
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int64_t s = 0; s < w->text.sentence_count; s++) {
        attn_word_span sentence = attn_word_text_sentence(&w->text, s);
        counts[sentence.count > 0 ? sentence.ids[0] : w->learner.end]++;
    }
    counts[w->learner.end] = 0; /* no text begins with an empty line */
    for (int64_t n = 0; n < w->learner.words; n++) {
        logits[n] = (float)log(counts[n]);
    }
    t->ids[t->count] = choose(t, logits);
    t->count++;
    free(logits);
    free(counts);
    return ATTN_DONE;
}

/* Makes room for one more word. */
static bool grow(writing *t, attn_error *error) {
    return attn_word_text_grow((void **)&t->ids, t->count, &t->room, sizeof *t->ids) ||
           attn_fail(error, ATTN_UNSERVED, "out of memory") == ATTN_DONE;
}

static int write_on(writing *t, attn_error *error) {
    attn_words *w = t->words;
    bool lines = w->text.tokens == ATTN_TOKENS_CHARACTERS;
    if (t->count == 0 && t->most > 0 && begin_sentence(t, error) != ATTN_DONE) {
        return error->status;
    }
    while (t->count < t->prompt + t->most && attn_interrupted() == 0) {
        const float *logits;
        if (attn_learner_next(&w->learner, t->ids, t->count, &logits, error) != ATTN_DONE) {
            return error->status;
        }
        int64_t word = choose(t, logits);
        t->stopped = word == t->stop || (word == w->learner.end && !lines);
        if (t->stopped) {
            break;
        }
        if (!grow(t, error)) {
            return error->status;
        }
        t->ids[t->count++] = word;
    }
    return ATTN_DONE;
}

static int print_text(const writing *t, attn_error *error) {
    const attn_words *w = t->words;
    char *joined = attn_words_as_text(w, (attn_word_span){ t->ids, t->count });
    if (!joined) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (w->json) {
        fputs("{ \"text\": ", stdout);
        attn_json_write_string(stdout, joined);
        printf(", \"prompt_tokens\": %" PRId64 ", \"new_tokens\": %" PRId64 ", \"stopped\": %s, ", t->prompt,
               t->count - t->prompt, t->stopped ? "true" : "false");
        attn_learner_json(&w->learner, stdout);
        fputs("\"draws\": { \"temperature\": ", stdout);
        attn_json_write_number(stdout, t->temperature, 9);
        printf(", \"top_k\": %" PRId64 ", \"seed\": %" PRId64 ", \"max\": %" PRId64 " } }\n",
               t->top_k < w->learner.words ? t->top_k : w->learner.words, t->seed, t->most);
    } else {
        printf("%s\n", joined);
    }
    free(joined);
    return attn_interrupted() != 0 ? attn_interrupt_fail(error, "the text ends here") : ATTN_DONE;
}

static int make_room(writing *t, const int64_t *prompt, attn_error *error) {
    t->room = t->prompt + 1;
    t->ids = malloc((size_t)t->room * sizeof *t->ids);
    t->choices = malloc((size_t)t->words->learner.words * sizeof *t->choices);
    if (!t->ids || !t->choices) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    if (t->prompt > 0) {
        memcpy(t->ids, prompt, (size_t)t->prompt * sizeof *t->ids);
    }
    t->count = t->prompt;
    return ATTN_DONE;
}

int attn_words_generate(attn_words *w, attn_error *error) {
    writing t = { .words = w };
    int64_t *prompt = NULL;
    if (read_numbers(w, &t, error) != ATTN_DONE || attn_words_open_learner(w, !w->prompt, error) != ATTN_DONE ||
        find_stop(w, &t, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->prompt &&
        attn_word_text_cut(&w->text, "--prompt", w->prompt, false, &prompt, &t.prompt, error) != ATTN_DONE) {
        return error->status;
    }
    attn_interrupt_watch();
    int status = make_room(&t, prompt, error);
    status = status == ATTN_DONE ? write_on(&t, error) : status;
    status = status == ATTN_DONE ? print_text(&t, error) : status;
    free(prompt);
    free(t.ids);
    free(t.choices);
    return status;
}
