/*
 * The data of a case: drawn from its seed by a counter, the same on every platform, with guard zones round every
 * tensor. Outputs are filled with a pattern first, so that what is not written, and what is written outside, is seen.
 */
#ifndef ATTN_CLI_CASE_CASE_DATA_H
#define ATTN_CLI_CASE_CASE_DATA_H

#include "case/case.h"

/** Heads of all entries together. Tensors without elements take no memory at all, but a walk over them takes its time. */
#define ATTN_CASE_HEADS_MAX 2147483648.0

/** Memory between two guard zones. */
typedef struct attn_guarded {
    unsigned char *block; /* guard, payload, guard */
    void *data;           /* the payload, 64-byte aligned */
    int64_t bytes;        /* of the payload */
} attn_guarded;

/** How rows lie: element (b, h, i, d) is at offset + b * stride[0] + h * stride[1] + i * stride[2] + d. */
typedef struct attn_rows {
    int64_t offset, stride[3];
    int64_t sizes[3], dim; /* batch, heads, length */
} attn_rows;

/** A gradient that a backward problem writes; of a bias the first three sizes are those of its shape, of slopes and sinks 1. */
typedef struct attn_case_gradient {
    const char *name;
    clattn_type type;
    attn_rows rows;
    attn_guarded memory; /* block NULL: not asked for */
} attn_case_gradient;

enum {
    ATTN_GRAD_QUERY,
    ATTN_GRAD_KEY,
    ATTN_GRAD_VALUE,
    ATTN_GRAD_BIAS,
    ATTN_GRAD_SLOPES,
    ATTN_GRAD_SINKS,
    ATTN_GRADIENTS
};

typedef struct attn_case_data {
    attn_case c;
    clattn_problem problem; /* resolved */
    clattn_plan_options options; /* of the case; engine, device and blocks are the caller's to set */
    clattn_tensors tensors;
    attn_rows query_rows, key_rows, value_rows, output_rows;
    attn_guarded query, key, value, mask, bias, slopes, sinks, query_lengths, key_lengths, offsets;
    attn_guarded output, logsumexp, weights; /* backward: output and logsumexp are the reference's, as inputs */
    attn_rows grad_output_rows;
    attn_guarded grad_output, grad_logsumexp, delta;
    attn_case_gradient gradients[ATTN_GRADIENTS];
} attn_case_data;

static inline int64_t attn_rows_at(const attn_rows *rows, int64_t b, int64_t h, int64_t i) {
    return rows->offset + b * rows->stride[0] + h * rows->stride[1] + i * rows->stride[2];
}

/** Draws a case that attn_case_complete accepted. logsumexp: also make room for it. */
int attn_case_data_create(attn_case_data *data, const attn_case *c, bool logsumexp, attn_error *error);
void attn_case_data_free(attn_case_data *data);

/** Fills outputs and their guards with a byte; 0xff is NaN in every type. */
void attn_case_data_fill_outputs(attn_case_data *data, unsigned char pattern);

/** NULL, or the output beside whose elements not the pattern stands. Overwrites the outputs' elements. */
const char *attn_case_data_check_guards(attn_case_data *data, unsigned char pattern);

/** The same two for gradients. The first one puts down what gradients are added to, where the problem says so. */
void attn_case_gradients_fill(attn_case_data *data, unsigned char pattern);
const char *attn_case_gradients_check_guards(attn_case_data *data, unsigned char pattern);

/** What element n of a gradient, in the order of its rows, is added to; 0 where the problem does not add. */
double attn_case_gradient_start(const attn_case_data *data, int which, int64_t n);

/** Used lengths of an entry. */
int64_t attn_case_data_query_length(const attn_case_data *data, int64_t b);
int64_t attn_case_data_key_length(const attn_case_data *data, int64_t b);

/** Type of the weights and of logsumexp written out; of output and grad_output. */
clattn_type attn_case_output_type(const clattn_problem *problem);
clattn_type attn_case_weights_type(const clattn_problem *problem);
clattn_type attn_case_logsumexp_type(const clattn_problem *problem);

/** Draws: a number that depends on seed, stream and index alone. */
uint64_t attn_draw(uint64_t seed, uint64_t stream, uint64_t index);

/** Normal to 5 standard deviations, by integer sums: the same bits everywhere. */
double attn_draw_normal(uint64_t seed, uint64_t stream, uint64_t index);

#endif
