/* A neural memory, as its forward and its backward see it. */
#ifndef ATTN_LAYERS_NEURAL_MEMORY_H
#define ATTN_LAYERS_NEURAL_MEMORY_H

#include "clattn/clattn_memory.h"
#include "layers/memory_matrix.h"

/** What a chunk of one head comes to; rows past its tokens are 0. Those of the middle belong to two layers. */
typedef struct attn_memory_rows {
    float *key, *value, *query;      /* [chunk, key_dim] or value_dim: the head's columns */
    float *error;                    /* [chunk, value_dim]: 2 (M(key) - value) */
    float *rise, *bent, *bent_error; /* [chunk, hidden]: W1 key, f of it, its gradient */
    float *query_rise, *query_bent;  /* [chunk, hidden]: what stands between query and output */
    float *output;                   /* [chunk, value_dim] */
} attn_memory_rows;

/** Gradients of the rows above; made by clattn_neural_memory_learn(). Rows past the tokens are 0, too. */
typedef struct attn_memory_grads {
    float *key, *value, *query, *output, *error;
    float *bent, *bent_error, *query_bent; /* [chunk, hidden] */
    float *back, *rise;                    /* [chunk, hidden]: W2^T error, which makes the bent error; and of rise */
    float *state;                          /* of one head */
    attn_memory_factors slopes;
} attn_memory_grads;

struct clattn_neural_memory {
    clattn_runtime *runtime;
    clattn_neural_memory_options options; /* resolved */
    int64_t count;                        /* of matrices: 1 or 2 */
    int64_t parameters;                   /* numbers of all matrices of a head; the state has them twice */
    attn_memory_matrix matrices[2];
    attn_memory_factors factors;
    attn_memory_rows rows;
    float *state;            /* of one head */
    attn_memory_grads grads; /* state NULL: it does not learn */
};

/** One call, in part resolved. */
typedef struct attn_memory_call {
    clattn_neural_memory *memory;
    const clattn_neural_memory_io *io;
    int64_t length, chunks;
} attn_memory_call;

/** One chunk of one head of one entry. */
typedef struct attn_memory_place {
    int64_t b, h, first, tokens; /* tokens from `first` on */
    attn_memory_gates gates;
} attn_memory_place;

/** The length of the call; refuses what does not fit. */
clattn_status attn_memory_begin(clattn_neural_memory *memory, const clattn_neural_memory_io *io,
                                attn_memory_call *call);

attn_memory_place attn_memory_place_of(const attn_memory_call *call, int64_t b, int64_t h, int64_t chunk);

/** Copies a head's columns of the chunk's tokens out of [batch, length, heads * columns]; rows past them are 0. */
void attn_memory_gather(const attn_memory_call *call, const attn_memory_place *place, int64_t columns,
                        const float *from, float *rows);

/** The other way; rows past the tokens are not looked at. */
void attn_memory_scatter(const attn_memory_call *call, const attn_memory_place *place, int64_t columns,
                         const float *rows, float *to);

/** Rows past the tokens become 0. */
void attn_memory_clear_rest(int64_t chunk, int64_t tokens, int64_t columns, float *rows);

/** M(x) of a state, for `rows` rows; what stands between two layers is left in rise and bent. */
clattn_status attn_memory_evaluate(clattn_neural_memory *memory, const float *state, int64_t rows, const float *x,
                                   float *rise, float *bent, float *y, clattn_report *report);

/** Keys, values, queries of the chunk, and the errors at the state where it begins. */
clattn_status attn_memory_errors(const attn_memory_call *call, const attn_memory_place *place, const float *state);

/** The chunk of matrix n, of a state that it may change. */
attn_memory_chunk attn_memory_chunk_of(const attn_memory_call *call, const attn_memory_place *place, int n,
                                       float *state);

/** What the queries of a chunk read, each in its own state, into rows.output. */
clattn_status attn_memory_read_chunk(const attn_memory_call *call, const attn_memory_place *place, float *state);

/** result = f(x), f'(x) * by, or f''(x) * by, number by number; in place is legal. */
void attn_memory_bend(clattn_memory_bend bend, int64_t count, const float *x, float *result);
void attn_memory_bend_slope(clattn_memory_bend bend, int64_t count, const float *x, const float *by, float *result);
void attn_memory_bend_curve(clattn_memory_bend bend, int64_t count, const float *x, const float *by, float *result);

void attn_memory_grads_end(clattn_neural_memory *memory);

#endif
