/*
 * Additive (Bahdanau) attention, fused: the scores come from a small network instead of a dot product.
 *
 *     score[b,i,j]  = sum_h v[h] * tanh(query[b,i,h] + key[b,j,h])
 *     s             = allowed(b,i,j) ? score : -inf
 *     weights       = softmax over j of s
 *     output[b,i,:] = sum_j weights[j] * value[b,j,:]
 *     logsumexp     = log sum_j exp(s), natural logarithm
 *
 * `query` and `key` are the projected ones, W query and U key: a decoder that takes one step at a time projects the
 * keys once and calls this with query_length 1; a whole sequence is one call. clattn_layers.h has the layer with W and
 * U.
 *
 * Nothing of size [query_length, key_length, hidden] is ever made; a call needs memory that grows with query_length and
 * with key_length, never with their product (unless the weights are asked for).
 *
 * `allowed` is the AND of: j inside the used key length, i inside the used query length, the mask. A row with nothing
 * allowed has output 0, weights 0, logsumexp -inf. Rows beyond a length and masked keys and values may hold anything.
 *
 * Type: float. The reference computes in double; the others in float, with tanh as a quotient of two polynomials whose
 * absolute error is at most 5e-7, so that a score is within 2^-20 * sum_h |v[h]| of the exact one.
 *
 * Errors, ownership, threads, versions: as in clattn.h.
 */
#ifndef CLATTN_ADDITIVE_H
#define CLATTN_ADDITIVE_H

#include "clattn/clattn.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What is to be computed. Start from CLATTN_ADDITIVE_PROBLEM_INIT; set at least key_length, hidden and value_dim.
 * @since 0.1
 */
typedef struct clattn_additive_problem {
    size_t struct_size;
    int64_t batch;         /**< default 1; 0 is legal */
    int64_t query_length;  /**< the largest a call may have; default 1: one decoder step; 0 is legal */
    int64_t key_length;    /**< the largest a call may have; 0 is legal */
    int64_t hidden;        /**< of query, key and v; >= 1 */
    int64_t value_dim;     /**< >= 1 */
    clattn_mask_kind mask; /**< none or bytes (0 = not allowed) */
    int64_t mask_shape
        [3]; /**< [batch, query_length, key_length]; each 1 (broadcast) or the full size, CLATTN_SAME = full */
    bool query_lengths, key_lengths; /**< used lengths of each entry are given in the tensors */
    bool logsumexp;                  /**< also write logsumexp */
    bool weights;                    /**< also write the weights */
} clattn_additive_problem;

#define CLATTN_ADDITIVE_PROBLEM_INIT                                                                                   \
    {                                                                                                                  \
        sizeof(clattn_additive_problem), 1, 1, 0, 0, 0,                           /* batch ... value_dim */            \
        CLATTN_MASK_NONE, { CLATTN_SAME, CLATTN_SAME, CLATTN_SAME },                                                   \
        false, false, false, false                                                /* lengths ... weights */            \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_additive_problem_init(clattn_additive_problem *problem, size_t size);

/** The memory of one call: dense, row-major, with the problem's (largest) lengths; host memory. @since 0.1 */
typedef struct clattn_additive_tensors {
    size_t struct_size;
    int64_t query_length, key_length;           /**< of this call; default CLATTN_SAME = the problem's; not above it */
    const float *query;                         /**< [batch, query_length, hidden]: W query */
    const float *key;                           /**< [batch, key_length, hidden]: U key */
    const float *v;                             /**< [hidden] */
    const float *value;                         /**< [batch, key_length, value_dim] */
    const uint8_t *mask;                        /**< dense in the problem's mask_shape */
    clattn_integers query_lengths, key_lengths; /**< 0 <= length <= this call's */
    float *output;                              /**< [batch, query_length, value_dim]; no output overlaps anything else */
    float *weights;                             /**< [batch, query_length, key_length]; 0 where not allowed */
    float *logsumexp;                           /**< [batch, query_length] */
    clattn_report *report;                      /**< may be NULL; why the call was refused */
} clattn_additive_tensors;

#define CLATTN_ADDITIVE_TENSORS_INIT                                                                                   \
    {                                                                                                                  \
        sizeof(clattn_additive_tensors), CLATTN_SAME, CLATTN_SAME, NULL, NULL, NULL, NULL, NULL, CLATTN_INTEGERS_INIT, \
        CLATTN_INTEGERS_INIT, NULL, NULL, NULL, NULL                                                                   \
    }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_additive_tensors_init(clattn_additive_tensors *tensors, size_t size);

/** A problem, ready on one device. @since 0.1 */
typedef struct clattn_additive_plan clattn_additive_plan;

/**
 * Chooses an engine and a device and takes the memory that calls need.
 * @param problem  copied
 * @param options  copied; NULL = the defaults. caller_workspace is refused
 * @param plan     receives the plan; NULL on error
 * @param report   may be NULL; as in clattn_plan_create()
 * @return INVALID_ARGUMENT, INVALID_PROBLEM, OVERFLOW, UNSUPPORTED, NO_DEVICE, OUT_OF_MEMORY, DEVICE_OUT_OF_MEMORY,
 *         BUILD_FAILED, OPENCL_ERROR
 * Threads: any. Destroy the plan before its runtime.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_plan_create(clattn_runtime *runtime,
                                                                  const clattn_additive_problem *problem,
                                                                  const clattn_plan_options *options,
                                                                  clattn_additive_plan **plan, clattn_report *report);

/** Ends the plan; no call may be under way. NULL does nothing. @since 0.1 */
CLATTN_API void clattn_additive_plan_destroy(clattn_additive_plan *plan);

/** @return INVALID_ARGUMENT. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_plan_get_info(const clattn_additive_plan *plan,
                                                                    clattn_operation_info *info);

/**
 * Computes one call; returns when the outputs are written. Rows of the outputs beyond this call's lengths are left
 * alone.
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW (nothing is written), DEVICE_OUT_OF_MEMORY, OPENCL_ERROR; DEADLOCK
 *         (from inside a call of the same plan, when its concurrency has no room), NO_DEVICE (OpenCL after a fork)
 * Threads: any; calls beyond the plan's concurrency wait for each other. The same call twice gives the same bits.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_additive_execute(clattn_additive_plan *plan,
                                                              const clattn_additive_tensors *tensors);

#ifdef __cplusplus
}
#endif
#endif
