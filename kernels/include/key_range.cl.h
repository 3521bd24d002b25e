// The keys that lengths, causal rule, window and prefix leave to a row or to a block of rows: one interval, and with
// -DATTN_PREFIX=1 a second one before it. Knows no rules: mask.cl.h makes ranges of them.
#ifndef ATTN_KEY_RANGE_CL_H
#define ATTN_KEY_RANGE_CL_H

#ifndef ATTN_PREFIX
#define ATTN_PREFIX 0
#endif

// Keys begin <= j < end; begin = end = 0 when there are none. With a prefix that stands apart also keys 0 <= j < prefix <
// begin < end; one that meets the interval belongs to it.
typedef struct attn_range {
    long begin, end;
#if ATTN_PREFIX
    long prefix;
#endif
} attn_range;

// The range with the keys before `prefix` beside it.
static inline attn_range attn_with_prefix(attn_range r, long prefix) {
    if (r.begin >= r.end) {
        r.begin = r.end = 0;
    }
#if ATTN_PREFIX
    prefix = max(prefix, 0L);
    r.prefix = prefix;
    if (r.begin <= prefix) {
        r.begin = r.prefix = 0;
        r.end = max(r.end, prefix);
    }
#endif
    return r;
}

// Keys before it belong to the range although its interval begins later.
static inline long attn_range_prefix(const attn_range *r) {
#if ATTN_PREFIX
    return r->prefix;
#else
    (void)r;
    return 0;
#endif
}

// Whether key j is in the range.
static inline int attn_range_has(const attn_range *r, long j) {
#if ATTN_PREFIX
    if (j >= 0 && j < r->prefix) {
        return 1;
    }
#endif
    return j >= r->begin && j < r->end;
}

// Whether all keys first .. first + count - 1 are.
static inline int attn_range_covers(const attn_range *r, long first, long count) {
#if ATTN_PREFIX
    if (first + count <= r->prefix) {
        return 1;
    }
#endif
    return first >= r->begin && first + count <= r->end;
}

// The blocks of `block` keys, from multiples of `step` on, that hold the range:
// for (k = attn_first_block(..); k < r.end; k = attn_next_block(..)).
static inline long attn_first_block(const attn_range *r, long step) {
#if ATTN_PREFIX
    if (r->prefix > 0) {
        return 0;
    }
#endif
    return r->begin / step * step;
}

static inline long attn_next_block(const attn_range *r, long k, long block, long step) {
    k += block;
#if ATTN_PREFIX
    const long begin = r->begin / step * step;
    if (k >= r->prefix && k < begin) {
        return begin;
    }
#endif
    return k;
}

// The hull of the range's keys among first .. end - 1, from a multiple of `step` on; empty when there are none.
static inline attn_range attn_range_part(const attn_range *r, long first, long end, long step) {
    attn_range part = { max(first, r->begin / step * step), min(end, r->end) };
#if ATTN_PREFIX
    if (first < r->prefix) {
        part.end = part.begin < part.end ? part.end : min(end, r->prefix);
        part.begin = first;
    }
#endif
    return part;
}

// The blocks between prefix and interval that are left out: `size` keys (0: none) before key `at`, where keys are counted
// without them. Key n counted so is key attn_gap_key(&gap, n).
typedef struct attn_gap {
    long at, size;
} attn_gap;

static inline attn_gap attn_range_gap(const attn_range *r, long block) {
    attn_gap gap = { 0, 0 };
#if ATTN_PREFIX
    gap.at = (r->prefix + block - 1) / block * block;
    gap.size = r->prefix > 0 ? max(r->begin / block * block - gap.at, 0L) : 0;
#endif
    return gap;
}

static inline long attn_gap_key(const attn_gap *gap, long n) {
#if ATTN_PREFIX
    return n >= gap->at ? n + gap->size : n;
#else
    (void)gap;
    return n;
#endif
}

#endif
