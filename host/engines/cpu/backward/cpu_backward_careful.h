/*
 * Gradients in double, a row, key or head at a time: the careful path of backward. It selects (a row and a key that
 * may not attend to each other are never multiplied), so it serves what is not finite in the kernels, and problems
 * that single precision does not hold. Each function writes what its row, key or head receives, or adds it.
 */
#ifndef ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_CAREFUL_H
#define ATTN_ENGINES_CPU_BACKWARD_CPU_BACKWARD_CAREFUL_H

#include "problem/call.h"

/** A call, with delta of every row: [batch, query_heads, the call's query_length]. */
typedef struct attn_cpu_careful_gradients {
    const clattn_problem *problem;
    const attn_call *call;
    const double *deltas;
} attn_cpu_careful_gradients;

/** Bytes a worker needs; linear in head_dim, value_dim and key_length. False when they do not fit int64. */
bool attn_cpu_gradient_scratch(const clattn_problem *problem, int64_t *bytes);

/** delta of row (b, h, i); 0 beyond the used query length. */
double attn_cpu_careful_delta(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i);

/** exp(x - logsumexp of the row); 0 where either is -inf, by selection. */
double attn_cpu_careful_weight(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                               double x);

void attn_cpu_careful_grad_query(const attn_cpu_careful_gradients *own, int64_t b, int64_t h, int64_t i, void *scratch);

/** grad_key and grad_value of key j, or one of them. */
void attn_cpu_careful_grad_key(const attn_cpu_careful_gradients *own, int64_t b, int64_t g, int64_t j, bool key,
                               bool value, void *scratch);

/** Derivatives by the scores of row (b, h, i) and keys begin .. end, without softcap's factor: ds[0 .. end - begin). */
void attn_cpu_careful_row_ds(const attn_cpu_careful_gradients *own, int64_t b, int64_t h, int64_t i, int64_t begin,
                             int64_t end, double *ds, void *scratch);

/** Row (b0, h0, i0) of grad_bias, in the bias' own shape. */
void attn_cpu_careful_grad_bias(const attn_cpu_careful_gradients *own, int64_t b0, int64_t h0, int64_t i0,
                                void *scratch);

/** grad_alibi_slopes of head h. */
void attn_cpu_careful_grad_slope(const attn_cpu_careful_gradients *own, int64_t h, void *scratch);

/** grad_sinks of head h: no more than a number a row, so every path takes it. */
void attn_cpu_careful_grad_sink(const attn_cpu_careful_gradients *own, int64_t h);

/** Writes a number of a gradient, or adds it to what is there, as the problem says. */
void attn_cpu_put_gradient(const clattn_problem *problem, clattn_type type, const attn_view *view, int64_t index,
                           double x);

#endif
