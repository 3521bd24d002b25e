/*
 * Block sizes of kernels/attention_decode_gpu.cl: from a tuning row and a problem to the program's options and its
 * local memory. Knows no queue and no call.
 */
#ifndef ATTN_ENGINES_OPENCL_DECODE_OPENCL_DECODE_GPU_H
#define ATTN_ENGINES_OPENCL_DECODE_OPENCL_DECODE_GPU_H

#include "engines/opencl/opencl_body.h"

typedef struct attn_decode_blocks {
    int64_t threads;      /* of a work-group */
    int64_t lanes;        /* work-items that share a key: a team */
    int64_t keys;         /* that a team has under way */
    int64_t rows;         /* query rows of a work-group */
    int64_t warp;         /* 1: a team lies in one warp and needs no barriers */
    int64_t dim;          /* what dims are padded to */
    int64_t local_memory; /* bytes that the kernel takes as an argument */
} attn_decode_blocks;

/** The blocks for so many rows a key-value head; refuses rows that the kernel or the device does not serve. */
clattn_status attn_decode_gpu_choose(const attn_device *device, const clattn_problem *problem, int64_t rows,
                                     const attn_tuning_row *row, attn_decode_blocks *blocks, clattn_report *report);

/** The options of the program. */
void attn_decode_gpu_options(const clattn_problem *problem, const attn_decode_blocks *blocks, char *text, size_t size);

#endif
