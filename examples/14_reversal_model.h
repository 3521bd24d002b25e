/*
 * The encoder-decoder of 14_learn_reversal.c, forward and backward through time. Its parameters have the names and
 * shapes that 12_encoder_decoder.c reads.
 *
 *     encoder   states[t + 1] = GRU(embedding[letter t], states[t])
 *     decoder   context = additive attention(state, encoder's states)
 *               state = GRU([embedding[letter before], context], state)
 *               logits = W_output [state, context] + b_output
 */
#ifndef EXAMPLE_REVERSAL_MODEL_H
#define EXAMPLE_REVERSAL_MODEL_H

#include "14_recurrent_cell.h"

typedef struct model {
    workshop shop;
    clattn_parameter embedding, w_query, v;
    map w_key, output;
    gru encoder, decoder;
    clattn_additive_layer *attention;                    /* a decoder's step of BATCH words */
    int64_t letters[ROWS], labels[ROWS];                 /* [step, word]: what is read, and what is right to write */
    int64_t before[ROWS], written[ROWS];                 /* what the decoder is told it wrote, and what it writes */
    float keys[ROWS * HIDDEN], projected[ROWS * HIDDEN]; /* [word, LONGEST, HIDDEN]: the encoder's states */
    float seen[ROWS * 2 * HIDDEN], logits[ROWS * LETTERS], weights[ROWS * LONGEST]; /* [step, word, ...] */
    float grad_seen[ROWS * 2 * HIDDEN], grad_logits[ROWS * LETTERS];
    float grad_keys[ROWS * HIDDEN], grad_projected[ROWS * HIDDEN], grad_read[ROWS * EMBED], grad_told[ROWS * EMBED];
} model;

static void model_create(model *m, clattn_runtime *runtime, const char *engine, uint64_t seed) {
    clattn_report report;
    workshop *s = &m->shop;
    *s = (workshop){ .runtime = runtime, .engine = engine, .seed = seed };
    check(clattn_parameters_create(runtime, &s->parameters), NULL, "parameters");
    m->embedding = add(s, "embedding.", "weight", LETTERS + 1, EMBED);
    gru_create(&m->encoder, s, "encoder.", "_l0", EMBED);
    gru_create(&m->decoder, s, "decoder.", "", EMBED + HIDDEN);
    m->w_query = add(s, "w_query.", "weight", HIDDEN, HIDDEN);
    m->w_key = map_create(s, add(s, "w_key.", "weight", HIDDEN, HIDDEN), add(s, "w_key.", "bias", HIDDEN, 0));
    m->v = add(s, "", "v", HIDDEN, 0);
    check(clattn_fill(CLATTN_FILL_XAVIER, s->seed++, 1, HIDDEN, m->v.value), NULL, "v");
    m->output = map_create(s, add(s, "output.", "weight", LETTERS, 2 * HIDDEN), add(s, "output.", "bias", LETTERS, 0));
    clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    options.additive.batch = BATCH, options.additive.key_length = LONGEST, options.additive.hidden = HIDDEN;
    options.additive.value_dim = options.query_dim = options.key_dim = HIDDEN;
    options.additive.weights = true, options.plan.engine = engine;
    check(clattn_additive_layer_create(runtime, &options, &m->attention, &report), &report, "attention");
    check(clattn_additive_layer_learn(m->attention, &report), &report, "attention");
}

static void model_destroy(model *m) {
    clattn_additive_layer_destroy(m->attention);
    gru_destroy(&m->encoder);
    gru_destroy(&m->decoder);
    map_destroy(&m->w_key);
    map_destroy(&m->output);
    clattn_parameters_destroy(m->shop.parameters);
}

/* --------------------------------------------------------------------------------------------------------- forward */

static void embed(const model *m, const int64_t *letters, int64_t count, float *rows) {
    clattn_report report;
    check(clattn_embedding_forward(m->embedding.value, LETTERS + 1, EMBED, letters, count, rows, &report), &report,
          "embedding");
}

static clattn_additive_weights attention_weights(const model *m) {
    return (clattn_additive_weights){ m->w_query.value, m->w_key.w.value, m->v.value, m->w_key.b.value };
}

/* The attention's call in step t: the decoder's states before it ask, the encoder's answer. */
static clattn_additive_layer_io attention_io(model *m, int t, int length, float *context) {
    clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    io.query = m->decoder.states + t * BATCH * HIDDEN;
    io.key = m->keys, io.projected_key = m->projected, io.context = context;
    io.additive.key_length = length, io.additive.weights = m->weights + t * BATCH * LONGEST;
    return io;
}

static void read_words(model *m, int length) {
    gru *g = &m->encoder;
    embed(m, m->letters, (int64_t)length * BATCH, g->inputs);
    memset(g->states, 0, BATCH * HIDDEN * sizeof *g->states);
    for (int t = 0; t < length; t++) {
        gru_step(g, t);
        for (int n = 0; n < BATCH; n++) {
            memcpy(m->keys + (n * LONGEST + t) * HIDDEN, g->states + ((t + 1) * BATCH + n) * HIDDEN,
                   HIDDEN * sizeof *m->keys);
        }
    }
    const clattn_additive_weights weights = attention_weights(m);
    check(clattn_additive_layer_project_keys(m->attention, &weights, m->keys, m->projected, NULL), NULL, "keys");
    memcpy(m->decoder.states, g->states + length * BATCH * HIDDEN, BATCH * HIDDEN * sizeof *g->states);
}

static int64_t largest(const float *x, int count) {
    int best = 0;
    for (int k = 1; k < count; k++) {
        best = x[k] > x[best] ? k : best;
    }
    return best;
}

static void write_step(model *m, int t, int length) {
    static float context[BATCH * HIDDEN], letter[BATCH * EMBED];
    const clattn_additive_weights weights = attention_weights(m);
    const clattn_additive_layer_io io = attention_io(m, t, length, context);
    const float *states = m->decoder.states + (t + 1) * BATCH * HIDDEN;
    float *seen = m->seen + t * BATCH * 2 * HIDDEN, *logits = m->logits + t * BATCH * LETTERS;
    check(clattn_additive_layer_forward(m->attention, &weights, &io), NULL, "attention");
    embed(m, m->before + t * BATCH, BATCH, letter);
    for (int n = 0; n < BATCH; n++) {
        float *input = m->decoder.inputs + (t * BATCH + n) * (EMBED + HIDDEN);
        memcpy(input, letter + n * EMBED, EMBED * sizeof *input);
        memcpy(input + EMBED, context + n * HIDDEN, HIDDEN * sizeof *input);
    }
    gru_step(&m->decoder, t);
    for (int n = 0; n < BATCH; n++) {
        memcpy(seen + n * 2 * HIDDEN, states + n * HIDDEN, HIDDEN * sizeof *seen);
        memcpy(seen + n * 2 * HIDDEN + HIDDEN, context + n * HIDDEN, HIDDEN * sizeof *seen);
    }
    map_forward(&m->output, BATCH, seen, logits);
    for (int n = 0; n < BATCH; n++) {
        m->written[t * BATCH + n] = largest(logits + n * LETTERS, LETTERS);
    }
}

/* Reads and writes a batch. A decoder that is taught is told the right letter before each, else it reads its own. */
static void forward(model *m, int length, bool taught) {
    read_words(m, length);
    for (int t = 0; t < length; t++) {
        const int64_t *told = taught ? m->labels : m->written;
        for (int n = 0; n < BATCH; n++) {
            m->before[t * BATCH + n] = t == 0 ? START : told[(t - 1) * BATCH + n];
        }
        write_step(m, t, length);
    }
}

/* The mean loss of a letter after forward(); grad_logits receives its derivative. */
static double loss_of(model *m, int length) {
    clattn_cross_entropy_io io = CLATTN_CROSS_ENTROPY_IO_INIT;
    clattn_report report;
    double loss;
    io.rows = (int64_t)length * BATCH, io.classes = LETTERS, io.logits = m->logits, io.labels = m->labels;
    io.grad_logits = m->grad_logits, io.loss = &loss, io.report = &report;
    check(clattn_cross_entropy(&io), &report, "loss");
    return loss;
}

/* -------------------------------------------------------------------------------------------------------- backward */

static void add_to(float *sum, const float *x, int count) {
    for (int k = 0; k < count; k++) {
        sum[k] += x[k];
    }
}

/* The attention of step t: adds what it gives to the states that asked, to the keys and to the projected keys. */
static void attention_backward(model *m, int t, int length, const float *grad_context, float *grad_state) {
    static float grad_query[BATCH * HIDDEN], grad_keys[ROWS * HIDDEN], grad_projected[ROWS * HIDDEN];
    static float context[BATCH * HIDDEN];
    const clattn_additive_weights weights = attention_weights(m);
    const clattn_additive_layer_io io = attention_io(m, t, length, context);
    clattn_additive_gradients g = CLATTN_ADDITIVE_GRADIENTS_INIT;
    g.grad_context = grad_context, g.grad_query = grad_query, g.grad_key = grad_keys;
    g.grad_projected_key = grad_projected, g.grad_w_query = m->w_query.gradient, g.grad_v = m->v.gradient;
    check(clattn_additive_layer_backward(m->attention, &weights, &io, &g), NULL, "attention");
    add_to(grad_state, grad_query, BATCH * HIDDEN);
    add_to(m->grad_keys, grad_keys, ROWS * HIDDEN);
    add_to(m->grad_projected, grad_projected, ROWS * HIDDEN);
}

/* Step t of the decoder: grad_state, by the states after it, becomes that by the states before it. */
static void write_step_backward(model *m, int t, int length, float *grad_state) {
    static float grad_context[BATCH * HIDDEN], grad_input[BATCH * (EMBED + HIDDEN)];
    const float *grad_seen = m->grad_seen + t * BATCH * 2 * HIDDEN;
    for (int n = 0; n < BATCH; n++) {
        add_to(grad_state + n * HIDDEN, grad_seen + n * 2 * HIDDEN, HIDDEN);
        memcpy(grad_context + n * HIDDEN, grad_seen + n * 2 * HIDDEN + HIDDEN, HIDDEN * sizeof *grad_context);
    }
    gru_step_backward(&m->decoder, t, grad_state, grad_input);
    for (int n = 0; n < BATCH; n++) {
        const float *row = grad_input + n * (EMBED + HIDDEN);
        memcpy(m->grad_told + (t * BATCH + n) * EMBED, row, EMBED * sizeof *row);
        add_to(grad_context + n * HIDDEN, row + EMBED, HIDDEN);
    }
    attention_backward(m, t, length, grad_context, grad_state);
}

static void read_words_backward(model *m, int length, float *grad_state) {
    for (int t = length - 1; t >= 0; t--) {
        for (int n = 0; n < BATCH; n++) {
            add_to(grad_state + n * HIDDEN, m->grad_keys + (n * LONGEST + t) * HIDDEN, HIDDEN);
        }
        gru_step_backward(&m->encoder, t, grad_state, m->grad_read + t * BATCH * EMBED);
    }
    gru_weights_backward(&m->encoder, length);
}

static void embed_backward(model *m, const int64_t *letters, int64_t count, const float *grad_rows) {
    clattn_report report;
    check(clattn_embedding_backward(LETTERS + 1, EMBED, letters, count, grad_rows, m->embedding.gradient, &report),
          &report, "embedding");
}

/* Adds the gradients of loss_of() to the parameters'. */
static void backward(model *m, int length) {
    static float grad_state[BATCH * HIDDEN];
    int64_t rows = (int64_t)length * BATCH;
    memset(grad_state, 0, sizeof grad_state);
    memset(m->grad_seen, 0, sizeof m->grad_seen);
    memset(m->grad_keys, 0, sizeof m->grad_keys);
    memset(m->grad_projected, 0, sizeof m->grad_projected);
    map_input_backward(&m->output, rows, m->grad_logits, m->grad_seen);
    map_weights_backward(&m->output, rows, m->grad_logits, m->seen);
    for (int t = length - 1; t >= 0; t--) {
        write_step_backward(m, t, length, grad_state);
    }
    gru_weights_backward(&m->decoder, length);
    map_input_backward(&m->w_key, ROWS, m->grad_projected, m->grad_keys);
    map_weights_backward(&m->w_key, ROWS, m->grad_projected, m->keys);
    read_words_backward(m, length, grad_state);
    embed_backward(m, m->before, rows, m->grad_told);
    embed_backward(m, m->letters, rows, m->grad_read);
}

#endif
