/* Opening the files that layers read. */
#ifndef ATTN_LAYERS_LAYER_FILE_H
#define ATTN_LAYERS_LAYER_FILE_H

#include <stdio.h>

#include "layers/layer.h"

/**
 * Opens a regular file and returns its size in bytes. A folder, a pipe and a device are refused before they are opened:
 * opening a pipe can wait for ever, and none of them has a size to check a header against.
 */
clattn_status attn_layer_open(const char *path, FILE **stream, int64_t *size, clattn_report *report);

#endif
