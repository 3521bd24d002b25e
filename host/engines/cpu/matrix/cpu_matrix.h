/*
 * Prefill on a matrix unit: an item's packing and end, and fp32 and fp16 in patches of 32 rows by up to 64 keys of a
 * packed block. While a patch's scores become weights on the vector ports, the unit makes the scores of the next patch and
 * the sums of values of the one before. Scores, step and softmax are fp32 as everywhere; how exact products are is in
 * cpu_matrix_pieces.h and _stream.h; bf16 has rows of its own.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_H

#include <string.h>

#include "engines/cpu/matrix/cpu_matrix_bf16.h"
#include "engines/cpu/matrix/cpu_matrix_pack.h"
#include "engines/cpu/matrix/cpu_matrix_rows.h"
#include "engines/cpu/matrix/cpu_matrix_stream.h"
#include "engines/cpu/matrix/cpu_matrix_work.h"
#include "engines/cpu/shared/cpu_halves.h"
#include "engines/cpu/shared/cpu_item.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "problem/mask.h"

static bool matrix_serves(clattn_type type) {
    return type != CLATTN_FP64;
}

/** fp32's weights keep all their digits, in three pieces. */
static bool matrix_rounds(clattn_type type) {
    return type != CLATTN_FP32;
}

static void matrix_sizes(const clattn_problem *problem, attn_cpu_unit_sizes *sizes) {
    const int64_t size = (int64_t)sizeof(float), pieces = pieces_of(problem->type), piece = (int64_t)sizeof(uint16_t);
    const int64_t dim = attn_round_up(problem->head_dim, UNIT_DEPTH),
                  columns = attn_round_up(problem->value_dim, UNIT_ROWS);
    *sizes = (attn_cpu_unit_sizes){ .key = dim * piece * pieces,
                                    .value = columns * piece * pieces,
                                    .query = dim * piece * pieces,
                                    .output = columns * size,
                                    .sums = LANES * size,
                                    .exact = LANES * size };
    sizes->patches =
        MATRIX_ROWS * (2 * PATCH_KEYS * (size + piece * pieces) + sizes->output); /* see lay_out_matrix() */
}

static void lay_out_matrix(matrix_work *w) {
    const int64_t floats = MATRIX_ROWS * PATCH_KEYS, bytes = floats * 2 * w->pieces;
    char *at = w->p.scratch + w->p.own->at.patches;
    w->scores[0] = (float *)(void *)at;
    w->scores[1] = w->scores[0] + floats;
    w->weights[0] = (char *)(w->scores[1] + floats);
    w->weights[1] = w->weights[0] + bytes;
    w->part = (float *)(void *)(w->weights[1] + bytes);
}

INLINE void start_matrix(const clattn_type type, matrix_work *w, const attn_cpu_prefill_job *own, int64_t item,
                         char *scratch) {
    const attn_cpu_job *job = &own->job;
    const clattn_problem *problem = job->problem;
    const attn_view *query = &job->call->query;
    prefill_work *p = &w->p;
    *p = start_prefill(own, item, scratch);
    p->output_pitch = attn_round_up(problem->value_dim, UNIT_ROWS);
    p->by_exact = type == CLATTN_BF16 && job->dropped; /* as in cpu_pairs.h */
    bool exact = type == CLATTN_FP32 || (type == CLATTN_BF16 && problem->logsumexp) || p->by_exact;
    p->exact = exact ? (vf *)(void *)(scratch + own->at.exact) : NULL;
    w->pieces = pieces_of(type);
    w->dim_steps = attn_round_up(problem->head_dim, UNIT_DEPTH) / UNIT_DEPTH;
    w->value_steps = attn_round_up(job->block_key, UNIT_DEPTH) / UNIT_DEPTH;
    p->limit = size_limit(problem->scale);
    w->stepped = job->stepped || !(job->key_factor > 0);
    w->steps_row = -1;
    lay_out_matrix(w);
    p->rule = attn_row_rule_of(problem, job->call, p->b);
    int64_t rows = attn_round_up(p->count, UNIT_ROWS);
    memset(p->output, 0, (size_t)(rows * p->output_pitch) * sizeof(float));
    for (int64_t row = 0; row < rows; row++) {
        start_row(job, p->h, &p->maxima[row], &p->sums[row]);
        if (p->exact) p->exact[row] = p->sums[row];
    }
    set_ranges(p, false, rows);
    pack_queries(type, (char *)p->queries, query->data, attn_view_row(query, p->b, p->h, p->first), query->stride[2],
                 p->count, rows, problem->head_dim, w->p.limit, p->sums);
}

/** Packs block `number` of the head, unless it lies there from an earlier item. The tag's lowest bit: beyond the limit. */
INLINE matrix_block get_matrix_block(const clattn_type type, matrix_work *w, int64_t number) {
    const prefill_work *p = &w->p;
    const attn_cpu_job *job = p->job;
    const clattn_problem *problem = job->problem;
    const attn_keys keys = { &job->call->key, p->b, p->g }, values = { &job->call->value, p->b, p->g };
    const key_block start = start_block(p, number);
    const int64_t slot = start.slot;
    matrix_block block = { .first = start.first, .n = start.n };
    const int64_t most = w->value_steps * UNIT_DEPTH;
    char *packed_keys = p->scratch + p->own->at.keys + slot * most * w->dim_steps * UNIT_DEPTH * 2 * w->pieces;
    char *packed_values = p->scratch + p->own->at.values + slot * most * p->output_pitch * 2 * w->pieces;
    if (!is_packed(p, number)) {
        bool large = pack_unit_keys(type, packed_keys, &keys, block.first, block.n, problem->head_dim, w->p.limit);
        pack_unit_values(type, packed_values, &values, block.first, block.n, problem->value_dim, w->value_steps);
        set_packed(p, number, large);
    }
    w->p.careful = w->p.careful || is_large(p, number);
    block.keys = packed_keys;
    block.values = packed_values;
    return block;
}

/** Keys of a block that some, and that all rows of a tile attend; rows beyond the last count as attending to all. */
static void find_keys(const matrix_work *w, const matrix_block *block, patch *next) {
    int begin = block->n, end = 0;
    next->all_begin = 0;
    next->all_end = block->n;
    for (int64_t i = next->row; i < attn_min(next->row + next->rows, w->p.count); i++) {
        int low = inside_block(block->first, block->n, w->p.ranges[i].begin);
        int high = inside_block(block->first, block->n, w->p.ranges[i].end);
        next->all_begin = low > next->all_begin ? low : next->all_begin;
        next->all_end = high < next->all_end ? high : next->all_end;
        if (w->p.ranges[i].begin >= w->p.ranges[i].end) continue;
        begin = low < begin ? low : begin;
        end = high > end ? high : end;
    }
    next->begin = begin / UNIT_DEPTH * UNIT_DEPTH;
    next->end = begin < end ? (int)attn_round_up(end, UNIT_DEPTH) : next->begin;
}

/** The patch after `last` (zeros: the first), row tile by row tile; rows = 0: there is none. */
static void next_patch(const matrix_work *w, const matrix_block *block, const patch *last, patch *next) {
    *next = *last;
    next->buffer = !last->buffer;
    next->begin += last->n;
    next->first = false;
    while (next->begin >= next->end) {
        next->row += next->rows;
        next->rows = w->p.count - next->row > UNIT_ROWS ? MATRIX_ROWS : UNIT_ROWS;
        if (next->row >= w->p.count) {
            next->rows = next->n = 0;
            return;
        }
        find_keys(w, block, next);
        next->first = true;
    }
    next->n = next->end - next->begin < PATCH_KEYS ? next->end - next->begin : PATCH_KEYS;
}

INLINE void queue_scores(const clattn_type type, matrix_work *w, const matrix_block *block, const patch *next) {
    const int64_t tiles = w->dim_steps * pieces_of(type) * UNIT_TILE;
    products *p = &w->stream.queue[0];
    p->a = (const char *)w->p.queries + next->row / UNIT_ROWS * tiles;
    p->b = block->keys + next->begin / UNIT_ROWS * tiles;
    p->a_next = next->rows > UNIT_ROWS ? tiles : 0;
    p->b_next = tiles;
    p->steps = w->dim_steps;
    p->columns = next->rows ? next->n / UNIT_ROWS : 0;
    p->sums = w->scores[next->buffer];
    p->pitch = PATCH_KEYS;
    p->more = false;
    p->list = score_pairs(type);
}

INLINE void queue_values(const clattn_type type, matrix_work *w, const matrix_block *block, const patch *before) {
    const int64_t tile = pieces_of(type) * UNIT_TILE;
    products *p = &w->stream.queue[1];
    p->a = w->weights[before->buffer];
    p->b = block->values + before->begin / UNIT_DEPTH * tile;
    p->a_next = before->rows > UNIT_ROWS ? PATCH_KEYS / UNIT_DEPTH * tile : 0;
    p->b_next = w->value_steps * tile;
    p->steps = before->n / UNIT_DEPTH;
    p->columns = before->rows ? w->p.output_pitch / UNIT_ROWS : 0;
    p->sums = w->part;
    p->pitch = w->p.output_pitch;
    p->more = !before->first;
    p->list = value_pairs(type);
}

/** Adds the sums of values of a row tile, in one block, to its rows'. */
static void add_part(const matrix_work *w, const patch *done) {
    const float *part = w->part;
    float *sums = w->p.output + done->row * w->p.output_pitch;
    for (int64_t c = 0; c < done->rows * w->p.output_pitch; c += 4 * LANES) { /* 16 rows at least */
        UNROLL for (int i = 0; i < 4; i++) {
            store(sums + c + i * LANES, load(sums + c + i * LANES) + load(part + c + i * LANES));
        }
    }
}

/**
 * All rows of the item against one block. While a patch is `now`, the stream does the scores of the next and the values of
 * the one before, whose row tile may be another: its sums are then complete, and go to the rows before the part is reused.
 */
INLINE void matrix_rows(const clattn_type type, matrix_work *w, const matrix_block *block) {
    const int pieces = pieces_of(type);
    patch patches[4] = { { 0 } }, *before = &patches[0], *now = &patches[1], *next = &patches[2], *done = &patches[3];
    next_patch(w, block, before, next);
    queue_scores(type, w, block, next);
    queue_values(type, w, block, before);
    stream_begin(&w->stream, 1);
    stream_finish(pieces, &w->stream);
    while (next->rows > 0 || now->rows > 0) {
        patch *free = done;
        done = before;
        before = now;
        now = next;
        next = free;
        next_patch(w, block, now, next);
        if (done->rows > 0 && done->row != before->row) add_part(w, done);
        queue_scores(type, w, block, next);
        queue_values(type, w, block, before);
        stream_begin(&w->stream, patch_shares(w, now));
        if (find_tops(type, w, block, now, next)) {
            stream_finish(pieces, &w->stream);
            raise_rows(w, now, before->rows > 0 && before->row == now->row);
        }
        softmax_patch(type, w, block, now);
        stream_finish(pieces, &w->stream);
    }
    if (before->rows > 0) add_part(w, before);
}

/** Sums of values, and of weights, into the same units; what must be done again by rows. */
static void finish_matrix(matrix_work *w, bool scaled) {
    prefill_work *p = &w->p;
    for (int64_t i = 0; i < p->count; i++) {
        if (scaled) {
            p->exact[i] = p->sums[i];
            p->sums[i] *= splat(VALUE_SCALE);
        }
    }
    finish_prefill(p);
}

/** Keys `all` of some of the rows, a block after another. */
INLINE void walk_matrix(const clattn_type type, matrix_work *w, attn_key_range all) {
    const int64_t keys = w->p.job->block_key;
    for (int64_t number = all.begin / keys; all.begin < all.end && number * keys < all.end; number++) {
        matrix_block block = get_matrix_block(type, w, number);
        if (type == CLATTN_BF16) {
            bf16_rows(w, &block);
        } else {
            matrix_rows(type, w, &block);
        }
    }
}

INLINE void matrix_item_typed(const clattn_type type, const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    const attn_cpu_job *job = &own->job;
    matrix_work w;
    dropout_entry dropout;
    start_matrix(type, &w, own, item, scratch);
    if (job->dropped) {
        start_dropout(&dropout, job->problem, job->call, w.p.b);
        w.p.dropout = &dropout;
    }
    unsigned flush = start_flush();
    unit_start(&w.stream.unit);
    const int64_t rows = attn_round_up(w.p.count, UNIT_ROWS);
    attn_key_range all = rows_keys(job, w.p.b, w.p.first, w.p.count),
                   prefix = attn_rows_prefix(job->problem, job->call, w.p.b, w.p.first, w.p.count);
    for (int pass = prefix.end > 0 ? 0 : 1; pass < 2; pass++) { /* twice in one place: it is a lot of code */
        if (prefix.end > 0) set_ranges(&w.p, pass == 0, rows);
        walk_matrix(type, &w, pass == 0 ? prefix : all);
        w.p.begun = true;
    }
    unit_end(&w.stream.unit);
    end_flush(flush);
    finish_matrix(&w, type == CLATTN_FP32);
}

static __attribute__((noinline)) void matrix_item_fp32(const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    matrix_item_typed(CLATTN_FP32, own, item, scratch);
}

static __attribute__((noinline)) void matrix_item_fp16(const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    matrix_item_typed(CLATTN_FP16, own, item, scratch);
}

static __attribute__((noinline)) void matrix_item_bf16(const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    matrix_item_typed(CLATTN_BF16, own, item, scratch);
}

static void matrix_item(const attn_cpu_prefill_job *own, int64_t item, void *scratch) {
    switch (own->job.problem->type) {
        case CLATTN_BF16: matrix_item_bf16(own, item, scratch); break;
        case CLATTN_FP16: matrix_item_fp16(own, item, scratch); break;
        default: matrix_item_fp32(own, item, scratch); break;
    }
}

#endif
