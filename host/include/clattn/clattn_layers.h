/*
 * The systems that explain attention, as layers over clattn.h: embeddings, positions, self-attention with and without
 * trainable matrices, multi-head and cross-attention, additive (Bahdanau) attention, the contextual glimpse; and what
 * real models around them need: layer normalisation, GELU, weights from .safetensors files, word vectors from text
 * files.
 *
 * Every layer runs on every engine: attention by the engine and device that its options name, matrix products beside
 * it (clattn_linear.h): on the CPU by its vectors, CLBlast on OpenCL devices, plain double loops for "reference".
 *
 * Shapes are written [batch, length, dim]; memory is float, dense, row-major, the caller's, on the host. Matrices are
 * [out_dim, in_dim] (query = W_query input, for column vectors), as PyTorch's Linear keeps them.
 *
 *     clattn_attention_layer_options options = clattn_multi_head_attention(length, dim, heads);
 *     clattn_attention_layer_create(runtime, &options, &layer, &report);
 *     clattn_attention_layer_forward(layer, &weights, &io);
 *
 * Layers learn. Beside each forward stands its backward: from grad_output, the derivative of a loss by each number of
 * the layer's output, it makes the derivatives by the layer's inputs and by its parameters (matrices, biases, tables).
 *
 *   kept     a layer keeps nothing of a call. What backward needs of its forward is given to it again: the inputs and,
 *            of attention, what lies between (query, key, value, context, logsumexp), which forward writes into memory
 *            of the caller's where it is asked to. So one layer serves many calls before their backward, in any order.
 *   written  gradients of inputs are written. Gradients of parameters are added to what their memory holds, because one
 *            parameter may serve twice in a step and a batch may come in parts: clear them at the beginning of a step
 *            (clattn_parameters_clear(), clattn_learning.h). A gradient that is NULL is not wanted and not computed.
 *   exact    sums over rows run in a fixed order, so the same call gives the same bits on any number of threads. A row
 *            of grad_output that is 0 throughout takes no part in gradients of matrices, whatever its input holds.
 *   threads  layers work on their runtime's threads, also beside products and attention; but additive attention's
 *            derivative is made on the calling thread.
 *
 * Errors, ownership, versions: as in clattn.h; a layer refuses a call before the first of its steps writes, and no
 * array that it writes may overlap another of the call. Threads: distinct layers are independent; one layer serves one
 * call at a time. Destroy layers before their runtime. Accuracy: matrix products as in clattn_linear.h, attention as
 * in clattn.h.
 *
 * These functions are a library of their own, libclattn_layers, which calls public functions of libclattn alone: CMake
 * targets clattn::layers and clattn::layers_static, pkg-config file clattn-layers.
 */
#ifndef CLATTN_LAYERS_H
#define CLATTN_LAYERS_H

#include "clattn/clattn_additive.h"
#include "clattn/clattn_linear.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------ embeddings */

/** How clattn_fill() draws. @since 0.1 */
typedef enum clattn_fill_kind {
    CLATTN_FILL_UNIFORM, /**< uniform in [0, 1) */
    CLATTN_FILL_XAVIER,  /**< uniform in +-sqrt(6 / (rows + columns)) */
    CLATTN_FILL_HE       /**< normal, deviation sqrt(2 / columns) */
} clattn_fill_kind;

/**
 * Draws a matrix [rows, columns], for embeddings ([words, dim]) or weights ([out_dim, in_dim]). The same seed gives the
 * same numbers on every machine, up to the last bits of libm for CLATTN_FILL_HE: number k comes from splitmix64(seed +
 * (k + 1) * golden) (HE: Box-Muller on two of them).
 * @return INVALID_ARGUMENT: an unknown kind, a negative size, or no memory given
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_fill(clattn_fill_kind kind, uint64_t seed, int64_t rows, int64_t columns,
                                                  float *matrix);

/**
 * Looks up rows of an embedding table: output[n, :] = table[ids[n], :].
 * @param table  [words, dim]
 * @param report may be NULL; names the id that is outside the table, or the size that does not fit 63 bits
 * @return INVALID_ARGUMENT (nothing is written)
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_embedding_forward(const float *table, int64_t words, int64_t dim,
                                                               const int64_t *ids, int64_t count, float *output,
                                                               clattn_report *report);

/**
 * The derivative of clattn_embedding_forward(): grad_table[ids[n], :] += grad_output[n, :], for n = 0, 1, ... in this
 * order, so a word that stands twice receives both.
 * @param grad_output  [count, dim]
 * @param grad_table   [words, dim]; added to
 * @param report       may be NULL; as for the forward
 * @return INVALID_ARGUMENT (nothing is written)
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_embedding_backward(int64_t words, int64_t dim, const int64_t *ids,
                                                                int64_t count, const float *grad_output,
                                                                float *grad_table, clattn_report *report);

/**
 * Sinusoidal positions: at position p, column 2k is sin(p / base^(2k / dim)), column 2k + 1 the cosine of the same
 * angle. Computed in double.
 * @param first  position of the first row; first + length fits 63 bits
 * @param base   10000 in the paper; > 0
 * @param add    add to what output holds (the embeddings) instead of writing
 * @param output [length, dim]
 * @return INVALID_ARGUMENT
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_positional_encoding(int64_t first, int64_t length, int64_t dim,
                                                                 double base, bool add, float *output);

/** Words and their vectors, read from a text file. @since 0.1 */
typedef struct clattn_word_vectors clattn_word_vectors;

/**
 * Reads a text file of vectors: GloVe's form, a line "word x1 x2 ... xn" each, or word2vec's, which begins with a line
 * "count dim". The dim is the first line's; words may contain spaces, as some of GloVe's do. A byte order mark at the
 * start is passed over. Numbers are decimal with a point, under every locale, and round to the nearest float. Time and
 * memory grow with the size of the file, not with what its first line claims.
 * @param path   of a regular file: a folder, a pipe or a device is refused
 * @param report may be NULL; names the line and what is wrong with it: a number that is none, a line too short, a word
 *               twice, no UTF-8, another count than the first line says, an empty file
 * @return INVALID_ARGUMENT, OUT_OF_MEMORY
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_word_vectors_read(clattn_runtime *runtime, const char *path,
                                                               clattn_word_vectors **vectors, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_word_vectors_destroy(clattn_word_vectors *vectors);

/** Number of words, and the dim. Any thread. @since 0.1 */
CLATTN_API int64_t clattn_word_vectors_count(const clattn_word_vectors *vectors);
CLATTN_API int64_t clattn_word_vectors_dim(const clattn_word_vectors *vectors);

/** The whole table, [count, dim], for clattn_embedding_forward(); lives as long as the vectors. @since 0.1 */
CLATTN_API const float *clattn_word_vectors_table(const clattn_word_vectors *vectors);

/** Word @p index; NULL past the end. @since 0.1 */
CLATTN_API const char *clattn_word_vectors_word(const clattn_word_vectors *vectors, int64_t index);

/** Index of @p word, or -1. Any thread. @since 0.1 */
CLATTN_API int64_t clattn_word_vectors_find(const clattn_word_vectors *vectors, const char *word);

/* ------------------------------------------------------------------------------------------------- linear backward */

/**
 * The memory of one call of a linear map's derivative; dense, host memory. With the names of clattn_linear_tensors:
 *
 *     grad_input  = grad_output W               [rows, in_dim]      written, or added to
 *     grad_w     += grad_output^T input         [out_dim, in_dim]   added to
 *     grad_b     += the sum of its rows         [out_dim]           added to; the sum in double
 *
 * Start from CLATTN_LINEAR_GRADIENTS_INIT. @since 0.1
 */
typedef struct clattn_linear_gradients {
    size_t struct_size;
    int64_t rows;             /**< of this call; default CLATTN_SAME = the problem's; not above it */
    const float *grad_output; /**< [rows, out_dim] */
    const float *input;       /**< as given to the forward; read for grad_w alone */
    const float *w;           /**< as given to the forward; read for grad_input alone */
    float *grad_input;        /**< NULL = not wanted; overlaps nothing else, as the others */
    bool add;                 /**< add to what grad_input holds, as for an input that several maps read */
    float *grad_w, *grad_b;   /**< NULL = not wanted */
    clattn_report *report;    /**< may be NULL */
} clattn_linear_gradients;

#define CLATTN_LINEAR_GRADIENTS_INIT                                                                                   \
    {                                                                                                                  \
        sizeof(clattn_linear_gradients), CLATTN_SAME, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL                  \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_linear_gradients_init(clattn_linear_gradients *gradients, size_t size);

/** The derivative of a linear map, ready on one device. @since 0.1 */
typedef struct clattn_linear_backward clattn_linear_backward;

/**
 * Makes the derivative of the linear map that @p problem describes ready: two products, and memory for transposed
 * copies of the matrix, of the input and of grad_output (on the cpu engine of 256 rows of these at a time).
 * @param problem  as for clattn_linear_plan_create(); at most 2^31 - 1 rows
 * @param options  as there; copied; NULL = the defaults
 * @param backward receives the derivative; NULL on error
 * @param report   may be NULL; names the field that does not fit
 * @return as clattn_linear_plan_create()
 * Threads: any. Destroy it before its runtime. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_linear_backward_create(clattn_runtime *runtime,
                                                                    const clattn_linear_problem *problem,
                                                                    const clattn_plan_options *options,
                                                                    clattn_linear_backward **backward,
                                                                    clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_linear_backward_destroy(clattn_linear_backward *backward);

/**
 * Computes one call.
 * @return as clattn_linear_execute()
 * Threads: one call at a time. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_linear_backward_execute(clattn_linear_backward *backward,
                                                                     const clattn_linear_gradients *gradients);

/* ------------------------------------------------------------------------------------------------------- attention */

/**
 * An attention layer: projections (or none), attention, output projection (or none), residual (or none).
 *
 *     query   = W_query input + b_query              [batch, query_length, query_heads * head_dim]
 *     key     = W_key memory + b_key                 [batch, key_length, kv_heads * head_dim]
 *     value   = W_value memory + b_value             [batch, key_length, kv_heads * value_dim]
 *     context = attention(query, key, value)         [batch, query_length, query_heads * value_dim], heads side by side
 *     output  = W_output context + b_output          [batch, query_length, output_dim], or the context itself
 *     output += input                                where a residual is asked for
 *
 * Without projections query is the input, key and value are the memory, as they are. Memory is the input itself
 * (self-attention), a second sequence, or an external memory (cross-attention). Start from one of the functions below
 * and change what differs: all of clattn_problem's features can be used.
 * @since 0.1
 */
typedef struct clattn_attention_layer_options {
    size_t struct_size;
    clattn_problem attention; /**< heads, lengths, dims, causal, mask, weights to write; it is fp32, forward, in host
                                   memory */
    clattn_plan_options plan; /**< of the attention; products go to the engine and the device where it went. No
                                   caller_workspace; not kept beyond creation */
    int64_t input_dim;        /**< of a row of the input */
    int64_t memory_dim;       /**< of a row of the memory; default CLATTN_SAME = input_dim */
    bool project;             /**< W_query, W_key, W_value; else input_dim = query_heads * head_dim and
                                   memory_dim = kv_heads * head_dim = kv_heads * value_dim */
    int64_t output_dim;       /**< rows of W_output; 0 = no output projection */
    bool residual;            /**< add the input; needs an output of input_dim columns */
    bool scores;              /**< also write the scores: scaled, before any mask; costs a second pass of attention */
} clattn_attention_layer_options;

/**
 * Self-attention without trainable weights: scores are the products of the inputs, not scaled; one head; scores and
 * weights are written. @since 0.1
 */
CLATTN_API clattn_attention_layer_options clattn_simplified_self_attention(int64_t length, int64_t dim);

/** Self-attention with W_query, W_key, W_value: one head of head_dim, scaled by 1/sqrt(head_dim). @since 0.1 */
CLATTN_API clattn_attention_layer_options clattn_self_attention(int64_t length, int64_t input_dim, int64_t head_dim,
                                                                bool causal);

/**
 * Multi-head self-attention: heads of dim / heads, output projection and residual. A dim that heads does not divide
 * gives options of head_dim 0, which clattn_attention_layer_create() refuses. @since 0.1
 */
CLATTN_API clattn_attention_layer_options clattn_multi_head_attention(int64_t length, int64_t dim, int64_t heads);

/** Cross-attention of one head over a second sequence or an external memory. @since 0.1 */
CLATTN_API clattn_attention_layer_options clattn_cross_attention(int64_t query_length, int64_t memory_length,
                                                                 int64_t input_dim, int64_t memory_dim,
                                                                 int64_t head_dim);

/** The trainable matrices. Biases may be NULL, each by itself. @since 0.1 */
typedef struct clattn_attention_weights {
    const float *w_query;  /**< [query_heads * head_dim, input_dim] */
    const float *w_key;    /**< [kv_heads * head_dim, memory_dim] */
    const float *w_value;  /**< [kv_heads * value_dim, memory_dim] */
    const float *w_output; /**< [output_dim, query_heads * value_dim] */
    const float *b_query, *b_key, *b_value, *b_output;
} clattn_attention_weights;

/** The memory of one call. Start from CLATTN_ATTENTION_LAYER_IO_INIT. @since 0.1 */
typedef struct clattn_attention_layer_io {
    size_t struct_size;
    const float *input;  /**< [batch, query_length, input_dim] */
    const float *memory; /**< [batch, key_length, memory_dim]; NULL = the input */
    float *output;       /**< [batch, query_length, output_dim or query_heads * value_dim]; overlaps no input */
    /**
     * What is computed in between, in the shapes above; NULL = not needed. With projections and `keep_memory`, key and
     * value are not computed but taken from here: a memory projected once serves many calls.
     */
    float *query, *key, *value, *context;
    bool keep_memory;
    float *scores; /**< [batch, query_heads, query_length, key_length], for options.scores */
    /**
     * The rest of the call: mask, bias, lengths, weights, logsumexp, progress, report. Its query, key, value and
     * output are the layer's to set. Dense memory keeps the problem's (largest) lengths.
     */
    clattn_tensors attention;
} clattn_attention_layer_io;

#define CLATTN_ATTENTION_LAYER_IO_INIT                                                                                 \
    {                                                                                                                  \
        sizeof(clattn_attention_layer_io), NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, CLATTN_TENSORS_INIT  \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_attention_layer_io_init(clattn_attention_layer_io *io, size_t size);

/** @since 0.1 */
typedef struct clattn_attention_layer clattn_attention_layer;

/**
 * Makes plans for attention and products and takes the memory between them.
 * @param layer  receives the layer; NULL on error
 * @param report may be NULL; names the field that does not fit, or why engines declined
 * @return as clattn_plan_create()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention_layer_create(clattn_runtime *runtime,
                                                                    const clattn_attention_layer_options *options,
                                                                    clattn_attention_layer **layer,
                                                                    clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_attention_layer_destroy(clattn_attention_layer *layer);

/** The attention plan's own description. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention_layer_get_info(const clattn_attention_layer *layer,
                                                                      clattn_plan_info *info);

/**
 * @param weights NULL when options.project is false and there is no output projection
 * @return as clattn_execute()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention_layer_forward(clattn_attention_layer *layer,
                                                                     const clattn_attention_weights *weights,
                                                                     const clattn_attention_layer_io *io);

/**
 * Makes the layer ready for backward: a plan of the attention's backward, the derivatives of the products, and memory
 * for the gradients between them. The layer's forward must write logsumexp (options.attention.logsumexp).
 * @param gradients  which gradients beside those of query, key and value the attention makes: bits of clattn_gradient
 *                   for bias, ALiBi slopes and sinks; 0 = none
 * @param plan       of the attention's backward; NULL = the defaults. The products go to the engine and the device
 *                   where it went. The forward's engine may be another one
 * @param report     may be NULL; names the field that does not fit, or why engines declined
 * @return as clattn_plan_create(); INVALID_ARGUMENT: a bit that is none of the three. After an error the layer computes
 *         forward as before. A later call takes the place of an earlier one
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention_layer_learn(clattn_attention_layer *layer, uint32_t gradients,
                                                                   const clattn_plan_options *plan,
                                                                   clattn_report *report);

/**
 * The gradients of one call: grad_output is read, all others are NULL where they are not wanted. Those of inputs and of
 * what lies between are written, those of parameters (from grad_w_query on) are added to. Shapes are those of what they
 * belong to. Start from CLATTN_ATTENTION_GRADIENTS_INIT. @since 0.1
 */
typedef struct clattn_attention_gradients {
    size_t struct_size;
    const float *grad_output; /**< of the loss by io.output. Rows beyond the call's query_length are not read */
    float *grad_input;        /**< of the memory too, where the memory is the input */
    float *grad_memory;       /**< where there is a memory beside the input */
    float *grad_query, *grad_key, *grad_value; /**< with keep_memory the last two are what the memory's owner needs */
    float *grad_w_query, *grad_w_key, *grad_w_value, *grad_w_output;
    float *grad_b_query, *grad_b_key, *grad_b_value, *grad_b_output;
    clattn_broadcast grad_bias; /**< the last three: what clattn_attention_layer_learn() was asked for, all given */
    clattn_array grad_alibi_slopes, grad_sinks;
} clattn_attention_gradients;

#define CLATTN_ATTENTION_GRADIENTS_INIT                                                                                \
    {                                                                                                                  \
        sizeof(clattn_attention_gradients), NULL, NULL, NULL, NULL, NULL, NULL,      /* ... grad_value */              \
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,                              /* matrices, biases */            \
        CLATTN_BROADCAST_INIT, CLATTN_ARRAY_INIT, CLATTN_ARRAY_INIT                                                    \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_attention_gradients_init(clattn_attention_gradients *gradients, size_t size);

/**
 * The derivative of clattn_attention_layer_forward(). @p io and @p weights are those of the forward, and what it wrote
 * is read: with projections io.query, io.key and io.value, with an output projection or a residual io.context (else the
 * output serves), and io.attention.logsumexp. They must have been asked for, and be unchanged. Lengths, masks, biases,
 * dropout_seed in io.attention are the forward's too. Scores and weights written out have no gradient here.
 *
 * Rows of the inputs that have no part (beyond a length, keys that nobody may attend to) get gradient 0, whatever they
 * hold.
 * @return as clattn_execute()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_attention_layer_backward(clattn_attention_layer *layer,
                                                                      const clattn_attention_weights *weights,
                                                                      const clattn_attention_layer_io *io,
                                                                      const clattn_attention_gradients *gradients);

/* --------------------------------------------------------------------------------------------- additive (Bahdanau) */

/**
 * Additive attention of a decoder over encoder states:
 *
 *     score = v^T tanh(W_query query + W_key key + b),   context = softmax(score) value
 *
 * @since 0.1
 */
typedef struct clattn_additive_layer_options {
    size_t struct_size;
    clattn_additive_problem additive; /**< batch, lengths, hidden, value_dim, masks */
    clattn_plan_options plan;         /**< of the attention; products go to the engine and the device where it went */
    int64_t query_dim;                /**< of the decoder's state */
    int64_t key_dim;                  /**< of an encoder state; value_dim is the same unless values are given */
} clattn_additive_layer_options;

#define CLATTN_ADDITIVE_LAYER_OPTIONS_INIT                                                                             \
    { sizeof(clattn_additive_layer_options), CLATTN_ADDITIVE_PROBLEM_INIT, CLATTN_PLAN_OPTIONS_INIT, 0, 0 }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_additive_layer_options_init(clattn_additive_layer_options *options, size_t size);

/** @since 0.1 */
typedef struct clattn_additive_weights {
    const float *w_query; /**< [hidden, query_dim]: W */
    const float *w_key;   /**< [hidden, key_dim]: U */
    const float *v;       /**< [hidden] */
    const float *b;       /**< [hidden], or NULL */
} clattn_additive_weights;

/**
 * The memory of one call: one decoder step (query_length 1) or many. Start from CLATTN_ADDITIVE_LAYER_IO_INIT. @since
 * 0.1
 */
typedef struct clattn_additive_layer_io {
    size_t struct_size;
    const float *query;         /**< [batch, query_length, query_dim]: decoder states */
    const float *key;           /**< [batch, key_length, key_dim]: encoder states; not read when projected_key is given,
                                     unless they are the values */
    const float *projected_key; /**< [batch, key_length, hidden] from clattn_additive_layer_project_keys(); NULL =
                                     project now */
    const float *value;         /**< [batch, key_length, value_dim]; NULL = key */
    float *context;             /**< [batch, query_length, value_dim] */
    /** mask, lengths, weights, logsumexp, report. Its query, key, v, value and output are the layer's to set. */
    clattn_additive_tensors additive;
} clattn_additive_layer_io;

#define CLATTN_ADDITIVE_LAYER_IO_INIT                                                                                  \
    { sizeof(clattn_additive_layer_io), NULL, NULL, NULL, NULL, NULL, CLATTN_ADDITIVE_TENSORS_INIT }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_additive_layer_io_init(clattn_additive_layer_io *io, size_t size);

/** @since 0.1 */
typedef struct clattn_additive_layer clattn_additive_layer;

/** As clattn_attention_layer_create(). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_layer_create(clattn_runtime *runtime,
                                                                   const clattn_additive_layer_options *options,
                                                                   clattn_additive_layer **layer,
                                                                   clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_additive_layer_destroy(clattn_additive_layer *layer);

/**
 * projected = W_key key + b, for all steps of a decoder. [batch, key_length, hidden] at the problem's lengths. @since
 * 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_layer_project_keys(clattn_additive_layer *layer,
                                                                         const clattn_additive_weights *weights,
                                                                         const float *key, float *projected,
                                                                         clattn_report *report);

/** @return as clattn_additive_execute() @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_layer_forward(clattn_additive_layer *layer,
                                                                    const clattn_additive_weights *weights,
                                                                    const clattn_additive_layer_io *io);

/**
 * Makes the layer ready for backward: the derivatives of its two products, and memory that grows with query_length and
 * with key_length, not with their product. The derivative of the attention itself is made by plain loops in double on
 * the calling thread, whatever the engine.
 * @param report  may be NULL
 * @return as clattn_additive_layer_create(); after an error the layer computes forward as before
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_layer_learn(clattn_additive_layer *layer, clattn_report *report);

/**
 * The gradients of one call: grad_context is read, all others are NULL where they are not wanted. Those of queries,
 * keys and values are written, those of the weights added to. Start from CLATTN_ADDITIVE_GRADIENTS_INIT. @since 0.1
 */
typedef struct clattn_additive_gradients {
    size_t struct_size;
    const float *grad_context; /**< [batch, query_length, value_dim] */
    float *grad_query;         /**< [batch, query_length, query_dim] */
    float *grad_key; /**< [batch, key_length, key_dim]; of the values too, where they are the keys. With projected_key:
                          of them alone */
    float *grad_projected_key; /**< [batch, key_length, hidden] */
    float *grad_value;         /**< [batch, key_length, value_dim], where values are given */
    float *grad_w_query, *grad_w_key, *grad_v, *grad_b; /**< with projected_key grad_w_key and grad_b: none */
} clattn_additive_gradients;

#define CLATTN_ADDITIVE_GRADIENTS_INIT                                                                                 \
    { sizeof(clattn_additive_gradients), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_additive_gradients_init(clattn_additive_gradients *gradients, size_t size);

/**
 * The derivative of clattn_additive_layer_forward(), from the forward's @p weights and @p io; nothing that it wrote is
 * needed. Rows and keys that have no part get gradient 0.
 * @return as clattn_additive_execute()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_layer_backward(clattn_additive_layer *layer,
                                                                     const clattn_additive_weights *weights,
                                                                     const clattn_additive_layer_io *io,
                                                                     const clattn_additive_gradients *gradients);

/* --------------------------------------------------------------------------------------------------------- glimpse */

/**
 * The contextual glimpse: an embedding of the context says how much of each input there is to see.
 *
 *     weights = W_context context + b_context        [rows, input_dim], through softmax where asked for
 *     output  = W_output (weights * input) + b_output, the product element by element
 *
 * @since 0.1
 */
typedef struct clattn_glimpse_options {
    size_t struct_size;
    int64_t rows; /**< the largest a call may have; default 1 */
    int64_t input_dim, context_dim, output_dim;
    bool softmax;
    clattn_plan_options plan; /**< of the first product; the second goes to the engine and the device where it went */
} clattn_glimpse_options;

#define CLATTN_GLIMPSE_OPTIONS_INIT                                                                                    \
    { sizeof(clattn_glimpse_options), 1, 0, 0, 0, false, CLATTN_PLAN_OPTIONS_INIT }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_glimpse_options_init(clattn_glimpse_options *options, size_t size);

/** @since 0.1 */
typedef struct clattn_glimpse_weights {
    const float *w_context; /**< [input_dim, context_dim] */
    const float *b_context; /**< [input_dim], or NULL */
    const float *w_output;  /**< [output_dim, input_dim] */
    const float *b_output;  /**< [output_dim], or NULL */
} clattn_glimpse_weights;

/** @since 0.1 */
typedef struct clattn_glimpse_io {
    size_t struct_size;
    int64_t rows;         /**< default CLATTN_SAME = the options' */
    const float *input;   /**< [rows, input_dim] */
    const float *context; /**< [rows, context_dim] */
    float *weights;       /**< [rows, input_dim], or NULL = not needed */
    float *output;        /**< [rows, output_dim] */
    clattn_report *report;
} clattn_glimpse_io;

#define CLATTN_GLIMPSE_IO_INIT { sizeof(clattn_glimpse_io), CLATTN_SAME, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_glimpse_io_init(clattn_glimpse_io *io, size_t size);

/** @since 0.1 */
typedef struct clattn_glimpse clattn_glimpse;

/** As clattn_linear_plan_create(). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_glimpse_create(clattn_runtime *runtime,
                                                            const clattn_glimpse_options *options,
                                                            clattn_glimpse **glimpse, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_glimpse_destroy(clattn_glimpse *glimpse);

/** @return as clattn_linear_execute() @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_glimpse_forward(clattn_glimpse *glimpse,
                                                             const clattn_glimpse_weights *weights,
                                                             const clattn_glimpse_io *io);

/** Makes the glimpse ready for backward, on the engine and the device of its products. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_glimpse_learn(clattn_glimpse *glimpse, clattn_report *report);

/**
 * The gradients of one call: grad_output is read, all others are NULL where they are not wanted. Those of input and
 * context are written, those of matrices and biases added to. Start from CLATTN_GLIMPSE_GRADIENTS_INIT. @since 0.1
 */
typedef struct clattn_glimpse_gradients {
    size_t struct_size;
    const float *grad_output; /**< [rows, output_dim] */
    float *grad_input;        /**< [rows, input_dim] */
    float *grad_context;      /**< [rows, context_dim] */
    float *grad_w_context, *grad_b_context, *grad_w_output, *grad_b_output;
} clattn_glimpse_gradients;

#define CLATTN_GLIMPSE_GRADIENTS_INIT                                                                                  \
    { sizeof(clattn_glimpse_gradients), NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_glimpse_gradients_init(clattn_glimpse_gradients *gradients, size_t size);

/**
 * The derivative of clattn_glimpse_forward(), from the forward's @p weights and @p io; io.weights, which the forward
 * wrote, is read. @return as clattn_linear_execute() @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_glimpse_backward(clattn_glimpse *glimpse,
                                                              const clattn_glimpse_weights *weights,
                                                              const clattn_glimpse_io *io,
                                                              const clattn_glimpse_gradients *gradients);

/* ------------------------------------------------------------------------------------------------------ row by row */

/*
 * These functions work on the threads of the runtime that they are given, or on the calling thread alone where it is NULL.
 * They compute in double and round each result once; the bits are the same for any number of threads. Exponentials and the
 * normal distribution of GELU are polynomials of this library's own, within 1e-11 of themselves.
 */

/**
 * output = (input - mean) / sqrt(variance + epsilon) * gain + bias for each row of [rows, dim]; in place is legal;
 * gain and bias [dim] may be NULL. INVALID_ARGUMENT. Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_layer_norm(clattn_runtime *runtime, int64_t rows, int64_t dim,
                                                        double epsilon, const float *gain, const float *bias,
                                                        const float *input, float *output);

/**
 * output = x * (1 + erf(x / sqrt(2))) / 2, element by element; in place is legal. INVALID_ARGUMENT. Any thread. @since
 * 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_gelu(clattn_runtime *runtime, int64_t count, const float *input,
                                                  float *output);

/** Softmax of each row of [rows, dim]; in place is legal. INVALID_ARGUMENT. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_softmax(clattn_runtime *runtime, int64_t rows, int64_t dim,
                                                     const float *input, float *output);

/**
 * The derivative of clattn_layer_norm(), which is given the input again.
 * @param gain         as given to the forward, or NULL
 * @param grad_input   [rows, dim], written; may be grad_output or input; NULL = not wanted
 * @param grad_gain    [dim], added to; NULL = not wanted
 * @param grad_bias    [dim], added to; NULL = not wanted
 * INVALID_ARGUMENT. Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_layer_norm_backward(clattn_runtime *runtime, int64_t rows, int64_t dim,
                                                                 double epsilon, const float *gain, const float *input,
                                                                 const float *grad_output, float *grad_input,
                                                                 float *grad_gain, float *grad_bias);

/**
 * The derivative of clattn_gelu(), which is given the input again; grad_input is written and may be grad_output or
 * input. INVALID_ARGUMENT. Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_gelu_backward(clattn_runtime *runtime, int64_t count, const float *input,
                                                           const float *grad_output, float *grad_input);

/**
 * The derivative of clattn_softmax(), which is given the forward's output; grad_input is written and may be
 * grad_output. INVALID_ARGUMENT. Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_softmax_backward(clattn_runtime *runtime, int64_t rows, int64_t dim,
                                                              const float *output, const float *grad_output,
                                                              float *grad_input);

/** The label of rows that do not count, unless the caller says another one; PyTorch's too. @since 0.1 */
#define CLATTN_IGNORED_LABEL (-100)

/** One call of clattn_cross_entropy(). Start from CLATTN_CROSS_ENTROPY_IO_INIT. @since 0.1 */
typedef struct clattn_cross_entropy_io {
    size_t struct_size;
    int64_t rows, classes;
    const float *logits;   /**< [rows, classes]: scores before any softmax */
    const int64_t *labels; /**< [rows]: the right class, 0 to classes - 1, or `ignore` */
    int64_t ignore;        /**< rows with this label do not count; default CLATTN_IGNORED_LABEL */
    double factor;         /**< grad_logits is multiplied by it; default 1; of a batch in parts the part's share */
    double *loss;          /**< receives the loss, in nats a row */
    int64_t *counted;      /**< receives the number of rows that count; may be NULL */
    float *grad_logits;    /**< [rows, classes], written; may be the logits; NULL = not wanted */
    clattn_report *report; /**< may be NULL */
    clattn_runtime *runtime; /**< whose threads share the rows; NULL (default) = the calling thread alone */
} clattn_cross_entropy_io;

#define CLATTN_CROSS_ENTROPY_IO_INIT                                                                                   \
    {                                                                                                                  \
        sizeof(clattn_cross_entropy_io), 0, 0, NULL, NULL, CLATTN_IGNORED_LABEL, 1.0, NULL, NULL, NULL, NULL, NULL     \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_cross_entropy_io_init(clattn_cross_entropy_io *io, size_t size);

/**
 * Softmax and cross-entropy in one, with their derivative: the mean over the rows that count of
 * log sum_c exp(logits[c]) - logits[label], and grad_logits = factor (softmax(logits) - [c = label]) / rows that count.
 * In double. Where no row counts the loss is 0, and so are the gradients; they are 0 in rows that do not count.
 * @return INVALID_ARGUMENT: the report names the field, or the label that is none of the classes; nothing is written
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_cross_entropy(const clattn_cross_entropy_io *io);

/* ----------------------------------------------------------------------------------------------------- safetensors */

/** A .safetensors file: named arrays. @since 0.1 */
typedef struct clattn_safetensors clattn_safetensors;

/** One array of the file. Strings live as long as the file. @since 0.1 */
typedef struct clattn_safetensors_entry {
    const char *name;
    const char *dtype;  /**< as the file says: "F32", "F16", "BF16", "F64", "I64", "F4", or one unknown here */
    int64_t dimensions; /**< 0 to 8 */
    int64_t shape[8];
    int64_t count; /**< elements */
} clattn_safetensors_entry;

/**
 * Opens a file and reads its header; the arrays are read when asked for. The header is checked whole: JSON, each array
 * inside the file and as long as shape and type say, none overlapping, no gap, no name twice. An array of a type that
 * is not known here is listed like the others, with whatever length its offsets say; only reading it fails.
 * @param path   of a regular file: a folder, a pipe or a device is refused
 * @param report may be NULL; what is wrong, and where
 * @return INVALID_ARGUMENT, OUT_OF_MEMORY
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_safetensors_open(clattn_runtime *runtime, const char *path,
                                                              clattn_safetensors **file, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_safetensors_close(clattn_safetensors *file);

/** Number of arrays. @since 0.1 */
CLATTN_API int64_t clattn_safetensors_count(const clattn_safetensors *file);

/** Describes array @p index, in the order of the data. INVALID_ARGUMENT. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_safetensors_get_entry(const clattn_safetensors *file, int64_t index,
                                                                   clattn_safetensors_entry *entry);

/** Index of the array @p name, or -1. @since 0.1 */
CLATTN_API int64_t clattn_safetensors_find(const clattn_safetensors *file, const char *name);

/**
 * Reads the array @p name as floats; F32, F16, BF16 and F64 are converted (F64 rounds).
 * @param count   elements that @p data takes: another number than the file's is an error
 * @param report  may be NULL; names the array that is missing, of another size or of another type
 * @return INVALID_ARGUMENT, OUT_OF_MEMORY. One call at a time a file.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_safetensors_read(clattn_safetensors *file, const char *name, int64_t count,
                                                              float *data, clattn_report *report);

/** A note of a file: a text by name, in the header's __metadata__. @since 0.1 */
typedef struct clattn_safetensors_note {
    const char *name, *text;
} clattn_safetensors_note;

/** The text of the note @p name; NULL when the file has none. Lives as long as the file. @since 0.1 */
CLATTN_API const char *clattn_safetensors_get_note(const clattn_safetensors *file, const char *name);

/** One array of a file that is written, as F32. @since 0.1 */
typedef struct clattn_safetensors_array {
    const char *name;   /**< UTF-8 */
    int64_t dimensions; /**< 0 to 8 */
    int64_t shape[8];
    const float *data; /**< dense, row-major; NULL where a dimension is 0 */
} clattn_safetensors_array;

/**
 * Writes a .safetensors file, whole or not at all: under another name in the same folder, brought to the disk, then
 * renamed. After an error, and after a crash at any moment, what was there before is there still.
 * @param path    a file that is there is replaced, and keeps its permissions; a link is followed. A folder, a pipe and
 *                a device are refused
 * @param arrays  [count], in the order in which they are written
 * @param notes   [note_count], each name once; may be NULL when there is none
 * @param report  may be NULL; the field that is wrong, or why the file cannot be written
 * @return INVALID_ARGUMENT, OUT_OF_MEMORY
 * Any thread. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_safetensors_write(clattn_runtime *runtime, const char *path,
                                                               const clattn_safetensors_array *arrays, int64_t count,
                                                               const clattn_safetensors_note *notes, int64_t note_count,
                                                               clattn_report *report);

#ifdef __cplusplus
}
#endif
#endif
