/*
 * Prefill's words are floats: keys times the factor of scores in packed panels, values and queries where they lie or as
 * copies, softmax in fp32. What each function is for stands in cpu_words.h.
 */
#ifndef ATTN_ENGINES_CPU_PREFILL_CPU_FLOATS_H
#define ATTN_ENGINES_CPU_PREFILL_CPU_FLOATS_H

#include <string.h>

#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_words.h"

static bool words_serve(clattn_type type) {
    return type != CLATTN_FP64;
}

static bool words_round(clattn_type type) {
    (void)type;
    return false;
}

static void word_sizes(const clattn_problem *problem, attn_cpu_unit_sizes *sizes) {
    const int64_t size = (int64_t)sizeof(float), pitch = attn_round_up(problem->value_dim, LANES) * size;
    *sizes = (attn_cpu_unit_sizes){ .key = problem->head_dim * size,
                                    .value = pitch,
                                    .query = attn_round_up(problem->head_dim, LANES) * size,
                                    .output = pitch,
                                    .sums = LANES * size };
}

INLINE vf add_product(vf sum, vf a, vf b) {
    return sum + a * b;
}

static inline void start_words(prefill_work *w) {
    (void)w;
}

/** Whole tiles of fp32 are read where they lie; the others from a copy. */
static inline bool reads_in_place(const prefill_work *w, int64_t row, int height) {
    return w->job->problem->type == CLATTN_FP32 && row + height <= w->count;
}

/** Where a tile's queries lie; pitch receives the floats from row to row. */
static inline const float *tile_queries(const prefill_work *w, int64_t row, int height, int64_t *pitch) {
    const attn_view *query = &w->job->call->query;
    bool in_place = reads_in_place(w, row, height);
    *pitch = in_place ? query->stride[2] : w->dim_pitch;
    return in_place ? (const float *)query->data + attn_view_row(query, w->b, w->h, w->first + row)
                    : w->queries + row * w->dim_pitch;
}

/** Makes a tile's queries ready, the first `real` of which exist. */
static void copy_queries(const prefill_work *w, int64_t row, int height, int64_t real) {
    const clattn_problem *problem = w->job->problem;
    const attn_view *query = &w->job->call->query;
    float *copy = w->queries + row * w->dim_pitch;
    if (reads_in_place(w, row, height)) return;
    copy_rows(problem->type, copy, w->dim_pitch, query->data, attn_view_row(query, w->b, w->h, w->first + row),
              query->stride[2], real, problem->head_dim, splat(1.0f));
    memset(copy + real * w->dim_pitch, 0, (size_t)((height - real) * w->dim_pitch) * sizeof(float));
}

/** Packs block `number` of the head's keys, and copies its values, unless they lie there from an earlier item. */
static key_block get_block(prefill_work *w, int64_t number) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    const attn_keys key = { &job->call->key, w->b, w->g }, value = { &job->call->value, w->b, w->g };
    key_block block = start_block(w, number);
    float *keys = floats_at(w->scratch, w->own->at.keys) + block.slot * job->block_key * problem->head_dim;
    float *values = floats_at(w->scratch, w->own->at.values) + block.slot * job->block_key * w->own->value_pitch;
    const bool packed = is_packed(w, number);
    if (!packed) {
        pack_keys(problem->type, keys, &key, block.first, block.n, problem->head_dim, splat(job->key_factor));
        set_packed(w, number, false);
    }
    block.keys = keys;
    take_values(problem, &block, &value, w->own->copy_values, values, w->own->value_pitch, packed);
    return block;
}

/** Scores of keys begin .. end of one row become weights. */
INLINE void softmax_row(const prefill_work *w, int64_t row, float *scores, int begin, int end, float top, bool first) {
    softmax_scores(scores, begin, end, top - w->job->headroom, &w->maxima[row], &w->sums[row],
                   w->output + row * w->output_pitch, w->output_pitch, first);
}

/** Weights that are dropped become 0. */
static inline void drop_row(const prefill_work *w, int64_t row, int64_t key, float *scores, int begin, int end) {
    drop_weights(w->dropout, w->h, w->first + row, key, begin, end, scores);
}

#endif
