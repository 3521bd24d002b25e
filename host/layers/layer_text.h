/* Texts that layers read and write. */
#ifndef ATTN_LAYERS_LAYER_TEXT_H
#define ATTN_LAYERS_LAYER_TEXT_H

#include <stdbool.h>

/** Whether a text is UTF-8 throughout, in the shortest form, without surrogates. */
bool attn_layer_is_utf8(const char *text);

#endif
