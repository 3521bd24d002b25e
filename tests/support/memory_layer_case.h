/*
 * Layers with a memory by their definition, in double, plain loops: projections, gates, attention over windows and
 * segments; the memory's part by memory_case.c. And layers whose weights, input and state are drawn.
 */
#ifndef TESTS_MEMORY_LAYER_CASE_H
#define TESTS_MEMORY_LAYER_CASE_H

#include "clattn/clattn_memory.h"

enum { MEMORY_LAYER_ARRAYS = 14, MEMORY_LAYER_ROWS = 64, MEMORY_LAYER_DIM = 16 };

typedef double memory_rows[MEMORY_LAYER_ROWS][MEMORY_LAYER_DIM];

/* A layer with drawn weights, input and state. */
typedef struct memory_layer_case {
    clattn_memory_layer_options options;
    clattn_memory_layer *layer;
    clattn_memory_layer_weights w;
    float *arrays[MEMORY_LAYER_ARRAYS], *input, *state, *output;
    int used;
    int64_t count, size; /* numbers of the input; of an entry's state */
} memory_layer_case;

/** false where the engine does not serve the layer. */
bool memory_layer_begin(memory_layer_case *d, clattn_runtime *runtime, const clattn_memory_layer_options *options,
                        const char *engine, uint64_t seed);
void memory_layer_end(memory_layer_case *d);

/** The call of all tokens, without a report. */
clattn_memory_layer_io memory_layer_io(const memory_layer_case *d);

/** What the layer must make of the rows x of an entry, from its state on, which moves on. */
void memory_layer_define(const memory_layer_case *d, float *state, memory_rows x, memory_rows y);

#endif
