/*
 * Tensors in host memory on an OpenCL device. On a CPU device memory that starts at a cache line is used in place;
 * ranges that overlap (packed query, key, value) become one buffer, as OpenCL asks. Everything else is copied: a
 * dense span as it is, anything with gaps row by row, so that gaps on the host are neither read nor written.
 */
#ifndef ATTN_ENGINES_OPENCL_OPENCL_HOST_MEMORY_H
#define ATTN_ENGINES_OPENCL_OPENCL_HOST_MEMORY_H

#include "engines/opencl/opencl_arguments.h"
#include "opencl/buffer.h"

/** What a call keeps of it. Begin with the first four members, and the rest zero. */
typedef struct attn_host_memory {
    struct attn_opencl_device *device;
    attn_placement *placements; /* of the call */
    attn_buffer *staging;       /* of the slot, one a tensor: for what is copied */
    clattn_report *report;
    bool staged[ATTN_TENSOR_COUNT], compact[ATTN_TENSOR_COUNT]; /* copied; its whole span */
    attn_buffer regions[ATTN_TENSOR_COUNT];                     /* used in place */
    bool written[ATTN_TENSOR_COUNT];
    int region_count;
} attn_host_memory;

/** Brings the tensors to the device, and says in the placements where they are. */
clattn_status attn_host_memory_place(attn_host_memory *host);

/** Makes outputs current in the caller's memory. */
clattn_status attn_host_memory_fetch(const attn_host_memory *host, cl_command_queue queue);

void attn_host_memory_release(attn_host_memory *host);

#endif
