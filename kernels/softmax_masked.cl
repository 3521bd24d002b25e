// Scores -> weights in place, one work-group a row: softcap, bias, ALiBi, mask by selection, softmax with sinks; also
// logsumexp, and the scores or weights of whichever stage is asked for. Built with -DROW_GROUP=work-items a row and
// -DROW_WIDTH=floats a vector. Sums run in blocks, so that long rows keep their accuracy.
#include "include/dropout.cl.h"
#include "include/mask.cl.h"

#ifndef ROW_GROUP
#define ROW_GROUP 64
#endif
#ifndef ROW_WIDTH
#define ROW_WIDTH 4
#endif
#define BLOCK_VECTORS 32 // vectors a lane adds up before they join the row's sum

typedef ATTN_CAT(float, ROW_WIDTH) row_vector;
#define ROW_LOAD(p) ATTN_CAT(vload, ROW_WIDTH)(0, (p))
#define ROW_STORE(x, p) ATTN_CAT(vstore, ROW_WIDTH)((x), 0, (p))

// One row of the scores, and where it stands.
typedef struct score_row {
    long b, h, i;
    attn_entry entry;
    attn_range range;     // keys that lengths, causal rule and window allow
    __global float *data; // [key_length]
    long weights_keys;    // of a row of weights out: the problem's, not the call's
} score_row;

// A maximum that keeps NaN: fmax would lose it, and a row of NaN is not a row where nothing is allowed.
static inline float larger(float m, float x) {
    return x > m || isnan(x) ? x : m;
}

static inline row_vector lanes_larger(row_vector m, row_vector x) {
    return select(m, x, (x > m) | isnan(x));
}

static inline float lanes_max(row_vector v, float m) {
    float lanes[ROW_WIDTH];
    ROW_STORE(v, lanes);
    for (int k = 0; k < ROW_WIDTH; ++k) {
        m = larger(m, lanes[k]);
    }
    return m;
}

static inline float lanes_sum(row_vector v) {
    float lanes[ROW_WIDTH], sum = 0.0f;
    ROW_STORE(v, lanes);
    for (int k = 0; k < ROW_WIDTH; ++k) {
        sum += lanes[k];
    }
    return sum;
}

// Over the work-group; every work-item gets the result.
#if ROW_GROUP > 1
#define ROW_BARRIER() barrier(CLK_GLOBAL_MEM_FENCE)
static inline float group_reduce(float x, int take_larger, __local float *scratch) {
    const int id = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[id] = x;
    for (int n = ROW_GROUP / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (id < n) {
            scratch[id] = take_larger ? larger(scratch[id], scratch[id + n]) : scratch[id] + scratch[id + n];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return scratch[0];
}
#define GROUP_MAX(x) group_reduce((x), 1, scratch)
#define GROUP_SUM(x) group_reduce((x), 0, scratch)
#else
#define ROW_BARRIER()
#define GROUP_MAX(x) (x)
#define GROUP_SUM(x) (x)
#endif

// Where row (b, h, i) of the chosen weights begins, or -1 when it is not chosen.
static inline long weights_row_at(const attn_arguments *a, const score_row *row) {
    long h = row->h - a->weights_first_head, i = row->i - a->weights_first_row;
    int chosen = a->weights_stage != ATTN_STAGE_NONE && h >= 0 && h < a->weights_heads && i >= 0 && i < a->weights_rows;
    return chosen ? attn_row_at(&a->weights, row->b, h, i) : -1;
}

// A stage before softmax: every key inside the lengths, allowed or not (-inf where not, after bias); 0 beyond.
static inline void write_scores(const attn_arguments *a, const attn_extras *x, const score_row *row,
                                __global float *weights) {
    const long at = weights_row_at(a, row);
    if (at < 0 || a->weights_stage == ATTN_STAGE_SOFTMAX) {
        return;
    }
    const attn_row keywise = attn_get_row(a, x, &row->entry, row->b, row->h, row->i);
    const long used = row->i < row->entry.query_length ? row->entry.key_length : 0;
    for (long j = get_local_id(0); j < row->weights_keys; j += ROW_GROUP) {
        float s = 0.0f;
        if (j < used) {
            s = row->data[j];
            s = a->weights_stage == ATTN_STAGE_RAW ? s : attn_softcap(a, s);
            if (a->weights_stage == ATTN_STAGE_BIAS) {
                s = attn_range_has(&row->range, j) ? attn_keywise(a, x, &keywise, j, s) : -INFINITY;
            }
        }
        weights[at + j * a->weights.stride[3]] = s;
    }
}

// Makes the scores of keys begin .. end - 1 what softmax sees, where features ask for it; gives this work-item's maximum.
static inline float transform_row(const attn_arguments *a, const attn_extras *x, const score_row *row, long begin,
                                  long end) {
    float m = -INFINITY;
    if (ATTN_FEATURES(a) & (ATTN_HAS_KEYWISE | ATTN_HAS_SOFTCAP)) {
        const attn_row keywise = attn_get_row(a, x, &row->entry, row->b, row->h, row->i);
        for (long j = begin + get_local_id(0); j < end; j += ROW_GROUP) {
            float s = attn_score_step(a, x, &keywise, j, row->data[j]);
            row->data[j] = s;
            m = larger(m, s);
        }
        return m;
    }
    row_vector lanes = -INFINITY;
    long j = begin + get_local_id(0) * ROW_WIDTH;
    for (; j + ROW_WIDTH <= end; j += ROW_GROUP * ROW_WIDTH) {
        lanes = lanes_larger(lanes, ROW_LOAD(row->data + j));
    }
    for (; j < end; ++j) { // at most one work-item is here, for the last keys
        m = larger(m, row->data[j]);
    }
    return lanes_max(lanes, m);
}

// Scores of keys begin .. end - 1 -> exp(score - m) in place; gives this work-item's sum.
static inline float exponentials(const score_row *row, long begin, long end, float m) {
    float sum = 0.0f;
    long j = begin + get_local_id(0) * ROW_WIDTH;
    while (j + ROW_WIDTH <= end) {
        row_vector lanes = 0.0f;
        for (int k = 0; k < BLOCK_VECTORS && j + ROW_WIDTH <= end; ++k, j += ROW_GROUP * ROW_WIDTH) {
            const row_vector e = exp(ROW_LOAD(row->data + j) - m);
            ROW_STORE(e, row->data + j);
            lanes += e;
        }
        sum += lanes_sum(lanes);
    }
    for (; j < end; ++j) {
        float e = exp(row->data[j] - m);
        row->data[j] = e;
        sum += e;
    }
    return sum;
}

// Exponentials -> weights in place, 0 outside the range and in rows where nothing is allowed (factor 0).
static inline void normalise(const attn_arguments *a, const score_row *row, float factor, int empty) {
    for (long j = get_local_id(0) * ROW_WIDTH; j < a->key_length; j += ROW_GROUP * ROW_WIDTH) {
        if (!empty && attn_range_covers(&row->range, j, ROW_WIDTH)) {
            ROW_STORE(ROW_LOAD(row->data + j) * factor, row->data + j);
            continue;
        }
        for (long k = j; k < j + ROW_WIDTH && k < a->key_length; ++k) {
            int inside = !empty && attn_range_has(&row->range, k);
            row->data[k] = inside ? row->data[k] * factor : 0.0f;
        }
    }
}

static inline void write_weights(const attn_arguments *a, const score_row *row, __global attn_storage *weights) {
    const long at = weights_row_at(a, row);
    if (at >= 0 && a->weights_stage == ATTN_STAGE_SOFTMAX) {
        for (long j = get_local_id(0); j < row->weights_keys; j += ROW_GROUP) {
            ATTN_STORE(weights, at + j * a->weights.stride[3], j < a->key_length ? row->data[j] : 0.0f);
        }
    }
}

// Weights in place, 0 where dropped, else multiplied. Those written out know nothing of it.
static inline void drop_weights(const attn_arguments *a, const attn_extras *x, const score_row *row) {
    const attn_dropout_row r = attn_get_dropout_row(x, row->b, row->h, row->i);
    for (long j = get_local_id(0) * 4; j < a->key_length; j += ROW_GROUP * 4) {
        if (j + 4 <= a->key_length) {
            vstore4(attn_dropout_four(&r, j, vload4(0, row->data + j)) * ATTN_KEEP(x), 0, row->data + j);
            continue;
        }
        for (long k = j; k < a->key_length; ++k) {
            row->data[k] = attn_dropout_keeps(&r, k) ? row->data[k] * ATTN_KEEP(x) : 0.0f;
        }
    }
}

// One work-group a line: line x of a part is row first_row + x % rows of pair first_pair + x / rows, and the rows of
// a pair are those of its query heads, one head after another.
__kernel __attribute__((reqd_work_group_size(ROW_GROUP, 1, 1))) void softmax_masked(
    const attn_arguments a, ATTN_EXTRAS_PARAMETERS, __global float *restrict scores, long scores_at, long first_pair,
    long first_row, long rows, long weights_keys, __global float *restrict logsumexp, __global void *restrict weights,
    __local float *scratch) { // [ROW_GROUP]; an argument, because PoCL 3.1 lets groups share an array declared in here
    (void)scratch;
    const attn_extras extras = ATTN_EXTRAS;
    const long line = get_group_id(0), pair = first_pair + line / rows, stacked = first_row + line % rows;
    score_row row;
    row.b = pair / a.kv_heads;
    row.h = (pair % a.kv_heads) * a.group + stacked / a.query_length;
    row.i = stacked % a.query_length;
    row.entry = attn_get_entry(&a, &extras, row.b);
    row.range = attn_row_range(&a, &row.entry, row.i);
    row.data = scores + scores_at + line * a.key_length;
    row.weights_keys = weights_keys;

    write_scores(&a, &extras, &row, (__global float *)weights);
    ROW_BARRIER();
    const float sink = (ATTN_FEATURES(&a) & ATTN_HAS_SINKS) ? extras.sinks[a.sinks_at + row.h] : -INFINITY;
    float mine = transform_row(&a, &extras, &row, row.range.begin, row.range.end);
#if ATTN_PREFIX
    mine = larger(mine, transform_row(&a, &extras, &row, 0, row.range.prefix));
#endif
    const float top = GROUP_MAX(mine), m = larger(top, sink);
    const int nothing = top == -INFINITY; // then the sink stands, whatever it is
    ROW_BARRIER();
    mine = nothing ? 0.0f : exponentials(&row, row.range.begin, row.range.end, m);
#if ATTN_PREFIX
    mine += nothing ? 0.0f : exponentials(&row, 0, row.range.prefix, m);
#endif
    float sum = GROUP_SUM(mine);
    if (ATTN_FEATURES(&a) & ATTN_HAS_SINKS) {
        sum += nothing ? 0.0f : exp(sink - m);
    }
    ROW_BARRIER();
    normalise(&a, &row, 1.0f / sum, nothing);
    ROW_BARRIER();
    write_weights(&a, &row, (__global attn_storage *)weights);
    if (ATTN_DROPOUT) {
        ROW_BARRIER();
        drop_weights(&a, &extras, &row);
    }
    if ((ATTN_FEATURES(&a) & ATTN_HAS_LOGSUMEXP) && get_local_id(0) == 0) {
        logsumexp[attn_row_at(&a.logsumexp, row.b, row.h, row.i)] = nothing ? sink : m + log(sum);
    }
}
