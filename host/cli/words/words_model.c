/*
 * Attention of words over words: the embeddings, the calls, and the nearest word. To add a system: its options in
 * words_attention.c, where the layer is made.
 */
#include "words/words_model.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/table.h"
#include "words/words_embedding.h"

static float *floats(attn_word_model *model, int64_t count, bool *failed) {
    float *memory = clattn_allocate(model->session.runtime, count * (int64_t)sizeof(float));
    *failed = *failed || !memory;
    return memory;
}

static int make_memory(attn_word_model *model, attn_error *error) {
    int64_t rows = model->max_rows, keys = model->max_keys, dim = model->dim;
    bool failed = false;
    model->rows = floats(model, rows * dim, &failed);
    model->keys = floats(model, keys * dim, &failed);
    if (model->settings.project) {
        model->projections = floats(model, 3 * dim * dim, &failed);
        for (int64_t m = 0; m < 3 && !failed; m++) {
            failed = clattn_fill(CLATTN_FILL_XAVIER, (uint64_t)(model->seed + 1 + m), dim, dim,
                                 model->projections + m * dim * dim) != CLATTN_OK;
        }
    }
    return failed ? attn_fail(error, ATTN_UNSERVED, "out of memory") : ATTN_DONE;
}

static int make_attention(attn_word_model *model, attn_error *error) {
    const attn_word_attention_kind kind = { model->max_rows,        model->max_keys, model->dim,
                                            model->heads,           model->scale,    model->settings.causal,
                                            model->settings.project };
    int status = attn_word_attention_open(&model->attention, &model->session, &kind, error);
    model->weights = model->attention.weights;
    model->context = model->attention.context;
    return status;
}

static int read_heads(attn_word_model *model, attn_error *error) {
    model->heads = 1;
    if (attn_options_number("--heads", model->settings.heads_text, 1, &model->heads, error) != ATTN_DONE) {
        return error->status;
    }
    if (model->dim % model->heads != 0) {
        return attn_fail(error, ATTN_USAGE,
                         "--heads %" PRId64 ": vectors of %" PRId64 " numbers cannot be shared out evenly",
                         model->heads, model->dim);
    }
    model->scale = model->settings.has_scale ? model->settings.scale : 1 / sqrt((double)(model->dim / model->heads));
    return ATTN_DONE;
}

int attn_word_model_open(attn_word_model *model, const attn_word_text *text, const attn_word_settings *settings,
                         const attn_options *options, int64_t max_rows, int64_t max_keys, attn_error *error) {
    *model = (attn_word_model){ .text = text, .settings = *settings, .max_rows = max_rows, .max_keys = max_keys };
    if (attn_session_open(&model->session, options, error) != ATTN_DONE) {
        return error->status;
    }
    int status = model->session.listed
                     ? attn_fail(error, ATTN_USAGE, "--engine %s: words takes one engine", options->engine)
                     : attn_word_model_embed(model, error);
    status = status == ATTN_DONE ? read_heads(model, error) : status;
    status = status == ATTN_DONE ? make_attention(model, error) : status;
    status = status == ATTN_DONE ? make_memory(model, error) : status;
    if (status != ATTN_DONE) {
        attn_word_model_close(model);
    }
    return status;
}

void attn_word_model_close(attn_word_model *model) {
    clattn_runtime *runtime = model->session.runtime;
    if (!runtime) {
        return;
    }
    float *const memory[] = { model->table, model->projections, model->rows, model->keys };
    for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
        clattn_release(runtime, memory[m]);
    }
    attn_word_attention_close(&model->attention);
    attn_session_close(&model->session);
    *model = (attn_word_model){ 0 };
}

/* ------------------------------------------------------------------------------------------------ one call */

static clattn_status embed_span(const attn_word_model *model, attn_word_span span, int64_t first, float *vectors,
                                clattn_report *report) {
    clattn_status status = clattn_embedding_forward(model->table, model->text->word_count, model->dim, span.ids,
                                                    span.count, vectors, report);
    return status == CLATTN_OK && model->settings.positions
               ? clattn_positional_encoding(first, span.count, model->dim, 10000, true, vectors)
               : status;
}

int attn_word_model_attend(attn_word_model *model, attn_word_span rows, int64_t first, attn_word_span keys,
                           attn_error *error) {
    clattn_report report = { 0 };
    int64_t square = model->dim * model->dim;
    clattn_attention_weights projections = { .w_query = model->projections };
    if (model->projections) {
        projections.w_key = model->projections + square;
        projections.w_value = model->projections + 2 * square;
    }
    clattn_status status = embed_span(model, rows, first, model->rows, &report);
    status = status == CLATTN_OK ? embed_span(model, keys, 0, model->keys, &report) : status;
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    const attn_word_attention_call call = { model->rows, model->keys, rows.count,
                                            keys.count,  first,       model->projections ? &projections : NULL };
    return attn_word_attention_compute(&model->attention, &call, error);
}

int64_t attn_word_model_nearest(const attn_word_model *model, const float *vector, double *distance) {
    int64_t nearest = 0;
    *distance = INFINITY;
    for (int64_t w = 0; w < model->text->word_count; w++) {
        double sum = 0;
        for (int64_t d = 0; d < model->dim; d++) {
            double difference = (double)model->table[w * model->dim + d] - (double)vector[d];
            sum += difference * difference;
        }
        if (sqrt(sum) < *distance) {
            *distance = sqrt(sum);
            nearest = w;
        }
    }
    return nearest;
}

/* ------------------------------------------------------------------------------------------------ in words */

void attn_word_model_describe(const attn_word_model *model, char *text, size_t size) {
    text[0] = '\0';
    if (model->scale == 1) {
        attn_text_add(text, size, "dot products");
    } else {
        attn_text_add(text, size, "dot products scaled by %.4g", model->scale);
    }
    attn_text_add(text, size, "%s, %" PRId64 " head%s of %" PRId64, model->settings.causal ? ", causal" : "",
                  model->heads, model->heads > 1 ? "s" : "", model->dim / model->heads);
    if (!model->settings.vectors) {
        attn_text_add(text, size, ", %s embeddings (seed %" PRId64 ")", model->embedding, model->seed);
    } else {
        attn_text_add(text, size, ", vectors of %s", model->embedding);
    }
    attn_text_add(text, size, "%s%s, engine %s%s", model->settings.positions ? ", positions" : "",
                  model->settings.project ? ", drawn projections" : "", model->attention.info.engine,
                  model->attention.unit_plan ? " (weights read with unit values)" : "");
}

void attn_word_model_json(const attn_word_model *model, FILE *file) {
    char device[300];
    attn_session_device_name(&model->session, model->attention.info.device, device, sizeof device);
    fprintf(file, "\"engine\": \"%s\", \"device\": ", model->attention.info.engine);
    attn_json_write_string(file, device);
    fputs(", \"embedding\": ", file);
    attn_json_write_string(file, model->embedding);
    fprintf(file, ", \"seed\": %" PRId64 ", \"dim\": %" PRId64 ", \"heads\": %" PRId64 ", \"scale\": ", model->seed,
            model->dim, model->heads);
    attn_json_write_number(file, model->scale, 9);
    fputs(", \"causal\": ", file);
    attn_json_write_bool(file, model->settings.causal);
    fputs(", ", file);
}
