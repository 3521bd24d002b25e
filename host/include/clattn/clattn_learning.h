/*
 * Learning with the layers of clattn_layers.h: parameters by name, optimisers that change them by their gradients, a
 * schedule of learning rates.
 *
 * A step of training:
 *
 *     clattn_parameters_clear(parameters);                         gradients to 0
 *     ... forward; the loss (clattn_cross_entropy()); backward      adds gradients to the parameters'
 *     clattn_parameters_clip(parameters, 1.0, &norm);
 *     clattn_optimiser_step(optimiser, clattn_schedule_rate(&schedule, step), &report);
 *
 * The same parameters, gradients and options give the same bits, on any number of threads, and everywhere but for the
 * last bits of libm's cosine and power.
 *
 * Errors, ownership, versions: as in clattn.h. Threads: what is done to gradients and values is shared among the threads
 * of the list's runtime. Distinct objects are independent; a list of parameters and the optimisers of it serve one call
 * at a time. Destroy them before their runtime. Part of libclattn_layers.
 */
#ifndef CLATTN_LEARNING_H
#define CLATTN_LEARNING_H

#include "clattn/clattn_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------ parameters */

/** A list of parameters, by name; it owns their memory. @since 0.1 */
typedef struct clattn_parameters clattn_parameters;

/** One parameter. Name and memory live as long as the list and do not move when it grows. @since 0.1 */
typedef struct clattn_parameter {
    const char *name;
    int64_t dimensions; /**< 0 to 8 */
    int64_t shape[8];
    int64_t count;   /**< numbers: the product of the shape */
    float *value;    /**< dense, row-major */
    float *gradient; /**< of the same shape; NULL in the list of an optimiser's state */
} clattn_parameter;

/** An empty list. INVALID_ARGUMENT, OUT_OF_MEMORY. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_create(clattn_runtime *runtime, clattn_parameters **parameters);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_parameters_destroy(clattn_parameters *parameters);

/**
 * Adds a parameter, value and gradient 0.
 * @param name   UTF-8, copied; none of the list's yet
 * @param added  receives the parameter; may be NULL
 * @param report may be NULL; names what is wrong
 * @return INVALID_ARGUMENT, OVERFLOW, OUT_OF_MEMORY; the list is as before then
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_add(clattn_parameters *parameters, const char *name,
                                                            int64_t dimensions, const int64_t *shape,
                                                            clattn_parameter *added, clattn_report *report);

/** Number of parameters. @since 0.1 */
CLATTN_API int64_t clattn_parameters_count(const clattn_parameters *parameters);

/** Parameter @p index, in the order in which they were added. INVALID_ARGUMENT. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_get(const clattn_parameters *parameters, int64_t index,
                                                            clattn_parameter *parameter);

/** Index of the parameter @p name, or -1. @since 0.1 */
CLATTN_API int64_t clattn_parameters_find(const clattn_parameters *parameters, const char *name);

/** Makes all gradients 0. NULL does nothing. @since 0.1 */
CLATTN_API void clattn_parameters_clear(clattn_parameters *parameters);

/**
 * Makes gradients smaller where they are too large together: with norm = the root of the sum of all squares, in double,
 * each is multiplied by limit / (norm + 1e-6) where that is below 1, as PyTorch's clip_grad_norm_ does. A norm that is
 * not finite changes nothing: look at it, and leave the step out.
 * @param limit  > 0
 * @param norm   receives the norm of before; may be NULL
 * @return INVALID_ARGUMENT
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_clip(clattn_parameters *parameters, double limit, double *norm);

/**
 * Writes all values into a .safetensors file, by name, whole or not at all: as clattn_safetensors_write(), with its
 * arguments.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_write(const clattn_parameters *parameters, const char *path,
                                                              const clattn_safetensors_note *notes, int64_t note_count,
                                                              clattn_report *report);

/**
 * Reads all values from a .safetensors file: every parameter has an array of its name and shape there; other arrays of
 * the file are passed over. Types as for clattn_safetensors_read().
 * @param report  may be NULL; names the parameter that is missing, or of another shape or type
 * @return INVALID_ARGUMENT (nothing is changed, unless the file fails while it is read), OUT_OF_MEMORY
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_parameters_read(clattn_parameters *parameters, clattn_safetensors *file,
                                                             clattn_report *report);

/* ------------------------------------------------------------------------------------------------------ optimisers */

/** @since 0.1 */
typedef enum clattn_optimiser_kind {
    CLATTN_SGD,  /**< gradient descent with momentum */
    CLATTN_ADAMW /**< Adam, with decay apart from the gradient */
} clattn_optimiser_kind;

/**
 * How parameters follow their gradients. In double, each number by itself; values and state are rounded to float. With
 * value p, gradient g, step t = 1, 2, ... and the learning rate of the step:
 *
 *     SGD     g += decay p          m = momentum m + g          p -= rate m
 *     AdamW   p -= rate decay p     m = beta1 m + (1 - beta1) g     v = beta2 v + (1 - beta2) g g
 *             p -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 *
 * These are PyTorch's SGD and AdamW. Start from CLATTN_OPTIMISER_OPTIONS_INIT. @since 0.1
 */
typedef struct clattn_optimiser_options {
    size_t struct_size;
    clattn_optimiser_kind kind; /**< default CLATTN_ADAMW */
    double momentum;            /**< of SGD; 0 to below 1; default 0.9 */
    double beta1, beta2;        /**< of AdamW; 0 to below 1; defaults 0.9 and 0.999 */
    double epsilon;             /**< of AdamW; >= 0; default 1e-8 */
    double decay;               /**< >= 0; default 0 */
    bool decay_all;             /**< default false: parameters of one dimension, biases and gains, do not decay */
} clattn_optimiser_options;

#define CLATTN_OPTIMISER_OPTIONS_INIT                                                                                  \
    { sizeof(clattn_optimiser_options), CLATTN_ADAMW, 0.9, 0.9, 0.999, 1e-8, 0.0, false }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_optimiser_options_init(clattn_optimiser_options *options, size_t size);

/** @since 0.1 */
typedef struct clattn_optimiser clattn_optimiser;

/**
 * Makes an optimiser of the parameters that the list has now, with its state 0.
 * @param parameters  kept; destroy the optimiser first, and add no parameter meanwhile
 * @param options     copied; NULL = the defaults
 * @param report      may be NULL; names the option that is wrong
 * @return INVALID_ARGUMENT, OUT_OF_MEMORY
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_optimiser_create(clattn_parameters *parameters,
                                                              const clattn_optimiser_options *options,
                                                              clattn_optimiser **optimiser, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_optimiser_destroy(clattn_optimiser *optimiser);

/**
 * One step: changes all values by their gradients.
 * @param rate    the learning rate; finite, >= 0
 * @param report  may be NULL
 * @return INVALID_ARGUMENT (nothing is changed): the rate, or a list that has grown since
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_optimiser_step(clattn_optimiser *optimiser, double rate,
                                                            clattn_report *report);

/**
 * The state, by name: "NAME.momentum" (SGD), "NAME.first" and "NAME.second" (AdamW) for each parameter. Written beside
 * the parameters, and read again, with the number of steps, it resumes a training to the bit. Lives as long as the
 * optimiser.
 * @since 0.1
 */
CLATTN_API clattn_parameters *clattn_optimiser_get_state(clattn_optimiser *optimiser);

/** How many steps were made, t above; and to say so after the state was read. INVALID_ARGUMENT: below 0. @since 0.1 */
CLATTN_API int64_t clattn_optimiser_get_steps(const clattn_optimiser *optimiser);
CLATTN_API CLATTN_CHECK clattn_status clattn_optimiser_set_steps(clattn_optimiser *optimiser, int64_t steps);

/* -------------------------------------------------------------------------------------------------------- schedule */

/**
 * Learning rates: from 0 up to the peak in equal parts over the first steps, then down to the floor along half a
 * cosine. Start from CLATTN_SCHEDULE_INIT. @since 0.1
 */
typedef struct clattn_schedule {
    size_t struct_size;
    double peak;     /**< the largest rate */
    double floor;    /**< the rate at the end and after it; default 0 */
    int64_t warm_up; /**< steps of the way up; step warm_up - 1 is the first with the peak; default 0 */
    int64_t steps;   /**< of the whole; 0 (default) = no end: the peak stays */
} clattn_schedule;

#define CLATTN_SCHEDULE_INIT { sizeof(clattn_schedule), 0.0, 0.0, 0, 0 }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_schedule_init(clattn_schedule *schedule, size_t size);

/**
 * The rate of step @p step, counted from 0: peak (step + 1) / warm_up while step < warm_up, then
 * floor + (peak - floor) (1 + cos(pi (step - warm_up) / (steps - warm_up))) / 2. 0 where the schedule is NULL or of
 * another size. Any thread. @since 0.1
 */
CLATTN_API double clattn_schedule_rate(const clattn_schedule *schedule, int64_t step);

/* ----------------------------------------------------------------------------------------------------------- block */

/**
 * A transformer block, as GPT-2 has it:
 *
 *     middle = input + attention(norm1(input))            multi-head self-attention with an output projection
 *     output = middle + down(gelu(up(norm2(middle))))     up to mlp_dim, down to dim; all four maps have biases
 *
 * Start from CLATTN_BLOCK_OPTIONS_INIT; set at least length, dim and heads. @since 0.1
 */
typedef struct clattn_block_options {
    size_t struct_size;
    int64_t batch;    /**< default 1 */
    int64_t length;   /**< rows of an entry; with a batch of 1 the largest that a call may have */
    int64_t dim;      /**< a multiple of heads */
    int64_t heads;    /**< query heads */
    int64_t kv_heads; /**< default CLATTN_SAME = heads */
    int64_t mlp_dim;  /**< default CLATTN_SAME = 4 dim */
    bool causal;      /**< default true */
    double epsilon;   /**< of both norms; default 1e-5 */
    bool learn;       /**< default false: no backward */
    clattn_plan_options plan;     /**< of the attention; products go to the engine and the device where it went */
    clattn_plan_options backward; /**< of the attention's backward */
} clattn_block_options;

#define CLATTN_BLOCK_OPTIONS_INIT                                                                                      \
    {                                                                                                                  \
        sizeof(clattn_block_options), 1, 0, 0, 0, CLATTN_SAME, CLATTN_SAME, true, 1e-5, false,                         \
        CLATTN_PLAN_OPTIONS_INIT, CLATTN_PLAN_OPTIONS_INIT                                                             \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_block_options_init(clattn_block_options *options, size_t size);

/** @since 0.1 */
typedef struct clattn_block clattn_block;

/** As clattn_attention_layer_create(). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_block_create(clattn_runtime *runtime, const clattn_block_options *options,
                                                          clattn_block **block, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_block_destroy(clattn_block *block);

/**
 * Adds a block's parameters to a list, each named prefix and "norm1.gain", "norm1.bias", "attention.query.weight",
 * "attention.query.bias", ... of key, value and output, "norm2.gain", "norm2.bias", "mlp.up.weight", "mlp.up.bias",
 * "mlp.down.weight", "mlp.down.bias". Matrices are drawn (CLATTN_FILL_XAVIER, seeds from @p seed on), gains are 1,
 * biases 0.
 * @param first  receives the index of the first
 * @return as clattn_parameters_add(); after an error some of them may have been added
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_block_add_parameters(const clattn_block *block,
                                                                  clattn_parameters *parameters, const char *prefix,
                                                                  uint64_t seed, int64_t *first, clattn_report *report);

/** Numbers that a call keeps for its backward. @since 0.1 */
CLATTN_API int64_t clattn_block_get_kept(const clattn_block *block);

/** The memory of one call, forward and backward. Start from CLATTN_BLOCK_IO_INIT. @since 0.1 */
typedef struct clattn_block_io {
    size_t struct_size;
    int64_t length;     /**< of this call; default CLATTN_SAME; another one only with a batch of 1 */
    const float *input; /**< [batch, length, dim] */
    float *output;      /**< forward: [batch, length, dim]; overlaps nothing else */
    float *kept;        /**< clattn_block_get_kept() numbers: forward writes them, backward reads them */
    const float *grad_output; /**< backward */
    float *grad_input;        /**< backward: written; may be grad_output */
    clattn_report *report;    /**< may be NULL */
} clattn_block_io;

#define CLATTN_BLOCK_IO_INIT { sizeof(clattn_block_io), CLATTN_SAME, NULL, NULL, NULL, NULL, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_block_io_init(clattn_block_io *io, size_t size);

/**
 * One call with the parameters that begin at index @p first. A block keeps nothing of a call, so one block with several
 * sets of parameters is several layers of a model.
 * @return as clattn_attention_layer_forward()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_block_forward(clattn_block *block, const clattn_parameters *parameters,
                                                           int64_t first, const clattn_block_io *io);

/**
 * The derivative of that call, from its input and what it kept: grad_input is written, the parameters' gradients are
 * added to. @return as clattn_attention_layer_backward() @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_block_backward(clattn_block *block, const clattn_parameters *parameters,
                                                            int64_t first, const clattn_block_io *io);

/* --------------------------------------------------------------------------------------------------------- decoder */

/**
 * A causal decoder: states = embedding[ids] + sinusoidal positions, through blocks 0, 1, ..., a norm, and
 * logits = W_words state for every row. Start from CLATTN_DECODER_OPTIONS_INIT; set at least words, length, dim, heads
 * and blocks. @since 0.1
 */
typedef struct clattn_decoder_options {
    size_t struct_size;
    int64_t words;    /**< of the vocabulary: ids are 0 to words - 1 */
    int64_t batch;    /**< default 1 */
    int64_t length;   /**< ids of an entry; with a batch of 1 the largest that a call may have */
    int64_t dim;      /**< a multiple of heads */
    int64_t heads;    /**< query heads */
    int64_t kv_heads; /**< default CLATTN_SAME = heads */
    int64_t mlp_dim;  /**< default CLATTN_SAME = 4 dim */
    int64_t blocks; /**< 0 to 1024 */
    double epsilon; /**< of all norms; default 1e-5 */
    uint64_t seed;  /**< of the parameters' first values; default 0 */
    bool learn;     /**< default false: memory for one block's call, and no backward */
    clattn_plan_options plan, backward; /**< as of a block */
} clattn_decoder_options;

#define CLATTN_DECODER_OPTIONS_INIT                                                                                    \
    {                                                                                                                  \
        sizeof(clattn_decoder_options), 0, 1, 0, 0, 0, CLATTN_SAME, CLATTN_SAME, 0, 1e-5, 0, false,                    \
        CLATTN_PLAN_OPTIONS_INIT, CLATTN_PLAN_OPTIONS_INIT                                                             \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_decoder_options_init(clattn_decoder_options *options, size_t size);

/** @since 0.1 */
typedef struct clattn_decoder clattn_decoder;

/** Makes the decoder and draws its parameters. As clattn_attention_layer_create(). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_create(clattn_runtime *runtime,
                                                            const clattn_decoder_options *options,
                                                            clattn_decoder **decoder, clattn_report *report);

/** NULL does nothing. Optimisers of its parameters are destroyed before. @since 0.1 */
CLATTN_API void clattn_decoder_destroy(clattn_decoder *decoder);

/**
 * Its parameters: "embedding.weight" [words, dim], those of the blocks with the prefixes "blocks.0.", "blocks.1.", ...,
 * "norm.gain", "norm.bias", "words.weight" [words, dim]. They live as long as the decoder; add none.
 * @since 0.1
 */
CLATTN_API clattn_parameters *clattn_decoder_get_parameters(clattn_decoder *decoder);

/** The attention plan's own description, as clattn_attention_layer_get_info(). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_get_info(const clattn_decoder *decoder, clattn_plan_info *info);

/**
 * Logits for every row.
 * @param ids     [batch, length]
 * @param length  of this call, or CLATTN_SAME; another one than the options' only with a batch of 1
 * @param logits  [batch, length, words]
 * @param report  may be NULL; names the field, or the id that is no word
 * @return as clattn_attention_layer_forward()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_forward(clattn_decoder *decoder, const int64_t *ids,
                                                             int64_t length, float *logits, clattn_report *report);

/**
 * Forward, the loss (clattn_cross_entropy()) and backward in one: gradients are added to the parameters'.
 * @param ids, length  as for clattn_decoder_forward()
 * @param labels  [batch, length]: the word that follows each, or CLATTN_IGNORED_LABEL
 * @param factor  gradients are multiplied by it: 1, or this part's share of a batch that comes in parts
 * @param loss    receives the loss, in nats a row that counts
 * @return as clattn_attention_layer_backward(); what names a wrong id or label changes no gradient
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_learn(clattn_decoder *decoder, const int64_t *ids,
                                                           const int64_t *labels, int64_t length, double factor,
                                                           double *loss, clattn_report *report);

/* -------------------------------------------------------------------------------------------- a decoder's past */

/**
 * The words of one text so far, as their keys and values in every block of a decoder: a new word then costs one row
 * through the blocks instead of the whole text.
 *
 *     clattn_decoder_past_create(decoder, NULL, &past, &report);
 *     clattn_decoder_step(past, prompt, prompt_length, logits, &report);
 *     while (...) {
 *         word = ... chosen by the logits
 *         clattn_decoder_step(past, &word, 1, logits, &report);
 *     }
 *
 * Positions are absolute: a text that has come to the decoder's length is full. To let it slide, rewind to 0 and step
 * with the last words; their positions are then others, so nothing of what was kept serves.
 *
 * A past serves one call at a time, and so does its decoder with all its pasts. @since 0.1
 */
typedef struct clattn_decoder_past clattn_decoder_past;

/**
 * Makes an empty past, and plans for single rows.
 * @param decoder  of a batch of 1; destroyed after the past. After a change of its parameters rewind to 0
 * @param plan     of the rows' attention; not kept; NULL = the defaults. Products go to the engine and the device where
 *                 it went. The first step of several words goes where the decoder's forward goes
 * @param past     receives it; NULL on error
 * @param report   may be NULL; names the field that does not fit, or why engines declined
 * @return as clattn_attention_layer_create()
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_past_create(clattn_decoder *decoder,
                                                                 const clattn_plan_options *plan,
                                                                 clattn_decoder_past **past, clattn_report *report);

/** NULL does nothing. @since 0.1 */
CLATTN_API void clattn_decoder_past_destroy(clattn_decoder_past *past);

/** Words so far; 0 for NULL. @since 0.1 */
CLATTN_API int64_t clattn_decoder_past_get_length(const clattn_decoder_past *past);

/** Forgets all words but the first @p length. INVALID_ARGUMENT: there are not as many. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_past_rewind(clattn_decoder_past *past, int64_t length);

/**
 * Adds words to the text and tells what the decoder expects behind the last of them: row length - 1 of what
 * clattn_decoder_forward() would compute for the whole text, but for rounding.
 * @param ids     [count]
 * @param count   >= 1; with the words so far not above the decoder's length
 * @param logits  [words]
 * @param report  may be NULL; names the field, or the id that is no word
 * @return as clattn_attention_layer_forward(); after an error the past is as before
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_decoder_step(clattn_decoder_past *past, const int64_t *ids, int64_t count,
                                                          float *logits, clattn_report *report);

#ifdef __cplusplus
}
#endif
#endif
