// Results over a part of the keys, before they are merged: for every (batch entry, query head, row) and every split a
// maximum, a sum, and value_dim sums of weighted values, all fp32: the values at the start of the workspace, the pairs
// of maximum and sum from element stats_at on. Written by attention_decode_*.cl, read by attention_merge.cl; the host
// sizes them with the same rules.
#ifndef ATTN_PARTIAL_CL_H
#define ATTN_PARTIAL_CL_H

#include "include/arguments.cl.h"

#define PARTIAL_AT(a, splits, b, h, i, split) \
    ((((b) * (a)->query_heads + (h)) * (a)->query_length + (i)) * (splits) + (split))

// Rows that share a key-value head are numbered i * group + head in group, so that a block of them has few positions.
#define PARTIAL_ROWS(a) ((a)->group * (a)->query_length)

// Keys of one split, out of those that a block of rows has to visit. A matter of the entry alone, not of the batch.
static inline attn_range partial_range(attn_range all, long splits, long split, int step) {
    attn_range r = { 0, 0 };
    long begin = all.begin / step * step;
    long share = ((all.end - begin + splits - 1) / splits + step - 1) / step * step;
    r.begin = max(all.begin, begin + split * share);
    r.end = min(all.end, begin + (split + 1) * share);
    if (r.begin >= r.end) {
        r.begin = r.end = 0;
    }
    return r;
}

// A prefix that stands apart from the range of the rows is split with it: keys are counted without the blocks of `step`
// keys between them.
static inline attn_gap partial_close_gap(attn_range *all, int step) {
    const attn_gap gap = attn_range_gap(all, step);
#if ATTN_PREFIX
    if (all->prefix > 0) {
        all->begin = 0;
        all->end -= gap.size;
    }
#endif
    return gap;
}

#endif
