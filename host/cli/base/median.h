/* The median of measured times. */
#ifndef ATTN_CLI_BASE_MEDIAN_H
#define ATTN_CLI_BASE_MEDIAN_H

#include <stdint.h>

/** The middle value, or the mean of the two in the middle; count is at least 1. Sorts the values, smallest first. */
double attn_median(double *values, int64_t count);

#endif
