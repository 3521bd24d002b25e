/* Additive attention as its engines see it: a resolved problem and a resolved call. */
#ifndef ATTN_ENGINES_ADDITIVE_ADDITIVE_ENGINES_H
#define ATTN_ENGINES_ADDITIVE_ADDITIVE_ENGINES_H

#include "clattn/clattn_additive.h"
#include "engines/engine.h"
#include "problem/call.h"

/** One call. Rows and keys are found with the problem's lengths; only this call's are computed. */
typedef struct attn_additive_call {
    int64_t query_length, key_length;
    const float *query, *key, *v, *value;
    const uint8_t *mask;
    int64_t mask_stride[3]; /* batch, row, key; 0 where broadcast */
    clattn_integers query_lengths, key_lengths;
    float *output, *weights, *logsumexp; /* NULL = not asked for */
    clattn_report *report;
} attn_additive_call;

/** Used keys of a batch entry; row i is used when i < attn_additive_rows(). */
static inline int64_t attn_additive_keys(const attn_additive_call *call, int64_t b) {
    return call->key_lengths.data ? attn_integer(&call->key_lengths, b) : call->key_length;
}

static inline int64_t attn_additive_rows(const attn_additive_call *call, int64_t b) {
    return call->query_lengths.data ? attn_integer(&call->query_lengths, b) : call->query_length;
}

/** Whether the mask lets row i of entry b attend to key j. */
static inline bool attn_additive_allowed(const attn_additive_call *call, int64_t b, int64_t i, int64_t j) {
    return !call->mask ||
           call->mask[b * call->mask_stride[0] + i * call->mask_stride[1] + j * call->mask_stride[2]] != 0;
}

extern const attn_engine attn_additive_reference, attn_additive_cpu, attn_additive_opencl;

#endif
