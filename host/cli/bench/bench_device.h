/* A case's data in an OpenCL device's own memory, so that a bench of a GPU times the device and not the way to it. */
#ifndef ATTN_CLI_BENCH_BENCH_DEVICE_H
#define ATTN_CLI_BENCH_BENCH_DEVICE_H

#include "case/case_data.h"
#include "clattn/clattn_inspect.h"

typedef struct attn_device_data attn_device_data;

/** Copies the case's inputs to the device and makes room for its outputs. NULL: `error` says why not. */
attn_device_data *attn_device_data_create(clattn_runtime *runtime, int64_t device, const attn_case_data *data,
                                          attn_error *error);
void attn_device_data_free(attn_device_data *data);

/** One call of a plan whose problem says CLATTN_MEMORY_OPENCL; returns when the device is done. */
clattn_status attn_device_data_execute(clattn_plan *plan, attn_device_data *data, clattn_timing *timing,
                                       clattn_report *report);

/** Copies output, or gradients, as they stand in the host's memory, to the device; and back. */
bool attn_device_data_write_results(attn_device_data *data);
bool attn_device_data_read_results(attn_device_data *data);

#endif
