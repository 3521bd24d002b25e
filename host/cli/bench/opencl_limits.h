/* The measured limits of an OpenCL device. */
#ifndef ATTN_CLI_BENCH_OPENCL_LIMITS_H
#define ATTN_CLI_BENCH_OPENCL_LIMITS_H

#include "clattn/clattn.h"

/** fp32 multiply-adds and bytes copied (read and written) a second; 0 where it could not be measured. */
void attn_measure_opencl_limits(clattn_runtime *runtime, int64_t device, double *fma_gflops, double *copy_gbytes);

#endif
