/*
 * What tools and tests need beyond clattn.h: the list of engines, time per step, memory really allocated, and the oracle
 * a row at a time. May change between minor versions.
 */
#ifndef CLATTN_INSPECT_H
#define CLATTN_INSPECT_H

#include "clattn/clattn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What engines serve. @since 0.1 */
typedef enum clattn_operation { CLATTN_OPERATION_ATTENTION, CLATTN_OPERATION_ADDITIVE, CLATTN_OPERATION_LINEAR } clattn_operation;

/** Engines of attention known to this version, built or not, in the order they are listed. @since 0.1 */
CLATTN_API int64_t clattn_engine_count(void);

/** Name of engine @p index; NULL past the end. Static. @since 0.1 */
CLATTN_API const char *clattn_engine_name(int64_t index);

/** Whether the engine is in this build (false for unknown names too). @since 0.1 */
CLATTN_API bool clattn_engine_built(const char *name);

/**
 * Whether one engine on one device would serve @p problem, without building anything.
 * @param options  name the engine and the device, and what else is asked of the plan
 * @param report   may be NULL; the reason when not
 * @return OK, UNSUPPORTED, NO_DEVICE, INVALID_ARGUMENT (no engine or device is named, or options are none), or what is wrong
 *         with the problem
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_engine_supports(clattn_runtime *runtime, const clattn_problem *problem,
                                                             const clattn_plan_options *options, clattn_report *report);

/** Time of the steps of one call, in order. Asked for by clattn_tensors.timing; costs a wait between steps. @since 0.1 */
typedef struct clattn_timing {
    int64_t count;
    struct {
        char name[32];
        double seconds;
    } steps[16];
} clattn_timing;

/** Bytes the runtime holds now and held at most since the last reset: host allocations and OpenCL buffers. @since 0.1 */
typedef struct clattn_memory_use {
    int64_t host, host_peak;
    int64_t device, device_peak;
    int64_t peak; /**< of host and device together */
} clattn_memory_use;

/** Any thread. @since 0.1 */
CLATTN_API void clattn_inspect_memory(clattn_runtime *runtime, clattn_memory_use *use);

/** Makes the peaks the present values. Any thread. @since 0.1 */
CLATTN_API void clattn_inspect_memory_reset(clattn_runtime *runtime);

/**
 * Block sizes and a body to use instead of an engine's own choice (clattn_plan_options.blocks); 0 and NULL = the engine's. An
 * engine refuses what it cannot do. For tuning and for tests of what a device would not choose.
 * @since 0.1
 */
typedef struct clattn_block_override {
    int64_t block_query, block_key;
    int64_t splits;   /**< parts the keys are split into */
    const char *body; /**< one of clattn_inspect_body(), such as "amx"; engines without a body of that name refuse, and one that
                           no engine of the build has is no option at all (INVALID_ARGUMENT). Not kept */
} clattn_block_override;

/** A body of an engine: one of the ways in which it computes. All strings are static. @since 0.1 */
typedef struct clattn_body_info {
    const char *name;    /**< what clattn_block_override.body takes; two engines may have bodies of the same name */
    const char *what;    /**< one line for people */
    const char *why_not; /**< NULL when it can run on the device, else one sentence */
} clattn_body_info;

/**
 * Body @p index of @p engine of an operation, and whether it can run on device @p device. An engine that has one way alone has no bodies.
 * @return OK; UNSUPPORTED past the last one; INVALID_ARGUMENT for NULL, an unknown operation or engine and a negative index;
 *         NO_DEVICE. Any thread.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_inspect_body(clattn_runtime *runtime, clattn_operation operation,
                                                          const char *engine, int64_t device, int64_t index,
                                                          clattn_body_info *info);

/**
 * The same as clattn_runtime_load_tuning(), from text. For tuning.
 * @param text  NULL = forget what was read
 * @param only  the library's own rows do not count: an engine that cannot use these refuses
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_inspect_tuning(clattn_runtime *runtime, const char *text, bool only,
                                                            clattn_report *report);

/** Name and text of the library's table @p index of block sizes (kernels/tuning); NULL past the end. Static. @since 0.1 */
CLATTN_API const char *clattn_inspect_tuning_table(int64_t index, const char **text);

/**
 * Whether a row keeps to what its table's program takes for granted: each size within its limits, and those that must divide
 * each other, on the widest vectors. A device may still refuse it. For tuning.
 * @param row  a line as in the table of that name
 * @return OK; UNSUPPORTED, with a line that names the column; INVALID_ARGUMENT for NULL and for an unknown table. Any thread.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_inspect_tuning_row(const char *table, const char *row,
                                                                clattn_report *report);

/** The problem with every default filled in, as engines see it, or what is wrong with it. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_problem_resolve(const clattn_problem *problem, clattn_problem *resolved,
                                                             clattn_report *report);

/** Whether the tensors fit the problem (as clattn_execute() checks, host memory, without a caller's workspace). @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_tensors_check(const clattn_problem *problem, const clattn_tensors *tensors,
                                                           clattn_report *report);

/** One row of the oracle. Arrays are the caller's; each may be NULL. @since 0.1 */
typedef struct clattn_reference_row {
    long double *output;    /**< [value_dim] */
    long double *raw;       /**< [key_length] scaled scores; 0 beyond the used length */
    long double *softcap;   /**< [key_length] after softcap; 0 beyond */
    long double *scores;    /**< [key_length] after bias, ALiBi; -inf where not allowed */
    long double *weights;   /**< [key_length] after softmax */
    long double *magnitude; /**< [key_length] |scale| * sum_d |q_d k_jd|; 0 beyond the used length */
    long double maximum, logsumexp;
    bool row_used; /**< the row is inside the used query length */
    long double *keep; /**< [key_length] dropout's factor of each weight: 0 or 1 / (1 - dropout); output has it in it */
} clattn_reference_row;

/**
 * The oracle for one row: plain loops in double (long double for fp64) that restate clattn.h's formula and share no
 * mathematics with any engine.
 * @param scratch  4 * key_length long doubles of the caller's, or NULL when raw, softcap, scores and weights are all given
 * @return INVALID_ARGUMENT, INVALID_PROBLEM, INVALID_TENSORS, OVERFLOW. Any thread.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_reference_get_row(const clattn_problem *problem, const clattn_tensors *tensors,
                                                               int64_t b, int64_t h, int64_t i, clattn_reference_row *row,
                                                               long double *scratch);

#ifdef __cplusplus
}
#endif
#endif
