/* An attention layer, as its forward and its backward see it. */
#ifndef ATTN_LAYERS_ATTENTION_LAYER_H
#define ATTN_LAYERS_ATTENTION_LAYER_H

#include "layers/layer.h"

/** What backward needs beside the layer: made by clattn_attention_layer_learn(). */
typedef struct attn_attention_learning {
    clattn_problem problem;
    clattn_plan *plan;
    clattn_linear_backward *query, *key, *value, *output;
    float *grad_query, *grad_key, *grad_value, *grad_context;
} attn_attention_learning;

struct clattn_attention_layer {
    clattn_runtime *runtime;
    clattn_attention_layer_options options; /* resolved */
    clattn_plan *plan, *scores_plan;
    clattn_linear_plan *query_plan, *key_plan, *value_plan, *output_plan;
    int64_t query_dim, key_dim, value_dim, context_dim; /* columns of a row, all heads */
    float *query, *key, *value, *context;
    attn_attention_learning learning; /* plan NULL: it does not learn */
};

/** What one call covers. */
typedef struct attn_attention_call {
    int64_t rows, keys;        /* of all entries */
    attn_layer_rows of_output; /* those of the output that the call has */
    const float *memory;
    bool self; /* the memory is the input */
} attn_attention_call;

/** Lengths and memory of a call; sets the key length of self-attention in the tensors. */
clattn_status attn_attention_size(const clattn_attention_layer *layer, const clattn_attention_layer_io *io,
                                  clattn_tensors *tensors, attn_attention_call *call);

/** The matrices that the call needs. */
clattn_status attn_attention_weights(const clattn_attention_layer *layer, const clattn_attention_weights *weights,
                                     bool keep_memory, clattn_report *report);

/** Rows of an array of the layer, for attention. */
clattn_tensor attn_attention_rows(const float *data);

void attn_attention_learning_end(clattn_attention_layer *layer);

#endif
