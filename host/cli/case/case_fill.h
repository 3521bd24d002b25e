/* The contents of a case's tensors; used by case_data.c alone. */
#ifndef ATTN_CLI_CASE_CASE_FILL_H
#define ATTN_CLI_CASE_CASE_FILL_H

#include "case/case_data.h"

enum {
    ATTN_STREAM_QUERY,
    ATTN_STREAM_KEY,
    ATTN_STREAM_VALUE,
    ATTN_STREAM_MASK,
    ATTN_STREAM_BIAS,
    ATTN_STREAM_SINKS,
    ATTN_STREAM_QUERY_LENGTHS,
    ATTN_STREAM_KEY_LENGTHS,
    ATTN_STREAM_LAYOUT
};

int64_t attn_fill_get_integer(const clattn_integers *integers, int64_t b);
void attn_fill_integers(attn_case_data *data, void *memory, clattn_int_type type, const attn_case_list *list,
                        int64_t most, uint64_t stream);
void attn_fill_vectors(attn_case_data *data);
void attn_fill_mask(attn_case_data *data);
void attn_fill_bias(attn_case_data *data, clattn_type type);
void attn_fill_rows(attn_case_data *data, const attn_rows *rows, attn_guarded *memory, uint64_t stream);

#endif
