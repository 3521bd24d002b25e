/*
 * Backward on opencl-fused: what a plan holds for it, and its bodies. Two passes of the body, one over the rows for
 * grad_query and one over the keys for grad_key and grad_value, and small kernels around them that serve every body: delta of
 * rows, lines that came out not finite made again, sums over biases, slopes and sinks.
 */
#ifndef ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_BACKWARD_H
#define ATTN_ENGINES_OPENCL_FUSED_OPENCL_FUSED_BACKWARD_H

#include "engines/opencl/opencl_body.h"
#include "engines/opencl/opencl_grid.h"

/** The programs of a plan, and the kernels of a slot. */
typedef enum attn_backward_program {
    ATTN_BACKWARD_QUERY, /* of the body */
    ATTN_BACKWARD_KEY,
    ATTN_BACKWARD_DELTA,
    ATTN_BACKWARD_REPAIR,
    ATTN_BACKWARD_BIAS, /* and slopes */
    ATTN_BACKWARD_SINKS,
    ATTN_BACKWARD_SUM,
    ATTN_BACKWARD_PACK_KEYS, /* CPU-shaped only */
    ATTN_BACKWARD_PACK_ROWS,
    ATTN_BACKWARD_PROGRAMS
} attn_backward_program;

typedef struct attn_backward {
    clattn_problem problem;
    attn_device device;
    const char *program; /* of the body: its table, and its kernels' name */
    cl_program programs[ATTN_BACKWARD_PROGRAMS];
    bool wants_query, wants_key, wants_value; /* grad_query and so on */
    bool delta, repair; /* delta is computed; lines that are not finite are made again */
    int64_t block_query, block_key, walk, threads; /* of the two passes */
    int64_t local_query, local_key;          /* bytes of the kernels' local argument */
    int64_t tile_rows, walk_tile, vector;    /* CPU-shaped: the register tile */
    int64_t packed;                          /* CPU-shaped: floats of packed lines */
    int64_t flags_at, key_flags_at, parts_at, packed_at, workspace_size; /* delta first; in floats, the size in bytes */
} attn_backward;

/** Takes one row of the program's table: checks it and builds both passes. `last`: no other row will be tried. */
typedef clattn_status attn_backward_take(attn_backward *backward, const attn_tuning_row *row, bool last,
                                         clattn_plan_info *info, clattn_report *report);

attn_backward_take attn_backward_cpu_take, attn_backward_gpu_take;

/** Whether there is a pass over the keys. */
static inline bool attn_backward_wants_keys(const attn_backward *backward) {
    return backward->wants_key || backward->wants_value;
}

/** Submits the pass over the rows, or over the keys. */
clattn_status attn_backward_cpu_query(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);
clattn_status attn_backward_cpu_key(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);
clattn_status attn_backward_gpu_query(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);
clattn_status attn_backward_gpu_key(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);

/** "-DATTN_TYPE=.. ..": types of storage, output and gradients, for every program of backward. */
void attn_backward_types(const clattn_problem *problem, char *text, size_t size);

/** Logsumexp's memory, delta's memory and its layout. */
void attn_backward_pass_numbers(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call);

/** The arguments from query to delta's layout that all kernels of backward take alike. */
void attn_backward_pass_tensors(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call);

/** The arguments of a pass from its first result to the place of its flags. */
void attn_backward_pass_results(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call,
                                bool keys);

/** Memory and layout of a tensor. */
void attn_backward_pass_result(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id);

/** The workspace as a buffer, whether there is one or not. */
cl_mem attn_backward_workspace(const attn_backward *backward, const attn_opencl_call *call);

/** Whether this engine's backward serves what its forward would: the body asked for. Else one line in why_not. */
bool attn_backward_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not);

/** What attn_engine has of the same names, for backward. */
clattn_status attn_backward_prepare(attn_backward *backward, const clattn_problem *problem, const attn_device *device,
                                    clattn_plan_info *info, clattn_report *report);
clattn_status attn_backward_slot_open(const attn_backward *backward, void **slot, clattn_report *report);
clattn_status attn_backward_execute(const attn_backward *backward, const attn_execution *execution);

/** Gradients that are sums over much (opencl_fused_sums.c): of the bias, of slopes, of sinks. */
clattn_status attn_backward_sums(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);

#endif
