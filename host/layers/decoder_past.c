/*
 * A decoder word by word: keys and values of the words so far are kept, so a new word is one row through the blocks.
 * The first words pass through the decoder's own forward, whose blocks say what to keep. A row sees every key that there
 * is, so its attention has no mask.
 */
#include <inttypes.h>
#include <string.h>

#include "layers/decoder.h"

struct clattn_decoder_past {
    clattn_runtime *runtime;
    clattn_decoder *decoder;
    clattn_attention_layer *attention;
    clattn_linear_plan *keys_plan, *up, *down, *words;
    int64_t of_keys, mlp_dim; /* columns of a key, of the wide rows */
    int64_t length;           /* words so far */
    int64_t taken;            /* words of the forward that is listened to */
    float *keys, *values;     /* [blocks, the decoder's length, of_keys] */
    float *state, *norm, *middle;
    float *wide, *bent;
};

void clattn_decoder_past_destroy(clattn_decoder_past *past) {
    if (past) {
        float *const memory[] = { past->keys,   past->values, past->state, past->norm,
                                  past->middle, past->wide,   past->bent };
        for (size_t k = 0; k < sizeof memory / sizeof *memory; k++) {
            clattn_release(past->runtime, memory[k]);
        }
        clattn_linear_plan *const plans[] = { past->keys_plan, past->up, past->down, past->words };
        for (size_t k = 0; k < sizeof plans / sizeof *plans; k++) {
            clattn_linear_plan_destroy(plans[k]);
        }
        clattn_attention_layer_destroy(past->attention);
        clattn_release(past->runtime, past);
    }
}

static clattn_status make_plans(clattn_decoder_past *p, const clattn_plan_options *plan, clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    int64_t kv_heads = o->kv_heads == CLATTN_SAME ? o->heads : o->kv_heads;
    clattn_attention_layer_options options = clattn_cross_attention(1, o->length, o->dim, o->dim, o->dim / o->heads);
    options.attention.query_heads = o->heads;
    options.attention.kv_heads = kv_heads;
    options.output_dim = o->dim;
    options.plan = plan ? *plan : options.plan;
    ATTN_TRY(clattn_attention_layer_create(p->runtime, &options, &p->attention, report));
    clattn_plan_info info;
    ATTN_TRY(clattn_attention_layer_get_info(p->attention, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    p->of_keys = o->dim / o->heads * kv_heads;
    p->mlp_dim = o->mlp_dim == CLATTN_SAME ? 4 * o->dim : o->mlp_dim;
    ATTN_TRY(attn_layer_linear(p->runtime, 1, o->dim, p->of_keys, &beside, &p->keys_plan, report));
    ATTN_TRY(attn_layer_linear(p->runtime, 1, o->dim, p->mlp_dim, &beside, &p->up, report));
    ATTN_TRY(attn_layer_linear(p->runtime, 1, p->mlp_dim, o->dim, &beside, &p->down, report));
    return attn_layer_linear(p->runtime, 1, o->dim, o->words, &beside, &p->words, report);
}

static clattn_status make_memory(clattn_decoder_past *p, clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    int64_t count;
    if (!attn_multiply(o->blocks * o->length, p->of_keys, &count)) { /* the decoder's own rows fit */
        return LAYER_REFUSE(report, CLATTN_OVERFLOW, "blocks, length, dim: what is kept does not fit 63 bits");
    }
    p->keys = attn_layer_floats(p->runtime, count);
    p->values = attn_layer_floats(p->runtime, count);
    p->state = attn_layer_floats(p->runtime, o->dim);
    p->norm = attn_layer_floats(p->runtime, o->dim);
    p->middle = attn_layer_floats(p->runtime, o->dim);
    p->wide = attn_layer_floats(p->runtime, p->mlp_dim);
    p->bent = attn_layer_floats(p->runtime, p->mlp_dim);
    return p->keys && p->values && p->state && p->norm && p->middle && p->wide && p->bent ? CLATTN_OK
                                                                                          : CLATTN_OUT_OF_MEMORY;
}

clattn_status clattn_decoder_past_create(clattn_decoder *decoder, const clattn_plan_options *plan,
                                         clattn_decoder_past **past, clattn_report *report) {
    clattn_report_clear(report);
    if (past) {
        *past = NULL;
    }
    if (!decoder || !past) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "decoder, past: NULL");
    }
    if (decoder->options.batch != 1 || decoder->options.length < 1) {
        return LAYER_REFUSE(report, CLATTN_INVALID_PROBLEM,
                            "batch, length: %" PRId64 ", %" PRId64 " of the decoder; a past is that of one text",
                            decoder->options.batch, decoder->options.length);
    }
    clattn_decoder_past *made = clattn_allocate(decoder->runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    *made = (clattn_decoder_past){ .runtime = decoder->runtime, .decoder = decoder };
    clattn_status status = make_plans(made, plan, report);
    status = status == CLATTN_OK ? make_memory(made, report) : status;
    if (status != CLATTN_OK) {
        clattn_decoder_past_destroy(made);
        return status;
    }
    *past = made;
    return CLATTN_OK;
}

int64_t clattn_decoder_past_get_length(const clattn_decoder_past *past) {
    return past ? past->length : 0;
}

clattn_status clattn_decoder_past_rewind(clattn_decoder_past *past, int64_t length) {
    if (!past || length < 0 || length > past->length) {
        return CLATTN_INVALID_ARGUMENT;
    }
    past->length = length;
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ steps */

/* Where a block's keys or values begin. */
static float *of_block(const clattn_decoder_past *p, float *all, int64_t block) {
    return all + block * p->decoder->options.length * p->of_keys;
}

static void take(void *user, int64_t block, const float *kept) {
    clattn_decoder_past *p = user;
    const float *key, *value;
    size_t bytes = (size_t)(p->taken * p->of_keys) * sizeof(float);
    attn_block_keys(p->decoder->block, kept, &key, &value);
    memcpy(of_block(p, p->keys, block), key, bytes);
    memcpy(of_block(p, p->values, block), value, bytes);
}

static clattn_status begin(clattn_decoder_past *p, const int64_t *ids, int64_t count, clattn_report *report) {
    const float *states;
    int64_t dim = p->decoder->options.dim;
    p->taken = count;
    ATTN_TRY(attn_decoder_pass(p->decoder, ids, count, take, p, &states, report));
    memcpy(p->state, states + (count - 1) * dim, (size_t)dim * sizeof(float));
    p->length = count;
    return CLATTN_OK;
}

/* Norm, keys and values of the new row, its attention over all of them. */
static clattn_status attend(clattn_decoder_past *p, const clattn_parameter *one, int64_t block, clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    float *keys = of_block(p, p->keys, block), *values = of_block(p, p->values, block);
    const clattn_attention_weights weights = { one[ATTN_W_QUERY].value, NULL, NULL, one[ATTN_W_OUTPUT].value,
                                               one[ATTN_B_QUERY].value, NULL, NULL, one[ATTN_B_OUTPUT].value };
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    ATTN_TRY(clattn_layer_norm(p->runtime, 1, o->dim, o->epsilon, one[ATTN_GAIN1].value, one[ATTN_BIAS1].value,
                               p->state, p->norm));
    ATTN_TRY(attn_layer_apply(p->keys_plan, 1, p->norm, one[ATTN_W_KEY].value, one[ATTN_B_KEY].value, false,
                              keys + p->length * p->of_keys, report));
    ATTN_TRY(attn_layer_apply(p->keys_plan, 1, p->norm, one[ATTN_W_VALUE].value, one[ATTN_B_VALUE].value, false,
                              values + p->length * p->of_keys, report));
    io.input = p->norm, io.output = p->middle, io.key = keys, io.value = values, io.keep_memory = true;
    io.attention.key_length = p->length + 1, io.attention.report = report;
    ATTN_TRY(clattn_attention_layer_forward(p->attention, &weights, &io));
    attn_layer_sum(p->runtime, o->dim, p->state, p->middle);
    return CLATTN_OK;
}

static clattn_status pass_block(clattn_decoder_past *p, int64_t block, clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    const clattn_parameter *one = p->decoder->parameters->list + attn_decoder_block(p->decoder, block);
    ATTN_TRY(attend(p, one, block, report));
    ATTN_TRY(clattn_layer_norm(p->runtime, 1, o->dim, o->epsilon, one[ATTN_GAIN2].value, one[ATTN_BIAS2].value,
                               p->middle, p->norm));
    ATTN_TRY(attn_layer_apply(p->up, 1, p->norm, one[ATTN_W_UP].value, one[ATTN_B_UP].value, false, p->wide, report));
    ATTN_TRY(clattn_gelu(p->runtime, p->mlp_dim, p->wide, p->bent));
    memcpy(p->state, p->middle, (size_t)o->dim * sizeof(float));
    return attn_layer_apply(p->down, 1, p->bent, one[ATTN_W_DOWN].value, one[ATTN_B_DOWN].value, true, p->state,
                            report);
}

static clattn_status one_word(clattn_decoder_past *p, int64_t id, clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    ATTN_TRY(clattn_embedding_forward(p->decoder->parameters->list[ATTN_DECODER_EMBEDDING].value, o->words, o->dim, &id,
                                      1, p->state, report));
    ATTN_TRY(clattn_positional_encoding(p->length, 1, o->dim, 10000, true, p->state));
    for (int64_t n = 0; n < o->blocks; n++) {
        ATTN_TRY(pass_block(p, n, report));
    }
    p->length++;
    return CLATTN_OK;
}

static clattn_status check_step(const clattn_decoder_past *p, const int64_t *ids, int64_t count,
                                clattn_report *report) {
    const clattn_decoder_options *o = &p->decoder->options;
    if (count < 1 || count > o->length - p->length) {
        return LAYER_REFUSE(report, CLATTN_INVALID_TENSORS,
                            "count: %" PRId64 " behind %" PRId64 " words, of %" PRId64 " that the decoder sees", count,
                            p->length, o->length);
    }
    for (int64_t k = 0; k < count; k++) {
        if (ids[k] < 0 || ids[k] >= o->words) {
            return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                                "ids[%" PRId64 "]: %" PRId64 " is not one of %" PRId64 " words", k, ids[k], o->words);
        }
    }
    return CLATTN_OK;
}

clattn_status clattn_decoder_step(clattn_decoder_past *past, const int64_t *ids, int64_t count, float *logits,
                                  clattn_report *report) {
    clattn_report_clear(report);
    if (!past || !ids || !logits) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "past, ids, logits: NULL");
    }
    const clattn_decoder *d = past->decoder;
    ATTN_TRY(check_step(past, ids, count, report));
    int64_t at = 0, before = past->length;
    clattn_status status = CLATTN_OK;
    if (past->length == 0 && count > 1) {
        status = begin(past, ids, count, report);
        at = count;
    }
    for (; at < count && status == CLATTN_OK; at++) {
        status = one_word(past, ids[at], report);
    }
    if (status == CLATTN_OK) {
        status = clattn_layer_norm(past->runtime, 1, d->options.dim, d->options.epsilon,
                                   attn_decoder_behind(d, ATTN_DECODER_GAIN).value,
                                   attn_decoder_behind(d, ATTN_DECODER_BIAS).value, past->state, past->norm);
    }
    if (status == CLATTN_OK) {
        status = attn_layer_apply(past->words, 1, past->norm, attn_decoder_behind(d, ATTN_DECODER_WORDS).value, NULL,
                                  false, logits, report);
    }
    past->length = status == CLATTN_OK ? past->length : before;
    return status;
}
