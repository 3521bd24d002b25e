/* A layer with a memory, as the files that make it and that run it see it. */
#ifndef ATTN_LAYERS_MEMORY_LAYER_H
#define ATTN_LAYERS_MEMORY_LAYER_H

#include "clattn/clattn_memory.h"
#include "layers/layer.h"

struct clattn_memory_layer {
    clattn_runtime *runtime;
    clattn_memory_layer_options options;
    int64_t rows;             /* of an entry that are computed at once: a segment, or all of a call */
    int64_t memories, recent; /* numbers of an entry's state: of all heads' memories; rows that the window reaches */
    clattn_neural_memory *memory;
    clattn_attention_layer *attention; /* NULL when alone */
    clattn_linear_plan *square, *gates;
    float *query, *key, *value;   /* [rows, dim]: what the memory is given */
    float *gate_rows, *alpha;     /* [rows, 3 * memory_heads] as the product gives them; [3, rows, memory_heads] */
    float *sequence;              /* what attention sees: [P | rows before or h | rows] */
    float *attended, *remembered; /* [rows, dim] */
    uint8_t *mask;                /* as context: [segment, P + 2 segment] */
};

#endif
