/*
 * The step of backward: a tile's rows between their products. Scores become weights by the logsumexp that is given;
 * what a feature does to scores says cpu_step.h. Has no guard: the includer defines ATTN_BACKWARD_WIDE anew each
 * time.
 */
#include <math.h>

#include "engines/cpu/backward/cpu_backward_careful.h"
#include "engines/cpu/backward/cpu_backward_work.h"
#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/shared/cpu_step.h"

/** -inf outside low .. high. */
static void OF(bound_scores)(REAL *scores, int begin, int end, int low, int high) {
    for (int c = begin; c < low && c < end; c++)
        scores[c] = -INFINITY;
    for (int c = high > begin ? high : begin; c < end; c++)
        scores[c] = -INFINITY;
}

/** Softcap's factor of each score, from the products: 4e / (1 + e)^2 with e = exp(-2 |raw| / softcap). */
static void OF(slope_row)(const OF(work) * w, const REAL *products, int begin, int end, REAL *slopes) {
    const VEC factor = OF(all)((REAL)(-2 * (double)LOG_UNIT / w->job->problem->softcap)), one = OF(all)(1);
    for (int c = begin; c < end; c += WIDTH) {
        VEC e = OF(exponential)(OF(size)(OF(get)(products + c)) * factor), sum = one + e, e2 = e + e;
        OF(put)(slopes + c, (e2 + e2) / (sum * sum));
    }
}

/** Dropout's factors of row i. */
static void OF(keep_row)(const OF(work) *w, int64_t i, int begin, int end, REAL *keeps) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    const uint32_t *masks = dropout_masks(&w->dropout, w->h, i, w->key + begin, end - begin, room);
    const REAL scale = (REAL)w->dropout.row.scale;
    for (int c = begin; c < end; c++) keeps[c] = masks[c - begin] ? scale : 0;
}

#if ATTN_BACKWARD_WIDE
static void OF(step_rows)(const OF(work) * w, const OF(tile_range) * t, int64_t i, int count, REAL *scores) {
    for (int r = 0; r < count; r++) {
        attn_cpu_row_step(w->job->problem, w->job->call, w->b, w->h, i + r, w->key, t->low[r], t->high[r],
                          scores + r * OF(PITCH));
    }
}
#else
static void OF(step_rows)(const OF(work) * w, const OF(tile_range) * t, int64_t i, int count, REAL *scores) {
    step_row rows[TILE_ROWS];
    int64_t next_bias, next_mask;
    int end = t->end < w->keys_count ? t->end : w->keys_count;
    start_row_steps(rows, w->job, w->b, w->h, i, count, &next_bias, &next_mask);
    for (int r = 0; r < count; r++) {
        for (int left = rows[r].kinds; left != 0; left &= left - 1) {
            any_row_pass(left & -left, &rows[r], scores + r * OF(PITCH), w->key, t->begin, end);
        }
    }
}
#endif

/** Products of the rows of a tile become weights. row: in the block. */
static void OF(weigh_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    const clattn_problem *p = w->job->problem;
    REAL *scores = w->weights + row * OF(PITCH);
    int count = w->rows_count - row < TILE_ROWS ? w->rows_count - row : TILE_ROWS;
    for (int r = 0; r < count && p->softcap > 0; r++) {
        OF(slope_row)(w, scores + r * OF(PITCH), t->begin, t->end, w->slopes + r * OF(PITCH));
    }
    if (w->job->stepped)
        OF(step_rows)(w, t, w->row + row, count, scores);
    for (int r = 0; r < TILE_ROWS; r++, scores += OF(PITCH)) {
        const VEC logsumexp = OF(all)(w->logsumexp[row + r]);
        if (!t->inner)
            OF(bound_scores)(scores, t->begin, t->end, t->low[r], t->high[r]);
        for (int c = t->begin; c < t->end; c += 2 * WIDTH) {
            OF(put)(scores + c, OF(exponential)(OF(get)(scores + c) - logsumexp));
            OF(put)(scores + c + WIDTH, OF(exponential)(OF(get)(scores + c + WIDTH) - logsumexp));
        }
        if (p->dropout > 0 && r < count) {
            OF(keep_row)(w, w->row + row + r, t->begin, t->end, w->keeps + r * OF(PITCH));
        }
    }
}

/** What grad_bias takes of keys low .. high of a row. */
static void OF(add_bias)(const OF(work) * w, int64_t i, int low, int high, const REAL *ds) {
    const attn_cpu_backward_job *own = w->own;
    const clattn_problem *p = w->job->problem;
    const attn_call *c = w->job->call;
    int64_t head = w->b * p->query_heads + w->h;
    if (own->bias == ATTN_CPU_BIAS_ROWS) {
        double sum = 0;
        for (int j = low; j < high; j++)
            sum += (double)ds[j];
        own->row_bias[head * c->query_length + i] += sum;
    } else if (own->bias == ATTN_CPU_BIAS_KEYS) {
        double *sums = own->key_bias + head * c->key_length + w->key;
        for (int j = low; j < high; j++)
            sums[j] += (double)ds[j];
    } else if (own->pairs_stored) {
        int64_t index = attn_view_row(&c->grad_bias, w->b, w->h, i) + w->key;
        for (int j = low; j < high; j++) {
            attn_store_float(attn_grad_bias_type(p), c->grad_bias.data, index + j, (float)ds[j]);
        }
    } else {
        const int64_t *stride = own->pairs.stride;
        REAL *sums = (REAL *)own->pairs.data + own->pairs.offset + w->b * stride[0] + w->h * stride[1] + i * stride[2];
        for (int j = low; j < high; j++)
            sums[w->key + j] += ds[j];
    }
}

/** A row's ds as they should be, where one is not finite: without what forbidden keys hold, and what fp32 does not. */
static void OF(mend_row)(const OF(work) * w, int64_t i, int low, int high, REAL *ds) {
    const attn_cpu_careful_gradients careful = { w->job->problem, w->job->call, w->own->deltas };
    double *row = (double *)(void *)(w->scratch + w->own->at.row);
    attn_cpu_careful_row_ds(&careful, w->b, w->h, i, w->key + low, w->key + high, row, row + ATTN_CPU_BACKWARD_KEYS);
    for (int j = low; j < high; j++)
        ds[j] = (REAL)row[j - low];
}

/** Once more over the ds of a tile: sums of bias and slopes take them, then softcap has its factor. */
static void OF(finish_rows)(const OF(work) * w, const OF(tile_range) * t, int row) {
    const clattn_problem *p = w->job->problem;
    for (int r = 0; r < TILE_ROWS && row + r < w->rows_count; r++) {
        REAL *ds = w->ds + (row + r) * OF(PITCH);
        int64_t i = w->row + row + r;
        int low = t->low[r], high = t->high[r];
        VEC zero = { 0 };
        if (w->own->bias != ATTN_CPU_BIAS_NONE || w->own->row_slopes) {
            for (int c = t->begin; c < t->end; c += WIDTH)
                zero += OF(get)(ds + c) - OF(get)(ds + c);
            if (!OF(is_finite)(zero))
                OF(mend_row)(w, i, low, high, ds);
        }
        if (w->own->bias != ATTN_CPU_BIAS_NONE)
            OF(add_bias)(w, i, low, high, ds);
        if (w->own->row_slopes) {
            int64_t first = w->key - i - attn_call_offset(p, w->job->call, w->b);
            double sum = 0;
            for (int j = low; j < high; j++)
                sum -= (double)ds[j] * fabs((double)(first + j));
            w->own->row_slopes[(w->b * p->query_heads + w->h) * w->job->call->query_length + i] += sum;
        }
        for (int c = t->begin; c < t->end && p->softcap > 0; c += WIDTH) {
            OF(put)(ds + c, OF(get)(ds + c) * OF(get)(w->slopes + r * OF(PITCH) + c));
        }
    }
}
