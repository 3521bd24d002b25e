/* A row of the reference, and which keys it may attend to: said again here on purpose, problem/mask.h is not asked. */
#ifndef ATTN_ENGINES_REFERENCE_REFERENCE_RULES_H
#define ATTN_ENGINES_REFERENCE_REFERENCE_RULES_H

#include <math.h>

#include "base/half.h"
#include "problem/call.h"

/** Where a row stands. */
typedef struct attn_position {
    int64_t b, h, g, i;
    int64_t offset, key_length; /* of entry b */
    bool used;                  /* i is inside the used query length */
} attn_position;

/** The row's arrays of clattn_reference_row, with none missing but magnitude. */
typedef struct attn_row_arrays {
    long double *raw, *softcap, *scores, *weights, *magnitude;
} attn_row_arrays;

static inline attn_position attn_reference_position(const clattn_problem *p, const attn_call *c, int64_t b, int64_t h,
                                                    int64_t i) {
    int64_t used_query = c->query_lengths.data ? attn_integer(&c->query_lengths, b) : c->query_length;
    int64_t used_key = c->key_lengths.data ? attn_integer(&c->key_lengths, b) : c->key_length;
    int64_t offset = 0;
    switch (p->alignment) {
        case CLATTN_ALIGN_UNSET:
        case CLATTN_ALIGN_TOP_LEFT: break;
        case CLATTN_ALIGN_BOTTOM_RIGHT: offset = used_key - used_query; break;
        case CLATTN_ALIGN_PAST: offset = c->past_length; break;
        case CLATTN_ALIGN_OFFSET: offset = p->offset; break;
        case CLATTN_ALIGN_OFFSETS: offset = attn_integer(&c->offsets, b); break;
    }
    return (attn_position){ b, h, h / (p->query_heads / p->kv_heads), i, offset, used_key, i < used_query };
}

/** Whether a row may attend to key j: lengths, causal rule, window and prefix, mask, and a bias of -inf. */
static inline bool attn_reference_allows(const clattn_problem *p, const attn_call *c, const attn_position *at,
                                         int64_t j) {
    int64_t position = at->i + at->offset;
    bool allowed = at->used && j < at->key_length;
    bool window = p->window_left == CLATTN_OPEN || j >= position - p->window_left;
    window = window && (p->window_right == CLATTN_OPEN || j <= position + p->window_right);
    allowed = allowed && (!p->causal || j <= position);
    allowed = allowed && (window || j < p->prefix);
    if (allowed && p->mask != CLATTN_MASK_NONE) {
        const uint8_t *mask = (const uint8_t *)c->mask.data + attn_view_row(&c->mask, at->b, at->h, at->i);
        int64_t column = j * c->mask.stride[3];
        allowed = p->mask == CLATTN_MASK_BYTES ? mask[column] != 0 : (mask[column / 8] & (1 << column % 8)) != 0;
    }
    if (allowed && p->bias != CLATTN_BIAS_NONE) {
        clattn_type type = p->bias == CLATTN_BIAS_STORAGE ? p->type : CLATTN_FP32;
        int64_t index = attn_view_row(&c->bias, at->b, at->h, at->i) + j * c->bias.stride[3];
        allowed = attn_get_element(type, c->bias.data, index) != -INFINITY;
    }
    return allowed;
}

#endif
