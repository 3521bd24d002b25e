/*
 * The step between the products of a patch: a row at a time, so that the stream goes on in between, while bias and mask of the
 * next patch are prefetched. What a kind does is in cpu_step.h.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_STEP_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_STEP_H

#include "engines/cpu/matrix/cpu_matrix_stream.h"
#include "engines/cpu/matrix/cpu_matrix_work.h"
#include "engines/cpu/shared/cpu_step.h"

/** The steps of a patch's rows: the same for all patches of a row tile. */
static void start_patch_steps(matrix_work *w, const patch *now, int count) {
    const prefill_work *p = &w->p;
    if (w->steps_row == now->row) return;
    w->steps_row = now->row;
    start_row_steps(w->steps, p->job, p->b, p->h, p->first + now->row, count, &w->next_bias, &w->next_mask);
}

/** One kind over n products times factor of some rows, from key number `key` on; all rows may attend to all of them. */
INLINE void patch_pass(const int kind, const step_row *rows, int count, float *scores, int64_t key, int n, vf factor) {
    for (int i = 0; i < count; i++, scores += PATCH_KEYS) {
        for (int c = 0; c < n; c += 2 * LANES) {
            vf x = load(scores + c) * factor, y = load(scores + c + LANES) * factor;
            store(scores + c, step_vector(kind, &rows[i], key + c, LANES, x));
            store(scores + c + LANES, step_vector(kind, &rows[i], key + c + LANES, LANES, y));
        }
    }
}

static void scale_pass(float *scores, int begin, int end, float factor) {
    for (int c = begin; c < end; c += LANES) store(scores + c, load(scores + c) * splat(factor));
}

/** Some rows' products into scores times log2(e), where all rows may attend to all keys but for the mask. */
static __attribute__((noinline)) void step_whole_rows(const step_row *rows, int count, float *scores, int64_t key,
                                                      int n, float factor) {
    for (int i = 0; rows->kinds == 0 && i < count; i++) scale_pass(scores + i * PATCH_KEYS, 0, n, factor);
    for (int left = rows->kinds; left != 0; left &= left - 1, factor = 1) {
        switch (left & -left) {
#define STEP_PATCH(constant)                                                                                           \
    case constant: patch_pass(constant, rows, count, scores, key, n, splat(factor)); break;
            STEP_KINDS(STEP_PATCH)
#undef STEP_PATCH
            default: break;
        }
    }
}

/** One row's products into scores times log2(e), -inf where not allowed: in a patch where rows differ in their keys. */
static __attribute__((noinline)) void step_patch_row(const matrix_work *w, const matrix_block *block, const patch *now,
                                                     int64_t i) {
    const prefill_work *p = &w->p;
    const float factor = p->job->key_factor;
    float *scores = w->scores[now->buffer] + i * PATCH_KEYS;
    attn_key_range range = p->ranges[now->row + i];
    int low = inside_block(block->first, block->n, range.begin) - now->begin;
    int high = inside_block(block->first, block->n, range.end) - now->begin;
    low = low < 0 ? 0 : low;
    high = high > now->n ? now->n : high;
    if (w->stepped && low < high) {
        scale_pass(scores, 0, now->n, factor);
        step_scores(&w->steps[i], scores, block->first + now->begin, low / LANES * LANES, high, low, high);
    }
    if (low > 0 || high < now->n) bounds_pass(scores, 0, now->n, low, high);
}

/** Where the next patch's bias and mask lie, in bytes from those of key 0 of this patch's rows; 0 bytes: nothing. */
typedef struct patch_ahead {
    int64_t bias, bias_bytes, mask, mask_bytes;
} patch_ahead;

/** Further along the keys, of the next row tile, or of the next block. */
static patch_ahead look_ahead(const matrix_work *w, const matrix_block *block, const patch *now, const patch *next) {
    const step_row *row = w->steps;
    patch_ahead ahead = { 0 };
    bool inside = next->rows > 0;
    int64_t rows = (inside ? next->row : 0) - now->row, n = inside ? next->n : PATCH_KEYS;
    int64_t key = block->first + (inside ? next->begin : w->p.job->block_key);
    if (row->bias && row->bias_stride == 1) {
        int64_t size = bias_size(row->bias_type);
        ahead.bias = key * size + rows * w->next_bias;
        ahead.bias_bytes = n * size;
    }
    if (row->mask && row->mask_stride == 1) {
        int64_t in_byte = row->kinds & STEP_BITS ? 8 : 1;
        ahead.mask = key / in_byte + rows * w->next_mask;
        ahead.mask_bytes = n / in_byte;
    }
    return ahead;
}

static inline void prefetch_bytes(const void *base, int64_t at, int64_t bytes) {
    for (int64_t x = 0; x < bytes; x += 64) __builtin_prefetch(place_near(base, at + x), 0, 2);
    __builtin_prefetch(place_near(base, at + bytes - 1), 0, 2);
}

enum { STEP_ROWS = 4 }; /* between two parts of the stream */

/** The step of a whole patch; the stream goes on meanwhile, `shares` a row. */
INLINE void step_patch(const clattn_type type, matrix_work *w, const matrix_block *block, const patch *now,
                       const patch *next, int count, int shares) {
    const bool whole = now->begin >= now->all_begin && now->begin + now->n <= now->all_end;
    patch_ahead ahead = { 0 };
    if (w->stepped) {
        start_patch_steps(w, now, count);
        ahead = look_ahead(w, block, now, next);
    }
    for (int i = 0; i < count; i += STEP_ROWS) {
        const int rows = count - i < STEP_ROWS ? count - i : STEP_ROWS;
        if (whole) {
            step_whole_rows(&w->steps[i], rows, w->scores[now->buffer] + i * PATCH_KEYS, block->first + now->begin,
                            now->n, w->p.job->key_factor);
        }
        for (int r = i; r < i + rows; r++) {
            if (!whole) step_patch_row(w, block, now, r);
            if (ahead.bias_bytes) prefetch_bytes(w->steps[r].bias, ahead.bias, ahead.bias_bytes);
            if (ahead.mask_bytes) prefetch_bytes(w->steps[r].mask, ahead.mask, ahead.mask_bytes);
        }
        stream_share(pieces_of(type), &w->stream, shares * rows);
    }
}

#endif
