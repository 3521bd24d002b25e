/*
 * The group that decode works on: query rows of all heads that share a key-value head, a part of their keys, and where
 * their partial results go.
 */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_GROUP_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_GROUP_H

#include <string.h>

#include "base/memory.h"
#include "engines/cpu/decode/cpu_decode_job.h"
#include "engines/cpu/shared/cpu_dropout.h"
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
    attn_row_rule rule;
    const dropout_entry *dropout; /* NULL = none */
    attn_key_range *ranges;       /* of each row: of its prefix that stands apart, then of its other keys */
    attn_key_range inner;         /* keys that every row attends */
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
    w.rule = attn_row_rule_of(problem, own->job.call, w.b);
    w.dim_pitch = attn_round_up(problem->head_dim, LANES);
    w.ranges = (attn_key_range *)(void *)(scratch + at->ranges);
    w.queries = floats_at(scratch, at->queries);
    w.output = floats_at(scratch, at->output);
    w.maxima = floats_at(scratch, at->maxima);
    w.scores = floats_at(scratch, at->scores);
    w.sums = (vf *)(void *)(scratch + at->sums);
    return w;
}

/** The keys of one part of a group: of its rows' prefix, where that stands apart, then of their other keys. */
typedef struct decode_keys {
    attn_key_range prefix, keys;
} decode_keys;

/** Equal parts of what the group's rows attend, in whole blocks: the prefix' blocks first. */
static decode_keys decode_part(const decode_work *w, int64_t part) {
    const attn_cpu_job *job = w->job;
    attn_key_range all = rows_keys(job, w->b, 0, job->call->query_length),
                   prefix = attn_rows_prefix(job->problem, job->call, w->b, 0, job->call->query_length);
    decode_keys own = { { 0, 0 }, { 0, 0 } };
    int64_t before = attn_round_up(prefix.end, DECODE_KEYS), begin = all.begin / DECODE_KEYS * DECODE_KEYS;
    int64_t count = before + (all.begin < all.end ? all.end - begin : 0);
    if (count == 0) return own;
    int64_t keys = attn_round_up(attn_divide_up(count, w->own->splits), DECODE_KEYS);
    int64_t from = part * keys, to = attn_min(count, from + keys);
    if (from < before) own.prefix = (attn_key_range){ from, attn_min(prefix.end, to) };
    if (to > before) own.keys = (attn_key_range){ begin + attn_max(from - before, 0), begin + to - before };
    return own;
}

/** The ranges of all rows, and of those up to `padded` that do not exist: everything. */
static void set_group_ranges(decode_work *w, bool prefix, int64_t padded) {
    w->inner = (attn_key_range){ 0, INT64_MAX };
    for (int64_t row = 0; row < padded; row++) {
        if (row >= w->rows) {
            w->ranges[row] = (attn_key_range){ 0, INT64_MAX };
            continue;
        }
        int64_t i = decode_row(w, row);
        attn_key_range range = w->ranges[row] = prefix ? attn_rule_prefix(&w->rule, i) : attn_rule_keys(&w->rule, i);
        w->inner.begin = attn_max(w->inner.begin, range.begin);
        w->inner.end = attn_min(w->inner.end, range.end);
    }
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
