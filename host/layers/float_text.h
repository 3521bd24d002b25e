/* Numbers of text files, whatever language the program speaks: "0.418" is 0.418 under every locale. */
#ifndef ATTN_LAYERS_FLOAT_TEXT_H
#define ATTN_LAYERS_FLOAT_TEXT_H

#include <stdbool.h>

/**
 * Reads a text that is a decimal number from end to end: sign, digits with a point, exponent ("-1.5e-3", ".5", "7.").
 * Rounds to the nearest float, ties to even, in every rounding mode. False when it is no number, or beyond float.
 */
bool attn_layer_float(const char *text, float *number);

#endif
