/*
 * Linear maps, the matrix products of the layers:
 *
 *     output[r, o] = sum_i input[r, i] * w[o, i] + b[o]      (+ output[r, o] when `add` is asked for)
 *
 * w is [out_dim, in_dim], row-major: y = W x for a column vector x, as PyTorch's Linear keeps it. On the CPU they run on
 * the runtime's threads by kernels for the processor's instruction set (info.kernel: generic, avx2, avx512), on OpenCL
 * devices by CLBlast; the reference sums in double.
 *
 * cpu multiplies and sums in float: an output is off by (in_dim + 2) * 2^-24 times the sum of the absolute values of its
 * terms at most. The same call gives the same bits on any number of threads. An output depends on its own row of the
 * input and its own row of w alone, so what is not finite stays in its row or column. Another instruction set may give
 * other bits, and so may another number of rows: up to 40 rows may be summed in another order than more.
 *
 * CLBlast has a cache of programs of its own, which is not the runtime's. On OpenCL devices each call carries its memory,
 * the matrix too, to the device and back.
 *
 * Errors, ownership, threads, versions: as in clattn.h.
 */
#ifndef CLATTN_LINEAR_H
#define CLATTN_LINEAR_H

#include "clattn/clattn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What is to be computed; float. Start from CLATTN_LINEAR_PROBLEM_INIT. @since 0.1 */
typedef struct clattn_linear_problem {
    size_t struct_size;
    int64_t rows;            /**< the largest a call may have; default 1; 0 is legal */
    int64_t in_dim, out_dim; /**< 1 to 2^31 - 1 */
} clattn_linear_problem;

#define CLATTN_LINEAR_PROBLEM_INIT { sizeof(clattn_linear_problem), 1, 0, 0 }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_linear_problem_init(clattn_linear_problem *problem, size_t size);

/** The memory of one call; dense, host memory. @since 0.1 */
typedef struct clattn_linear_tensors {
    size_t struct_size;
    int64_t rows;          /**< of this call; default CLATTN_SAME = the problem's; not above it */
    const float *input;    /**< [rows, in_dim] */
    const float *w;        /**< [out_dim, in_dim] */
    const float *b;        /**< [out_dim], or NULL = none */
    bool add;              /**< add to what output holds */
    float *output;         /**< [rows, out_dim]; overlaps no input */
    clattn_report *report; /**< may be NULL */
} clattn_linear_tensors;

#define CLATTN_LINEAR_TENSORS_INIT { sizeof(clattn_linear_tensors), CLATTN_SAME, NULL, NULL, NULL, false, NULL, NULL }

/** The macro as a function, as clattn_runtime_options_init(). Any thread. @since 0.1 */
CLATTN_API void clattn_linear_tensors_init(clattn_linear_tensors *tensors, size_t size);

/** A linear map, ready on one device. @since 0.1 */
typedef struct clattn_linear_plan clattn_linear_plan;

/**
 * Chooses an engine and a device and takes the memory that calls need.
 * @param problem  copied
 * @param options  copied; NULL = the defaults. caller_workspace and batch_invariant are refused
 * @param plan     receives the plan; NULL on error
 * @param report   may be NULL; as in clattn_plan_create()
 * @return INVALID_ARGUMENT, INVALID_PROBLEM, OVERFLOW, UNSUPPORTED, NO_DEVICE, OUT_OF_MEMORY, DEVICE_OUT_OF_MEMORY,
 *         BUILD_FAILED, OPENCL_ERROR
 * Threads: any. Destroy the plan before its runtime.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_linear_plan_create(clattn_runtime *runtime,
                                                                const clattn_linear_problem *problem,
                                                                const clattn_plan_options *options,
                                                                clattn_linear_plan **plan, clattn_report *report);

/** Ends the plan; no call may be under way. NULL does nothing. @since 0.1 */
CLATTN_API void clattn_linear_plan_destroy(clattn_linear_plan *plan);

/** @return INVALID_ARGUMENT. Any thread. @since 0.1 */
CLATTN_API CLATTN_CHECK clattn_status clattn_linear_plan_get_info(const clattn_linear_plan *plan,
                                                                  clattn_operation_info *info);

/**
 * Computes one call; returns when the output is written.
 * @return INVALID_ARGUMENT, INVALID_TENSORS, OVERFLOW (nothing is written), OPENCL_ERROR, DEVICE_OUT_OF_MEMORY; DEADLOCK
 *         (from inside a call of the same plan, when its concurrency has no room), NO_DEVICE (OpenCL after a fork)
 * Threads: any; calls beyond the plan's concurrency wait for each other.
 * @since 0.1
 */
CLATTN_API CLATTN_CHECK clattn_status clattn_linear_execute(clattn_linear_plan *plan,
                                                            const clattn_linear_tensors *tensors);

#ifdef __cplusplus
}
#endif
#endif
