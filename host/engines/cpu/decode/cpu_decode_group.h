/*
 * The group that decode works on: query rows of all heads that share a key-value head, a part of their keys, and where
 * their partial results go.
 */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_GROUP_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_GROUP_H

#include <string.h>

#include "base/memory.h"
#include "engines/cpu/decode/cpu_decode_job.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_vector.h"
#include "problem/mask.h"

enum { DECODE_KEYS = ATTN_CPU_PART, DECODE_IN_PLACE = ATTN_CPU_IN_PLACE_ROWS };

/** One part of the keys of one group under way. */
typedef struct decode_work {
    const attn_cpu_job *job;
    const attn_cpu_decode_job *own;
    char *scratch;
    int64_t b, g, rows, group; /* rows = group * query_length */
    int64_t dim_pitch;
    float *queries, *output, *maxima, *scores;
    vf *sums;
    attn_key_range *ranges;
    attn_key_range inner; /* keys that every row attends */
} decode_work;

static inline int64_t decode_head(const decode_work *w, int64_t row) {
    return w->g * w->group + row / w->job->call->query_length;
}

static inline int64_t decode_row(const decode_work *w, int64_t row) {
    return row % w->job->call->query_length;
}

static decode_work start_group(const attn_cpu_decode_job *own, int64_t group, char *scratch) {
    const clattn_problem *problem = own->job.problem;
    const attn_cpu_decode_layout *at = &own->at;
    decode_work w = { .job = &own->job, .own = own, .scratch = scratch };
    w.b = group / problem->kv_heads;
    w.g = group % problem->kv_heads;
    w.group = problem->query_heads / problem->kv_heads;
    w.rows = w.group * own->job.call->query_length;
    w.dim_pitch = attn_round_up(problem->head_dim, LANES);
    w.ranges = (attn_key_range *)(void *)(scratch + at->ranges);
    w.queries = floats_at(scratch, at->queries);
    w.output = floats_at(scratch, at->output);
    w.maxima = floats_at(scratch, at->maxima);
    w.scores = floats_at(scratch, at->scores);
    w.sums = (vf *)(void *)(scratch + at->sums);
    return w;
}

/** Keys of one part of a group: equal parts of what its rows attend, in whole blocks. */
static attn_key_range decode_part(const decode_work *w, int64_t part) {
    const attn_cpu_job *job = w->job;
    attn_key_range all = rows_keys(job, w->b, 0, job->call->query_length);
    if (all.begin >= all.end) return (attn_key_range){ 0, 0 };
    int64_t begin = all.begin / DECODE_KEYS * DECODE_KEYS;
    int64_t keys = attn_round_up(attn_divide_up(all.end - begin, w->own->splits), DECODE_KEYS);
    return (attn_key_range){ begin + part * keys, attn_min(all.end, begin + (part + 1) * keys) };
}

static float *decode_partial(const attn_cpu_decode_job *own, int64_t item, int64_t rows, int64_t row) {
    return own->partials + (item * rows + row) * (own->value_pitch + 2);
}

static void store_partial(const decode_work *w, int64_t item, int64_t row, float maximum, float sum) {
    float *partial = decode_partial(w->own, item, w->rows, row);
    int64_t pitch = w->own->value_pitch;
    memcpy(partial, w->output + row * pitch, (size_t)pitch * sizeof(float));
    partial[pitch] = maximum;
    partial[pitch + 1] = sum;
}

#endif
