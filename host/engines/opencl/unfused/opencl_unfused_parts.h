/* How a call of opencl-unfused is cut into parts and where each matrix of a part lies in the workspace. */
#ifndef ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PARTS_H
#define ATTN_ENGINES_OPENCL_UNFUSED_OPENCL_UNFUSED_PARTS_H

#include "clattn/clattn.h"

/** Sizes that decide about memory. A pair is a batch entry and a key-value head; its rows are those of its query
 * heads. */
typedef struct attn_unfused_sizes {
    int64_t pairs, rows, key_length, head_dim, value_dim;
    int64_t most_rows; /* of a part, when the caller wants fewer than fit; 0 = no wish */
    /** Bytes of temporary memory that the products of one pair need with so many rows. */
    clattn_status (*temporary)(const struct attn_unfused_sizes *sizes, int64_t rows, int64_t *bytes,
                               clattn_report *report);
    void *user;
} attn_unfused_sizes;

/** One part: either whole pairs, or some rows of one pair. Offsets count floats from the workspace's beginning. */
typedef struct attn_unfused_part {
    int64_t pairs, rows; /* the most a part has */
    int64_t scores, query, key, value, sums;
    int64_t floats; /* of workspace in all; CLBlast's temporary memory comes first */
} attn_unfused_part;

/** The largest part, by halving, whose workspace is at most `limit` bytes; one line with sizes when not even a row
 * fits. What fits for some sizes fits for smaller ones too. */
clattn_status attn_unfused_cut(const attn_unfused_sizes *sizes, int64_t limit, attn_unfused_part *part,
                               clattn_report *report);

#endif
