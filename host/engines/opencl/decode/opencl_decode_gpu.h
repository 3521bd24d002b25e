/* Block sizes of kernels/attention_decode_gpu.cl: from a tuning row and a problem to sizes and local memory. */
#ifndef ATTN_ENGINES_OPENCL_DECODE_OPENCL_DECODE_GPU_H
#define ATTN_ENGINES_OPENCL_DECODE_OPENCL_DECODE_GPU_H

#include "engines/opencl/opencl_body.h"

typedef struct attn_decode_blocks {
    attn_blocks sizes;      /* what the program is built with: its rows and keys fit the problem */
    int64_t threads, lanes; /* work-items of a work-group; those that share a key: a team */
    int64_t keys, rows;     /* keys that a team has under way; query rows of a work-group */
    int64_t local_memory;   /* bytes that the kernel takes as an argument */
} attn_decode_blocks;

/** The blocks for so many rows a key-value head; refuses rows that the kernel or the device does not serve. */
clattn_status attn_decode_gpu_choose(const attn_device *device, const clattn_problem *problem, int64_t rows,
                                     const attn_tuning_row *row, attn_decode_blocks *blocks, clattn_report *report);

#endif
