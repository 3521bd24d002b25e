/*
 * How a training begins: with a text and settings, or with what a file holds of an earlier one. What cannot work is
 * refused here, before anything long.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/input_file.h"
#include "base/rows_file.h"
#include "picture/chart.h"
#include "words/words_learner_file.h"
#include "words/words_learner_names.h"
#include "words/words_train.h"

enum { MOST_BYTES = 1 << 30 }; /* of a model of sub-words */

/* --text again, of a model that has one: it must be the same. */
static int check_text(attn_words *w, attn_error *error) {
    const attn_word_text *mine = &w->text;
    attn_word_text said = { .tokens = mine->tokens, .sentences = mine->sentences, .keep_empty = mine->keep_empty };
    said.letters = mine->letters, said.subwords = mine->subwords; /* lent */
    int status = attn_word_text_read(&said, w->text_path, error);
    bool same = status == ATTN_DONE && said.token_count == mine->token_count &&
                said.sentence_count == mine->sentence_count && said.word_count == mine->word_count;
    same = same && memcmp(said.ids, mine->ids, (size_t)mine->token_count * sizeof *mine->ids) == 0 &&
           memcmp(said.ends, mine->ends, (size_t)mine->sentence_count * sizeof *mine->ends) == 0;
    for (int64_t n = 0; n < mine->word_count && same; n++) {
        same = strcmp(said.words[n], mine->words[n]) == 0;
    }
    said.letters = said.subwords = NULL;
    attn_word_text_free(&said);
    return status != ATTN_DONE ? status
           : same              ? ATTN_DONE
                  : attn_fail(error, ATTN_USAGE, "%s: not the text that %s learns", w->text_path, w->model_path);
}

static int needs_subwords(const attn_words *w, attn_error *error) {
    return w->subword_model && w->text.tokens != ATTN_TOKENS_SUBWORDS
               ? attn_fail(error, ATTN_USAGE, "--subword-model: needs --tokens subwords")
               : ATTN_DONE;
}

/* --subword-model again: the same too. */
static int check_subwords(const attn_words *w, attn_error *error) {
    char *bytes;
    int64_t size;
    if (needs_subwords(w, error) != ATTN_DONE ||
        attn_input_text(w->subword_model, MOST_BYTES, &bytes, &size, error) != ATTN_DONE) {
        return error->status;
    }
    bool same = size > 0 && size == w->text.subword_size && memcmp(bytes, w->text.subword_bytes, (size_t)size) == 0;
    free(bytes);
    return same ? ATTN_DONE
                : attn_fail(error, ATTN_USAGE, "--subword-model %s: not the one that %s was begun with",
                            w->subword_model, w->model_path);
}

static int resume(attn_words *w, attn_error *error) {
    attn_learner *l = &w->learner;
    l->text = &w->text;
    if (attn_learner_file_open(l, w->model_path, error) != ATTN_DONE ||
        attn_learner_settings_same(&l->settings, w->learn, w->model_path, error) != ATTN_DONE ||
        attn_learner_file_text(l, error) != ATTN_DONE) {
        return error->status;
    }
    w->text.keep_empty = w->text.tokens == ATTN_TOKENS_CHARACTERS;
    if ((w->subword_model && check_subwords(w, error) != ATTN_DONE) ||
        (w->text_path && check_text(w, error) != ATTN_DONE)) {
        return error->status;
    }
    if (attn_learner_settings_given(&l->settings, ATTN_LEARN_STEPS, w->learn[ATTN_LEARN_STEPS], error) != ATTN_DONE) {
        return error->status;
    }
    int64_t steps = l->settings.whole[ATTN_LEARN_STEPS];
    return steps >= l->steps ? ATTN_DONE
                             : attn_fail(error, ATTN_USAGE, "--steps %" PRId64 ": %s has made %" PRId64 " already",
                                         steps, w->model_path, l->steps);
}

static int begin_anew(attn_words *w, attn_error *error) {
    attn_learner *l = &w->learner;
    l->text = &w->text;
    l->path = w->model_path;
    if (attn_learner_settings_read(&l->settings, w->learn, error) != ATTN_DONE ||
        attn_word_text_init(&w->text, (attn_token_kind)l->settings.whole[ATTN_LEARN_TOKENS],
                            (attn_sentence_kind)l->settings.whole[ATTN_LEARN_SENTENCES], w->subword_model,
                            error) != ATTN_DONE) {
        return error->status;
    }
    if (needs_subwords(w, error) != ATTN_DONE) {
        return error->status;
    }
    w->text.keep_empty = w->text.tokens == ATTN_TOKENS_CHARACTERS;
    if (attn_word_text_read(&w->text, w->text_path, error) != ATTN_DONE) {
        return error->status;
    }
    if (w->text.token_count < 2) {
        return attn_fail(error, ATTN_USAGE, "%s: one word; there is nothing to learn from it", w->text.name);
    }
    for (int64_t k = 0; k < w->text.sentence_count; k++) { /* lengths and numbers of words are floats in the file */
        if (attn_word_text_sentence(&w->text, k).count >= ATTN_LEARNER_MOST_WORDS) {
            return attn_fail(error, ATTN_USAGE, "%s: a sentence of more than 2^24 words", w->text.name);
        }
    }
    return w->text.word_count < ATTN_LEARNER_MOST_WORDS
               ? ATTN_DONE
               : attn_fail(error, ATTN_USAGE, "%s: more than 2^24 different words", w->text.name);
}

/* A model is written under another name and renamed, so its place must be that of a file. */
static int check_place(const char *path, attn_error *error) {
    struct stat there;
    if (strcmp(path, "-") == 0) {
        return attn_fail(error, ATTN_USAGE, "--model -: a model is no stream; ./- names a file");
    }
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) {
        return attn_fail(error, ATTN_USAGE, "--model %s: is %s; a file is expected", path,
                         S_ISDIR(there.st_mode) ? "a folder" : "a device or a pipe");
    }
    return attn_output_try(path, error);
}

/* What is written may be no file that is read, nor the other one that is written. */
static int check_same_places(const attn_words *w, attn_error *error) {
    enum { WRITTEN = 2, FILES = 4 };
    const struct {
        const char *flag, *path;
    } files[FILES] = { { "--model", w->model_path },
                       { "--plot", w->plot },
                       { "--text", w->text_path },
                       { "--subword-model", w->subword_model } };
    for (int one = 0; one < WRITTEN; one++) {
        for (int other = one + 1; other < FILES; other++) {
            if (files[one].path && files[other].path && attn_output_same_place(files[one].path, files[other].path)) {
                return attn_fail(error, ATTN_USAGE, "%s %s: %s names the same file", files[one].flag, files[one].path,
                                 files[other].flag);
            }
        }
    }
    return ATTN_DONE;
}

/* What would fail after hours is tried first. */
static int check_outputs(const attn_words *w, attn_error *error) {
    if (!w->model_path) {
        return attn_fail(error, ATTN_USAGE, "words train: --model FILE is missing");
    }
    if (w->plot && attn_plot_check(w->plot, error) != ATTN_DONE) {
        return error->status;
    }
    if (check_same_places(w, error) != ATTN_DONE) {
        return error->status;
    }
    return check_place(w->model_path, error) != ATTN_DONE ? error->status : attn_output_try(w->plot, error);
}

int attn_words_train_begin(attn_words *w, attn_batches *batches, attn_error *error) {
    attn_learner *l = &w->learner;
    if (check_outputs(w, error) != ATTN_DONE || attn_learner_session(l, &w->options, error) != ATTN_DONE) {
        return error->status;
    }
    int status = w->resume ? resume(w, error) : begin_anew(w, error);
    if (status != ATTN_DONE ||
        attn_batches_open(batches, &w->text, &l->settings, w->text.word_count, error) != ATTN_DONE ||
        attn_learner_make(l, batches->batch, true, error) != ATTN_DONE) {
        return error->status;
    }
    return w->resume ? attn_learner_file_parameters(l, error) : attn_learner_file_fits(l, error);
}
