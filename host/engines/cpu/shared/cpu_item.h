/*
 * One item of prefill, whatever its products are made with: where its rows and scratch lie, and what
 * becomes of finished rows.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_ITEM_H
#define ATTN_ENGINES_CPU_SHARED_CPU_ITEM_H

#include <math.h>

#include "base/memory.h"
#include "engines/cpu/shared/cpu_dropout.h"
#include "engines/cpu/shared/cpu_prefill_job.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "problem/mask.h"

/** One item under way: rows of one head. */
typedef struct prefill_work {
    const attn_cpu_job *job;
    const attn_cpu_prefill_job *own;
    char *scratch;
    int64_t b, h, g;
    int64_t first, count; /* rows */
    int64_t dim_pitch;    /* of copied queries, words */
    int64_t output_pitch; /* of sums */
    attn_row_rule rule;
    attn_key_range *ranges; /* of each row: of its prefix that stands apart, then of its other keys */
    bool begun;             /* rows have sums of values, or 0, before the first block of their ranges */
    float *queries, *output, *maxima, *scores;
    vf *sums;
    vf *exact;     /* sums of weights before they were rounded, where they are and are asked for; else NULL */
    bool by_exact; /* rows are divided by these, not by `sums` */
    float limit;   /* of queries and keys, where products are exact only up to some size */
    bool careful;  /* keys that the products would not take exactly enough: every row goes the careful path */
    const dropout_entry *dropout; /* NULL = none */
} prefill_work;

/** Where block `number` of a head's keys is packed: in a slot of its own, or all in one. */
static inline int64_t block_slot(const attn_cpu_prefill_job *own, int64_t number) {
    return own->slots > 1 ? number : 0;
}

/** What lies in a slot of scratch; even: the lowest bit is free for what packing found out. */
static inline int64_t block_tag(const prefill_work *w, int64_t number) {
    int64_t blocks = attn_divide_up(w->job->call->key_length, w->job->block_key);
    return 2 * ((w->b * w->job->problem->kv_heads + w->g) * blocks + number);
}

/** Whether a block lies in its slot; no slot holds one before the first was packed. */
static inline bool is_packed(const prefill_work *w, int64_t number) {
    const int64_t *tags = (const int64_t *)(const void *)(w->scratch + w->own->at.tags);
    return (tags[block_slot(w->own, number)] & ~(int64_t)1) == block_tag(w, number);
}

static prefill_work start_prefill(const attn_cpu_prefill_job *own, int64_t item, char *scratch) {
    const clattn_problem *problem = own->job.problem;
    const attn_cpu_prefill_layout *at = &own->at;
    const head_rows rows = item_rows(&own->job, item, own->rows, own->chunks);
    prefill_work w = { .job = &own->job, .own = own, .scratch = scratch };
    w.b = rows.b;
    w.h = rows.h;
    w.g = rows.g;
    w.first = rows.first;
    w.count = rows.count;
    w.dim_pitch = attn_round_up(problem->head_dim, LANES);
    w.output_pitch = own->value_pitch;
    w.ranges = (attn_key_range *)(void *)(scratch + at->ranges);
    w.queries = floats_at(scratch, at->queries);
    w.output = floats_at(scratch, at->output);
    w.maxima = floats_at(scratch, at->maxima);
    w.scores = floats_at(scratch, at->scores);
    w.sums = (vf *)(void *)(scratch + at->sums);
    return w;
}

/** After a block was packed; large: it has keys beyond what the products take exactly enough. */
static inline void set_packed(const prefill_work *w, int64_t number, bool large) {
    int64_t *tags = (int64_t *)(void *)(w->scratch + w->own->at.tags);
    tags[block_slot(w->own, number)] = block_tag(w, number) | large;
}

static inline bool is_large(const prefill_work *w, int64_t number) {
    const int64_t *tags = (const int64_t *)(const void *)(w->scratch + w->own->at.tags);
    return tags[block_slot(w->own, number)] % 2 != 0;
}

/** The ranges of all rows, up to `padded` of which may not exist. */
static void set_ranges(const prefill_work *w, bool prefix, int64_t padded) {
    for (int64_t row = 0; row < padded; row++) {
        int64_t i = row < w->count ? w->first + row : w->rule.query_length;
        w->ranges[row] = prefix ? attn_rule_prefix(&w->rule, i) : attn_rule_keys(&w->rule, i);
    }
}

/** A packed block of keys: n keys from number `first` on. */
typedef struct key_block {
    int64_t first, slot;
    int n;
    const float *keys, *values; /* words */
    int64_t value_pitch;
} key_block;

static key_block start_block(const prefill_work *w, int64_t number) {
    key_block block = { .first = number * w->job->block_key, .slot = block_slot(w->own, number) };
    block.n = (int)attn_min(w->job->block_key, attn_used_key_length(w->job->call, w->b) - block.first);
    return block;
}

/**
 * A block's values: where they lie, when that is one run and they need not be `copied`; else in `copy`, which is `filled`
 * with them or not yet.
 */
static inline void take_values(const clattn_problem *problem, key_block *block, const attn_keys *values, bool copied,
                               float *copy, int64_t pitch, bool filled) {
    const attn_key_run run = attn_key_run_at(values, block->first, block->n);
    if (!copied && run.n == block->n) {
        block->values = (const float *)values->view->data + run.first;
        block->value_pitch = run.stride;
        return;
    }
    if (!filled) copy_values(problem->type, copy, pitch, values, block->first, block->n, problem->value_dim);
    block->values = copy;
    block->value_pitch = pitch;
}

/** Height of the next tile when `left` rows are left: the last ones go to the smallest that holds them. */
static inline int tile_height(int64_t left) {
    if (TILE_ROWS > 8 && left <= 8 && left > 4) return 8;
    return left > 4 ? TILE_ROWS : 4;
}

static void finish_prefill(const prefill_work *w) {
    for (int64_t i = 0; i < w->count; i++) {
        bool some = w->ranges[i].begin < w->ranges[i].end || attn_rule_prefix(&w->rule, w->first + i).end > 0;
        if (!some) w->maxima[i] = -INFINITY;
        if (w->by_exact) w->sums[i] = w->exact[i] + (w->sums[i] - w->sums[i]); /* NaN stays */
        w->sums[i][0] = w->careful ? NAN : lanes_sum(w->sums[i]);
        if (w->exact) w->exact[i][0] = lanes_sum(w->exact[i]);
    }
    for (int64_t i = 0; i < w->count; i++) {
        finish_row(w->job, w->b, w->h, w->first + i, w->output + i * w->output_pitch, w->maxima[i], w->sums[i][0],
                   w->exact ? w->exact[i][0] : w->sums[i][0], w->scratch + w->own->at.row);
    }
}

#endif
