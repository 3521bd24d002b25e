// The band the other way round: which rows see a key. As mask.cl.h has it for the keys of a row, intervals of positions that
// never move back from key to key.
#ifndef ATTN_BACKWARD_RANGE_CL_H
#define ATTN_BACKWARD_RANGE_CL_H

#include "include/mask.cl.h"

// Positions of the rows that see one of the keys first .. last.
static inline attn_range rows_that_see(const attn_arguments *a, const attn_entry *e, long first, long last) {
    last = min(last, e->key_length - 1);
    attn_range r = { 0, first <= last ? e->query_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max((long)r.begin, first - e->offset - a->band_right);
        r.end = min((long)r.end, last - e->offset + a->band_left + 1);
    }
    if (r.begin >= r.end) {
        r.begin = r.end = 0;
    }
    return r;
}

// Of those that see all of them, as far as the range decides.
static inline attn_range rows_that_see_all(const attn_arguments *a, const attn_entry *e, long first, long last) {
    attn_range r = { 0, last < e->key_length ? e->query_length : 0 };
    if (ATTN_FEATURES(a) & ATTN_HAS_BAND) {
        r.begin = max((long)r.begin, last - e->offset - a->band_right);
        r.end = min((long)r.end, first - e->offset + a->band_left + 1);
    }
    if (r.begin >= r.end) {
        r.begin = r.end = 0;
    }
    return r;
}

#endif
