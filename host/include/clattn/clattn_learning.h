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
 * The same parameters, gradients and options give the same bits everywhere but for the last bits of libm's cosine.
 *
 * Errors, ownership, versions: as in clattn.h. Threads: distinct objects are independent; a list of parameters and the
 * optimisers of it serve one call at a time. Destroy them before their runtime. Part of libclattn_layers.
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
 * each is multiplied by limit / (norm + 1e-6) where that is below 1, as PyTorch's clip_grad_norm_ does. A norm that is not
 * finite changes nothing: look at it, and leave the step out.
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
 * Reads all values from a .safetensors file: every parameter has an array of its name and shape there; other arrays of the
 * file are passed over. Types as for clattn_safetensors_read().
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
 * The state, by name: "NAME.momentum" (SGD), "NAME.first" and "NAME.second" (AdamW) for each parameter. Written beside the
 * parameters, and read again, with the number of steps, it resumes a training to the bit. Lives as long as the optimiser.
 * @since 0.1
 */
CLATTN_API clattn_parameters *clattn_optimiser_get_state(clattn_optimiser *optimiser);

/** How many steps were made, t above; and to say so after the state was read. INVALID_ARGUMENT: below 0. @since 0.1 */
CLATTN_API int64_t clattn_optimiser_get_steps(const clattn_optimiser *optimiser);
CLATTN_API CLATTN_CHECK clattn_status clattn_optimiser_set_steps(clattn_optimiser *optimiser, int64_t steps);

/* -------------------------------------------------------------------------------------------------------- schedule */

/**
 * Learning rates: from 0 up to the peak in equal parts over the first steps, then down to the floor along half a cosine.
 * Start from CLATTN_SCHEDULE_INIT. @since 0.1
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
 * floor + (peak - floor) (1 + cos(pi (step - warm_up) / (steps - warm_up))) / 2. 0 where the schedule is NULL or of another
 * size. Any thread. @since 0.1
 */
CLATTN_API double clattn_schedule_rate(const clattn_schedule *schedule, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
