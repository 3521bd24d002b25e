/*
 * One call, resolved: the tensors of a call with every default filled in and checked against a resolved problem. This is
 * all an engine sees of the caller's memory. Indices: b batch entry, h query head, g key-value head, i row, j key.
 */
#ifndef ATTN_PROBLEM_CALL_H
#define ATTN_PROBLEM_CALL_H

#include "clattn/clattn.h"

/**
 * Memory and how to walk it: element (b, h, i, d) is at index offset + b * stride[0] + h * stride[1] + i * stride[2] + d * stride[3]
 * of data. Broadcast dimensions have stride 0. For bit masks offset and strides count bytes, and stride[3] says whether the
 * key matters (1) or bit 0 serves all (0). data is NULL when the problem has no such tensor.
 */
/* A view of a call that was checked: an empty one has offset 0, and the first three strides are 0 where at most one entry is walked. */
typedef struct attn_view {
    void *data; /* host pointer or cl_mem, as the problem's memory says */
    int64_t offset;
    int64_t stride[4];
} attn_view;

typedef struct attn_call {
    int64_t query_length, key_length, past_length; /* of this call */
    attn_view query, key, value, output;
    attn_view mask, bias; /* strides over [batch, query_heads, query_length, key_length] */
    attn_view logsumexp;  /* strides over [batch, query_heads, query_length]; stride[3] unused */
    attn_view
        weights; /* strides over [batch, chosen heads, chosen rows, key_length]: index with h - first_head, i - first_row */
    attn_view alibi_slopes, sinks;                           /* fp32; offset only */
    clattn_integers query_lengths, key_lengths, offsets;     /* data NULL when not given */
    attn_view grad_output, grad_query, grad_key, grad_value; /* backward; data NULL when not asked for */
    attn_view grad_bias;                                     /* strides as those of bias */
    attn_view grad_alibi_slopes, grad_sinks;                 /* offset only */
    attn_view grad_logsumexp, delta;                         /* as logsumexp */
    attn_view dropout_mask; /* bytes over [batch, query_heads, query_length, key_length] */
    uint64_t dropout_seed;
    int64_t first_entry, first_head, first_row, first_key; /* what dropout counts from */
    clattn_integers first_rows, first_keys;                /* in place of the last two; data NULL when not given */
    void *workspace;                                       /* the caller's, or NULL */
    int64_t workspace_size;
    bool (*progress)(void *user, double done);
    void *progress_user;
    clattn_report *report;
    struct clattn_timing *timing;
} attn_call;

/**
 * Checks @p tensors against the resolved @p problem and fills @p call. Host memory: lengths are read and checked too, and
 * outputs may not overlap. Refusals name the field.
 * @param caller_workspace  calls bring their workspace; else that of the tensors is not looked at
 */
clattn_status attn_call_resolve(const clattn_problem *problem, const clattn_tensors *tensors, bool caller_workspace,
                                attn_call *call);

/** Index of element (b, h, i, 0) of a view. */
static inline int64_t attn_view_row(const attn_view *view, int64_t b, int64_t h, int64_t i) {
    return view->offset + b * view->stride[0] + h * view->stride[1] + i * view->stride[2];
}

static inline int64_t attn_integer(const clattn_integers *integers, int64_t b) {
    return integers->type == CLATTN_INT32 ? (int64_t)((const int32_t *)integers->data)[integers->offset + b]
                                          : ((const int64_t *)integers->data)[integers->offset + b];
}

#endif
