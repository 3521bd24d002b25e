/* Files that layers write: whole or not at all. */
#ifndef ATTN_LAYERS_LAYER_OUTPUT_H
#define ATTN_LAYERS_LAYER_OUTPUT_H

#include "layers/layer.h"

enum { ATTN_LAYER_PATH = 4096 };

typedef struct attn_layer_output {
    int descriptor, error; /* errno of what failed first; 0 = nothing yet */
    char place[ATTN_LAYER_PATH], temporary[ATTN_LAYER_PATH];
} attn_layer_output;

/**
 * Opens a file beside the place, or beside what a link there leads to. What is there and no regular file, or may not be
 * written, is refused.
 */
clattn_status attn_layer_output_open(const char *path, attn_layer_output *output, clattn_report *report);

/** Adds bytes; after a failure nothing more. */
void attn_layer_output_write(attn_layer_output *output, const void *data, int64_t bytes);

/** Brings the file to the disk and to its place. After a failure all is as before. */
clattn_status attn_layer_output_end(attn_layer_output *output, clattn_report *report);

#endif
