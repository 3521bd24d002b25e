/* Plans for attention with weights, and what one call needs between them. */
#include "words/words_attention.h"

#include <string.h>

enum { UNIT_BLOCK = 256 };

/* Weights from an engine that has none to write: with unit vectors for values the output is the weights. */
static clattn_status make_unit_plan(attn_word_attention *a, const clattn_problem *problem,
                                    const clattn_plan_options *options, clattn_report *report) {
    clattn_problem unit = *problem;
    a->unit_block = a->kind.max_keys < UNIT_BLOCK ? a->kind.max_keys : UNIT_BLOCK;
    unit.weights = CLATTN_WEIGHTS_NONE;
    unit.value_dim = a->unit_block;
    return clattn_plan_create(a->runtime, &unit, options, &a->unit_plan, report);
}

static clattn_attention_layer_options layer_options(const attn_word_attention_kind *kind, const attn_session *session) {
    clattn_attention_layer_options options =
        clattn_cross_attention(kind->max_rows, kind->max_keys, kind->dim, kind->dim, kind->dim);
    options.project = kind->project;
    options.attention.query_heads = kind->heads;
    options.attention.head_dim = kind->dim / kind->heads;
    options.attention.has_scale = true;
    options.attention.scale = kind->scale;
    options.attention.causal = kind->causal;
    options.attention.alignment = CLATTN_ALIGN_OFFSETS; /* which keys a row may see depends on where the call puts it */
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    options.plan.engine = session->engine;
    options.plan.device = session->device;
    options.plan.blocks = &session->blocks;
    return options;
}

static int make_layer(attn_word_attention *a, const attn_session *session, attn_error *error) {
    clattn_report report = { 0 };
    clattn_attention_layer_options options = layer_options(&a->kind, session);
    clattn_status status = clattn_attention_layer_create(a->runtime, &options, &a->layer, &report);
    if (status == CLATTN_UNSUPPORTED) {
        clattn_report first = report;
        options.attention.weights = CLATTN_WEIGHTS_NONE;
        status = clattn_attention_layer_create(a->runtime, &options, &a->layer, &report);
        status = status == CLATTN_OK ? make_unit_plan(a, &options.attention, &options.plan, &report) : status;
        report = status == CLATTN_UNSUPPORTED ? first : report;
    }
    status = status == CLATTN_OK ? clattn_attention_layer_get_info(a->layer, &a->info) : status;
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

static float *floats(attn_word_attention *a, int64_t count, bool *failed) {
    float *memory = clattn_allocate(a->runtime, count * (int64_t)sizeof(float));
    *failed = *failed || !memory;
    return memory;
}

static int make_memory(attn_word_attention *a, attn_error *error) {
    const attn_word_attention_kind *k = &a->kind;
    bool failed = false;
    a->query = floats(a, k->max_rows * k->dim, &failed);
    a->key = floats(a, k->max_keys * k->dim, &failed);
    a->raw = floats(a, k->heads * k->max_rows * k->max_keys, &failed);
    a->weights = floats(a, k->heads * k->max_rows * k->max_keys, &failed);
    a->context = floats(a, k->max_rows * k->dim, &failed);
    if (a->unit_plan) {
        a->units = floats(a, a->unit_block * k->max_keys, &failed);
        a->unit_rows = floats(a, k->max_rows * k->heads * a->unit_block, &failed);
    }
    return failed ? attn_fail(error, ATTN_UNSERVED, "out of memory") : ATTN_DONE;
}

int attn_word_attention_open(attn_word_attention *a, const attn_session *session, const attn_word_attention_kind *kind,
                             attn_error *error) {
    *a = (attn_word_attention){ .runtime = session->runtime, .kind = *kind };
    return make_layer(a, session, error) == ATTN_DONE ? make_memory(a, error) : error->status;
}

void attn_word_attention_close(attn_word_attention *a) {
    float *const memory[] = { a->query, a->key, a->raw, a->weights, a->units, a->unit_rows, a->context };
    for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
        clattn_release(a->runtime, memory[m]);
    }
    clattn_attention_layer_destroy(a->layer);
    clattn_plan_destroy(a->unit_plan);
    *a = (attn_word_attention){ 0 };
}

/* ------------------------------------------------------------------------------------------------ one call */

/* The layer writes weights at its largest lengths; here they come dense. */
static void pack_weights(attn_word_attention *a, int64_t rows, int64_t keys) {
    for (int64_t h = 0; h < a->kind.heads; h++) {
        for (int64_t i = 0; i < rows; i++) {
            memcpy(a->weights + (h * rows + i) * keys, a->raw + (h * a->kind.max_rows + i) * a->kind.max_keys,
                   (size_t)keys * sizeof(float));
        }
    }
}

/* Weights of keys first .. first + unit_block, as output of values that are unit vectors. */
static clattn_status read_block(attn_word_attention *a, clattn_tensors *tensors, int64_t first, int64_t rows,
                                int64_t keys) {
    int64_t block = a->unit_block;
    memset(a->units, 0, (size_t)(keys * block) * sizeof(float));
    for (int64_t d = 0; d < block && first + d < keys; d++) {
        a->units[(first + d) * block + d] = 1;
    }
    clattn_status status = clattn_execute(a->unit_plan, tensors);
    for (int64_t i = 0; i < rows && status == CLATTN_OK; i++) {
        for (int64_t h = 0; h < a->kind.heads; h++) {
            for (int64_t d = 0; d < block && first + d < keys; d++) {
                a->weights[(h * rows + i) * keys + first + d] = a->unit_rows[(i * a->kind.heads + h) * block + d];
            }
        }
    }
    return status;
}

static clattn_status read_weights(attn_word_attention *a, const clattn_tensors *call, int64_t rows, int64_t keys) {
    clattn_tensors tensors = *call;
    clattn_status status = CLATTN_OK;
    tensors.query = (clattn_tensor){ .data = a->query, .layout = CLATTN_BSHD };
    tensors.key = (clattn_tensor){ .data = a->key, .layout = CLATTN_BSHD };
    tensors.value = (clattn_tensor){ /* the same for every head */
                                     .data = a->units,
                                     .layout = CLATTN_STRIDED,
                                     .length_stride = a->unit_block
    };
    tensors.output = (clattn_tensor){ .data = a->unit_rows, .layout = CLATTN_BSHD };
    for (int64_t first = 0; first < keys && status == CLATTN_OK; first += a->unit_block) {
        status = read_block(a, &tensors, first, rows, keys);
    }
    return status;
}

int attn_word_attention_compute(attn_word_attention *a, const attn_word_attention_call *call, attn_error *error) {
    clattn_report report = { 0 };
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = call->rows;
    io.memory = call->keys;
    io.output = a->context;
    io.query = a->query;
    io.key = a->key;
    io.attention.query_length = call->row_count;
    io.attention.key_length = call->key_count;
    io.attention.offsets = (clattn_integers){ &call->first, 0, CLATTN_INT64 };
    io.attention.weights = (clattn_array){ a->raw, 0 };
    io.attention.report = &report;
    clattn_status status = clattn_attention_layer_forward(a->layer, call->projections, &io);
    if (status == CLATTN_OK && a->unit_plan) {
        status = read_weights(a, &io.attention, call->row_count, call->key_count);
    } else if (status == CLATTN_OK) {
        pack_weights(a, call->row_count, call->key_count);
    }
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}
