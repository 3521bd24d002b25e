/*
 * A vector for each word of the vocabulary: drawn by a seed, read from a text file of word vectors, or from an array in the
 * vocabulary's order. Knows nothing of attention.
 */
#include "words/words_embedding.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/npy.h"

static int draw_table(attn_word_model *model, attn_error *error) {
    static const char *const names[] = { "uniform", "xavier", "he" };
    const attn_word_settings *s = &model->settings;
    int kind = 0;
    while (s->embedding && kind < 3 && strcmp(s->embedding, names[kind]) != 0) {
        kind++;
    }
    if (kind == 3) {
        return attn_fail(error, ATTN_USAGE, "--embedding %s: uniform, xavier or he is expected", s->embedding);
    }
    model->dim = 16;
    if (attn_options_number("--dim", s->dim_text, 1, &model->dim, error) != ATTN_DONE) {
        return error->status;
    }
    if (model->dim > 65536) {
        return attn_fail(error, ATTN_USAGE, "--dim %" PRId64 ": at most 65536", model->dim);
    }
    model->embedding = names[kind];
    int64_t words = model->text->word_count;
    model->table = clattn_allocate(model->session.runtime, words * model->dim * (int64_t)sizeof(float));
    if (!model->table) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    clattn_status status = clattn_fill((clattn_fill_kind)kind, (uint64_t)model->seed, words, model->dim, model->table);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, NULL);
}

static int take_npy(attn_word_model *model, const attn_npy *array, attn_error *error) {
    const char *path = model->settings.vectors;
    char shape[256];
    bool floats = array->type == ATTN_NPY_FLOAT32 || array->type == ATTN_NPY_FLOAT64;
    if (!floats || array->dims != 2 || array->shape[0] != model->text->word_count || array->shape[1] < 1) {
        return attn_fail(error, ATTN_USAGE,
                         "--vectors %s: %s %s; float32 or float64 (%" PRId64 ", dim) is expected, a row a word", path,
                         attn_npy_type_name(array->type), attn_npy_shape_text(array, shape), model->text->word_count);
    }
    model->dim = array->shape[1];
    model->table = clattn_allocate(model->session.runtime, array->count * (int64_t)sizeof(float));
    if (!model->table) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    clattn_type type = array->type == ATTN_NPY_FLOAT32 ? CLATTN_FP32 : CLATTN_FP64;
    for (int64_t k = 0; k < array->count; k++) {
        model->table[k] = (float)clattn_get_element(type, array->data, k);
        if (!isfinite(model->table[k])) {
            return attn_fail(error, ATTN_USAGE, "--vectors %s: the vector of \"%s\" is not finite", path,
                             model->text->words[k / model->dim]);
        }
    }
    return ATTN_DONE;
}

static int read_npy(attn_word_model *model, attn_error *error) {
    attn_npy array;
    if (attn_npy_read(&array, model->settings.vectors, error) != ATTN_DONE) {
        return error->status;
    }
    int status = take_npy(model, &array, error);
    attn_npy_free(&array);
    return status;
}

static int take_vectors(attn_word_model *model, const clattn_word_vectors *vectors, attn_error *error) {
    const attn_word_text *text = model->text;
    clattn_report report = { 0 };
    int64_t *ids = malloc((size_t)text->word_count * sizeof *ids);
    model->dim = clattn_word_vectors_dim(vectors);
    model->table = clattn_allocate(model->session.runtime, text->word_count * model->dim * (int64_t)sizeof(float));
    int status = ids && model->table ? ATTN_DONE : attn_fail(error, ATTN_UNSERVED, "out of memory");
    for (int64_t w = 0; status == ATTN_DONE && w < text->word_count; w++) {
        ids[w] = clattn_word_vectors_find(vectors, text->words[w]);
        if (ids[w] < 0) {
            status = attn_fail(error, ATTN_USAGE, "\"%s\": not in the vocabulary of %s%s", text->words[w],
                               model->settings.vectors,
                               text->tokens == ATTN_TOKENS_SPACE ? " (--tokens words drops case and punctuation)" : "");
        }
    }
    if (status == ATTN_DONE) {
        clattn_status done =
            clattn_embedding_forward(clattn_word_vectors_table(vectors), clattn_word_vectors_count(vectors), model->dim,
                                     ids, text->word_count, model->table, &report);
        status = done == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, done, &report);
    }
    free(ids);
    return status;
}

static int read_vectors(attn_word_model *model, attn_error *error) {
    clattn_word_vectors *vectors = NULL;
    clattn_report report = { 0 };
    clattn_status done = clattn_word_vectors_read(model->session.runtime, model->settings.vectors, &vectors, &report);
    if (done != CLATTN_OK) {
        report.text[strcspn(report.text, "\n")] = '\0';
        return attn_fail(error, attn_exit_status(done), "--vectors %s: %s", model->settings.vectors,
                         report.text[0] != '\0' ? report.text : clattn_status_message(done));
    }
    int status = take_vectors(model, vectors, error);
    clattn_word_vectors_destroy(vectors);
    return status;
}

bool attn_word_vectors_are_npy(const char *path) {
    size_t length = path ? strlen(path) : 0;
    return length > 4 && strcmp(path + length - 4, ".npy") == 0;
}

int attn_word_model_embed(attn_word_model *model, attn_error *error) {
    const attn_word_settings *s = &model->settings;
    model->seed = 1;
    if (attn_options_number("--seed", s->seed_text, 0, &model->seed, error) != ATTN_DONE) {
        return error->status;
    }
    if (!s->vectors) {
        return draw_table(model, error);
    }
    if (s->embedding || s->dim_text || (s->seed_text && !s->project)) {
        return attn_fail(error, ATTN_USAGE, "%s: not together with --vectors, which brings its own",
                         s->embedding  ? "--embedding"
                         : s->dim_text ? "--dim"
                                       : "--seed");
    }
    model->embedding = s->vectors;
    return attn_word_vectors_are_npy(s->vectors) ? read_npy(model, error) : read_vectors(model, error);
}
