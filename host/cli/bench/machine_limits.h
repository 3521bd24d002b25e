/* What this machine can do at most, measured: fused multiply-adds and memory traffic on all threads. */
#ifndef ATTN_CLI_BENCH_MACHINE_LIMITS_H
#define ATTN_CLI_BENCH_MACHINE_LIMITS_H

#include "base/text.h"

typedef struct attn_limits {
    double fma_gflops;               /* fp32, the probe */
    double fma_gflops_fp64;          /* fp64, the probe */
    double product_gflops;           /* fp32, the library's own matrix product (clattn_linear.h) */
    double copy_gbytes, read_gbytes; /* bytes moved a second: copying counts reads and writes */
    const char *instructions;
} attn_limits;

/** Takes about a second. */
void attn_measure_limits(int64_t threads, attn_limits *limits);

/** The larger of probe and matrix product. */
double attn_limit_gflops(const attn_limits *limits, clattn_type type);

/** The larger of copying and reading. */
double attn_limit_gbytes(const attn_limits *limits);

/** Bytes read a second from memory of that size, again and again on all threads: what fits a cache is read faster. */
double attn_measure_reading(int64_t threads, double bytes);

/** Reads memory with the widest vectors; answers the bytes read. */
double attn_read_memory(const void *memory, int64_t bytes, double *sink);

/** Multiply-adds of the widest vectors of this processor, kept in registers; answers the operations done. */
double attn_fma_fp32(int64_t rounds, float *sink);
double attn_fma_fp64(int64_t rounds, double *sink);
const char *attn_fma_instructions(void);

/** 0 vectors of 128 bits, 1 AVX2, 2 AVX-512: the widest here, and the probe on narrower ones. */
int attn_vector_level(void);
double attn_fma_fp32_at(int level, int64_t rounds, float *sink);

#endif
