// The band the other way round: which rows see a key. As mask.cl.h has it for the keys of a row, intervals of positions that
// never move back from key to key.
#ifndef ATTN_BACKWARD_RANGE_CL_H
#define ATTN_BACKWARD_RANGE_CL_H

#include "include/mask.cl.h"

// With the rows that see key j as one of the prefix, if it is `there`: those from where the causal rule lets them. The band
// begins at the same row, or later where no causal rule is.
static inline attn_range with_prefix(const attn_entry *e, attn_range r, long j, int there) {
#if ATTN_PREFIX
    r.prefix = 0;
    if (there && j < e->prefix) {
        r.begin = max(j - e->prefix_to + 1, 0L);
        r.end = e->query_length;
    }
#endif
    if (r.begin >= r.end) {
        r.begin = r.end = 0;
    }
    return r;
}

// Positions of the rows that see one of the keys first .. last.
static inline attn_range rows_that_see(const attn_arguments *a, const attn_entry *e, long first, long last) {
    last = min(last, e->key_length - 1);
    attn_range r = { 0, first <= last ? e->query_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max((long)r.begin, first - e->offset - a->band_right);
        r.end = min((long)r.end, last - e->offset + a->band_left + 1);
    }
    return with_prefix(e, r, first, first <= last);
}

// Of those that see all of them, as far as the range decides.
static inline attn_range rows_that_see_all(const attn_arguments *a, const attn_entry *e, long first, long last) {
    attn_range r = { 0, last < e->key_length ? e->query_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max((long)r.begin, last - e->offset - a->band_right);
        r.end = min((long)r.end, first - e->offset + a->band_left + 1);
    }
    return with_prefix(e, r, last, last < e->key_length);
}

#endif
