/*
 * Prefill's words are pairs of bf16, for processors that multiply two pairs in the time of one multiply-add: neighbours in
 * head_dim where scores are made, two keys' values of a column where they are summed. Products are exact, sums fp32; weights are
 * rounded to bf16. What each function is for stands in cpu_words.h.
 */
#ifndef ATTN_ENGINES_CPU_PAIRS_CPU_PAIRS_H
#define ATTN_ENGINES_CPU_PAIRS_CPU_PAIRS_H

#include <math.h>

#include "engines/cpu/shared/cpu_halves.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_rounded.h"
#include "engines/cpu/shared/cpu_words.h"

static bool words_serve(clattn_type type) {
    return type == CLATTN_BF16;
}

static bool words_round(clattn_type type) {
    return words_serve(type);
}

static void word_sizes(const clattn_problem *problem, attn_cpu_unit_sizes *sizes) {
    const int64_t size = (int64_t)sizeof(float), pitch = attn_round_up(problem->value_dim, LANES) * size;
    *sizes = (attn_cpu_unit_sizes){ .key = product_words(problem) * size,
                                    .value = pitch / 2,
                                    .query = attn_round_up(problem->head_dim, LANES) * size,
                                    .output = pitch,
                                    .sums = LANES * size,
                                    .exact = LANES * size };
}

/** sum + the product of the upper halves + that of the lower. */
INLINE vf add_product(vf sum, vf a, vf b) {
#if ATTN_AVX512_BF16
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    const vu high = (vu){ 0 } + 0xffff0000u;
    sum += (vf)((vu)a & high) * (vf)((vu)b & high);
    return sum + (vf)((vu)a << 16) * (vf)((vu)b << 16);
#endif
}

static inline void start_words(prefill_work *w) {
    w->limit = size_limit(w->job->problem->scale);
    w->by_exact = w->job->dropped; /* what rounding did to the weights that are gone would stay in a sum of all */
    bool exact = w->job->problem->logsumexp || w->by_exact;
    w->exact = exact ? (vf *)(void *)(w->scratch + w->own->at.exact) : NULL;
}

/** Where a tile's queries lie; pitch receives the words from row to row. */
static inline const float *tile_queries(const prefill_work *w, int64_t row, int height, int64_t *pitch) {
    (void)height;
    *pitch = w->dim_pitch;
    return w->queries + row * w->dim_pitch;
}

/** Copies a tile's queries, the first `real` of which exist. The sum of a row beyond the limit becomes NaN. */
static void copy_queries(const prefill_work *w, int64_t row, int height, int64_t real) {
    const clattn_problem *problem = w->job->problem;
    const attn_view *query = &w->job->call->query;
    const uint16_t *from = (const uint16_t *)query->data + attn_view_row(query, w->b, w->h, w->first + row);
    for (int64_t i = 0; i < height; i++, from += query->stride[2]) {
        float *copy = w->queries + (row + i) * w->dim_pitch;
        vi seen = { 0 };
        for (int64_t d = 0; d < 2 * w->dim_pitch; d += 2 * LANES) {
            vu words = load_words(from + d, i < real ? problem->head_dim - d : 0);
            seen |= beyond_limit(words, w->limit);
            store(copy + d / 2, (vf)words);
        }
        if (any_lane(seen)) w->sums[row + i] = splat(NAN);
    }
}

/** A block's keys into panels [words][TILE_KEYS]; what is not there is 0. Returns whether an element is beyond limit. */
static bool pack_pairs(float *packed, const attn_keys *keys, const key_block *block, int64_t dim, float limit) {
    const int64_t words = (dim + 1) / 2;
    const uint16_t *data = keys->view->data;
    const int n = block->n;
    vi seen = { 0 };
    for (int64_t key = 0; key < attn_round_up(n, TILE_KEYS); key += LANES) {
        float *panel = packed + key / TILE_KEYS * TILE_KEYS * words + key % TILE_KEYS;
        int64_t at[LANES] = { 0 };
        attn_keys_at(keys, block->first + key, attn_min(n - key, LANES), at);
        for (int64_t d = 0; d < dim; d += 2 * LANES) {
            vf r[LANES];
            if (key + LANES <= n && d + 2 * LANES <= dim) {
                UNROLL for (int i = 0; i < LANES; i++) r[i] = (vf)load_words(data + at[i] + d, 2 * LANES);
            } else {
                for (int i = 0; i < LANES; i++) r[i] = (vf)load_words(data + at[i] + d, key + i < n ? dim - d : 0);
            }
            UNROLL for (int i = 0; i < LANES; i++) seen |= beyond_limit((vu)r[i], limit);
            transpose(r);
            int64_t m = attn_min(words - d / 2, LANES);
            for (int i = 0; i < m; i++) store(panel + (d / 2 + i) * TILE_KEYS, r[i]);
        }
    }
    return any_lane(seen);
}

/** A block's values as [pair of keys][pitch words], whole vectors. */
static void pack_paired_values(float *packed, int64_t pitch, const attn_keys *values, const key_block *block,
                               int64_t dim) {
    const uint16_t *data = values->view->data;
    int64_t at[ATTN_CPU_BLOCK_KEY + 1] = { 0 };
    attn_keys_at(values, block->first, block->n, at);
    for (int key = 0; key < block->n; key += 2, packed += pitch) {
        const uint16_t *even = data + at[key], *odd = data + at[key + 1];
        for (int64_t c = 0; c < dim; c += LANES) {
            store(packed + c, (vf)paired_rows(even + c, odd + c, dim - c, key + 1 < block->n ? dim - c : 0));
        }
    }
}

/** Packs block `number` of the head, unless it lies there from an earlier item. */
static key_block get_block(prefill_work *w, int64_t number) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    const attn_keys key = { &job->call->key, w->b, w->g }, value = { &job->call->value, w->b, w->g };
    key_block block = start_block(w, number);
    float *keys = floats_at(w->scratch, w->own->at.keys) + block.slot * job->block_key * product_words(problem);
    float *values = floats_at(w->scratch, w->own->at.values) + block.slot * job->block_key / 2 * w->own->value_pitch;
    if (!is_packed(w, number)) {
        bool large = pack_pairs(keys, &key, &block, problem->head_dim, w->limit);
        pack_paired_values(values, w->own->value_pitch, &value, &block, problem->value_dim);
        set_packed(w, number, large);
    }
    w->careful = w->careful || is_large(w, number);
    block.keys = keys;
    block.values = values;
    block.value_pitch = w->own->value_pitch;
    return block;
}

/** Scores of keys begin .. end of one row become weights; 0 up to a whole tile of keys. */
INLINE void softmax_row(const prefill_work *w, int64_t row, float *scores, int begin, int end, float top, bool first) {
    const int whole = (int)attn_round_up(end, LANES), to = (int)attn_round_up(end, TILE_KEYS);
    vf zero = raise_row(w, row, top, first);
    if (whole < to) store(scores + whole, splat(-INFINITY));
    if (w->exact) {
        rounded_row(scores, begin, to, splat(1.0f), zero, &w->sums[row], &w->exact[row]);
    } else {
        rounded_row(scores, begin, to, splat(1.0f), zero, &w->sums[row], NULL);
    }
}

static inline void drop_row(const prefill_work *w, int64_t row, int64_t key, float *scores, int begin, int end) {
    drop_rounded(w, row, key, scores, begin, end);
}

#endif
