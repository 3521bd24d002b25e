/*
 * The vector part of a patch: its scores' step and maxima, and its weights, made while the unit works on other patches. May
 * not wait for the stream.
 */
#ifndef ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_ROWS_H
#define ATTN_ENGINES_CPU_MATRIX_CPU_MATRIX_ROWS_H

#include <math.h>

#include "engines/cpu/matrix/cpu_matrix_pieces.h"
#include "engines/cpu/matrix/cpu_matrix_step.h"
#include "engines/cpu/matrix/cpu_matrix_stream.h"
#include "engines/cpu/matrix/cpu_matrix_work.h"
#include "engines/cpu/shared/cpu_dropout.h"
#include "engines/cpu/shared/cpu_rows.h"

/** Lane i becomes the largest lane of r[i]: the network of transposed_sums. */
INLINE vf transposed_largest(vf *r) {
    UNROLL for (int n = LANES / 2; n >= 1; n /= 2) {
        UNROLL for (int i = 0; i < n; i++) {
            r[i] = vmax(interleave_low(r[i], r[i + n]), interleave_high(r[i], r[i + n]));
        }
    }
    return r[0];
}

/* Of the stream, as they take time: of a row, of LANES rows, of a row. */
enum { SHARES_STEP = 2, SHARES_TOPS = 6, SHARES_WEIGHTS = 4 };

/** Whether a patch's scores are more than products times a factor. */
INLINE bool has_step(const matrix_work *w, const patch *now) {
    return w->stepped || now->begin < now->all_begin || now->begin + now->n > now->all_end;
}

/** What the stream is divided by. */
static int64_t patch_shares(const matrix_work *w, const patch *now) {
    return now->rows * (SHARES_WEIGHTS + (has_step(w, now) ? SHARES_STEP : 0)) + now->rows / LANES * SHARES_TOPS;
}

/** What scores are multiplied with on their way into the exponential. */
INLINE float late_factor(const matrix_work *w) {
    return w->stepped ? 1 : w->p.job->key_factor;
}

/** Finishes a patch's scores but for late_factor; their maxima to w->tops. Whether some row's maximum must be raised. */
INLINE bool find_tops(const clattn_type type, matrix_work *w, const matrix_block *block, const patch *now,
                      const patch *next) {
    const int pieces = pieces_of(type), count = (int)attn_min(now->rows, w->p.count - now->row);
    vi raise = { 0 };
    if (has_step(w, now)) step_patch(type, w, block, now, next, count, SHARES_STEP);
    for (int row = 0; row < now->rows; row += LANES) {
        const float *scores = w->scores[now->buffer] + row * PATCH_KEYS;
        vf r[LANES];
        UNROLL for (int i = 0; i < LANES; i++) {
            r[i] = vmax(load(scores + i * PATCH_KEYS), load(scores + i * PATCH_KEYS + LANES));
        }
        for (int c = 2 * LANES; c < now->n; c += 2 * LANES) {
            UNROLL for (int i = 0; i < LANES; i++) {
                vf pair = vmax(load(scores + i * PATCH_KEYS + c), load(scores + i * PATCH_KEYS + c + LANES));
                r[i] = vmax(pair, r[i]);
            }
        }
        vf tops = transposed_largest(r) * late_factor(w) - splat(w->p.job->headroom);
        vf maxima = load(w->p.maxima + now->row + row);
        store(w->tops + row, tops);
        store(w->zeros + row, choose(maxima > splat(-INFINITY), maxima, (vf){ 0 }));
        raise |= tops > maxima + splat(LAZY);
        stream_share(pieces, &w->stream, SHARES_TOPS);
    }
    return any_lane(raise);
}

/** Takes a patch's maxima into those rows' that they exceed by enough, with all that was summed before. */
static __attribute__((noinline)) void raise_rows(matrix_work *w, const patch *now, bool part) {
    const prefill_work *p = &w->p;
    for (int i = 0; i < now->rows; i++) {
        int64_t row = now->row + i;
        float before = p->maxima[row];
        vf zero = raise_maximum(w->tops[i], &p->maxima[row], &p->sums[row], p->output + row * p->output_pitch,
                                p->output_pitch, false);
        w->zeros[i] = zero[0];
        if (!(before > -INFINITY && p->maxima[row] > before)) continue;
        vf factor = power_of_two(splat(before - p->maxima[row]));
        float *sums = w->part + i * p->output_pitch;
        for (int64_t c = 0; part && c < p->output_pitch; c += LANES) store(sums + c, load(sums + c) * factor);
    }
}

/** n scores times factor of one row become weights in pieces, in the row's lines of tiles; *sum takes them, then dropout. */
INLINE void weights_row(const clattn_type type, const float *scores, char *line, int n, vf factor, vf zero, vf *sums,
                        const uint32_t *masks) {
    vf sum = { 0 };
    for (int key = 0; key < n; key += UNIT_DEPTH, line += pieces_of(type) * UNIT_TILE) {
        UNROLL for (int j = 0; j < UNIT_ROWS / LANES; j++) {
            const int c = key + j * LANES;
            vf e = power_of_two(load(scores + c) * factor - zero);
            vf e2 = power_of_two(load(scores + c + UNIT_ROWS) * factor - zero);
            sum += e + e2;
            if (masks) {
                e = kept(load_mask(masks + c), e);
                e2 = kept(load_mask(masks + c + UNIT_ROWS), e2);
            }
            store_weights(type, line + j * 4 * LANES, e, e2);
        }
    }
    *sums += sum;
}

/** Scores of a patch into weights; between its rows, the stream goes on. */
INLINE void softmax_patch(const clattn_type type, matrix_work *w, const matrix_block *block, const patch *now) {
    const int pieces = pieces_of(type);
    const vf factor = splat(late_factor(w));
    const prefill_work *p = &w->p;
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    for (int i = 0; i < now->rows; i++) {
        const float *scores = w->scores[now->buffer] + i * PATCH_KEYS;
        char *line = w->weights[now->buffer] + i / UNIT_ROWS * (PATCH_KEYS / UNIT_DEPTH) * pieces * UNIT_TILE +
                     i % UNIT_ROWS * UNIT_BYTES;
        int64_t row = now->row + i;
        if (p->dropout) {
            const uint32_t *masks =
                dropout_masks(p->dropout, p->h, p->first + row, block->first + now->begin, now->n, room);
            weights_row(type, scores, line, now->n, factor, splat(w->zeros[i]), &p->sums[row], masks);
        } else {
            weights_row(type, scores, line, now->n, factor, splat(w->zeros[i]), &p->sums[row], NULL);
        }
        stream_share(pieces, &w->stream, SHARES_WEIGHTS);
    }
}

#endif
