/*
 * One row at a time in double: the careful path of the cpu engine. It selects (a key or value that the row may not attend is
 * never multiplied), so it serves fp64, weights out, and rows that the fast paths found not finite.
 */
#ifndef ATTN_ENGINES_CPU_CPU_CAREFUL_H
#define ATTN_ENGINES_CPU_CPU_CAREFUL_H

#include "problem/call.h"

/** Bytes a worker needs; linear in key_length. False when they do not fit int64. */
bool attn_cpu_row_scratch(const clattn_problem *problem, int64_t *bytes);

/** Writes output and logsumexp of row (b, h, i). scratch is 64-byte aligned. */
void attn_cpu_row_output(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                         void *scratch);

/**
 * fp64: turns products (scaled) of keys first + begin .. first + end of row (b, h, i) in scores[begin .. end) into scores:
 * softcap, bias, ALiBi; -inf where mask or bias forbid.
 */
void attn_cpu_row_step(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                       int64_t first, int begin, int end, double *scores);

/**
 * The score of key j for row (b, h, i), whose query is given; raw: scaled, before softcap. False where mask or bias forbid;
 * lengths, causal rule and window are not asked.
 */
bool attn_cpu_row_score(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                        int64_t j, double *query, double *raw, double *score);

/** sum_d a[d] * data[first + d] over n elements. */
double attn_cpu_dot(const double *a, clattn_type type, const void *data, int64_t first, int64_t n);

/** sums[d] += factor * data[first + d], for n elements. */
void attn_cpu_add_scaled(double *sums, double factor, clattn_type type, const void *data, int64_t first, int64_t n);

/** Writes the weights of row (b, h, i), one of the chosen ones, which may lie beyond the call's query_length. */
void attn_cpu_row_weights(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                          void *scratch);

#endif
