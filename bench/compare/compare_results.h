/* What a call of either build writes: gradients of a backward case, else output, logsumexp and weights. */
#ifndef ATTN_BENCH_COMPARE_RESULTS_H
#define ATTN_BENCH_COMPARE_RESULTS_H

#include "case/case_data.h"

/** Copies all of it, one tensor after another; answers how many bytes that are. `to` may be NULL. */
int64_t attn_results_copy(const attn_case_data *data, char *to);

/** Fills it with NaN. */
void attn_results_fill(attn_case_data *data);

/** Largest difference of two copies; infinite where one alone is NaN. */
double attn_results_differ(const attn_case_data *data, const char *a, const char *b);

#endif
