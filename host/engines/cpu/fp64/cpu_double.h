/*
 * fp64: as in prefill, blocks of packed keys with tiles of rows over them and a running maximum, but vectors of doubles
 * and natural exponents. Softcap, bias, ALiBi and masks take their step in plain loops (cpu_careful.c); what is not finite
 * goes to the careful path.
 */
#ifndef ATTN_ENGINES_CPU_FP64_CPU_DOUBLE_H
#define ATTN_ENGINES_CPU_FP64_CPU_DOUBLE_H

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/fp64/cpu_double_job.h"
#include "engines/cpu/shared/cpu_dropout.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_vector.h"
#include "problem/key_run.h"
#include "problem/mask.h"

#define DOUBLES (LANES / 2)

enum {
    DOUBLE_KEYS = ATTN_CPU_DOUBLE_KEYS, /* of a block */
    DOUBLE_PITCH = ATTN_CPU_DOUBLE_PITCH,
    DOUBLE_HALF = 6, /* rows of a tile of sums */
    DOUBLE_COLUMNS = LANES >= 16 ? 4 : 2
};

typedef double vd __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef int64_t vl __attribute__((vector_size(ATTN_VECTOR_BYTES)));
typedef double vd_any __attribute__((vector_size(ATTN_VECTOR_BYTES), aligned(8), may_alias));

/** Rows of one head under way. */
typedef struct double_work {
    const attn_cpu_job *job;
    const attn_cpu_double_job *own;
    char *scratch;
    int64_t b, h, g, first, count; /* rows */
    int64_t value_pitch;
    attn_row_rule rule;
    bool prefix;                  /* keys of the rows' prefix that stands apart are under way, else their other keys */
    const dropout_entry *dropout; /* NULL = none */
    double *keys, *values, *queries, *output, *scores, *maxima;
    vd *sums;
} double_work;

INLINE vd splat_double(double x) {
    return x - (vd){ 0 };
}

/**
 * e^x for x <= 700, relative error of two units; 0 below -708; NaN at NaN. The series up to x^13 / 13!, after the nearest
 * multiple of ln 2 is taken off in two parts.
 */
INLINE vd exponential_double(vd x) {
    static const double over_factorial[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1,           1
    };
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: the nearest integer in the low bits */
    vl small = x < splat_double(-708), number = x == x;
    vd y = (vd)(~small & (vl)x), z = y * LOG2E + shift, n = z - shift;
    vd r = y - n * 0x1.62e42feep-1 - n * 0x1.a39ef35793c76p-33, p = splat_double(over_factorial[0]);
    UNROLL for (int i = 1; i < 14; i++) p = p * r + over_factorial[i];
    vl power = (vl)((vul)p + ((vul)z << 52));
    return (vd)((number & ~small & power) | (~number & (vl)x));
}

static double_work start_double(const attn_cpu_double_job *own, int64_t item, char *scratch) {
    const attn_cpu_job *job = &own->job;
    const clattn_problem *problem = job->problem;
    const attn_cpu_double_layout *at = &own->at;
    const head_rows rows = item_rows(job, item, own->rows, own->chunks);
    double_work w = { .job = job, .own = own, .scratch = scratch };
    w.b = rows.b;
    w.h = rows.h;
    w.g = rows.g;
    w.first = rows.first;
    w.count = rows.count;
    w.value_pitch = attn_round_up(problem->value_dim, DOUBLES);
    w.rule = attn_row_rule_of(problem, job->call, w.b);
    w.keys = (double *)(void *)(scratch + at->keys);
    w.values = (double *)(void *)(scratch + at->values);
    w.queries = (double *)(void *)(scratch + at->queries);
    w.output = (double *)(void *)(scratch + at->output);
    w.scores = (double *)(void *)(scratch + at->scores);
    w.maxima = (double *)(void *)(scratch + at->maxima);
    w.sums = (vd *)(void *)(scratch + at->sums);
    return w;
}

/** Queries times scale, rows up to whole tiles 0; nothing summed but the sink. */
static void start_double_rows(const double_work *w) {
    const clattn_problem *problem = w->job->problem;
    const attn_call *call = w->job->call;
    int64_t dim = problem->head_dim, padded = attn_round_up(w->count, TILE_ROWS);
    memset(w->queries, 0, (size_t)(padded * dim) * sizeof(double));
    memset(w->output, 0, (size_t)(padded * w->value_pitch) * sizeof(double));
    for (int64_t i = 0; i < padded; i++) {
        w->maxima[i] = -INFINITY;
        w->sums[i] = (vd){ 0 };
        if (i >= w->count) continue;
        const double *query = (const double *)call->query.data + attn_view_row(&call->query, w->b, w->h, w->first + i);
        for (int64_t d = 0; d < dim; d++) w->queries[i * dim + d] = query[d] * problem->scale;
        if (!problem->sinks) continue;
        double sink = (double)((const float *)call->sinks.data)[call->sinks.offset + w->h];
        if (sink != -INFINITY) {
            w->maxima[i] = sink;
            w->sums[i][0] = 1 + (sink - sink); /* NaN when the sink is not finite */
        }
    }
}

/** n keys into [head_dim][DOUBLE_KEYS], n values into rows of value_pitch; what is missing of both is 0. */
static void pack_double(const double_work *w, int64_t key, int n) {
    const attn_keys keys = { &w->job->call->key, w->b, w->g }, values = { &w->job->call->value, w->b, w->g };
    const int64_t dim = w->job->problem->head_dim, value_dim = w->job->problem->value_dim;
    const double *from = keys.view->data, *value = values.view->data;
    int64_t at[DOUBLE_KEYS];
    attn_keys_at(&keys, key, n, at);
    for (int64_t d = 0; d < dim; d += 8) { /* a cache line of each key at a time */
        int64_t m = attn_min(8, dim - d);
        for (int k = 0; k < n; k++) {
            const double *row = from + at[k] + d;
            for (int64_t i = 0; i < m; i++) w->keys[(d + i) * DOUBLE_KEYS + k] = row[i];
        }
        for (int64_t i = 0; i < m; i++) {
            for (int k = n; k < DOUBLE_KEYS; k++) w->keys[(d + i) * DOUBLE_KEYS + k] = 0;
        }
    }
    attn_keys_at(&values, key, n, at);
    for (int k = 0; k < n; k++) {
        double *row = w->values + k * w->value_pitch;
        memcpy(row, value + at[k], (size_t)value_dim * sizeof(double));
        for (int64_t c = value_dim; c < w->value_pitch; c++) row[c] = 0;
    }
}

/** TILE_ROWS rows against two vectors of keys. */
static __attribute__((noinline)) void double_scores(const double_work *w, const double *queries, int key) {
    const int64_t dim = w->job->problem->head_dim;
    const double *keys = w->keys + key, *rows[TILE_ROWS / 3];
    vd a[TILE_ROWS][2];
    UNROLL for (int i = 0; i < TILE_ROWS; i++) a[i][0] = a[i][1] = (vd){ 0 };
    UNROLL for (int i = 0; i < TILE_ROWS; i += 3) rows[i / 3] = queries + i * dim;
    UNROLL_4 for (int64_t d = 0; d < dim; d++, keys += DOUBLE_KEYS) {
        vd k0 = *(const vd_any *)keys, k1 = *(const vd_any *)(keys + DOUBLES);
        UNROLL for (int i = 0; i < TILE_ROWS; i++) {
            vd q = splat_double(rows[i / 3][i % 3 * dim]);
            a[i][0] += q * k0;
            a[i][1] += q * k1;
        }
        UNROLL for (int i = 0; i < TILE_ROWS; i += 3) rows[i / 3]++;
    }
    UNROLL for (int i = 0; i < TILE_ROWS; i++) {
        *(vd_any *)(w->scores + i * DOUBLE_PITCH + key) = a[i][0];
        *(vd_any *)(w->scores + i * DOUBLE_PITCH + key + DOUBLES) = a[i][1];
    }
}

/** Products of row i with a block's n keys to weights relative to its maximum; sums before are rescaled when that grew. */
static void double_softmax(const double_work *w, int64_t i, int64_t key, int n, double *scores) {
    attn_key_range range =
        w->prefix ? attn_rule_prefix(&w->rule, w->first + i) : attn_rule_keys(&w->rule, w->first + i);
    int low = inside_block(key, n, range.begin), high = inside_block(key, n, range.end);
    if (w->job->stepped) {
        attn_cpu_row_step(w->job->problem, w->job->call, w->b, w->h, w->first + i, key, low, high, scores);
    }
    for (int c = 0; c < low; c++) scores[c] = -INFINITY;
    for (int c = high; c < DOUBLE_KEYS; c++) scores[c] = -INFINITY;
    vd most = splat_double(-INFINITY), sum = { 0 };
    for (int c = 0; c < DOUBLE_KEYS; c += DOUBLES) {
        vd s = *(const vd_any *)(scores + c);
        vl more = s > most;
        most = (vd)((more & (vl)s) | (~more & (vl)most));
    }
    double top = most[0], old = w->maxima[i];
    for (int c = 1; c < DOUBLES; c++) top = most[c] > top ? most[c] : top;
    if (top > old + LAZY) {
        vd factor = old > -INFINITY ? exponential_double(splat_double(old - top)) : (vd){ 0 };
        double *output = w->output + i * w->value_pitch;
        w->sums[i] *= factor;
        for (int64_t c = 0; c < w->value_pitch; c += DOUBLES) *(vd_any *)(output + c) *= factor;
        w->maxima[i] = top;
    }
    vd zero = splat_double(w->maxima[i] > -INFINITY ? w->maxima[i] : 0);
    UNROLL_4 for (int c = 0; c < DOUBLE_KEYS; c += DOUBLES) {
        vd e = exponential_double(*(const vd_any *)(scores + c) - zero);
        *(vd_any *)(scores + c) = e;
        sum += e;
    }
    w->sums[i] += sum;
}

/** Weights of row i that are dropped become 0. */
static void drop_doubles(const double_work *w, int64_t i, int64_t key, int n, double *weights) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    const uint32_t *masks = dropout_masks(w->dropout, w->h, w->first + i, key, n, room);
    for (int c = 0; c < n; c++) weights[c] = masks[c] ? weights[c] : 0;
}

/** Sums of DOUBLE_HALF rows in `vectors` vectors of columns. */
INLINE void double_columns(const int vectors, const double_work *w, const double *weights, int64_t column, int n,
                           double *output) {
    vd a[DOUBLE_HALF][DOUBLE_COLUMNS];
    const double *value = w->values + column;
    UNROLL for (int i = 0; i < DOUBLE_HALF; i++) {
        UNROLL for (int c = 0; c < vectors; c++) a[i][c] = (vd){ 0 };
    }
    for (int key = 0; key < n; key++, value += w->value_pitch) {
        vd v[DOUBLE_COLUMNS];
        UNROLL for (int c = 0; c < vectors; c++) v[c] = *(const vd_any *)(value + c * DOUBLES);
        UNROLL for (int i = 0; i < DOUBLE_HALF; i++) {
            vd p = splat_double(weights[i * DOUBLE_PITCH + key]);
            UNROLL for (int c = 0; c < vectors; c++) a[i][c] += p * v[c];
        }
    }
    UNROLL for (int i = 0; i < DOUBLE_HALF; i++) {
        UNROLL for (int c = 0; c < vectors; c++) {
            *(vd_any *)(output + i * w->value_pitch + column + c * DOUBLES) += a[i][c];
        }
    }
}

/** One tile of rows against the block of n keys that lies packed. */
static void double_tile(const double_work *w, int64_t row, int64_t key, int n) {
    for (int k = 0; k < n; k += 2 * DOUBLES) double_scores(w, w->queries + row * w->job->problem->head_dim, k);
    for (int64_t i = row; i < row + TILE_ROWS; i++) {
        double *scores = w->scores + (i - row) * DOUBLE_PITCH;
        if (i < w->count) {
            double_softmax(w, i, key, n, scores);
            if (w->dropout) drop_doubles(w, i, key, n, scores);
        } else {
            memset(scores, 0, (size_t)n * sizeof(double));
        }
    }
    for (int64_t i = 0; i < TILE_ROWS && row + i < w->count; i += DOUBLE_HALF) {
        const double *weights = w->scores + i * DOUBLE_PITCH;
        double *output = w->output + (row + i) * w->value_pitch;
        int64_t c = 0;
        for (; c + DOUBLE_COLUMNS * DOUBLES <= w->value_pitch; c += DOUBLE_COLUMNS * DOUBLES)
            double_columns(DOUBLE_COLUMNS, w, weights, c, n, output);
        for (; c < w->value_pitch; c += DOUBLES) double_columns(1, w, weights, c, n, output);
    }
}

/** Writes the finished row i; what is not finite, and rows that met no score, go to the careful path. */
static void finish_double(const double_work *w, int64_t i) {
    const clattn_problem *problem = w->job->problem;
    const attn_call *call = w->job->call;
    attn_key_range range = attn_rule_keys(&w->rule, w->first + i);
    double *out = (double *)call->output.data + attn_view_row(&call->output, w->b, w->h, w->first + i);
    bool some = range.begin < range.end || attn_rule_prefix(&w->rule, w->first + i).end > 0;
    double sum = 0, zero = 0;
    for (int c = 0; c < DOUBLES; c++) sum += w->sums[i][c];
    const double divisor = sum * (1 - problem->dropout);
    for (int64_t d = 0; d < problem->value_dim; d++) {
        out[d] = w->output[i * w->value_pitch + d] / divisor;
        zero += out[d] - out[d];
    }
    if (!some || !(w->maxima[i] > -INFINITY) || !(zero == 0) || !(sum < INFINITY)) {
        attn_cpu_row_output(problem, call, w->b, w->h, w->first + i, w->scratch + w->own->at.row);
    } else if (problem->logsumexp) {
        ((double *)call->logsumexp.data)[attn_view_row(&call->logsumexp, w->b, w->h, w->first + i)] =
            w->maxima[i] + log(sum);
    }
}

/** Keys `all` of some of the rows, a block after another. */
static void walk_doubles(const double_work *w, attn_key_range all) {
    for (int64_t key = all.begin / DOUBLE_KEYS * DOUBLE_KEYS; key < all.end; key += DOUBLE_KEYS) {
        int n = (int)attn_min(DOUBLE_KEYS, all.end - key);
        pack_double(w, key, n);
        for (int64_t row = 0; row < w->count; row += TILE_ROWS) double_tile(w, row, key, n);
    }
}

static void double_item(const attn_cpu_double_job *own, int64_t item, void *scratch) {
    const attn_cpu_job *job = &own->job;
    dropout_entry dropout;
    double_work w = start_double(own, item, scratch);
    if (job->dropped) {
        start_dropout(&dropout, job->problem, job->call, w.b);
        w.dropout = &dropout;
    }
    start_double_rows(&w);
    w.prefix = true;
    walk_doubles(&w, attn_rows_prefix(job->problem, job->call, w.b, w.first, w.count));
    w.prefix = false;
    walk_doubles(&w, rows_keys(job, w.b, w.first, w.count));
    for (int64_t i = 0; i < w.count; i++) finish_double(&w, i);
}

#endif
