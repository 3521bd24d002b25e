/*
 * The tensors of a call as OpenCL engines see them, and the struct that kernels take. First where each tensor lies in the
 * caller's memory; what brings it to the device then says where kernels find it; the struct is made last, once.
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_ARGUMENTS_H
#define ATTN_ENGINES_OPENCL_OPENCL_ARGUMENTS_H

#include "kernels/include/arguments.cl.h"
#include "kernels/include/training.cl.h"
#include "opencl/cl_status.h"
#include "problem/call.h"

typedef enum attn_tensor_id {
    ATTN_TENSOR_QUERY,
    ATTN_TENSOR_KEY,
    ATTN_TENSOR_VALUE,
    ATTN_TENSOR_OUTPUT,
    ATTN_TENSOR_MASK,
    ATTN_TENSOR_BIAS,
    ATTN_TENSOR_SLOPES,
    ATTN_TENSOR_SINKS,
    ATTN_TENSOR_QUERY_LENGTHS,
    ATTN_TENSOR_KEY_LENGTHS,
    ATTN_TENSOR_OFFSETS,
    ATTN_TENSOR_LOGSUMEXP,
    ATTN_TENSOR_WEIGHTS,
    ATTN_TENSOR_GRAD_OUTPUT, /* of training, opencl_training.c */
    ATTN_TENSOR_GRAD_QUERY,
    ATTN_TENSOR_GRAD_KEY,
    ATTN_TENSOR_GRAD_VALUE,
    ATTN_TENSOR_GRAD_BIAS,
    ATTN_TENSOR_GRAD_SLOPES,
    ATTN_TENSOR_GRAD_SINKS,
    ATTN_TENSOR_GRAD_LOGSUMEXP,
    ATTN_TENSOR_DELTA,
    ATTN_TENSOR_DROPOUT_MASK,
    ATTN_TENSOR_FIRST_ROWS,
    ATTN_TENSOR_FIRST_KEYS,
    ATTN_TENSOR_COUNT
} attn_tensor_id;

/** One tensor of a call: what the caller gave, and where kernels find it. */
typedef struct attn_placement {
    const char *name; /* NULL = the call has no such tensor, or it has no elements */
    void *data;       /* host pointer or cl_mem */
    int64_t element;  /* bytes */
    int64_t size[4];
    int64_t walk[4];    /* strides in elements, with 0 for broadcast */
    int64_t first, end; /* elements from data: the first used, one past the last used */
    bool output;        /* written */
    bool kept;          /* an output that is added to: read too */
    cl_mem memory;      /* for kernels; the device's `nothing` where there is no tensor */
    attn_layout layout; /* in that memory; of plain arrays the offset counts alone */
} attn_placement;

/** The call's tensors as they lie in the caller's memory; `nothing` is what kernels get for all of them as yet. */
void attn_opencl_placements(const clattn_problem *problem, const attn_call *call, cl_mem nothing,
                            attn_placement placements[ATTN_TENSOR_COUNT]);

/** Completes a placement whose data, element, size, walk and layout are there: its span. One without elements is none. */
attn_placement attn_placement_finish(attn_placement placement);

/** The placement of a view of elements of a type. */
attn_placement attn_placement_of(const char *name, const attn_view *view, clattn_type type, const int64_t size[4]);

/** The struct for kernels, from where the tensors were put. */
void attn_opencl_arguments(const clattn_problem *problem, const attn_call *call,
                           const attn_placement placements[ATTN_TENSOR_COUNT], attn_arguments *arguments);

/** Where what training brings lies in the caller's memory, for attn_opencl_placements(). Outputs are marked as such. */
void attn_opencl_place_training(const clattn_problem *problem, const attn_call *call,
                                attn_placement placements[ATTN_TENSOR_COUNT]);

/** What a program with dropout, prefix or a type of results of its own is built with, a blank before each; "" for others. */
const char *attn_training_defines(const clattn_problem *problem);

/** What kernels with dropout or prefix take beside the struct above. */
void attn_opencl_training(const clattn_problem *problem, const attn_call *call,
                          const attn_placement placements[ATTN_TENSOR_COUNT], attn_training *training);

#endif
