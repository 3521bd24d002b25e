/*
 * Rows between the products and at the end: the running maximum and sum, and the finished row to memory.
 */
#ifndef ATTN_ENGINES_CPU_SHARED_CPU_ROWS_H
#define ATTN_ENGINES_CPU_SHARED_CPU_ROWS_H

#include <math.h>

#include "base/memory.h"
#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/cpu_kernels.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "problem/mask.h"

/**
 * Takes a block's maximum into a row's. When it grew by more than LAZY, what was summed before is rescaled; output has
 * nothing yet when `first`. Returns what to subtract from scores.
 */
INLINE vf raise_maximum(float block_maximum, float *maximum, vf *sums, float *output, int64_t pitch, bool first) {
    if (block_maximum > *maximum + LAZY) {
        if (*maximum > -INFINITY) {
            vf factor = power_of_two(splat(*maximum - block_maximum));
            *sums *= factor;
            for (int64_t c = 0; c < pitch && !first; c += LANES) store(output + c, load(output + c) * factor);
        }
        *maximum = block_maximum;
    }
    return splat(*maximum > -INFINITY ? *maximum : 0.0f);
}

/** Scores (times log2(e)) of keys begin .. end of one row become weights relative to *maximum, their sums are added to *sums. */
INLINE void softmax_scores(float *scores, int begin, int end, float block_maximum, float *maximum, vf *sums,
                           float *output, int64_t pitch, bool first) {
    vf zero = raise_maximum(block_maximum, maximum, sums, output, pitch, first), sum = { 0 }, sum2 = { 0 };
    int c = begin;
    for (; c + 4 * LANES <= end; c += 4 * LANES) {
        vf e[4];
        UNROLL for (int i = 0; i < 4; i++) e[i] = power_of_two(load(scores + c + i * LANES) - zero);
        UNROLL for (int i = 0; i < 4; i++) store(scores + c + i * LANES, e[i]);
        sum += e[0] + e[1];
        sum2 += e[2] + e[3];
    }
    for (; c < end; c += LANES) {
        vf e = power_of_two(load(scores + c) - zero);
        store(scores + c, e);
        sum += e;
    }
    *sums += sum + sum2;
}

/** Rows of one head: what items of prefill and of fp64 are. */
typedef struct head_rows {
    int64_t b, h, g; /* g: of keys and values */
    int64_t first, count;
} head_rows;

/** Rows of an item, where a head has `chunks` items of `rows` rows. The last rows come first: with a causal rule they take longest. */
static head_rows item_rows(const attn_cpu_job *job, int64_t item, int64_t rows, int64_t chunks) {
    const clattn_problem *problem = job->problem;
    int64_t head = item / chunks, chunk = chunks - 1 - item % chunks;
    head_rows r = { .b = head / problem->query_heads, .h = head % problem->query_heads, .first = chunk * rows };
    r.g = r.h / (problem->query_heads / problem->kv_heads);
    r.count = attn_min(rows, job->call->query_length - r.first);
    return r;
}

/** Keys that some of the rows attend; empty when begin >= end. A window may lie beyond the used keys: cut off there. */
static attn_key_range rows_keys(const attn_cpu_job *job, int64_t b, int64_t first, int64_t count) {
    attn_key_range range = attn_rows_keys(job->problem, job->call, b, first, count);
    range.end = attn_min(range.end, attn_used_key_length(job->call, b));
    return range;
}

/** Where a key lies among the n keys from number `first` on, 0 or n when outside. */
static inline int inside_block(int64_t first, int n, int64_t key) {
    return (int)attn_clamp(key - first, 0, n);
}

/** A row's maximum and sum before any key: nothing, or the sink. */
static void start_row(const attn_cpu_job *job, int64_t h, float *maximum, vf *sums) {
    *maximum = -INFINITY;
    *sums = (vf){ 0 };
    if (job->problem->sinks) {
        const attn_view *sinks = &job->call->sinks;
        float sink = ((const float *)sinks->data)[sinks->offset + h];
        if (sink != -INFINITY) {
            *maximum = sink * (float)LOG2E - job->headroom;
            (*sums)[0] = exp2f(job->headroom) + (sink - sink); /* NaN when the sink is not finite */
        }
    }
}

/** Natural logsumexp of a maximum (in log2) and a sum. A row that met only its sink has exactly the sink. */
static float row_logsumexp(const attn_cpu_job *job, int64_t h, float maximum, float sum) {
    if (job->problem->sinks && sum == exp2f(job->headroom)) {
        float sink = ((const float *)job->call->sinks.data)[job->call->sinks.offset + h];
        if (maximum == sink * (float)LOG2E - job->headroom) return sink;
    }
    return (float)((double)maximum * LN2 + log((double)sum));
}

/**
 * Writes a finished row; `output` is not yet divided by sum, that of the weights as they met the values; `exact` is the one
 * before any rounding. What is not finite, and rows that met no score above -inf, go to the careful path, which selects
 * instead of multiplying by 0 and does not overflow.
 */
static void finish_row(const attn_cpu_job *job, int64_t b, int64_t h, int64_t i, const float *output, float maximum,
                       float sum, float exact, void *row_scratch) {
    const clattn_problem *problem = job->problem;
    const attn_call *call = job->call;
    int64_t index = attn_view_row(&call->output, b, h, i);
    if (!(maximum > -INFINITY) ||
        !store_row(job->output_type, call->output.data, index, output, problem->value_dim,
                   1.0f / (sum * job->kept_share))) {
        attn_cpu_row_output(problem, call, b, h, i, row_scratch);
        return;
    }
    if (problem->logsumexp) {
        ((float *)call->logsumexp.data)[attn_view_row(&call->logsumexp, b, h, i)] =
            row_logsumexp(job, h, maximum, exact);
    }
}

#endif
