/*
 * Decode: the few rows of a group, of all its query heads, against keys that are split into parts; the parts are merged
 * by maximum and sum. Very few rows take keys and values as they lie in memory (cpu_decode_place.h), more take them
 * in packed blocks (cpu_decode_packed.h).
 */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_H

#include <math.h>
#include <string.h>

#include "engines/cpu/decode/cpu_decode_group.h"
#include "engines/cpu/decode/cpu_decode_packed.h"
#include "engines/cpu/decode/cpu_decode_place.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "problem/mask.h"

/** Queries in floats, rows up to `padded` 0; nothing summed yet. */
static void start_group_rows(decode_work *w, int64_t padded, bool paired) {
    vf factor = splat(w->job->key_factor);
    memset(w->output, 0, (size_t)(padded * w->own->value_pitch) * sizeof(float));
    for (int64_t row = 0; row < padded; row++) {
        float *copy = w->queries + row * w->dim_pitch;
        if (row < w->rows) {
            copy_query(w->job, paired, copy, w->dim_pitch, w->b, decode_head(w, row), decode_row(w, row), factor);
        } else {
            memset(copy, 0, (size_t)w->dim_pitch * sizeof(float));
        }
    }
}

/** Keys of a block: L1 takes its keys and values, and those of the next that are on their way. */
static inline int64_t place_step_keys(const clattn_problem *problem) {
    int64_t bytes = (problem->head_dim + problem->value_dim) * (problem->type == CLATTN_FP32 ? 4 : 2);
    return bytes <= 256 ? 64 : bytes <= 512 ? 32 : 16;
}

/** All tiles go over a block of keys while it lies in L1. */
static void place_blocks(const decode_work *w, place_tile *tiles, int64_t count, attn_key_range part) {
    const int64_t step = place_step_keys(w->job->problem);
    for (int64_t key = part.begin; key < part.end;) {
        const place_keys block = get_place_keys(w, key, attn_min(step, part.end - key));
        for (int64_t i = 0; i < count; i++) {
            switch (w->job->problem->type) {
                case CLATTN_FP16: place_fp16(w, &tiles[i], &block); break;
                case CLATTN_BF16: place_bf16(w, &tiles[i], &block); break;
                default: place_fp32(w, &tiles[i], &block); break;
            }
        }
        key += block.n;
    }
}

/** Rows of a part in place. */
static void place_item(decode_work *w, int64_t item, const decode_keys *part) {
    place_tile tiles[DECODE_IN_PLACE];
    int64_t count = 0, padded = 0;
    for (; padded < w->rows; padded += tiles[count++].height) {
        tiles[count] = (place_tile){ .row = padded, .height = place_height(w->rows - padded) };
        tiles[count].maxima = splat(-INFINITY);
        tiles[count].sums = (vf){ 0 };
    }
    start_group_rows(w, padded, true);
    if (part->prefix.begin < part->prefix.end) {
        set_group_ranges(w, true, padded);
        place_blocks(w, tiles, count, part->prefix);
    }
    set_group_ranges(w, false, padded);
    place_blocks(w, tiles, count, part->keys);
    for (int64_t i = 0; i < count; i++) {
        int stripe = LANES / tiles[i].height;
        for (int64_t row = tiles[i].row; row < attn_min(tiles[i].row + tiles[i].height, w->rows); row++) {
            int lane = (int)(row - tiles[i].row) * stripe;
            float sum = 0;
            for (int k = 0; k < stripe; k++) sum += tiles[i].sums[lane + k];
            if (w->job->problem->type == CLATTN_BF16)
                order_pairs(w->output + row * w->own->value_pitch, w->job->problem->value_dim);
            store_partial(w, item, row, tiles[i].maxima[lane], sum);
        }
    }
}

static void packed_blocks(const decode_work *w, attn_key_range part) {
    for (int64_t key = part.begin; key < part.end; key += w->job->block_key) {
        key_block block = pack_block(w, key, (int)attn_min(w->job->block_key, part.end - key));
        for (int64_t row = 0; row < w->rows; row += tile_height(w->rows - row)) packed_tile(w, &block, row);
    }
}

/** The same with packed blocks of keys. */
static void packed_item(decode_work *w, int64_t item, const decode_keys *part) {
    int64_t padded = 0;
    while (padded < w->rows) padded += tile_height(w->rows - padded);
    start_group_rows(w, padded, false);
    for (int64_t row = 0; row < padded; row++) {
        w->maxima[row] = -INFINITY;
        w->sums[row] = (vf){ 0 };
    }
    if (part->prefix.begin < part->prefix.end) {
        set_group_ranges(w, true, padded);
        packed_blocks(w, part->prefix);
    }
    set_group_ranges(w, false, padded);
    packed_blocks(w, part->keys);
    for (int64_t row = 0; row < w->rows; row++) store_partial(w, item, row, w->maxima[row], lanes_sum(w->sums[row]));
}

static void decode_item(const attn_cpu_decode_job *own, int64_t item, void *scratch) {
    dropout_entry dropout;
    decode_work w = start_group(own, item / own->splits, scratch);
    const decode_keys part = decode_part(&w, item % own->splits);
    if (own->job.dropped) {
        start_dropout(&dropout, own->job.problem, own->job.call, w.b);
        w.dropout = &dropout;
    }
    if (w.rows <= DECODE_IN_PLACE) {
        place_item(&w, item, &part);
    } else {
        packed_item(&w, item, &part);
    }
}

/** One row's parts and its sink into output, maximum and sum. Parts in order, so the bits do not depend on threads. */
static void merge_row(const decode_work *w, int64_t item, int64_t row, float *maximum, float *sum) {
    const attn_cpu_decode_job *own = w->own;
    int64_t pitch = own->value_pitch;
    vf sink;
    start_row(w->job, decode_head(w, row), maximum, &sink);
    float of_sink = *maximum;
    for (int64_t s = 0; s < own->splits; s++) {
        float top = decode_partial(own, item + s, w->rows, row)[pitch];
        *maximum = top > *maximum ? top : *maximum;
    }
    *sum = of_sink > -INFINITY ? sink[0] * power_of_two(splat(of_sink - *maximum))[0] : sink[0];
    memset(w->output, 0, (size_t)pitch * sizeof(float));
    for (int64_t s = 0; s < own->splits; s++) {
        const float *partial = decode_partial(own, item + s, w->rows, row);
        if (partial[pitch + 1] == 0)
            continue; /* nothing allowed in this part: its sums are 0, or 0 times what may not be read */
        vf factor = power_of_two(splat(partial[pitch] - *maximum));
        *sum += factor[0] * partial[pitch + 1];
        for (int64_t c = 0; c < pitch; c += LANES)
            store(w->output + c, load(w->output + c) + load(partial + c) * factor);
    }
}

static void merge_item(const attn_cpu_decode_job *own, int64_t item, void *scratch) {
    const attn_cpu_job *job = &own->job;
    decode_work w = start_group(own, item, scratch);
    for (int64_t row = 0; row < w.rows; row++) {
        float maximum, sum;
        int64_t i = decode_row(&w, row);
        attn_key_range range = attn_rule_keys(&w.rule, i);
        bool some = range.begin < range.end || attn_rule_prefix(&w.rule, i).end > 0;
        merge_row(&w, item * own->splits, row, &maximum, &sum);
        finish_row(job, w.b, decode_head(&w, row), i, w.output, some ? maximum : -INFINITY, sum, sum,
                   w.scratch + own->at.row);
    }
}

#endif
