/*
 * The word model: a vector for each word of a text's vocabulary, and attention of words over words. All attention is the
 * library's; here are the embeddings, the calls, and the nearest word.
 */
#ifndef ATTN_CLI_WORDS_WORDS_MODEL_H
#define ATTN_CLI_WORDS_WORDS_MODEL_H

#include "case/session.h"
#include "clattn/clattn_layers.h"
#include "words/words_attention.h"
#include "words/words_text.h"

/** What the flags say of the model; texts as given, NULL = not given. */
typedef struct attn_word_settings {
    const char *embedding, *vectors, *dim_text, *seed_text, *heads_text;
    bool positions; /* add the sinusoidal positions */
    bool project;   /* drawn W_query, W_key, W_value */
    bool has_causal, causal;
    bool has_scale;
    double scale;
} attn_word_settings;

typedef struct attn_word_model {
    const attn_word_text *text;
    attn_word_settings settings;
    attn_session session;
    int64_t dim, heads, seed, max_rows, max_keys;
    const char *embedding; /* how the vectors came: "uniform", ..., or the path they were read from */
    float *table;          /* [vocabulary, dim] */
    double scale;
    float *projections; /* [3, dim, dim] */
    float *rows, *keys; /* embedded words */
    attn_word_attention attention;
    const float *weights; /* [heads, rows, keys] of the last call */
    const float *context; /* [rows, dim] of the last call */
} attn_word_model;

/** Makes embeddings and layer. max_rows, max_keys: the largest a call will bring. */
int attn_word_model_open(attn_word_model *model, const attn_word_text *text, const attn_word_settings *settings,
                         const attn_options *options, int64_t max_rows, int64_t max_keys, attn_error *error);
void attn_word_model_close(attn_word_model *model);

/**
 * Attention of the words `rows` over the words `keys`; fills weights and context.
 * @param first  the place of the first row among the keys, for causal and positions
 */
int attn_word_model_attend(attn_word_model *model, attn_word_span rows, int64_t first, attn_word_span keys,
                           attn_error *error);

/** The word whose own vector is nearest to `vector`, by Euclidean distance; the first of equals. */
int64_t attn_word_model_nearest(const attn_word_model *model, const float *vector, double *distance);

/** "scaled by 0.25, 2 heads of 16, uniform embeddings (seed 1), cpu" */
void attn_word_model_describe(const attn_word_model *model, char *text, size_t size);

/** The same as members of a JSON object, each followed by ", ". */
void attn_word_model_json(const attn_word_model *model, FILE *file);

#endif
