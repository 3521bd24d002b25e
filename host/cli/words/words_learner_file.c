/*
 * A word model that learns, read from its file. Everything is checked against the file before memory is taken for it:
 * the file may be cut off, or be somebody else's.
 */
#include "words/words_learner_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "words/words_learner_names.h"

/* Why the library would not read it, with the file's name before it. */
static int refuse(const attn_learner *l, clattn_status status, const clattn_report *report, attn_error *error) {
    if (attn_exit_status(status) != ATTN_USAGE) {
        return attn_fail_status(error, status, report);
    }
    return attn_fail(error, ATTN_USAGE, "%s: %.*s", l->path, (int)strcspn(report->text, "\n"),
                     report->length > 0 ? report->text : clattn_status_message(status));
}

static int not_a_model(const attn_learner *l, const char *why, attn_error *error) {
    return attn_fail(error, ATTN_USAGE, "%s: no model of clattn words train: %s", l->path, why);
}

/* ------------------------------------------------------------------------------------------------ notes */

static int read_settings(attn_learner *l, attn_error *error) {
    const char *format = clattn_safetensors_get_note(l->file, ATTN_NOTE_FORMAT);
    if (!format || strcmp(format, ATTN_LEARNER_FORMAT) != 0) {
        return not_a_model(l, format ? "of another version" : "its notes do not say so", error);
    }
    for (int k = 0; k < ATTN_LEARN_SETTINGS; k++) {
        const char *text = clattn_safetensors_get_note(l->file, attn_learner_settings_name((attn_learn_setting)k));
        if (!text) {
            return not_a_model(l, attn_learner_settings_name((attn_learn_setting)k), error);
        }
        if (attn_learner_settings_note(&l->settings, (attn_learn_setting)k, text, l->path, error) != ATTN_DONE) {
            return error->status;
        }
    }
    const char *steps = clattn_safetensors_get_note(l->file, ATTN_NOTE_STEPS);
    if (!steps || attn_text_integer(steps, &l->steps) != 0 || l->steps < 0 || l->steps > INT64_C(1) << 40) {
        return not_a_model(l, ATTN_NOTE_STEPS, error);
    }
    return l->settings.whole[ATTN_LEARN_DIM] % l->settings.whole[ATTN_LEARN_HEADS] == 0
               ? ATTN_DONE
               : not_a_model(l, "dim, heads", error);
}

/* Words stand in lines; a backslash before n stands for a line break, before a backslash for itself. */
static int read_vocabulary(attn_learner *l, attn_error *error) {
    const char *note = clattn_safetensors_get_note(l->file, ATTN_NOTE_VOCABULARY);
    int64_t length = note ? (int64_t)strlen(note) : 0, used = 0;
    char name[600];
    snprintf(name, sizeof name, "%.500s: " ATTN_NOTE_VOCABULARY, l->path);
    if (attn_word_text_check(name, note ? note : "", length, error) != ATTN_DONE) { /* its words are printed */
        return error->status;
    }
    char *word = malloc((size_t)length + 1);
    if (!word) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    l->text->use = ATTN_TOKEN_LEARN;
    for (int64_t at = 0; at < length && error->status == ATTN_DONE; at++) {
        if (note[at] == '\n') {
            (void)attn_word_text_token(l->text, word, used, error);
            used = 0;
        } else if (note[at] == '\\') {
            at++; /* the NUL at the end is no letter that stands for one */
            word[used++] = note[at] == 'n' ? '\n' : '\\';
        } else {
            word[used++] = note[at];
        }
    }
    free(word);
    bool once = l->text->token_count == l->text->word_count; /* no word twice */
    l->text->token_count = 0;
    return error->status != ATTN_DONE                       ? error->status
           : used > 0 || !once || l->text->word_count < 1   ? not_a_model(l, ATTN_NOTE_VOCABULARY, error)
           : l->text->word_count >= ATTN_LEARNER_MOST_WORDS ? not_a_model(l, "too many words", error)
                                                            : ATTN_DONE;
}

/* ------------------------------------------------------------------------------------------------ arrays */

/* An array of one dimension, malloc'ed. */
static int read_list(attn_learner *l, const char *name, float **list, int64_t *count, attn_error *error) {
    clattn_report report = { 0 };
    clattn_safetensors_entry entry;
    int64_t index = clattn_safetensors_find(l->file, name);
    *list = NULL;
    *count = 0;
    if (index < 0 || clattn_safetensors_get_entry(l->file, index, &entry) != CLATTN_OK || entry.dimensions != 1 ||
        strcmp(entry.dtype, "F32") != 0) {
        return not_a_model(l, name, error);
    }
    *list = malloc((size_t)entry.count * sizeof **list + 1);
    if (!*list) {
        return attn_fail(error, ATTN_UNSERVED, "%s: no memory to read it", l->path);
    }
    *count = entry.count;
    clattn_status status = clattn_safetensors_read(l->file, name, entry.count, *list, &report);
    return status == CLATTN_OK ? ATTN_DONE : refuse(l, status, &report, error);
}

/* Whole numbers from 0 to below `limit`. */
static int read_wholes(attn_learner *l, const char *name, int64_t limit, int64_t **wholes, int64_t *count,
                       attn_error *error) {
    float *list;
    int status = read_list(l, name, &list, count, error);
    *wholes = status == ATTN_DONE ? malloc((size_t)*count * sizeof **wholes + 1) : NULL;
    if (status == ATTN_DONE && !*wholes) {
        status = attn_fail(error, ATTN_UNSERVED, "%s: no memory to read it", l->path);
    }
    for (int64_t k = 0; k < *count && status == ATTN_DONE; k++) {
        bool whole = list[k] >= 0 && (double)list[k] < (double)limit && (float)(int64_t)list[k] == list[k];
        if (!whole) {
            status = not_a_model(l, name, error);
            break;
        }
        (*wholes)[k] = (int64_t)list[k];
    }
    free(list);
    return status;
}

static int read_subwords(attn_learner *l, char **bytes, int64_t *size, attn_error *error) {
    int64_t *wholes;
    *bytes = NULL;
    *size = 0;
    if (l->settings.whole[ATTN_LEARN_TOKENS] != ATTN_TOKENS_SUBWORDS) {
        return ATTN_DONE;
    }
    int status = read_wholes(l, ATTN_ARRAY_SUBWORDS, 256, &wholes, size, error);
    *bytes = status == ATTN_DONE ? malloc((size_t)*size + 1) : NULL;
    for (int64_t k = 0; k < *size && *bytes; k++) {
        (*bytes)[k] = (char)(unsigned char)wholes[k];
    }
    free(wholes);
    return status == ATTN_DONE && !*bytes ? attn_fail(error, ATTN_UNSERVED, "out of memory") : status;
}

/* One array of the decoder; columns 0: it has one dimension. Of no other type, or its bytes would not tell its size. */
static int check_array(const attn_learner *l, const char *prefix, const char *name, int64_t rows, int64_t columns,
                       attn_error *error) {
    clattn_safetensors_entry entry;
    char whole[80], why[160];
    const int64_t dimensions = columns > 0 ? 2 : 1;
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    int64_t index = clattn_safetensors_find(l->file, whole);
    bool same = index >= 0 && clattn_safetensors_get_entry(l->file, index, &entry) == CLATTN_OK &&
                strcmp(entry.dtype, "F32") == 0 && entry.dimensions == dimensions && entry.shape[0] == rows &&
                (columns == 0 || entry.shape[1] == columns);
    snprintf(why, sizeof why, "%s: not as its notes say", whole);
    return same ? ATTN_DONE : not_a_model(l, why, error);
}

static int check_block(const attn_learner *l, int64_t block, attn_error *error) {
    const int64_t dim = l->settings.whole[ATTN_LEARN_DIM], wide = 4 * dim;
    const struct {
        const char *name;
        int64_t rows, columns;
    } arrays[] = { { "norm1.gain", dim, 0 },
                   { "norm1.bias", dim, 0 },
                   { "attention.query.weight", dim, dim },
                   { "attention.query.bias", dim, 0 },
                   { "attention.key.weight", dim, dim },
                   { "attention.key.bias", dim, 0 },
                   { "attention.value.weight", dim, dim },
                   { "attention.value.bias", dim, 0 },
                   { "attention.output.weight", dim, dim },
                   { "attention.output.bias", dim, 0 },
                   { "norm2.gain", dim, 0 },
                   { "norm2.bias", dim, 0 },
                   { "mlp.up.weight", wide, dim },
                   { "mlp.up.bias", wide, 0 },
                   { "mlp.down.weight", dim, wide },
                   { "mlp.down.bias", dim, 0 } };
    char prefix[40];
    int status = ATTN_DONE;
    snprintf(prefix, sizeof prefix, "blocks.%" PRId64 ".", block);
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays && status == ATTN_DONE; k++) {
        status = check_array(l, prefix, arrays[k].name, arrays[k].rows, arrays[k].columns, error);
    }
    return status;
}

/* The decoder's memory is taken by the settings: first whether the file has all of its arrays, and no more blocks. */
static int check_arrays(const attn_learner *l, attn_error *error) {
    const int64_t words = l->text->word_count + 1, dim = l->settings.whole[ATTN_LEARN_DIM];
    const int64_t blocks = l->settings.whole[ATTN_LEARN_BLOCKS];
    char next[64];
    if (check_array(l, "", "embedding.weight", words, dim, error) != ATTN_DONE ||
        check_array(l, "", "norm.gain", dim, 0, error) != ATTN_DONE ||
        check_array(l, "", "norm.bias", dim, 0, error) != ATTN_DONE ||
        check_array(l, "", "words.weight", words, dim, error) != ATTN_DONE) {
        return error->status;
    }
    for (int64_t block = 0; block < blocks; block++) {
        if (check_block(l, block, error) != ATTN_DONE) {
            return error->status;
        }
    }
    snprintf(next, sizeof next, "blocks.%" PRId64 ".norm1.gain", blocks);
    return clattn_safetensors_find(l->file, next) < 0 ? ATTN_DONE
                                                      : not_a_model(l, "it has more blocks than its notes say", error);
}

int attn_learner_file_open(attn_learner *l, const char *path, attn_error *error) {
    clattn_report report = { 0 };
    char *bytes;
    int64_t size;
    l->path = path;
    if (attn_input_check(path, error) != ATTN_DONE) {
        return error->status;
    }
    clattn_status status = clattn_safetensors_open(l->session.runtime, path, &l->file, &report);
    if (status != CLATTN_OK) {
        return refuse(l, status, &report, error);
    }
    if (read_settings(l, error) != ATTN_DONE || read_subwords(l, &bytes, &size, error) != ATTN_DONE ||
        attn_word_text_init_bytes(l->text, (attn_token_kind)l->settings.whole[ATTN_LEARN_TOKENS],
                                  (attn_sentence_kind)l->settings.whole[ATTN_LEARN_SENTENCES], bytes, size, path,
                                  error) != ATTN_DONE ||
        read_vocabulary(l, error) != ATTN_DONE) {
        return error->status;
    }
    l->text->name = path;
    return check_arrays(l, error);
}

int attn_learner_file_text(attn_learner *l, attn_error *error) {
    attn_word_text *text = l->text;
    int64_t sum = 0;
    free(text->ids); /* which reading the vocabulary left */
    int status = read_wholes(l, ATTN_ARRAY_IDS, text->word_count, &text->ids, &text->token_count, error);
    text->token_capacity = text->token_count;
    status = status == ATTN_DONE ? read_wholes(l, ATTN_ARRAY_LENGTHS, ATTN_LEARNER_MOST_WORDS, &text->ends,
                                               &text->sentence_count, error)
                                 : status;
    text->sentence_capacity = text->sentence_count;
    for (int64_t s = 0; s < text->sentence_count && status == ATTN_DONE; s++) {
        bool empty = text->ends[s] == 0 && text->tokens != ATTN_TOKENS_CHARACTERS;
        sum += text->ends[s]; /* a length so far */
        text->ends[s] = sum;
        status = empty ? not_a_model(l, ATTN_ARRAY_LENGTHS, error) : ATTN_DONE;
    }
    return status == ATTN_DONE && (sum != text->token_count || sum < 2) ? not_a_model(l, ATTN_ARRAY_LENGTHS, error)
                                                                        : status;
}

static int read_losses(attn_learner *l, const char *name, int64_t expected, attn_losses *losses, attn_error *error) {
    int status = read_list(l, name, &losses->list, &losses->count, error);
    losses->capacity = losses->count;
    return status == ATTN_DONE && losses->count != expected ? not_a_model(l, name, error) : status;
}

int attn_learner_file_parameters(attn_learner *l, attn_error *error) {
    clattn_report report = { 0 };
    clattn_status status = clattn_parameters_read(l->parameters, l->file, &report);
    if (status == CLATTN_OK && l->optimiser) {
        status = clattn_parameters_read(clattn_optimiser_get_state(l->optimiser), l->file, &report);
        status = status == CLATTN_OK ? clattn_optimiser_set_steps(l->optimiser, l->steps) : status;
    }
    if (status != CLATTN_OK) {
        return refuse(l, status, &report, error);
    }
    if (!l->optimiser) {
        return ATTN_DONE;
    }
    int64_t looks = l->settings.number[ATTN_LEARN_VALIDATE] > 0 ? l->steps / ATTN_LEARN_EVERY : 0;
    if (read_losses(l, ATTN_ARRAY_LOSSES, l->steps, &l->losses, error) != ATTN_DONE) {
        return error->status;
    }
    return read_losses(l, ATTN_ARRAY_VALIDATIONS, looks, &l->validations, error);
}
