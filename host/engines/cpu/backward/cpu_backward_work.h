/*
 * One item of backward under way: where its memory lies, and the caller's rows and keys brought there. Has no guard:
 * the includer defines ATTN_BACKWARD_WIDE anew each time.
 */
#include <string.h>

#include "base/memory.h"
#include "engines/cpu/backward/cpu_backward_tiles.h"
#include "engines/cpu/shared/cpu_dropout.h"
#include "problem/key_run.h"
#include "problem/mask.h"
#include "problem/problem.h"
#include "problem/training.h"

/** Keys of a block that a tile's rows may attend to, counted from the block's first. */
typedef struct OF(tile_range) {
    int begin, end; /* some row; whole panels, empty when begin >= end */
    bool inner;     /* every row attends to all of these */
    int low[TILE_ROWS], high[TILE_ROWS];
} OF(tile_range);

typedef struct OF(work) {
    const attn_cpu_backward_job *own;
    const attn_cpu_job *job;
    char *scratch;
    attn_row_rule rule;
    dropout_entry dropout; /* of entry b, where there is any */
    int64_t b, g, h;
    bool wants_ds; /* more than grad_value is asked for */
    bool finishes; /* ds of a row is looked at once more */
    REAL *keys, *values, *key_rows, *queries, *given, *grad_key, *grad_value;
    REAL *weights, *ds, *slopes, *keeps, *logsumexp, *delta;
    int64_t key, row; /* the first of the block */
    int keys_count, rows_count;
    attn_key_range segment; /* keys that are looked at: those before the prefix ends, or those behind */
    OF(tile_range) tiles[ATTN_CPU_BACKWARD_ROWS / 6];
} OF(work);

enum {
    OF(PITCH) = ATTN_CPU_BACKWARD_KEYS + 64 / (int)sizeof(REAL),       /* rows of a tile lie in different cache sets */
    OF(KEYS_PITCH) = (ATTN_CPU_BACKWARD_KEYS + 2 * TILE_ROWS) * STRIP, /* from strip to strip of sums of keys */
    OF(ROWS_PITCH) = ATTN_CPU_BACKWARD_ROWS * STRIP
};

static OF(work) OF(start_work)(const attn_cpu_backward_job *own, char *scratch) {
    const attn_cpu_backward_layout *at = &own->at;
    OF(work) w = { .own = own, .job = &own->job, .scratch = scratch };
    w.wants_ds = own->query.data || own->key.data || own->bias != ATTN_CPU_BIAS_NONE || own->row_slopes;
    w.finishes = own->bias != ATTN_CPU_BIAS_NONE || own->row_slopes || own->job.problem->softcap > 0;
    w.keys = (REAL *)(void *)(scratch + at->keys);
    w.values = (REAL *)(void *)(scratch + at->values);
    w.key_rows = (REAL *)(void *)(scratch + at->key_rows);
    w.queries = (REAL *)(void *)(scratch + at->queries);
    w.given = (REAL *)(void *)(scratch + at->given);
    w.grad_key = (REAL *)(void *)(scratch + at->grad_key);
    w.grad_value = (REAL *)(void *)(scratch + at->grad_value);
    w.weights = (REAL *)(void *)(scratch + at->weights);
    w.ds = (REAL *)(void *)(scratch + at->ds);
    w.slopes = (REAL *)(void *)(scratch + at->slopes);
    w.keeps = (REAL *)(void *)(scratch + at->keeps);
    w.logsumexp = (REAL *)(void *)(scratch + at->logsumexp);
    w.delta = (REAL *)(void *)(scratch + at->delta);
    return w;
}

/** n rows of dim elements, times factor, into strips `pitch` apart; rows up to a whole tile become 0. */
INLINE void OF(pack_rows_typed)(const clattn_type type, REAL *strips, int64_t pitch, const void *data, int64_t first,
                                int64_t stride, int64_t n, int64_t dim, REAL factor) {
    VEC f = OF(all)(factor);
    for (int64_t i = 0; i < attn_round_up(n, TILE_ROWS); i++) {
        for (int64_t d = 0; d < dim; d += WIDTH) {
            VEC x = i < n ? OF(get_typed)(type, data, first + i * stride + d, dim - d) * f : (VEC){ 0 };
            OF(put)(strips + d / STRIP * pitch + i * STRIP + d % STRIP, x);
        }
    }
}

static void OF(pack_rows)(clattn_type type, REAL *strips, int64_t pitch, const void *data, int64_t first,
                          int64_t stride, int64_t n, int64_t dim, REAL factor) {
#if !ATTN_BACKWARD_WIDE
    if (type == CLATTN_FP16) {
        OF(pack_rows_typed)(CLATTN_FP16, strips, pitch, data, first, stride, n, dim, factor);
    } else if (type == CLATTN_BF16) {
        OF(pack_rows_typed)(CLATTN_BF16, strips, pitch, data, first, stride, n, dim, factor);
    } else
#endif
    {
        OF(pack_rows_typed)
        (ATTN_BACKWARD_WIDE ? CLATTN_FP64 : CLATTN_FP32, strips, pitch, data, first, stride, n, dim, factor);
    }
    (void)type;
}

/** The n keys from `first` on, times factor, into panels [dim][STRIP]; the last panel's missing keys are 0. */
static void OF(pack_panels)(clattn_type type, REAL *panels, const attn_keys *keys, int64_t first, int64_t n,
                            int64_t dim, double factor) {
#if ATTN_BACKWARD_WIDE
    const double *data = keys->view->data;
    (void)type;
    for (int64_t k = 0; k < attn_round_up(n, STRIP); k++) {
        double *panel = panels + k / STRIP * STRIP * dim + k % STRIP;
        const double *from = k < n ? data + attn_key_at(keys, first + k) : NULL;
        for (int64_t d = 0; d < dim; d++) panel[d * STRIP] = from ? from[d] * factor : 0;
    }
#else
    pack_keys(type, panels, keys, first, n, dim, splat((float)factor));
#endif
}

/** The same keys as rows in strips, run by run: what a run leaves 0 behind it, the next one takes. */
static void OF(pack_key_rows)(clattn_type type, REAL *strips, const attn_keys *keys, int64_t first, int64_t n,
                              int64_t dim, REAL factor) {
    for (int64_t done = 0; done < n;) {
        const attn_key_run run = attn_key_run_at(keys, first + done, n - done);
        OF(pack_rows)
        (type, strips + done * STRIP, OF(KEYS_PITCH), keys->view->data, run.first, run.stride, run.n, dim, factor);
        done += run.n;
    }
}

/** The block's keys and values in the forms that are wanted, and sums that are 0. */
static void OF(pack_block)(const OF(work) * w) {
    const clattn_problem *p = w->job->problem;
    const attn_call *c = w->job->call;
    const attn_keys keys = { &c->key, w->b, w->g }, values = { &c->value, w->b, w->g };
    double factor = p->scale * (p->softcap > 0 ? 1 : LOG_UNIT);
    OF(pack_panels)(p->type, w->keys, &keys, w->key, w->keys_count, p->head_dim, factor);
    if (w->wants_ds) OF(pack_panels)(p->type, w->values, &values, w->key, w->keys_count, p->value_dim, 1);
    if (w->own->query.data) {
        OF(pack_key_rows)(p->type, w->key_rows, &keys, w->key, w->keys_count, p->head_dim, (REAL)p->scale);
    }
    if (w->own->key.data) {
        memset(w->grad_key, 0, (size_t)(attn_divide_up(p->head_dim, STRIP) * OF(KEYS_PITCH)) * sizeof(REAL));
    }
    if (w->own->value.data) {
        memset(w->grad_value, 0, (size_t)(attn_divide_up(p->value_dim, STRIP) * OF(KEYS_PITCH)) * sizeof(REAL));
    }
}

/** The block's rows: queries, grad_output, logsumexp and delta. Rows that are not there have no weight for any key. */
static void OF(load_rows)(const OF(work) * w) {
    const clattn_problem *p = w->job->problem;
    const attn_call *c = w->job->call;
    OF(pack_rows)
    (p->type, w->queries, OF(ROWS_PITCH), c->query.data, attn_view_row(&c->query, w->b, w->h, w->row),
     c->query.stride[2], w->rows_count, p->head_dim, 1);
    OF(pack_rows)
    (attn_output_type(p), w->given, OF(ROWS_PITCH), c->grad_output.data,
     attn_view_row(&c->grad_output, w->b, w->h, w->row), c->grad_output.stride[2], w->rows_count, p->value_dim, 1);
    const REAL *logsumexp = (const REAL *)c->logsumexp.data + attn_view_row(&c->logsumexp, w->b, w->h, w->row);
    const double *delta = w->own->deltas + (w->b * p->query_heads + w->h) * c->query_length + w->row;
    for (int i = 0; i < (int)attn_round_up(w->rows_count, TILE_ROWS); i++) {
        bool any = i < w->rows_count && logsumexp[i] != -INFINITY;
        w->logsumexp[i] = any ? logsumexp[i] * (REAL)LOG_UNIT : INFINITY;
        w->delta[i] = i < w->rows_count ? (REAL)delta[i] : 0;
    }
}

/** Keys of row i within the present segment. */
static attn_key_range OF(row_range)(const OF(work) * w, int64_t i) {
    attn_key_range range = attn_rule_keys(&w->rule, i), prefix = attn_rule_prefix(&w->rule, i);
    if (prefix.begin < prefix.end && w->segment.begin == 0)
        range = prefix;
    range.begin = attn_max(range.begin, w->segment.begin);
    range.end = attn_min(range.end, w->segment.end);
    return range;
}

/** The ranges of the tiles of the block's rows; false when no row attends to any of the block's keys. */
static bool OF(find_ranges)(OF(work) * w) {
    bool any = false;
    for (int row = 0; row < w->rows_count; row += TILE_ROWS) {
        OF(tile_range) *t = &w->tiles[row / TILE_ROWS];
        int begin = w->keys_count, end = 0, all_begin = 0, all_end = w->keys_count;
        for (int i = 0; i < TILE_ROWS; i++) {
            t->low[i] = 0;
            t->high[i] = w->keys_count;
            if (row + i >= w->rows_count)
                continue;
            attn_key_range range = OF(row_range)(w, w->row + row + i);
            t->low[i] = (int)attn_clamp(range.begin - w->key, 0, w->keys_count);
            t->high[i] = (int)attn_clamp(range.end - w->key, 0, w->keys_count);
            if (t->low[i] < t->high[i]) {
                begin = t->low[i] < begin ? t->low[i] : begin;
                end = t->high[i] > end ? t->high[i] : end;
            }
            all_begin = t->low[i] > all_begin ? t->low[i] : all_begin;
            all_end = t->high[i] < all_end ? t->high[i] : all_end;
        }
        t->begin = begin < end ? begin / STRIP * STRIP : 0;
        t->end = begin < end ? (int)attn_round_up(end, STRIP) : 0;
        t->inner = all_begin <= t->begin && all_end >= t->end;
        any = any || begin < end;
    }
    return any;
}
