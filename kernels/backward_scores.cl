// What softmax is in the forward: scores and the loss's derivatives by the weights -> weights and derivatives by the scores,
// in place, one work-group a row. A pair that is not allowed gets 0, by selection. Built with -DROW_GROUP=work-items a row
// and -DROW_WIDTH=floats a vector. Rows with nothing but a range go in vectors, the others key by key.
#include "include/dropout.cl.h"
#include "include/mask.cl.h"

#ifndef ROW_GROUP
#define ROW_GROUP 64
#endif
#ifndef ROW_WIDTH
#define ROW_WIDTH 4
#endif
#define CHAIN 64 // keys of a lane that are summed in one chain

typedef ATTN_CAT(float, ROW_WIDTH) row_vector;
#define ROW_LOAD(p) ATTN_CAT(vload, ROW_WIDTH)(0, (p))
#define ROW_STORE(x, p) ATTN_CAT(vstore, ROW_WIDTH)((x), 0, (p))

// Where things lie in the workspace, in floats; -1 = not asked for. Of lines: scores, changes and uncapped, [key_length] each;
// of all rows, numbered over [batch, query_heads, query_length]: delta and what a row gives to slopes and bias.
typedef struct backward_row {
    long b, h, i;
    attn_entry entry;
    attn_range range;
    float logsumexp, delta;
    __global float *scores;   // scores -> weights that meet grad_output
    __global float *changes;  // derivatives by the weights -> by the scores before softcap; NULL = not asked for
    __global float *uncapped; // derivatives by the scores after softcap; NULL = not asked for
} backward_row;

// The sums over a row's keys that a lane has.
typedef struct row_sums {
    float bias, slope;
} row_sums;

// Weight of key j from its score after all steps: 0 where score or logsumexp are -inf.
static inline float weight_of(const backward_row *row, float score) {
    return score == -INFINITY || row->logsumexp == -INFINITY ? 0.0f : exp(score - row->logsumexp);
}

// Softcap's derivative; 1 - tanh^2 has no digits left where tanh is nearly 1.
static inline float softcap_slope(const attn_arguments *a, float score) {
    const float e = exp(-2.0f * fabs(score) / a->softcap);
    return 4.0f * e / ((1.0f + e) * (1.0f + e));
}

// A score of -inf is one that is not allowed, or one that the inputs made.
static inline int pair_allowed(const attn_arguments *a, const attn_extras *x, const attn_row *keywise, long j,
                               float score) {
    return score != -INFINITY || attn_pair_allowed(a, x, keywise, j);
}

static inline void one_key(const attn_arguments *a, const attn_extras *x, const backward_row *row,
                           const attn_row *keywise, const attn_dropout_row *dropout, long j, row_sums *sums) {
    const float raw = row->scores[j], score = attn_score_step(a, x, keywise, j, raw);
    const int allowed = pair_allowed(a, x, keywise, j, score), kept = attn_dropout_keeps(dropout, j);
    const float weight = weight_of(row, score);
    row->scores[j] = allowed && kept ? weight * ATTN_KEEP(x) : 0.0f;
    if (!row->changes) {
        return;
    }
    const float by_weight = kept ? row->changes[j] * ATTN_KEEP(x) : 0.0f;
    const float change = allowed ? weight * (by_weight - row->delta) : 0.0f;
    sums->bias += change;
    sums->slope -= allowed ? change * fabs((float)(j - keywise->position)) : 0.0f;
    if (row->uncapped) {
        row->uncapped[j] = change;
    }
    row->changes[j] = (ATTN_FEATURES(a) & ATTN_HAS_SOFTCAP) && allowed ? change * softcap_slope(a, raw) : change;
}

// Keys begin .. end - 1, one by one; adds to the lane's sums.
static inline void each_key(const attn_arguments *a, const attn_extras *x, const backward_row *row, long begin, long end,
                            row_sums *sums) {
    const attn_row keywise = attn_get_row(a, x, &row->entry, row->b, row->h, row->i);
    const attn_dropout_row dropout = attn_get_dropout_row(x, row->b, row->h, row->i);
    row_sums chain = { 0.0f, 0.0f };
    int links = 0;
    for (long j = begin + get_local_id(0); j < end; j += ROW_GROUP) {
        one_key(a, x, row, &keywise, &dropout, j, &chain);
        if (++links == CHAIN) {
            sums->bias += chain.bias, sums->slope += chain.slope;
            chain.bias = chain.slope = 0.0f;
            links = 0;
        }
    }
    sums->bias += chain.bias, sums->slope += chain.slope;
}

// The same without any step but the scale, and without dropout.
static inline void plain_keys(const backward_row *row, long begin, long end) {
    if (row->logsumexp == -INFINITY) {
        for (long j = begin + get_local_id(0); j < end; j += ROW_GROUP) {
            row->scores[j] = 0.0f;
            if (row->changes) {
                row->changes[j] = 0.0f * (row->changes[j] - row->delta);
            }
        }
        return;
    }
    long j = begin + get_local_id(0) * ROW_WIDTH;
    for (; j + ROW_WIDTH <= end; j += ROW_GROUP * ROW_WIDTH) {
        const row_vector weight = exp(ROW_LOAD(row->scores + j) - row->logsumexp);
        ROW_STORE(weight, row->scores + j);
        if (row->changes) {
            ROW_STORE(weight * (ROW_LOAD(row->changes + j) - row->delta), row->changes + j);
        }
    }
    for (; j < end; ++j) { // at most one work-item is here, for the last keys
        const float weight = exp(row->scores[j] - row->logsumexp);
        row->scores[j] = weight;
        if (row->changes) {
            row->changes[j] = weight * (row->changes[j] - row->delta);
        }
    }
}

static inline void clear_keys(const backward_row *row, long begin, long end) {
    for (long j = begin + get_local_id(0); j < end; j += ROW_GROUP) {
        row->scores[j] = 0.0f;
        if (row->changes) {
            row->changes[j] = 0.0f;
        }
        if (row->uncapped) {
            row->uncapped[j] = 0.0f;
        }
    }
}

// Sum over the work-group, for its first work-item.
static inline float group_sum(float x, __local float *scratch) {
#if ROW_GROUP > 1
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[get_local_id(0)] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    x = 0.0f;
    for (int lane = 0; lane < ROW_GROUP && get_local_id(0) == 0; lane++) {
        x += scratch[lane];
    }
#endif
    return x;
}

// Line x of a part is row first_line + x of the call.
__kernel __attribute__((reqd_work_group_size(ROW_GROUP, 1, 1))) void backward_scores(
    const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global float *workspace, long scores_at, long changes_at,
    long uncapped_at, long delta_at, long slope_rows_at, long bias_rows_at, long first_line,
    __global const float *logsumexp, __local float *scratch) { // [ROW_GROUP]
    (void)scratch;
    const attn_extras extras = ATTN_EXTRAS;
    const long line = get_group_id(0), number = first_line + line, bh = number / a.query_length;
    backward_row row;
    row.i = number % a.query_length;
    row.h = bh % a.query_heads;
    row.b = bh / a.query_heads;
    row.entry = attn_get_entry(&a, &extras, row.b);
    row.range = attn_row_range(&a, &row.entry, row.i);
    row.logsumexp = row.i < row.entry.query_length ? logsumexp[ATTN_LOGSUMEXP_AT(&a, row.b, row.h, row.i)] : -INFINITY;
    row.delta = delta_at < 0 ? 0.0f : workspace[delta_at + number];
    row.scores = workspace + scores_at + line * a.key_length;
    row.changes = changes_at < 0 ? (__global float *)0 : workspace + changes_at + line * a.key_length;
    row.uncapped = uncapped_at < 0 ? (__global float *)0 : workspace + uncapped_at + line * a.key_length;

    row_sums sums = { 0.0f, 0.0f };
#if ATTN_PREFIX
    const long prefix = row.range.prefix;
#else
    const long prefix = 0;
#endif
    if (ATTN_DROPOUT || (ATTN_FEATURES(&a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP))) {
        each_key(&a, &extras, &row, 0, prefix, &sums);
        each_key(&a, &extras, &row, row.range.begin, row.range.end, &sums);
    } else {
        plain_keys(&row, 0, prefix);
        plain_keys(&row, row.range.begin, row.range.end);
    }
    clear_keys(&row, prefix, row.range.begin);
    clear_keys(&row, row.range.end, a.key_length);
    if (slope_rows_at >= 0) {
        const float sum = group_sum(sums.slope, scratch);
        if (get_local_id(0) == 0) {
            workspace[slope_rows_at + number] = sum;
        }
    }
    if (bias_rows_at >= 0) {
        const float sum = group_sum(sums.bias, scratch);
        if (get_local_id(0) == 0) {
            workspace[bias_rows_at + number] = sum;
        }
    }
}
