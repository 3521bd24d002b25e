/*
 * The decoder's states pass from block to block as clattn_decoder_forward() lets them; beside each block its attention is
 * computed once more, by a layer that tells its weights.
 */
#include "words/words_patterns.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static clattn_status make_block(attn_word_patterns *p, int64_t most, clattn_report *report) {
    const attn_session *session = &p->learner->session;
    clattn_block_options options = CLATTN_BLOCK_OPTIONS_INIT;
    options.length = most, options.dim = p->learner->dim, options.heads = p->heads;
    options.plan.engine = session->engine, options.plan.device = session->device;
    options.plan.blocks = &session->blocks;
    return clattn_block_create(session->runtime, &options, &p->block, report);
}

static float *floats(attn_word_patterns *p, int64_t count, bool *failed) {
    float *memory = clattn_allocate(p->learner->session.runtime, count * (int64_t)sizeof(float));
    *failed = *failed || !memory;
    return memory;
}

int attn_word_patterns_open(attn_word_patterns *p, attn_learner *learner, int64_t most, attn_error *error) {
    const int64_t *whole = learner->settings.whole;
    int64_t dim = learner->dim, heads = whole[ATTN_LEARN_HEADS];
    const attn_word_attention_kind kind = { most, most, dim, heads, 1 / sqrt((double)(dim / heads)), true, true };
    clattn_report report = { 0 };
    bool failed = false;
    *p = (attn_word_patterns){ .learner = learner, .blocks = whole[ATTN_LEARN_BLOCKS], .heads = heads };
    clattn_status status = make_block(p, most, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    if (attn_word_attention_open(&p->attention, &learner->session, &kind, error) != ATTN_DONE) {
        return error->status;
    }
    p->state = floats(p, most * dim, &failed);
    p->next = floats(p, most * dim, &failed);
    p->normed = floats(p, most * dim, &failed);
    p->kept = floats(p, clattn_block_get_kept(p->block), &failed);
    p->weights = floats(p, p->blocks * heads * most * most, &failed);
    return failed ? attn_fail(error, ATTN_UNSERVED, "out of memory") : ATTN_DONE;
}

void attn_word_patterns_close(attn_word_patterns *p) {
    if (p->learner) {
        float *const memory[] = { p->state, p->next, p->normed, p->kept, p->weights };
        for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
            clattn_release(p->learner->session.runtime, memory[m]);
        }
        attn_word_attention_close(&p->attention);
        clattn_block_destroy(p->block);
    }
    *p = (attn_word_patterns){ 0 };
}

/* The values of a block's parameter, whose index is *first where that is asked for. */
static const float *find_parameter(const attn_word_patterns *p, int64_t block, const char *name, int64_t *first) {
    char full[96];
    clattn_parameter one;
    snprintf(full, sizeof full, "blocks.%" PRId64 ".%s", block, name);
    int64_t index = clattn_parameters_find(p->learner->parameters, full);
    if (first) {
        *first = index;
    }
    return clattn_parameters_get(p->learner->parameters, index, &one) == CLATTN_OK ? one.value : NULL;
}

/* Norm and attention of one block, on its own: for the weights. */
static int look(attn_word_patterns *p, int64_t block, int64_t count, attn_error *error) {
    static const char *const names[] = { "query.weight", "key.weight", "value.weight",
                                         "query.bias",   "key.bias",   "value.bias" };
    const clattn_block_options defaults = CLATTN_BLOCK_OPTIONS_INIT; /* of the block, too */
    const float *parts[6];
    for (int k = 0; k < 6; k++) {
        char name[64];
        snprintf(name, sizeof name, "attention.%s", names[k]);
        parts[k] = find_parameter(p, block, name, NULL);
    }
    clattn_status status = clattn_layer_norm(p->learner->session.runtime, count, p->learner->dim, defaults.epsilon,
                                             find_parameter(p, block, "norm1.gain", NULL),
                                             find_parameter(p, block, "norm1.bias", NULL), p->state, p->normed);
    const clattn_attention_weights projections = { parts[0], parts[1], parts[2], NULL,
                                                   parts[3], parts[4], parts[5], NULL };
    const attn_word_attention_call call = { p->normed, p->normed, count, count, 0, &projections };
    int64_t square = p->heads * count * count;
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, NULL);
    }
    if (attn_word_attention_compute(&p->attention, &call, error) != ATTN_DONE) {
        return error->status;
    }
    memcpy(p->weights + block * square, p->attention.weights, (size_t)square * sizeof(float));
    return ATTN_DONE;
}

static int pass_block(attn_word_patterns *p, int64_t block, int64_t count, attn_error *error) {
    clattn_report report = { 0 };
    clattn_block_io io = CLATTN_BLOCK_IO_INIT;
    int64_t first;
    (void)find_parameter(p, block, "norm1.gain", &first);
    io.length = count, io.input = p->state, io.output = p->next, io.kept = p->kept, io.report = &report;
    clattn_status status = clattn_block_forward(p->block, p->learner->parameters, first, &io);
    float *passed = p->state;
    p->state = p->next;
    p->next = passed;
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

int attn_word_patterns_compute(attn_word_patterns *p, attn_word_span span, attn_error *error) {
    const attn_learner *l = p->learner;
    clattn_report report = { 0 };
    clattn_parameter table;
    clattn_status status = clattn_parameters_get(l->parameters, 0, &table);
    if (status == CLATTN_OK) {
        status = clattn_embedding_forward(table.value, l->words, l->dim, span.ids, span.count, p->state, &report);
    }
    if (status == CLATTN_OK) {
        status = clattn_positional_encoding(0, span.count, l->dim, 10000, true, p->state);
    }
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    for (int64_t block = 0; block < p->blocks; block++) {
        if (look(p, block, span.count, error) != ATTN_DONE || pass_block(p, block, span.count, error) != ATTN_DONE) {
            return error->status;
        }
    }
    return ATTN_DONE;
}
