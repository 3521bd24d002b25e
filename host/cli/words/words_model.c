/*
 * Attention of words over words, by a layer of the library. An engine that writes no weights out (the fused ones never
 * hold them) is asked with unit vectors for values: what comes out is then the weights themselves. To add a system: its
 * options where the layer is made.
 */
#include "words/words_model.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/table.h"
#include "words/words_embedding.h"

enum { ATTN_UNIT_BLOCK = 256 };

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
    model->query = floats(model, rows * dim, &failed);
    model->key = floats(model, keys * dim, &failed);
    model->raw = floats(model, model->heads * rows * keys, &failed);
    model->weights = floats(model, model->heads * rows * keys, &failed);
    model->context = floats(model, rows * dim, &failed);
    if (model->settings.project) {
        model->projections = floats(model, 3 * dim * dim, &failed);
        for (int64_t m = 0; m < 3 && !failed; m++) {
            failed = clattn_fill(CLATTN_FILL_XAVIER, (uint64_t)(model->seed + 1 + m), dim, dim,
                                 model->projections + m * dim * dim) != CLATTN_OK;
        }
    }
    if (model->unit_plan) {
        model->units = floats(model, model->unit_block * keys, &failed);
        model->unit_rows = floats(model, rows * model->heads * model->unit_block, &failed);
    }
    return failed ? attn_fail(error, ATTN_UNSERVED, "out of memory") : ATTN_DONE;
}

/* Which keys a row may see depends on where the call puts it. */
static void set_problem(const attn_word_model *model, clattn_problem *problem) {
    problem->query_heads = model->heads;
    problem->head_dim = model->dim / model->heads;
    problem->has_scale = true;
    problem->scale = model->scale;
    problem->causal = model->settings.causal;
    problem->alignment = CLATTN_ALIGN_OFFSETS;
}

/* Weights from an engine that has none to write: with unit vectors for values the output is the weights. */
static clattn_status make_unit_plan(attn_word_model *model, const clattn_problem *problem,
                                         const clattn_plan_options *options, clattn_report *report) {
    clattn_problem unit = *problem;
    model->unit_block = model->max_keys < ATTN_UNIT_BLOCK ? model->max_keys : ATTN_UNIT_BLOCK;
    unit.weights = CLATTN_WEIGHTS_NONE;
    unit.value_dim = model->unit_block;
    return clattn_plan_create(model->session.runtime, &unit, options, &model->unit_plan, report);
}

static int make_layer(attn_word_model *model, attn_error *error) {
    clattn_runtime *runtime = model->session.runtime;
    clattn_report report = { 0 };
    clattn_attention_layer_options options =
        clattn_cross_attention(model->max_rows, model->max_keys, model->dim, model->dim, model->dim);
    options.project = model->settings.project;
    set_problem(model, &options.attention);
    options.plan.engine = model->session.engine;
    options.plan.device = model->session.device;
    options.plan.blocks = &model->session.blocks;
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    clattn_status status = clattn_attention_layer_create(runtime, &options, &model->layer, &report);
    if (status == CLATTN_UNSUPPORTED) {
        clattn_report first = report;
        options.attention.weights = CLATTN_WEIGHTS_NONE;
        status = clattn_attention_layer_create(runtime, &options, &model->layer, &report);
        status = status == CLATTN_OK ? make_unit_plan(model, &options.attention, &options.plan, &report) : status;
        report = status == CLATTN_UNSUPPORTED ? first : report;
    }
    status = status == CLATTN_OK ? clattn_attention_layer_get_info(model->layer, &model->info) : status;
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
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
    status = status == ATTN_DONE ? make_layer(model, error) : status;
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
    float *const memory[] = { model->table, model->projections, model->rows,   model->keys,
                              model->query, model->key,         model->raw,    model->weights,
                              model->units, model->unit_rows,   model->context };
    for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
        clattn_release(runtime, memory[m]);
    }
    clattn_attention_layer_destroy(model->layer);
    clattn_plan_destroy(model->unit_plan);
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

/* The layer writes weights at its largest lengths; here they come dense. */
static void pack_weights(attn_word_model *model, int64_t rows, int64_t keys) {
    for (int64_t h = 0; h < model->heads; h++) {
        for (int64_t i = 0; i < rows; i++) {
            memcpy(model->weights + (h * rows + i) * keys, model->raw + (h * model->max_rows + i) * model->max_keys,
                   (size_t)keys * sizeof(float));
        }
    }
}

/* Weights of keys first .. first + unit_block, as output of values that are unit vectors. */
static clattn_status read_block(attn_word_model *model, clattn_tensors *tensors, int64_t first, int64_t rows,
                                int64_t keys) {
    int64_t block = model->unit_block;
    memset(model->units, 0, (size_t)(keys * block) * sizeof(float));
    for (int64_t d = 0; d < block && first + d < keys; d++) {
        model->units[(first + d) * block + d] = 1;
    }
    clattn_status status = clattn_execute(model->unit_plan, tensors);
    for (int64_t i = 0; i < rows && status == CLATTN_OK; i++) {
        for (int64_t h = 0; h < model->heads; h++) {
            for (int64_t d = 0; d < block && first + d < keys; d++) {
                model->weights[(h * rows + i) * keys + first + d] =
                    model->unit_rows[(i * model->heads + h) * block + d];
            }
        }
    }
    return status;
}

static clattn_status read_weights(attn_word_model *model, const clattn_tensors *call, int64_t rows, int64_t keys) {
    clattn_tensors tensors = *call;
    clattn_status status = CLATTN_OK;
    tensors.query = (clattn_tensor){ .data = model->query, .layout = CLATTN_BSHD };
    tensors.key = (clattn_tensor){ .data = model->key, .layout = CLATTN_BSHD };
    tensors.value = (clattn_tensor){ /* the same for every head */
                                     .data = model->units,
                                     .layout = CLATTN_STRIDED,
                                     .length_stride = model->unit_block
    };
    tensors.output = (clattn_tensor){ .data = model->unit_rows, .layout = CLATTN_BSHD };
    for (int64_t first = 0; first < keys && status == CLATTN_OK; first += model->unit_block) {
        status = read_block(model, &tensors, first, rows, keys);
    }
    return status;
}

int attn_word_model_attend(attn_word_model *model, attn_word_span rows, int64_t first, attn_word_span keys,
                           attn_error *error) {
    clattn_report report = { 0 };
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    int64_t square = model->dim * model->dim;
    clattn_attention_weights weights = { .w_query = model->projections };
    if (model->projections) {
        weights.w_key = model->projections + square;
        weights.w_value = model->projections + 2 * square;
    }
    clattn_status status = embed_span(model, rows, first, model->rows, &report);
    status = status == CLATTN_OK ? embed_span(model, keys, 0, model->keys, &report) : status;
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    io.input = model->rows;
    io.memory = model->keys;
    io.output = model->context;
    io.query = model->query;
    io.key = model->key;
    io.attention.query_length = rows.count;
    io.attention.key_length = keys.count;
    io.attention.offsets = (clattn_integers){ &first, 0, CLATTN_INT64 };
    io.attention.weights = (clattn_array){ model->raw, 0 };
    io.attention.report = &report;
    status = clattn_attention_layer_forward(model->layer, model->projections ? &weights : NULL, &io);
    if (status == CLATTN_OK && model->unit_plan) {
        status = read_weights(model, &io.attention, rows.count, keys.count);
    } else if (status == CLATTN_OK) {
        pack_weights(model, rows.count, keys.count);
    }
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
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
                  model->settings.project ? ", drawn projections" : "", model->info.engine,
                  model->unit_plan ? " (weights read with unit values)" : "");
}

void attn_word_model_json(const attn_word_model *model, FILE *file) {
    char device[300];
    attn_session_device_name(&model->session, model->info.device, device, sizeof device);
    fprintf(file, "\"engine\": \"%s\", \"device\": ", model->info.engine);
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
