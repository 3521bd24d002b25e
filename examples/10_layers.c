/*
 * The systems that explain attention, one after another on one sentence, each with its weights as a picture: simplified
 * self-attention, self-attention with trainable matrices, causal, multi-head, cross-attention over an external memory,
 * additive (Bahdanau) attention, the contextual glimpse. Embeddings and matrices are drawn by seeds.
 *
 *     10_layers [--engine NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"

enum { LENGTH = 6, DIM = 8, HEADS = 2, MEMORY = 4, HIDDEN = 16 };

static const char *const words[LENGTH] = { "the", "cat", "chased", "the", "grey", "mouse" };
static const int64_t ids[LENGTH] = { 0, 1, 2, 0, 3, 4 };

static void check(clattn_status status, const clattn_report *report, const char *what) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n%s", what, clattn_status_message(status), report ? report->text : "");
        exit(1);
    }
}

/* Each row a query, each column a key, darker = heavier; and the number. */
static void picture(const char *title, const char *const *rows, int row_count, int keys, const float *weights) {
    printf("\n%s\n", title);
    for (int i = 0; i < row_count; i++) {
        printf("  %-8s", rows[i]);
        for (int j = 0; j < keys; j++) {
            float w = weights[i * keys + j];
            printf(" %c%4.2f", " .:-=+*#%@"[(int)(w * 9.99f)], (double)w);
        }
        printf("\n");
    }
}

static float *draw(clattn_runtime *runtime, uint64_t seed, int64_t rows, int64_t columns) {
    float *x = clattn_allocate(runtime, rows * columns * (int64_t)sizeof *x);
    check(x ? clattn_fill(CLATTN_FILL_HE, seed, rows, columns, x) : CLATTN_OUT_OF_MEMORY, NULL, "draw");
    return x;
}

typedef struct tour {
    clattn_runtime *runtime;
    const char *engine;
    float x[LENGTH * DIM]; /* the sentence, with positions */
    float *matrices[5];    /* query, key, value, output: [DIM, DIM]; memory [MEMORY, DIM] */
} tour;

static void show_attention(tour *t, const char *title, clattn_attention_layer_options options, const float *memory) {
    clattn_attention_layer *layer = NULL;
    clattn_report report;
    int heads = (int)options.attention.query_heads, keys = memory ? MEMORY : LENGTH;
    float output[LENGTH * DIM], scores[LENGTH * LENGTH], weights[HEADS * LENGTH * LENGTH];
    clattn_attention_weights matrices = { t->matrices[0], t->matrices[1], t->matrices[2], t->matrices[3],
                                          NULL,           NULL,           NULL,           NULL };
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    options.plan.engine = t->engine;
    check(clattn_attention_layer_create(t->runtime, &options, &layer, &report), &report, title);
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = t->x, io.memory = memory, io.output = output, io.scores = scores;
    io.attention.weights.data = weights;
    io.attention.report = &report;
    check(clattn_attention_layer_forward(layer, &matrices, &io), &report, title);
    for (int h = 0; h < heads; h++) {
        char line[96];
        snprintf(line, sizeof line, heads > 1 ? "%s, head %d" : "%s", title, h);
        picture(line, words, LENGTH, keys, weights + h * LENGTH * keys);
    }
    if (options.scores) {
        printf("  scores of \"cat\":");
        for (int j = 0; j < LENGTH; j++) {
            printf(" %.2f", (double)scores[LENGTH + j]);
        }
        printf("\n  its context vector:");
        for (int d = 0; d < DIM; d++) {
            printf(" %.2f", (double)output[DIM + d]);
        }
        printf("\n");
    }
    clattn_attention_layer_destroy(layer);
}

static void show_additive(tour *t) {
    clattn_additive_layer *layer = NULL;
    clattn_report report;
    clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    float context[LENGTH * DIM], weights[LENGTH * LENGTH];
    float *w = draw(t->runtime, 31, HIDDEN, DIM), *u = draw(t->runtime, 32, HIDDEN, DIM),
          *v = draw(t->runtime, 33, HIDDEN, 1);
    options.additive.query_length = options.additive.key_length = LENGTH;
    options.additive.hidden = HIDDEN, options.additive.weights = true, options.plan.engine = t->engine;
    options.query_dim = options.key_dim = DIM;
    check(clattn_additive_layer_create(t->runtime, &options, &layer, &report), &report, "additive");
    clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    io.query = io.key = t->x, io.context = context;
    io.additive.weights = weights;
    check(clattn_additive_layer_forward(layer, &(clattn_additive_weights){ w, u, v, NULL }, &io), NULL, "additive");
    picture("additive (Bahdanau) attention", words, LENGTH, LENGTH, weights);
    clattn_additive_layer_destroy(layer);
    clattn_release(t->runtime, w);
    clattn_release(t->runtime, u);
    clattn_release(t->runtime, v);
}

static void show_glimpse(tour *t) {
    clattn_glimpse *layer = NULL;
    clattn_report report;
    clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
    float weights[LENGTH * DIM], output[LENGTH * 2];
    options.rows = LENGTH, options.input_dim = options.context_dim = DIM, options.output_dim = 2;
    options.softmax = true, options.plan.engine = t->engine;
    check(clattn_glimpse_create(t->runtime, &options, &layer, &report), &report, "glimpse");
    clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
    io.input = t->x, io.context = t->x, io.weights = weights, io.output = output;
    clattn_glimpse_weights matrices = { t->matrices[0], NULL, t->matrices[3], NULL };
    check(clattn_glimpse_forward(layer, &matrices, &io), NULL, "glimpse");
    picture("glimpse: what each context sees of the eight inputs", words, LENGTH, DIM, weights);
    clattn_glimpse_destroy(layer);
}

int main(int argc, char **argv) {
    static const char *const titles[] = { "self-attention", "causal self-attention", "multi-head attention",
                                          "cross-attention over an external memory" };
    tour t = { .engine = argc == 3 && strcmp(argv[1], "--engine") == 0 ? argv[2] : NULL };
    check(clattn_runtime_create(NULL, &t.runtime), NULL, "runtime");
    float *table = draw(t.runtime, 1, 5, DIM);
    check(clattn_embedding_forward(table, 5, DIM, ids, LENGTH, t.x, NULL), NULL, "embedding");
    check(clattn_positional_encoding(0, LENGTH, DIM, 10000, true, t.x), NULL, "positions");
    for (int k = 0; k < 5; k++) {
        t.matrices[k] = draw(t.runtime, 10 + (uint64_t)k, k < 4 ? DIM : MEMORY, DIM);
    }
    show_attention(&t, "simplified self-attention: no matrices", clattn_simplified_self_attention(LENGTH, DIM), NULL);
    show_attention(&t, titles[0], clattn_self_attention(LENGTH, DIM, DIM, false), NULL);
    show_attention(&t, titles[1], clattn_self_attention(LENGTH, DIM, DIM, true), NULL);
    show_attention(&t, titles[2], clattn_multi_head_attention(LENGTH, DIM, HEADS), NULL);
    show_attention(&t, titles[3], clattn_cross_attention(LENGTH, MEMORY, DIM, DIM, DIM), t.matrices[4]);
    show_additive(&t);
    show_glimpse(&t);
    for (int k = 0; k < 5; k++) {
        clattn_release(t.runtime, t.matrices[k]);
    }
    clattn_release(t.runtime, table);
    clattn_runtime_destroy(t.runtime);
    return 0;
}
