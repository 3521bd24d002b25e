/*
 * An encoder-decoder of recurrent networks (GRU) that writes words backwards, with Bahdanau attention and without it.
 * Prints what each writes, what the decoder looks at in each step, and how many letters of long words are right.
 *
 *     12_encoder_decoder [FILE] [--engine NAME]        FILE: the two models (examples/data/reversal.safetensors), or
 *                                                      the one with attention that 14_learn_reversal wrote
 *
 * Without attention the decoder has the encoder's last state alone, and long words do not fit into it. Exit status: 0,
 * 1 (attention did not help), 2 (bad input).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"

enum { LETTERS = 16, START = 16, EMBED = 16, HIDDEN = 32, LONGEST = 12, WORDS = 200 };

typedef struct gru {
    clattn_linear_plan *input, *state;
    const float *w_input, *w_state, *b_input, *b_state; /* [3 * HIDDEN, ...]: reset, update, new */
} gru;

typedef struct model {
    clattn_runtime *runtime;
    const char *name;
    bool attends;
    float arrays[40000]; /* all weights, one after another */
    int64_t used;
    const float *embedding, *output_w, *output_b;
    clattn_additive_weights additive;
    gru encoder, decoder;
    clattn_additive_layer *layer;
    clattn_linear_plan *output;
} model;

static void check(clattn_status status, const clattn_report *report, const char *what) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n%s", what, clattn_status_message(status), report ? report->text : "");
        exit(2);
    }
}

static const float *load(model *m, clattn_safetensors *file, const char *name, int64_t count) {
    char full[96];
    clattn_report report;
    float *x = m->arrays + m->used;
    snprintf(full, sizeof full, "%s.%s", m->name, name);
    m->used += count;
    if (m->used > (int64_t)(sizeof m->arrays / sizeof *m->arrays)) {
        check(CLATTN_OUT_OF_MEMORY, NULL, full);
    }
    check(clattn_safetensors_read(file, full, count, x, &report), &report, full);
    return x;
}

static clattn_linear_plan *linear(model *m, int64_t in, int64_t out, const char *engine) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *plan = NULL;
    clattn_report report;
    problem.in_dim = in, problem.out_dim = out, options.engine = engine;
    check(clattn_linear_plan_create(m->runtime, &problem, &options, &plan, &report), &report, "linear");
    return plan;
}

static void apply(clattn_linear_plan *plan, const float *w, const float *b, const float *input, float *output) {
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    tensors.input = input, tensors.w = w, tensors.b = b, tensors.output = output;
    check(clattn_linear_execute(plan, &tensors), NULL, "linear");
}

static gru load_gru(model *m, clattn_safetensors *file, const char *name, const char *suffix, int64_t in,
                    const char *engine) {
    gru g = { .input = linear(m, in, 3 * HIDDEN, engine), .state = linear(m, HIDDEN, 3 * HIDDEN, engine) };
    const struct {
        const char *part;
        const float **place;
        int64_t count;
    } parts[] = { { "weight_ih", &g.w_input, 3 * HIDDEN * in },
                  { "weight_hh", &g.w_state, 3 * HIDDEN * HIDDEN },
                  { "bias_ih", &g.b_input, 3 * HIDDEN },
                  { "bias_hh", &g.b_state, 3 * HIDDEN } };
    for (int k = 0; k < 4; k++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s%s", name, parts[k].part, suffix);
        *parts[k].place = load(m, file, full, parts[k].count);
    }
    return g;
}

static void load_model(model *m, clattn_safetensors *file, const char *engine) {
    clattn_report report;
    m->embedding = load(m, file, "embedding.weight", (LETTERS + 1) * EMBED);
    m->encoder = load_gru(m, file, "encoder", "_l0", EMBED, engine);
    m->decoder = load_gru(m, file, "decoder", "", EMBED + HIDDEN, engine);
    m->output = linear(m, 2 * HIDDEN, LETTERS, engine);
    m->output_w = load(m, file, "output.weight", LETTERS * 2 * HIDDEN);
    m->output_b = load(m, file, "output.bias", LETTERS);
    if (!m->attends) {
        return;
    }
    m->additive = (clattn_additive_weights){ load(m, file, "w_query.weight", HIDDEN * HIDDEN),
                                             load(m, file, "w_key.weight", HIDDEN * HIDDEN), load(m, file, "v", HIDDEN),
                                             load(m, file, "w_key.bias", HIDDEN) };
    clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT; /* one decoder step at a time */
    options.additive.key_length = LONGEST, options.additive.hidden = HIDDEN, options.additive.weights = true;
    options.plan.engine = engine;
    options.query_dim = options.key_dim = HIDDEN;
    check(clattn_additive_layer_create(m->runtime, &options, &m->layer, &report), &report, "additive layer");
}

static void unload_model(model *m) {
    clattn_linear_plan *plans[] = { m->encoder.input, m->encoder.state, m->decoder.input, m->decoder.state, m->output };
    for (int k = 0; k < 5; k++) {
        clattn_linear_plan_destroy(plans[k]);
    }
    clattn_additive_layer_destroy(m->layer);
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

static void gru_step(const gru *g, const float *input, float *state) {
    float x[3 * HIDDEN], h[3 * HIDDEN];
    apply(g->input, g->w_input, g->b_input, input, x);
    apply(g->state, g->w_state, g->b_state, state, h);
    for (int k = 0; k < HIDDEN; k++) {
        float reset = sigmoid(x[k] + h[k]), update = sigmoid(x[HIDDEN + k] + h[HIDDEN + k]);
        float fresh = tanhf(x[2 * HIDDEN + k] + reset * h[2 * HIDDEN + k]);
        state[k] = (1 - update) * fresh + update * state[k];
    }
}

/* Writes the word backwards; pattern [length, LONGEST] receives what each step looks at. Answers how many letters are
 * right. */
static int reverse(model *m, const int *word, int length, int *written, float *pattern) {
    float states[LONGEST * HIDDEN] = { 0 }, projected[LONGEST * HIDDEN], state[HIDDEN] = { 0 }, letters[LETTERS];
    float input[EMBED + HIDDEN] = { 0 }, seen[2 * HIDDEN] = { 0 }; /* [letter, context] and [state, context] */
    int right = 0, before = START;
    for (int t = 0; t < length; t++) {
        gru_step(&m->encoder, m->embedding + word[t] * EMBED, state);
        memcpy(states + t * HIDDEN, state, sizeof state);
    }
    if (m->attends) {
        check(clattn_additive_layer_project_keys(m->layer, &m->additive, states, projected, NULL), NULL, "keys");
    }
    for (int t = 0; t < length; t++) {
        if (m->attends) {
            clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
            io.query = state, io.key = states, io.projected_key = projected, io.context = input + EMBED;
            io.additive.key_length = length;
            io.additive.weights = pattern + t * LONGEST;
            check(clattn_additive_layer_forward(m->layer, &m->additive, &io), NULL, "attention");
        }
        memcpy(input, m->embedding + before * EMBED, EMBED * sizeof *input);
        gru_step(&m->decoder, input, state);
        memcpy(seen, state, sizeof state);
        memcpy(seen + HIDDEN, input + EMBED, HIDDEN * sizeof *seen);
        apply(m->output, m->output_w, m->output_b, seen, letters);
        before = 0;
        for (int k = 1; k < LETTERS; k++) {
            before = letters[k] > letters[before] ? k : before;
        }
        written[t] = before;
        right += before == word[length - 1 - t];
    }
    return right;
}

static void print_word(const char *title, const int *word, int length) {
    printf("  %-18s", title);
    for (int t = 0; t < length; t++) {
        printf("%c", 'a' + word[t]);
    }
    printf("\n");
}

/* One word; models: with attention, and without it where there are two. */
static void show(model *models, int count, const char *text) {
    int word[LONGEST] = { 0 }, written[LONGEST], length = (int)strlen(text);
    float pattern[LONGEST * LONGEST] = { 0 };
    for (int t = 0; t < length; t++) {
        word[t] = text[t] - 'a';
    }
    print_word("word", word, length);
    if (count > 1) {
        reverse(&models[1], word, length, written, pattern);
        print_word("without attention", written, length);
    }
    reverse(&models[0], word, length, written, pattern);
    print_word("with attention", written, length);
    printf("\n  each row a letter written, each column a letter read\n\n      ");
    for (int t = 0; t < length; t++) {
        printf(" %c", text[t]);
    }
    for (int t = 0; t < length; t++) {
        printf("\n    %c ", 'a' + written[t]);
        for (int j = 0; j < length; j++) {
            printf(" %c", " .:-=+*#%@"[(int)(pattern[t * LONGEST + j] * 9.99f)]);
        }
    }
    printf("\n\n");
}

/* The share of letters right in random words of the greatest length. */
static double measure(model *m) {
    uint32_t random = 12345;
    int right = 0, written[LONGEST], word[LONGEST];
    float pattern[LONGEST * LONGEST];
    for (int n = 0; n < WORDS; n++) {
        for (int t = 0; t < LONGEST; t++) {
            random = random * 1664525 + 1013904223;
            word[t] = (int)(random >> 28);
        }
        right += reverse(m, word, LONGEST, written, pattern);
    }
    return (double)right / (WORDS * LONGEST);
}

int main(int argc, char **argv) {
    static model models[2] = { { .name = "attention", .attends = true }, { .name = "plain" } };
    const char *path = "examples/data/reversal.safetensors", *engine = NULL;
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "--engine") == 0 && k + 1 < argc) {
            engine = argv[++k];
        } else {
            path = argv[k];
        }
    }
    clattn_runtime *runtime = NULL;
    clattn_safetensors *file = NULL;
    clattn_report report;
    check(clattn_runtime_create(NULL, &runtime), NULL, "runtime");
    check(clattn_safetensors_open(runtime, path, &file, &report), &report, path);
    int count = clattn_safetensors_find(file, "plain.embedding.weight") < 0 ? 1 : 2;
    for (int k = 0; k < count; k++) {
        models[k].runtime = runtime;
        load_model(&models[k], file, engine);
    }
    clattn_safetensors_close(file);
    show(models, count, "feed");
    show(models, count, "backgammonne");
    double with = measure(&models[0]), without = count > 1 ? measure(&models[1]) : 0;
    printf("letters right in random words of %d: %.1f %% with attention", LONGEST, 100 * with);
    if (count > 1) {
        printf(", %.1f %% without", 100 * without);
    }
    printf("\n");
    for (int k = 0; k < count; k++) {
        unload_model(&models[k]);
    }
    clattn_runtime_destroy(runtime);
    return with > 0.9 && with > without ? 0 : 1;
}
