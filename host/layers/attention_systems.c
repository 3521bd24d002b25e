/*
 * Options of the known systems that attention_layer.c computes. To add one of the same build: a function that fills the
 * options, here.
 */
#include "layers/layer.h"

static clattn_attention_layer_options of_heads(int64_t query_length, int64_t key_length, int64_t input_dim,
                                               int64_t heads, int64_t head_dim) {
    clattn_attention_layer_options options = {
        .struct_size = sizeof options, .attention = CLATTN_PROBLEM_INIT, .plan = CLATTN_PLAN_OPTIONS_INIT
    };
    options.attention.query_heads = heads;
    options.attention.query_length = query_length;
    options.attention.key_length = key_length;
    options.attention.head_dim = head_dim;
    options.input_dim = input_dim;
    options.memory_dim = CLATTN_SAME;
    options.project = true;
    return options;
}

clattn_attention_layer_options clattn_simplified_self_attention(int64_t length, int64_t dim) {
    clattn_attention_layer_options options = of_heads(length, CLATTN_SAME, dim, 1, dim);
    options.project = false;
    options.scores = true;
    options.attention.has_scale = true;
    options.attention.scale = 1;
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    return options;
}

clattn_attention_layer_options clattn_self_attention(int64_t length, int64_t input_dim, int64_t head_dim, bool causal) {
    clattn_attention_layer_options options = of_heads(length, CLATTN_SAME, input_dim, 1, head_dim);
    options.attention.causal = causal;
    options.attention.alignment = causal ? CLATTN_ALIGN_TOP_LEFT : CLATTN_ALIGN_UNSET;
    return options;
}

clattn_attention_layer_options clattn_multi_head_attention(int64_t length, int64_t dim, int64_t heads) {
    clattn_attention_layer_options options =
        of_heads(length, CLATTN_SAME, dim, heads, heads > 0 && dim % heads == 0 ? dim / heads : 0);
    options.output_dim = dim;
    options.residual = true;
    return options;
}

clattn_attention_layer_options clattn_cross_attention(int64_t query_length, int64_t memory_length, int64_t input_dim,
                                                      int64_t memory_dim, int64_t head_dim) {
    clattn_attention_layer_options options = of_heads(query_length, memory_length, input_dim, 1, head_dim);
    options.memory_dim = memory_dim;
    return options;
}
