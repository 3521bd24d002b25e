/*
 * A word model that learns, written into its file. The same training gives the same bytes, so nothing of time or
 * machine goes in.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "words/words_learner_file.h"
#include "words/words_learner_names.h"

enum { NOTES = ATTN_LEARN_SETTINGS + 3, LISTS = 5 };
enum { MOST_HEADER = 100000000, MOST_OF_NOTES = 4096, MOST_OF_ARRAY = 256 /* bytes: the file's, and room in it */ };

typedef struct written_model {
    clattn_safetensors_array *arrays;
    int64_t count;
    float *lists[LISTS]; /* made for the file */
    int list_count;
    clattn_safetensors_note notes[NOTES];
    char texts[NOTES][64];
    char *vocabulary;
} written_model;

static void free_model(written_model *m) {
    for (int k = 0; k < m->list_count; k++) {
        free(m->lists[k]);
    }
    free(m->arrays);
    free(m->vocabulary);
}

static char *make_vocabulary(const attn_word_text *text) {
    size_t most = 1, used = 0;
    for (int64_t w = 0; w < text->word_count; w++) {
        most += 2 * strlen(text->words[w]) + 1;
    }
    char *note = malloc(most);
    for (int64_t w = 0; w < text->word_count && note; w++) {
        for (const char *at = text->words[w]; *at != '\0'; at++) {
            if (*at == '\n' || *at == '\\') {
                note[used++] = '\\';
            }
            note[used++] = (char)(*at == '\n' ? 'n' : *at);
        }
        note[used++] = '\n';
    }
    if (note) {
        note[used] = '\0';
    }
    return note;
}

/* Bytes of the vocabulary's note in the header, where what JSON does not take as it is has six. */
static int64_t vocabulary_size(const attn_word_text *text) {
    int64_t size = 0;
    for (int64_t w = 0; w < text->word_count; w++) {
        for (const char *at = text->words[w]; *at != '\0'; at++) {
            unsigned char byte = (unsigned char)*at;
            bool plain = byte >= 0x20 && byte != '"' && byte != 0x7f;
            size += byte == '\n' ? 7 : byte == '\\' ? 12 : plain ? 1 : 6;
        }
        size += 6; /* the line's end */
    }
    return size;
}

static int64_t count_arrays(const attn_learner *l) {
    return clattn_parameters_count(l->parameters) + clattn_parameters_count(clattn_optimiser_get_state(l->optimiser)) +
           LISTS;
}

int attn_learner_file_fits(const attn_learner *l, attn_error *error) {
    int64_t room = MOST_HEADER - MOST_OF_NOTES - MOST_OF_ARRAY * count_arrays(l), size = vocabulary_size(l->text);
    return size <= room ? ATTN_DONE
                        : attn_fail(error, ATTN_USAGE,
                                    "%s: a vocabulary of %" PRId64 " bytes; a model's file has room for %" PRId64,
                                    l->text->name, size, room);
}

static bool make_notes(written_model *m, const attn_learner *l) {
    int n = 0;
    m->vocabulary = make_vocabulary(l->text);
    m->notes[n++] = (clattn_safetensors_note){ ATTN_NOTE_FORMAT, ATTN_LEARNER_FORMAT };
    for (int k = 0; k < ATTN_LEARN_SETTINGS; k++, n++) {
        attn_learner_settings_text(&l->settings, (attn_learn_setting)k, m->texts[n]);
        m->notes[n] = (clattn_safetensors_note){ attn_learner_settings_name((attn_learn_setting)k), m->texts[n] };
    }
    snprintf(m->texts[n], sizeof m->texts[n], "%" PRId64, l->steps);
    m->notes[n] = (clattn_safetensors_note){ ATTN_NOTE_STEPS, m->texts[n] };
    n++;
    m->notes[n] = (clattn_safetensors_note){ ATTN_NOTE_VOCABULARY, m->vocabulary };
    return m->vocabulary;
}

static void add_list(written_model *m, const char *name, const float *list, int64_t count) {
    m->arrays[m->count++] = (clattn_safetensors_array){ name, 1, { count }, list };
}

/* A list of its own for whole numbers; false = no memory. */
static float *new_list(written_model *m, int64_t count) {
    float *list = malloc((size_t)count * sizeof *list + 1);
    m->lists[m->list_count] = list;
    m->list_count += list ? 1 : 0;
    return list;
}

static bool add_text(written_model *m, const attn_word_text *text) {
    float *ids = new_list(m, text->token_count), *lengths = new_list(m, text->sentence_count);
    if (!ids || !lengths) {
        return false;
    }
    for (int64_t k = 0; k < text->token_count; k++) {
        ids[k] = (float)text->ids[k];
    }
    for (int64_t s = 0; s < text->sentence_count; s++) {
        lengths[s] = (float)attn_word_text_sentence(text, s).count;
    }
    add_list(m, ATTN_ARRAY_IDS, ids, text->token_count);
    add_list(m, ATTN_ARRAY_LENGTHS, lengths, text->sentence_count);
    if (text->tokens != ATTN_TOKENS_SUBWORDS) {
        return true;
    }
    float *bytes = new_list(m, text->subword_size);
    for (int64_t k = 0; k < text->subword_size && bytes; k++) {
        bytes[k] = (float)(unsigned char)text->subword_bytes[k];
    }
    add_list(m, ATTN_ARRAY_SUBWORDS, bytes, text->subword_size);
    return bytes;
}

static void add_parameters(written_model *m, const clattn_parameters *parameters) {
    for (int64_t n = 0; n < clattn_parameters_count(parameters); n++) {
        clattn_parameter one;
        if (clattn_parameters_get(parameters, n, &one) != CLATTN_OK) {
            continue; /* every number below the count is one */
        }
        clattn_safetensors_array *array = &m->arrays[m->count++];
        *array = (clattn_safetensors_array){ .name = one.name, .dimensions = one.dimensions, .data = one.value };
        memcpy(array->shape, one.shape, sizeof one.shape);
    }
}

static bool make_model(written_model *m, const attn_learner *l) {
    m->arrays = calloc((size_t)count_arrays(l), sizeof *m->arrays);
    if (!m->arrays || !make_notes(m, l)) {
        return false;
    }
    add_parameters(m, l->parameters);
    add_parameters(m, clattn_optimiser_get_state(l->optimiser));
    add_list(m, ATTN_ARRAY_LOSSES, l->losses.list, l->losses.count);
    add_list(m, ATTN_ARRAY_VALIDATIONS, l->validations.list, l->validations.count);
    return add_text(m, l->text);
}

int attn_learner_file_write(const attn_learner *l, const char *path, attn_error *error) {
    clattn_report report = { 0 };
    written_model m = { 0 };
    if (!make_model(&m, l)) {
        free_model(&m);
        return attn_fail(error, ATTN_UNSERVED, "%s: no memory to write it", path);
    }
    clattn_status status =
        clattn_safetensors_write(l->session.runtime, path, m.arrays, m.count, m.notes, NOTES, &report);
    free_model(&m);
    if (status != CLATTN_OK && attn_exit_status(status) == ATTN_USAGE) {
        return attn_fail(error, ATTN_USAGE, "%s: %.*s", path, (int)strcspn(report.text, "\n"), report.text);
    }
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}
