/*
 * What prefill will read next, prefetched while it multiplies: keys and values of the next block, queries of the next item,
 * the lines where finished rows go. Each tile of scores takes its share of the lines, so that they never come all at once.
 */
#ifndef ATTN_ENGINES_CPU_PREFILL_CPU_AHEAD_H
#define ATTN_ENGINES_CPU_PREFILL_CPU_AHEAD_H

#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_tile.h"
#include "problem/key_run.h"

/** Lines of the caller's memory: count of them, step bytes apart, then `columns` - 1 times the same 64 bytes further on. */
typedef struct ahead_lines {
    const char *at;
    int64_t step, count, columns;
} ahead_lines;

typedef struct ahead_stream {
    ahead_lines parts[4];
    int count, next;
    int64_t done; /* lines of the column under way */
    int each;     /* lines with four words */
} ahead_stream;

/** A run of rows: one line after another where they are dense. */
static void add_run(ahead_stream *stream, clattn_type type, const void *data, attn_key_run run, int64_t dim) {
    int64_t size = type == CLATTN_FP32 ? 4 : 2, width = dim * size, stride = run.stride * size;
    ahead_lines *part = &stream->parts[stream->count++];
    part->at = (const char *)data + run.first * size;
    bool dense = stride == width;
    part->step = dense ? 64 : stride;
    part->count = dense ? (run.n * width + 63) / 64 : run.n;
    part->columns = dense ? 1 : (width + 63) / 64;
}

/** Rows of queries or outputs. */
static void add_rows(ahead_stream *stream, clattn_type type, const attn_view *view, int64_t row, int64_t count,
                     int64_t dim) {
    add_run(stream, type, view->data, (attn_key_run){ row, view->stride[2], count }, dim);
}

/** Keys and values of a block, the first run of each, unless they lie in scratch. */
static void add_block(ahead_stream *stream, const prefill_work *w, int64_t number) {
    const attn_cpu_job *job = w->job;
    const attn_call *call = job->call;
    const attn_keys keys = { &call->key, w->b, w->g }, values = { &call->value, w->b, w->g };
    int64_t first = number * job->block_key, n = attn_min(job->block_key, attn_used_key_length(call, w->b) - first);
    if (n <= 0 || is_packed(w, number)) return;
    const clattn_problem *problem = job->problem;
    add_run(stream, problem->type, call->key.data, attn_key_run_at(&keys, first, n), problem->head_dim);
    add_run(stream, problem->type, call->value.data, attn_key_run_at(&values, first, n), problem->value_dim);
}

/** What comes after block `number` of an item that attends keys `all`. */
static ahead_stream start_stream(const prefill_work *w, int64_t item, int64_t number, attn_key_range all) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    const attn_call *call = job->call;
    ahead_stream stream = { .count = 0 };
    if ((number + 1) * job->block_key < all.end) {
        add_block(&stream, w, number + 1);
    } else {
        if (item + 1 < problem->batch * problem->query_heads * w->own->chunks) {
            prefill_work next = start_prefill(w->own, item + 1, w->scratch);
            attn_key_range keys = rows_keys(job, next.b, next.first, next.count);
            if (keys.begin < keys.end) add_block(&stream, &next, keys.begin / job->block_key);
            add_rows(&stream, problem->type, &call->query, attn_view_row(&call->query, next.b, next.h, next.first),
                     next.count, problem->head_dim);
        }
        add_rows(&stream, job->output_type, &call->output, attn_view_row(&call->output, w->b, w->h, w->first), w->count,
                 problem->value_dim);
    }
    int64_t keys = attn_min(all.end - number * job->block_key, job->block_key), lines = 0;
    int64_t tiles = attn_divide_up(w->count, TILE_ROWS) * attn_divide_up(keys, TILE_KEYS);
    for (int i = 0; i < stream.count; i++) lines += stream.parts[i].count * stream.parts[i].columns;
    int64_t turns = attn_max(1, tiles * (product_words(problem) / 4));
    stream.each = (int)attn_min(4, attn_divide_up(lines, turns));
    return stream;
}

/** A tile's share. */
static void take_lines(ahead_stream *stream, int words, tile_ahead *ahead) {
    ahead->each = 0;
    if (stream->next >= stream->count) return;
    ahead_lines *part = &stream->parts[stream->next];
    ahead->each = stream->each;
    ahead->step = part->step;
    ahead->at = place_near(part->at, stream->done * part->step);
    stream->done += stream->each * (words / 4);
    if (stream->done < part->count) return;
    stream->done = 0;
    part->at = place_near(part->at, 64);
    if (--part->columns <= 0) stream->next++;
}

#endif
