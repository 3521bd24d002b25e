/* What merging and its gradient share: reading, checks. */
#ifndef ATTN_OPERATIONS_MERGE_H
#define ATTN_OPERATIONS_MERGE_H

#include "clattn/clattn.h"

double attn_merge_get_logsumexp(const clattn_merge_part *part, int64_t row);

/** Nothing where the part has none. */
void attn_merge_set_logsumexp(const clattn_merge_part *part, int64_t row, double x);

/** The largest logsumexp of a row; NaN when one is NaN. */
double attn_merge_row_maximum(const clattn_merge_part *parts, int64_t count, int64_t row);

/** Bytes from the first element to the last of what a part holds; false when they do not fit. */
bool attn_merge_spans(const clattn_merge_part *part, int64_t rows, int64_t value_dim, int64_t *output,
                      int64_t *logsumexp);

/** Whether type, stride and memory of a part are possible; a result needs no logsumexp. */
bool attn_merge_is_usable(const clattn_merge_part *part, int64_t rows, int64_t value_dim, bool is_result);

/** Whether rows of two parts share memory. Rows side by side in one buffer, equally far apart, do not. */
bool attn_merge_rows_meet(const clattn_merge_part *a, int64_t a_bytes, const clattn_merge_part *b, int64_t b_bytes,
                          int64_t value_dim);

bool attn_merge_overlaps_itself(const clattn_merge_part *result, int64_t rows, int64_t value_dim);

#endif
