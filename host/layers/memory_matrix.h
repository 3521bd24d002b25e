/*
 * A matrix that learns: W [out, in] with its momentum S. Token j of a chunk changes it along error_j input_j^T, an
 * error of `out` numbers and an input of `in`. A linear memory is one of these, a two-layer memory two.
 *
 * Arrays of a chunk have `chunk` rows; those past the chunk's tokens are 0.
 */
#ifndef ATTN_LAYERS_MEMORY_MATRIX_H
#define ATTN_LAYERS_MEMORY_MATRIX_H

#include "layers/memory_factors.h"

/** What backward needs more. */
typedef struct attn_memory_matrix_learning {
    clattn_linear_plan *by_error; /* out -> chunk */
    float *products, *slopes;     /* [chunk, chunk]: query input^T, grad_output error^T */
    float *wide, *wide_error;     /* [chunk, in], [chunk, out] */
    float *turned;                /* [chunk, chunk]: one of the squares, transposed */
} attn_memory_matrix_learning;

typedef struct attn_memory_matrix {
    clattn_runtime *runtime;
    int64_t in, out, chunk;
    clattn_linear_plan *forward, *backward; /* in -> out, out -> in */
    clattn_linear_plan *scores;             /* in -> chunk */
    clattn_linear_plan *mix, *outer;        /* chunk -> out, chunk -> in */
    float *marks, *read;                    /* [chunk, chunk], [chunk, out] */
    float *turned_error, *turned_input;     /* [out, chunk], [in, chunk]: transposed */
    float *turned_w;                        /* [in, out] */
    attn_memory_matrix_learning learning;   /* by_error NULL: it does not learn */
} attn_memory_matrix;

/** One chunk of a matrix; state is [out, in] each. */
typedef struct attn_memory_chunk {
    const attn_memory_factors *factors;
    int64_t tokens, behind;     /* row t is read in the state after t + 1 - behind tokens */
    const float *input, *error; /* [chunk, in], [chunk, out] */
    const float *query;         /* [chunk, in] */
    float *w, *s;
    clattn_report *report;
} attn_memory_chunk;

clattn_status attn_memory_matrix_create(clattn_runtime *runtime, int64_t in, int64_t out, int64_t chunk,
                                        const clattn_plan_options *options, attn_memory_matrix *matrix,
                                        clattn_report *report);

void attn_memory_matrix_destroy(attn_memory_matrix *matrix);

/** to [columns, rows] = from [rows, columns], transposed; in tiles that stay in cache. */
void attn_memory_transpose(int64_t rows, int64_t columns, const float *from, float *to);

/** output [rows, out] = W input; at most chunk rows. */
clattn_status attn_memory_matrix_apply(attn_memory_matrix *matrix, int64_t rows, const float *w, const float *input,
                                       float *output, clattn_report *report);

/** output [rows, in] = W^T error; at most chunk rows. */
clattn_status attn_memory_matrix_back(attn_memory_matrix *matrix, int64_t rows, const float *w, const float *error,
                                      bool add, float *output, clattn_report *report);

/** output [tokens, out]: each query read in the state of its token, from the state at the chunk's beginning. */
clattn_status attn_memory_matrix_read(attn_memory_matrix *matrix, const attn_memory_chunk *chunk, float *output);

/** The state after the chunk, in place. */
clattn_status attn_memory_matrix_step(attn_memory_matrix *matrix, const attn_memory_chunk *chunk);

/** The same for a single token, by the rule itself. */
void attn_memory_matrix_token(int64_t in, int64_t out, const attn_memory_gates *gates, const float *input,
                              const float *error, float *w, float *s);

/* ------------------------------------------------------------------------------------------------ backward */

clattn_status attn_memory_matrix_learn(attn_memory_matrix *matrix, clattn_report *report);

void attn_memory_matrix_learning_end(attn_memory_matrix *matrix);

/** The derivatives of a chunk: grad_output is read, the others are written, or as said. */
typedef struct attn_memory_slopes {
    const float *grad_output;                    /* [chunk, out]; NULL = 0, and grad_query is not written */
    float *grad_input, *grad_error, *grad_query; /* [chunk, in], [chunk, out], [chunk, in] */
    float *grad_w, *grad_s;                      /* [out, in]: of the state after the chunk, then of that before */
    attn_memory_factors *factors;                /* added to */
} attn_memory_slopes;

/** The derivative of read and step at once. chunk->w and s are the state before. */
clattn_status attn_memory_matrix_backward(attn_memory_matrix *matrix, const attn_memory_chunk *chunk,
                                          const attn_memory_slopes *slopes);

/** sum [out, in] += a^T b, of a [chunk, out] and b [chunk, in] with rows of 0 past the tokens. */
clattn_status attn_memory_matrix_outer(attn_memory_matrix *matrix, const float *a, const float *b, float *sum,
                                       clattn_report *report);

#endif
