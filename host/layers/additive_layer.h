/* An additive layer, as its forward and its backward see it. */
#ifndef ATTN_LAYERS_ADDITIVE_LAYER_H
#define ATTN_LAYERS_ADDITIVE_LAYER_H

#include "layers/layer.h"

/** What backward needs beside the layer: made by clattn_additive_layer_learn(). */
typedef struct attn_additive_learning {
    clattn_additive_plan *plan; /* of the attention without weights and logsumexp */
    clattn_linear_backward *query, *key;
    float *context, *grad_query, *grad_key; /* of the projected queries and keys */
    double *work;
} attn_additive_learning;

struct clattn_additive_layer {
    clattn_runtime *runtime;
    clattn_additive_problem problem;
    clattn_additive_plan *plan;
    clattn_linear_plan *query_plan, *key_plan;
    float *query, *key; /* projected */
    int64_t query_dim, key_dim;
    attn_additive_learning learning; /* plan NULL: it does not learn */
};

void attn_additive_learning_end(clattn_additive_layer *layer);

/** Projects query and key into the layer's memory, and computes attention by a plan, which checks the call. */
clattn_status attn_additive_compute(clattn_additive_layer *layer, clattn_additive_plan *plan,
                                    const clattn_additive_weights *weights, const clattn_additive_layer_io *io,
                                    clattn_additive_tensors *tensors);

/** The derivative of additive attention itself. */
typedef struct attn_additive_backward {
    const clattn_additive_problem *problem;
    const clattn_additive_tensors *tensors; /* checked */
    const float *grad_output;
    float *grad_query, *grad_key; /* [..., hidden], written */
    float *grad_value, *grad_v;   /* NULL = not wanted; added to */
    double *work;                 /* attn_additive_work() numbers */
} attn_additive_backward;

/** Numbers of memory that the derivative needs: they grow with key_length alone. False when they do not fit. */
bool attn_additive_work(const clattn_additive_problem *problem, int64_t *numbers);

void attn_additive_differentiate(const attn_additive_backward *backward);

#endif
