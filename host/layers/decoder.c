/*
 * A decoder: embeddings and positions, blocks, a norm, a linear map to the words. It owns its parameters and what its
 * forward keeps for backward. All blocks are computed by one block.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layers/decoder.h"

enum { MOST_BLOCKS = 1024 }; /* parameters are looked up one after the other */

void clattn_decoder_destroy(clattn_decoder *decoder) {
    if (decoder) {
        clattn_parameters_destroy(decoder->parameters);
        clattn_block_destroy(decoder->block);
        clattn_linear_plan_destroy(decoder->words);
        clattn_linear_backward_destroy(decoder->words_backward);
        clattn_release(decoder->runtime, decoder->states);
        clattn_release(decoder->runtime, decoder->kept);
        clattn_release(decoder->runtime, decoder->last);
        clattn_release(decoder->runtime, decoder->logits);
        clattn_release(decoder->runtime, decoder);
    }
}

static clattn_status make_block(clattn_decoder *d, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    clattn_block_options options = CLATTN_BLOCK_OPTIONS_INIT;
    options.batch = o->batch, options.length = o->length, options.dim = o->dim, options.heads = o->heads;
    options.kv_heads = o->kv_heads, options.mlp_dim = o->mlp_dim, options.epsilon = o->epsilon;
    options.learn = o->learn, options.plan = o->plan, options.backward = o->backward;
    return clattn_block_create(d->runtime, &options, &d->block, report);
}

static clattn_status make_parameters(clattn_decoder *d, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    clattn_parameters *p = NULL;
    int64_t first;
    ATTN_TRY(clattn_parameters_create(d->runtime, &d->parameters));
    p = d->parameters;
    ATTN_TRY(attn_block_add(p, "embedding", ".weight", o->words, o->dim, o->seed, 0, report));
    ATTN_TRY(clattn_fill(CLATTN_FILL_HE, o->seed, o->words, o->dim, p->list[ATTN_DECODER_EMBEDDING].value));
    for (int64_t n = 0; n < o->blocks; n++) {
        char prefix[40];
        (void)snprintf(prefix, sizeof prefix, "blocks.%" PRId64 ".", n);
        ATTN_TRY(clattn_block_add_parameters(d->block, p, prefix, o->seed + 1000 * (uint64_t)(n + 1), &first, report));
        d->per_block = p->count - first;
    }
    ATTN_TRY(attn_block_add(p, "norm", ".gain", o->dim, 0, 0, 1, report));
    ATTN_TRY(attn_block_add(p, "norm", ".bias", o->dim, 0, 0, 0, report));
    return attn_block_add(p, "words", ".weight", o->words, o->dim, o->seed + 1, 0, report);
}

static clattn_status make_products(clattn_decoder *d, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    int64_t rows = o->batch * o->length, states, kept, logits; /* the block checked this one */
    ATTN_TRY(attn_layer_linear(d->runtime, rows, o->dim, o->words, &o->plan, &d->words, report));
    if (!attn_multiply(rows * o->dim, o->blocks + 1, &states) || !attn_multiply(rows, o->words, &logits) ||
        !attn_multiply(clattn_block_get_kept(d->block), o->learn ? attn_max(o->blocks, 1) : 1, &kept)) {
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "blocks, words: what is kept does not fit 63 bits");
    }
    d->states = attn_layer_floats(d->runtime, states);
    d->kept = attn_layer_floats(d->runtime, kept);
    d->last = attn_layer_floats(d->runtime, rows * o->dim);
    if (o->learn) {
        const clattn_linear_problem words = { sizeof words, rows, o->dim, o->words };
        clattn_operation_info info;
        ATTN_TRY(clattn_linear_plan_get_info(d->words, &info));
        const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
        ATTN_TRY(clattn_linear_backward_create(d->runtime, &words, &beside, &d->words_backward, report));
        d->logits = attn_layer_floats(d->runtime, logits);
    }
    return d->states && d->kept && d->last && (d->logits || !o->learn) ? CLATTN_OK : CLATTN_OUT_OF_MEMORY;
}

static clattn_status make_ready(clattn_decoder *d, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    if (o->words < 1 || o->words > INT32_MAX || o->blocks < 0 || o->blocks > MOST_BLOCKS) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "words, blocks: %" PRId64 ", %" PRId64 "; words are 1 to 2^31 - 1, blocks 0 to 1024",
                            o->words, o->blocks);
    }
    ATTN_TRY(make_block(d, report));
    ATTN_TRY(make_products(d, report));
    return make_parameters(d, report);
}

clattn_status clattn_decoder_create(clattn_runtime *runtime, const clattn_decoder_options *options,
                                    clattn_decoder **decoder, clattn_report *report) {
    clattn_report_clear(report);
    if (decoder) {
        *decoder = NULL;
    }
    if (!runtime || !options || !decoder || options->struct_size != sizeof *options) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                            "runtime, options, decoder: NULL, or options.struct_size is not clattn_decoder_options'");
    }
    clattn_decoder *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_decoder){ .runtime = runtime, .options = *options };
    clattn_status status = make_ready(made, report);
    if (status != CLATTN_OK) {
        clattn_decoder_destroy(made);
        return status;
    }
    made->options.plan = made->options.backward = (clattn_plan_options)CLATTN_PLAN_OPTIONS_INIT;
    *decoder = made;
    return CLATTN_OK;
}

clattn_parameters *clattn_decoder_get_parameters(clattn_decoder *decoder) {
    return decoder ? decoder->parameters : NULL;
}

clattn_status clattn_decoder_get_info(const clattn_decoder *decoder, clattn_plan_info *info) {
    return decoder ? attn_block_info(decoder->block, info) : CLATTN_INVALID_ARGUMENT;
}

/* ------------------------------------------------------------------------------------------------ one call */

int64_t attn_decoder_block(const clattn_decoder *d, int64_t block) {
    return ATTN_DECODER_FIRST_BLOCK + block * d->per_block;
}

clattn_parameter attn_decoder_behind(const clattn_decoder *d, int which) {
    return d->parameters->list[attn_decoder_block(d, d->options.blocks) + which];
}

static clattn_block_io block_io(const clattn_decoder *d, int64_t n, int64_t length, clattn_report *report) {
    int64_t state = d->options.batch * d->options.length * d->options.dim;
    clattn_block_io io = CLATTN_BLOCK_IO_INIT;
    io.length = length;
    io.input = d->states + n * state;
    io.output = d->states + (n + 1) * state;
    io.kept = d->kept + (d->options.learn ? n * clattn_block_get_kept(d->block) : 0);
    io.report = report;
    return io;
}

static clattn_status embed(const clattn_decoder *d, const int64_t *ids, int64_t length, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    ATTN_TRY(clattn_embedding_forward(d->parameters->list[ATTN_DECODER_EMBEDDING].value, o->words, o->dim, ids,
                                      o->batch * length, d->states, report));
    ATTN_TRY(clattn_positional_encoding(0, length, o->dim, 10000, false, d->last)); /* which is free until the end */
    for (int64_t b = 0; b < o->batch; b++) {
        attn_layer_sum(d->runtime, length * o->dim, d->last, d->states + b * length * o->dim);
    }
    return CLATTN_OK;
}

clattn_status attn_decoder_pass(clattn_decoder *d, const int64_t *ids, int64_t length, attn_decoder_listener *listener,
                                void *user, const float **state, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    ATTN_TRY(embed(d, ids, length, report));
    for (int64_t n = 0; n < o->blocks; n++) {
        const clattn_block_io io = block_io(d, n, length, report);
        ATTN_TRY(clattn_block_forward(d->block, d->parameters, attn_decoder_block(d, n), &io));
        if (listener) {
            listener(user, n, io.kept);
        }
    }
    *state = d->states + o->blocks * o->batch * o->length * o->dim;
    return CLATTN_OK;
}

static clattn_status compute(clattn_decoder *d, const int64_t *ids, int64_t length, float *logits,
                             clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    int64_t rows = o->batch * length;
    const float *state;
    ATTN_TRY(attn_decoder_pass(d, ids, length, NULL, NULL, &state, report));
    ATTN_TRY(clattn_layer_norm(d->runtime, rows, o->dim, o->epsilon, attn_decoder_behind(d, ATTN_DECODER_GAIN).value,
                               attn_decoder_behind(d, ATTN_DECODER_BIAS).value, state, d->last));
    return attn_layer_apply(d->words, rows, d->last, attn_decoder_behind(d, ATTN_DECODER_WORDS).value, NULL, false,
                            logits, report);
}

static clattn_status check_length(const clattn_decoder *d, int64_t *length, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    int64_t said = *length;
    *length = said == CLATTN_SAME ? o->length : said;
    if (*length < 0 || *length > o->length || (o->batch != 1 && *length != o->length)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS,
                            "length: %" PRId64 " of %" PRId64 "; a batch of several entries has no other", said,
                            o->length);
    }
    return CLATTN_OK;
}

clattn_status clattn_decoder_forward(clattn_decoder *decoder, const int64_t *ids, int64_t length, float *logits,
                                     clattn_report *report) {
    clattn_report_clear(report);
    if (!decoder || !ids || !logits) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "decoder, ids, logits: NULL");
    }
    ATTN_TRY(check_length(decoder, &length, report));
    return compute(decoder, ids, length, logits, report);
}

/* From the logits' derivative down to the table. */
static clattn_status differentiate(clattn_decoder *d, const int64_t *ids, int64_t length, clattn_report *report) {
    const clattn_decoder_options *o = &d->options;
    int64_t rows = o->batch * length;
    const float *state = d->states + o->blocks * o->batch * o->length * o->dim;
    clattn_linear_gradients by_w = CLATTN_LINEAR_GRADIENTS_INIT, by_input = CLATTN_LINEAR_GRADIENTS_INIT;
    by_w.grad_output = by_input.grad_output = d->logits, by_w.report = by_input.report = report;
    by_w.input = d->last, by_w.grad_w = attn_decoder_behind(d, ATTN_DECODER_WORDS).gradient;
    by_input.w = attn_decoder_behind(d, ATTN_DECODER_WORDS).value,
    by_input.grad_input = d->last; /* whose values the matrix's gradient has read */
    const attn_layer_rows all = { 1, rows, rows };
    ATTN_TRY(attn_layer_backward(d->words_backward, &all, &by_w));
    ATTN_TRY(attn_layer_backward(d->words_backward, &all, &by_input));
    ATTN_TRY(clattn_layer_norm_backward(
        d->runtime, rows, o->dim, o->epsilon, attn_decoder_behind(d, ATTN_DECODER_GAIN).value, state, d->last, d->last,
        attn_decoder_behind(d, ATTN_DECODER_GAIN).gradient, attn_decoder_behind(d, ATTN_DECODER_BIAS).gradient));
    for (int64_t n = o->blocks - 1; n >= 0; n--) {
        clattn_block_io io = block_io(d, n, length, report);
        io.grad_output = io.grad_input = d->last;
        ATTN_TRY(clattn_block_backward(d->block, d->parameters, attn_decoder_block(d, n), &io));
    }
    return clattn_embedding_backward(o->words, o->dim, ids, rows, d->last,
                                     d->parameters->list[ATTN_DECODER_EMBEDDING].gradient, report);
}

clattn_status clattn_decoder_learn(clattn_decoder *decoder, const int64_t *ids, const int64_t *labels, int64_t length,
                                   double factor, double *loss, clattn_report *report) {
    clattn_report_clear(report);
    if (!decoder || !ids || !labels || !loss) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "decoder, ids, labels, loss: NULL");
    }
    if (!decoder->options.learn) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "decoder: its options do not say learn");
    }
    ATTN_TRY(check_length(decoder, &length, report));
    ATTN_TRY(compute(decoder, ids, length, decoder->logits, report));
    clattn_cross_entropy_io entropy = CLATTN_CROSS_ENTROPY_IO_INIT;
    entropy.rows = decoder->options.batch * length, entropy.classes = decoder->options.words;
    entropy.logits = entropy.grad_logits = decoder->logits;
    entropy.labels = labels, entropy.factor = factor, entropy.loss = loss, entropy.report = report;
    entropy.runtime = decoder->runtime;
    ATTN_TRY(clattn_cross_entropy(&entropy));
    return differentiate(decoder, ids, length, report);
}

void clattn_decoder_options_init(clattn_decoder_options *options, size_t size) {
    static const clattn_decoder_options start = CLATTN_DECODER_OPTIONS_INIT;
    attn_init_structure(options, size, &start, sizeof start);
}
