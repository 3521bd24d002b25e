/* Memory and contents of a case's tensors; used by case_data.c, case_fill.c, case_gradients.c and the gate's runs alone. */
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
    ATTN_STREAM_LAYOUT,
    ATTN_STREAM_GRADIENTS, /* which of the ways to give them */
    ATTN_STREAM_GRAD_OUTPUT,
    ATTN_STREAM_GRAD_LOGSUMEXP,
    ATTN_STREAM_GRAD_START
};

/** Memory of `bytes` between guards. */
int attn_guarded_create(attn_guarded *guarded, int64_t bytes, attn_error *error);
void attn_guarded_fill(attn_guarded *guarded, unsigned char pattern);
bool attn_guarded_holds(const attn_guarded *guarded, unsigned char pattern);

/** A number below n that belongs to the layout of memory. */
uint64_t attn_draw_layout(const attn_case *c, uint64_t index, uint64_t n);

void attn_set_sizes(attn_rows *rows, int64_t batch, int64_t heads, int64_t length, int64_t dim);

/** Lays rows out as the case says and makes their memory. Inputs may get strides of 0. */
int attn_make_rows(attn_case_data *data, attn_rows *rows, attn_guarded *memory, clattn_tensor *tensor, clattn_type type,
                   bool is_input, uint64_t salt, attn_error *error);

/** Fills the elements of rows, not what lies between them. */
void attn_rows_fill(const attn_rows *rows, void *data, int64_t size, unsigned char pattern);

/** What a backward problem is given and asked for, by its seed and features; nothing where it is forward. */
void attn_case_gradients_choose(clattn_problem *problem, const attn_case *c);

/** Makes and fills what backward has beside the forward; output and logsumexp become the reference's. */
int attn_case_gradients_create(attn_case_data *data, attn_error *error);
void attn_case_gradients_free(attn_case_data *data);

int64_t attn_fill_get_integer(const clattn_integers *integers, int64_t b);
void attn_fill_integers(attn_case_data *data, void *memory, clattn_int_type type, const attn_case_list *list,
                        int64_t most, uint64_t stream);
void attn_fill_vectors(attn_case_data *data);
void attn_fill_mask(attn_case_data *data);
void attn_fill_bias(attn_case_data *data, clattn_type type);
void attn_fill_rows(attn_case_data *data, const attn_rows *rows, attn_guarded *memory, clattn_type type,
                    uint64_t stream);

#endif
