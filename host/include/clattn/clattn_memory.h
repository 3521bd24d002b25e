/*
 * Neural memory: a memory that learns while it reads (Behrouz, Zhong, Mirrokni: Titans, arXiv 2501.00663), and the
 * layers in which attention uses it. It remembers in constant space what no window of attention reaches any more.
 *
 * A memory M maps a key to a value. Every token brings a key k, a value v, a query q and three gates; the memory takes
 * one step against the loss |M(k) - v|^2, the sum over the dims, whose gradient has its factor 2:
 *
 *     S_t = eta_t S_{t-1} - theta_t grad(M_{t-1}; k_t, v_t)       momentum
 *     M_t = (1 - alpha_t) M_{t-1} + S_t                           alpha: how much is forgotten
 *     y_t = M_t(q_t)                                              or M_{t-1}(q_t): read_before
 *
 * A linear memory is a matrix: M(k) = M k. A two-layer memory is M(k) = W2 f(W1 k), f SiLU or GELU, without biases;
 * each matrix has a momentum of its own, and the gates are theirs in common.
 *
 * Chunks: the gradients of `chunk` tokens are all taken at the state where their chunk begins; decay and momentum stay
 * token by token. Then a chunk is matrix products (clattn_linear.h), which run by the engine and on the device that the
 * options name. chunk = 1 is the rule as it stands above; other numbers compute something slightly different, for
 * speed. Chunks begin where a call begins, and its last one may be shorter: a sequence that is cut at bounds of chunks
 * gives the same bits. A chunk of one token is computed by plain loops on the calling thread, whatever the engine.
 *
 * Accuracy: sums are float, products as in clattn_linear.h; gates and what they come to are double. Of the state before
 * a chunk nothing is left below 2^-80 of it, and a token whose factor is below 2^-80 of the chunk's largest counts 0.
 *
 * State: of each entry and head its matrices, then the momenta in the same order; dense:
 *
 *     linear      M [value_dim, key_dim], S [value_dim, key_dim]
 *     two layers  W1 [hidden, key_dim], W2 [value_dim, hidden], and S1, S2 of these shapes
 *
 * It is the caller's memory, goes into a call and comes out of it.
 *
 * Shapes are written [batch, length, columns]; memory is float, dense, row-major, the caller's, on the host; heads
 * stand side by side in a row. Errors, ownership, versions: as in clattn.h; a call is refused before it writes, and no
 * array that it writes may overlap another of the call, except where it is said. What is not finite in a token stays in
 * its entry and head, and in their state from then on. Threads: distinct objects are independent; one serves one call
 * at a time. Destroy them before their runtime. Part of libclattn_layers.
 */
#ifndef CLATTN_MEMORY_H
#define CLATTN_MEMORY_H

#include "clattn/clattn_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --------------------------------------------------------------------------------------------------------- memory */

/** What the memory is. @since 0.1 */
typedef enum clattn_memory_depth {
    CLATTN_MEMORY_LINEAR,    /**< a matrix */
    CLATTN_MEMORY_TWO_LAYERS /**< W2 f(W1 k) */
} clattn_memory_depth;

/** f of a two-layer memory. @since 0.1 */
typedef enum clattn_memory_bend {
    CLATTN_MEMORY_SILU, /**< x / (1 + exp(-x)) */
    CLATTN_MEMORY_GELU  /**< x (1 + erf(x / sqrt(2))) / 2 */
} clattn_memory_bend;

/** Start from CLATTN_NEURAL_MEMORY_OPTIONS_INIT. @since 0.1 */
typedef struct clattn_neural_memory_options {
    size_t struct_size;
    int64_t batch;     /**< entries; default 1; 0 is legal */
    int64_t heads;     /**< memories of an entry, each with columns of its own; default 1 */
    int64_t length;    /**< tokens of an entry, the most a call may have; 0 is legal */
    int64_t chunk;     /**< default 64; 1 = token by token; at most 65536 */
    int64_t key_dim;   /**< of key and query of a head */
    int64_t value_dim; /**< of value and output of a head; default CLATTN_SAME = key_dim */
    clattn_memory_depth depth;
    clattn_memory_bend bend;  /**< of two layers */
    int64_t hidden;           /**< of two layers: rows of W1; default CLATTN_SAME = 4 * key_dim */
    bool read_before;         /**< y_t = M_{t-1}(q_t): a token does not see its own value */
    clattn_plan_options plan; /**< of the products; not kept beyond creation */
} clattn_neural_memory_options;

#define CLATTN_NEURAL_MEMORY_OPTIONS_INIT                                                                              \
    {                                                                                                                  \
        sizeof(clattn_neural_memory_options), 1, 1, 0, 64, 0, CLATTN_SAME, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU,   \
            CLATTN_SAME, false, CLATTN_PLAN_OPTIONS_INIT                                                               \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_neural_memory_options_init(clattn_neural_memory_options *options, size_t size);

/** The rules of a memory made ready on one device; what it remembers is in the caller's state. @since 0.1 */
typedef struct clattn_neural_memory clattn_neural_memory;

/**
 * Makes plans for the products of a chunk and takes the memory between them, which grows with chunk times the dims and
 * not with length or batch.
 * @param options copied
 * @param memory  receives the memory; NULL on error
 * @param report  may be NULL; names the field that does not fit, or why engines declined
 * @return as clattn_linear_plan_create(); OVERFLOW: an array of a call would have more than 2^63 - 1 bytes
 * Threads: any. @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_create(clattn_runtime *runtime,
                                                                  const clattn_neural_memory_options *options,
                                                                  clattn_neural_memory **memory, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_neural_memory_destroy(clattn_neural_memory *memory);

/** Numbers in the state of one head of one entry; the whole state is [batch, heads, this]. 0 for NULL. @since 0.1 */
CLATTN_API int64_t clattn_neural_memory_get_state_size(const clattn_neural_memory *memory);

/** Numbers in `kept` of a call of the options' length (see there). 0 for NULL. @since 0.1 */
CLATTN_API int64_t clattn_neural_memory_get_kept(const clattn_neural_memory *memory);

/**
 * Writes a state for the beginning of a sequence: momenta are 0; a linear memory is 0, the matrices of two layers are
 * drawn (CLATTN_FILL_XAVIER; two layers of 0 would never learn), those of a head the same in every entry.
 * @param state  [batch, heads, state size]
 * @return INVALID_ARGUMENT
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_start(const clattn_neural_memory *memory, uint64_t seed,
                                                                 float *state);

/** The memory of one call. Start from CLATTN_NEURAL_MEMORY_IO_INIT. @since 0.1 */
typedef struct clattn_neural_memory_io {
    size_t struct_size;
    int64_t length;        /**< of this call, for all entries; default CLATTN_SAME = the options'; not above it */
    const float *key;      /**< [batch, length, heads * key_dim] */
    const float *value;    /**< [batch, length, heads * value_dim] */
    const float *query;    /**< [batch, length, heads * key_dim]; NULL with output NULL: learn, read nothing */
    const float *alpha;    /**< [batch, length, heads]: within 0 and 1; any numbers are computed with */
    const float *theta;    /**< the same shape: the step, >= 0 */
    const float *eta;      /**< the same shape: the momentum, within 0 and 1 */
    const float *state_in; /**< [batch, heads, state size]; NULL = 0 for a linear memory, refused for two layers */
    float *state_out;      /**< the same shape: where another call goes on; may be state_in; NULL = not needed */
    float *output;         /**< [batch, length, heads * value_dim] */
    float *kept;           /**< [batch, heads, chunks, state size], chunks = length / chunk rounded up: the states where
                                chunks begin, for backward; NULL = not needed */
    clattn_report *report; /**< may be NULL */
} clattn_neural_memory_io;

#define CLATTN_NEURAL_MEMORY_IO_INIT                                                                                   \
    { sizeof(clattn_neural_memory_io), CLATTN_SAME, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_neural_memory_io_init(clattn_neural_memory_io *io, size_t size);

/**
 * Reads the tokens of a call and learns them.
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW (nothing is written); as clattn_linear_execute()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_forward(clattn_neural_memory *memory,
                                                                   const clattn_neural_memory_io *io);

/**
 * Reads without learning: output = M(query) for any number of rows per entry; it may exceed the options'
 * length.
 * @param state   [batch, heads, state size]; the momenta are not read
 * @param query   [batch, rows, heads * key_dim]
 * @param output  [batch, rows, heads * value_dim]
 * @param report  may be NULL
 * @return as clattn_neural_memory_forward()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_read(clattn_neural_memory *memory, int64_t rows,
                                                                const float *state, const float *query, float *output,
                                                                clattn_report *report);

/**
 * Makes the memory ready for backward: a few plans and arrays more.
 * @param report may be NULL
 * @return as clattn_neural_memory_create(); after an error the memory computes forward as before
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_learn(clattn_neural_memory *memory, clattn_report *report);

/**
 * The gradients of one call, in the shapes of what they belong to; grad_output and grad_state_out are read, all others
 * are written, and NULL where they are not wanted. Start from CLATTN_NEURAL_MEMORY_GRADIENTS_INIT. @since 0.1
 */
typedef struct clattn_neural_memory_gradients {
    size_t struct_size;
    const float *grad_output;    /**< NULL = 0, as where the call read nothing */
    const float *grad_state_out; /**< from the call that went on; NULL = 0 */
    float *grad_key, *grad_value, *grad_query;
    float *grad_alpha, *grad_theta, *grad_eta;
    float *grad_state_in; /**< for the call before, or the parameter that the sequence began with; may be
                               grad_state_out */
} clattn_neural_memory_gradients;

#define CLATTN_NEURAL_MEMORY_GRADIENTS_INIT                                                                            \
    { sizeof(clattn_neural_memory_gradients), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_neural_memory_gradients_init(clattn_neural_memory_gradients *gradients, size_t size);

/**
 * The derivative of clattn_neural_memory_forward(), through every step that the memory took. @p io is the forward's:
 * its inputs and `kept` are read, which must have been asked for. state_in, state_out and output are not read.
 * @return as clattn_neural_memory_forward()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_backward(clattn_neural_memory *memory,
                                                                    const clattn_neural_memory_io *io,
                                                                    const clattn_neural_memory_gradients *gradients);

/**
 * The derivative of clattn_neural_memory_read(), of a memory that clattn_neural_memory_learn() has made ready.
 * @param state, query as given to the reading
 * @param grad_output  [batch, rows, heads * value_dim]
 * @param grad_query   [batch, rows, heads * key_dim]; written; NULL = not wanted
 * @param grad_state   [batch, heads, state size]; added to, since a state is read and learnt from; the momenta's stay.
 *                     NULL = not wanted
 * @param report       may be NULL
 * @return as clattn_neural_memory_forward()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_neural_memory_read_backward(clattn_neural_memory *memory, int64_t rows,
                                                                         const float *state, const float *query,
                                                                         const float *grad_output, float *grad_query,
                                                                         float *grad_state, clattn_report *report);

/* --------------------------------------------------------------------------------------------------------- layers */

/** How a layer uses its memory. @since 0.1 */
typedef enum clattn_memory_form {
    CLATTN_MEMORY_ALONE,      /**< output = what the memory reads; no attention */
    CLATTN_MEMORY_AS_CONTEXT, /**< attention sees what the memory knows of the segment, then the memory learns */
    CLATTN_MEMORY_AS_GATE,    /**< attention over a window, gated by the memory beside it */
    CLATTN_MEMORY_AS_LAYER    /**< attention over a window of what the memory reads */
} clattn_memory_form;

/**
 * A layer with a memory. `remember(x)` stands for a neural memory that reads and learns rows x, for each of its heads
 *
 *     query = unit(silu(W_mq x))   key = unit(silu(W_mk x))   value = silu(W_mv x)   unit(a) = a / sqrt(|a|^2 + 1e-12)
 *     alpha = sigmoid(w_alpha x + b)     theta = most_theta sigmoid(w_theta x + b)     eta = sigmoid(w_eta x + b)
 *
 * and `attend` for attention of several heads with an output projection (clattn_attention_layer_options). P are the
 * persistent tokens: rows that are parameters, which every row sees, whatever the window. With gated(y, m) =
 * norm(y) * sigmoid(norm(m)), layer normalisations with gains, without biases, of epsilon 1e-5:
 *
 *     alone       output = remember(x)
 *     as context  for each segment of `window` rows: h = M(query of the segment), read in the state before it;
 *                 y = attend(segment to [P | h | segment]);   output = gated(y, remember(y))
 *     as gate     y = attend(x to [P | x]);                   output = gated(y, remember(x))
 *     as layer    m = remember(x);                            output = attend(m to [P | m])
 *
 * Everything is causal: a row sees no row after it, nor the memory's reading for one. `window` counts the row itself.
 * There are no positions, residuals or convolutions in it: the caller adds them around the layer.
 *
 * A sequence may come in several calls: the state has the memories, and the rows that the window still reaches. Cut it
 * at bounds of chunks (of the segment, as context), and the output is the same up to rounding.
 *
 * Start from CLATTN_MEMORY_LAYER_OPTIONS_INIT. @since 0.1
 */
typedef struct clattn_memory_layer_options {
    size_t struct_size;
    clattn_memory_form form;
    int64_t batch;        /**< entries; default 1; 0 is legal */
    int64_t length;       /**< tokens of an entry, the most a call may have; 0 is legal */
    int64_t dim;          /**< of a row of input and output */
    int64_t heads;        /**< of the attention; default 1; divides the dim */
    int64_t window;       /**< >= 1, rows that a row sees, or of a segment; not looked at when alone */
    int64_t persistent;   /**< rows of P; default 0; none when alone */
    int64_t memory_heads; /**< default 1; divides the dim: key_dim = value_dim = dim / memory_heads */
    int64_t chunk;        /**< of the memory, as the next three; default 64 */
    clattn_memory_depth depth;
    clattn_memory_bend bend;
    int64_t hidden;           /**< default CLATTN_SAME = 4 dim / memory_heads */
    double most_theta;        /**< default 1; finite and >= 0 */
    clattn_plan_options plan; /**< of the attention; products go where it went; not kept beyond creation */
} clattn_memory_layer_options;

#define CLATTN_MEMORY_LAYER_OPTIONS_INIT                                                                               \
    {                                                                                                                  \
        sizeof(clattn_memory_layer_options), CLATTN_MEMORY_ALONE, 1, 0, 0, 1, 0, 0, 1, 64, CLATTN_MEMORY_LINEAR,       \
            CLATTN_MEMORY_SILU, CLATTN_SAME, 1.0, CLATTN_PLAN_OPTIONS_INIT                                             \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_memory_layer_options_init(clattn_memory_layer_options *options, size_t size);

/** The parameters of a layer. @since 0.1 */
typedef struct clattn_memory_layer_weights {
    const float *w_memory_query, *w_memory_key, *w_memory_value; /**< [dim, dim] each: W_mq, W_mk, W_mv */
    const float *w_gates;                      /**< [3 * memory_heads, dim]: rows of alpha for each head,
                                                                      then of theta, then of eta */
    const float *b_gates;                      /**< [3 * memory_heads], or NULL */
    clattn_attention_weights attention;        /**< [dim, dim] each, with biases or without; none when alone */
    const float *persistent;                   /**< [persistent, dim] */
    const float *gain_attention, *gain_memory; /**< [dim]: of gated(y, m), as context and as gate; NULL = 1 */
} clattn_memory_layer_weights;

/** The memory of one call. Start from CLATTN_MEMORY_LAYER_IO_INIT. @since 0.1 */
typedef struct clattn_memory_layer_io {
    size_t struct_size;
    int64_t length;        /**< of this call, for all entries; default CLATTN_SAME = the options'; not above it */
    int64_t seen;          /**< tokens of each entry that the state has seen already; default 0 */
    const float *input;    /**< [batch, length, dim] */
    float *state;          /**< [batch, state size], read and written; of a beginning from clattn_memory_layer_start().
                                After an error that is no refusal it is undefined */
    float *output;         /**< [batch, length, dim] */
    clattn_report *report; /**< may be NULL */
} clattn_memory_layer_io;

#define CLATTN_MEMORY_LAYER_IO_INIT                                                                                    \
    { sizeof(clattn_memory_layer_io), CLATTN_SAME, 0, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_memory_layer_io_init(clattn_memory_layer_io *io, size_t size);

/** @since 0.1 */
typedef struct clattn_memory_layer clattn_memory_layer;

/**
 * Makes the memory, the attention and the products ready and takes the memory between them, which grows with length,
 * not with batch.
 * @param layer  receives the layer; NULL on error
 * @param report may be NULL; names the field that does not fit, or why engines declined
 * @return as clattn_attention_layer_create()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_memory_layer_create(clattn_runtime *runtime,
                                                                 const clattn_memory_layer_options *options,
                                                                 clattn_memory_layer **layer, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_memory_layer_destroy(clattn_memory_layer *layer);

/** Numbers in the state of an entry: the memories, then the rows that the window reaches. 0 for NULL. @since 0.1 */
CLATTN_API int64_t clattn_memory_layer_get_state_size(const clattn_memory_layer *layer);

/** Writes a state for the beginning of a sequence, as clattn_neural_memory_start(). INVALID_ARGUMENT. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_memory_layer_start(const clattn_memory_layer *layer, uint64_t seed,
                                                                float *state);

/**
 * Computes one call.
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW (nothing is written); as clattn_execute()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_memory_layer_forward(clattn_memory_layer *layer,
                                                                  const clattn_memory_layer_weights *weights,
                                                                  const clattn_memory_layer_io *io);

#ifdef __cplusplus
}
#endif
#endif
