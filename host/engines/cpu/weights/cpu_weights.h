/*
 * Weights out, or one of the score stages: products of a chunk of rows of one head once more, by the same tiles as
 * prefill (by those of decode when there are very few rows), then the step, then out. For the softmax stage a chunk's
 * scores wait in scratch until the row's maximum and sum are known. What is not finite goes to the careful path, a row
 * at a time.
 */
#ifndef ATTN_ENGINES_CPU_WEIGHTS_CPU_WEIGHTS_H
#define ATTN_ENGINES_CPU_WEIGHTS_CPU_WEIGHTS_H

#include <math.h>
#include <string.h>

#include "engines/cpu/cpu_careful.h"
#include "engines/cpu/decode/cpu_decode_group.h"
#include "engines/cpu/decode/cpu_decode_place.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_rows.h"
#include "engines/cpu/shared/cpu_step.h"
#include "engines/cpu/shared/cpu_tile.h"
#include "engines/cpu/weights/cpu_weights_job.h"
#include "problem/key_run.h"
#include "problem/mask.h"
#include "problem/problem.h"

/** A chunk under way: rows first .. first + count of head h; all lie inside the used query length. */
typedef struct weights_work {
    const attn_cpu_job *job;
    const attn_cpu_weights_job *own;
    char *scratch;
    int64_t b, h, g, first, count, keys; /* keys: used */
    attn_key_range range;                /* keys whose scores are asked for; begin is a multiple of LANES */
    attn_row_rule rule;
    attn_key_range gap; /* softmax: keys that no row attends, between a prefix and the windows */
    clattn_weights_stage stage;
    decode_work place; /* in place: what its tiles want to know */
    int height;        /* in place: of the tile; 0 = packed */
    float *queries, *scores, *buffer;
    int64_t buffer_pitch;
} weights_work;

static inline int64_t weights_row(const weights_work *w, int64_t i) {
    const clattn_problem *problem = w->job->problem;
    return attn_view_row(&w->job->call->weights, w->b, w->h - problem->weights_first_head,
                         i - problem->weights_first_row);
}

static void careful_weights(const weights_work *w, int64_t i) {
    attn_cpu_row_weights(w->job->problem, w->job->call, w->b, w->h, i, w->scratch + w->own->at.row);
}

static weights_work start_weights(const attn_cpu_weights_job *own, int64_t item, char *scratch) {
    const attn_cpu_job *job = &own->job;
    const clattn_problem *problem = job->problem;
    const attn_cpu_weights_layout *at = &own->at;
    weights_work w = { .job = job, .own = own, .scratch = scratch, .stage = problem->weights };
    int64_t chunks = attn_divide_up(problem->weights_rows, own->rows), head = item / chunks;
    w.b = head / problem->weights_heads;
    w.h = problem->weights_first_head + head % problem->weights_heads;
    w.g = w.h / (problem->query_heads / problem->kv_heads);
    w.first = problem->weights_first_row + item % chunks * own->rows;
    w.count = attn_min(own->rows, problem->weights_first_row + problem->weights_rows - w.first);
    w.count = attn_clamp(job->call->query_length - w.first, 0, w.count);
    w.keys = attn_used_key_length(job->call, w.b);
    w.rule = attn_row_rule_of(problem, job->call, w.b);
    w.queries = floats_at(scratch, at->queries);
    w.scores = floats_at(scratch, at->scores);
    w.buffer = floats_at(scratch, at->waiting);
    w.buffer_pitch = attn_round_up(problem->key_length, LANES);
    return w;
}

/** Queries times what the stage wants: raw and capped scores are natural, the others in log2 until they leave. */
static void start_weights_rows(weights_work *w) {
    const attn_cpu_job *job = w->job;
    const clattn_problem *problem = job->problem;
    bool natural = w->stage == CLATTN_WEIGHTS_RAW || w->stage == CLATTN_WEIGHTS_SOFTCAP;
    vf factor = splat(natural ? (float)problem->scale : job->key_factor);
    int64_t pitch = attn_round_up(problem->head_dim, LANES);
    w->place = (decode_work){ .job = job, .b = w->b, .g = w->g, .dim_pitch = pitch, .scores = w->scores };
    w->height = w->count <= PLACE_TILE / 2 ? place_height(w->count) : 0;
    memset(w->queries + w->count * pitch, 0, (size_t)(TILE_ROWS * pitch) * sizeof(float));
    for (int64_t i = 0; i < w->count; i++) {
        copy_query(job, w->height > 0, w->queries + i * pitch, pitch, w->b, w->h, w->first + i, factor);
    }
}

/** Products of few rows with a run of keys into rows of DECODE_KEYS floats, the first `before` of which stay. */
INLINE void place_products_typed(const clattn_type type, const weights_work *w, const attn_key_run *run, float *rows,
                                 int before) {
    const int stripe = LANES / w->height, n = (int)run->n;
    const place_ahead nothing = { 0, 0 };
    switch (w->height) {
        case 1: place_scores(type, 1, &w->place, w->queries, run, n, nothing); break;
        case 2: place_scores(type, 2, &w->place, w->queries, run, n, nothing); break;
        default: place_scores(type, 4, &w->place, w->queries, run, n, nothing); break;
    }
    for (int r = 0; r < w->height; r++) {
        float *row = rows + r * DECODE_KEYS + before;
        for (int c = 0; c < n; c += stripe) {
            const int m = (int)attn_min(stripe, DECODE_KEYS - before - c);
            memcpy(row + c, w->scores + c * w->height + r * stripe, (size_t)m * sizeof(float));
        }
    }
}

/** The same with keys key .. key + n, n <= DECODE_KEYS. Returns the rows. */
static float *place_products(const weights_work *w, int64_t key, int n) {
    const attn_keys keys = { &w->job->call->key, w->b, w->g };
    float *rows = w->scores + PLACE_TILE * DECODE_KEYS;
    for (int done = 0; done < n;) {
        const attn_key_run run = attn_key_run_at(&keys, key + done, n - done);
        switch (w->job->problem->type) {
            case CLATTN_FP16: place_products_typed(CLATTN_FP16, w, &run, rows, done); break;
            case CLATTN_BF16: place_products_typed(CLATTN_BF16, w, &run, rows, done); break;
            default: place_products_typed(CLATTN_FP32, w, &run, rows, done); break;
        }
        done += (int)run.n;
    }
    return rows;
}

/** The same for a tile of rows, from packed keys into rows of SCORE_PITCH floats. */
static __attribute__((noinline)) void packed_products(const weights_work *w, int64_t row, int n) {
    const float *keys = (const float *)(void *)(w->scratch + w->own->at.keys);
    const int64_t pitch = w->place.dim_pitch;
    int dim = (int)w->job->problem->head_dim;
    vf maxima[TILE_ROWS];
    UNROLL for (int i = 0; i < TILE_ROWS; i++) maxima[i] = splat(-INFINITY);
    for (int key = 0; key < n; key += TILE_KEYS) {
        score_tile(TILE_ROWS, dim, w->queries + row * pitch, pitch, keys + (int64_t)key * dim, w->scores + key, maxima);
    }
}

/** -inf that neither a bias of -inf nor mask nor range made is that of a bias too low for log2: not for this path. */
static bool is_forbidden(const weights_work *w, int64_t i, int64_t key) {
    const clattn_problem *problem = w->job->problem;
    const attn_call *call = w->job->call;
    attn_key_range range = attn_rule_keys(&w->rule, i);
    bool in_prefix = key < attn_rule_prefix(&w->rule, i).end;
    if (!in_prefix && (key < range.begin || key >= range.end)) return true;
    int64_t index = attn_view_row(&call->bias, w->b, w->h, i) + key * call->bias.stride[3];
    return attn_load_float(attn_bias_type(problem), call->bias.data, index) == -INFINITY ||
           !attn_mask_allows(problem, call, w->b, w->h, i, key);
}

/** Scores of a stage, times factor, to memory; false when the careful path must say what they are. */
static bool store_scores(const weights_work *w, int64_t i, int64_t key, int n, const float *scores, float factor) {
    float *out = (float *)w->job->call->weights.data + weights_row(w, i) + key;
    vi below = ~(vi){ 0 }, low = { 0 };
    int c = 0;
    for (; c + LANES <= n; c += LANES) {
        vf x = load(scores + c) * factor;
        store(out + c, x);
        below &= x < splat(INFINITY);
        low |= x == splat(-INFINITY);
    }
    bool good = !any_lane(~below), forbids = any_lane(low);
    for (; c < n; c++) {
        out[c] = scores[c] * factor;
        good &= out[c] < INFINITY;
        forbids |= out[c] == -INFINITY;
    }
    if (!forbids || !good) return good;
    if (w->stage != CLATTN_WEIGHTS_BIAS) return false; /* nothing forbids yet: something overflowed */
    if (w->job->problem->bias == CLATTN_BIAS_NONE) return true;
    for (c = 0; c < n && good; c++) good = out[c] != -INFINITY || is_forbidden(w, i, key + c);
    return good;
}

/** Products of row i with keys key .. key + n become scores and leave, or wait in the buffer. */
static bool take_scores(const weights_work *w, int64_t i, int64_t key, int n, float *scores) {
    const attn_cpu_job *job = w->job;
    attn_key_range range = attn_rule_keys(&w->rule, i);
    int low = inside_block(key, n, range.begin), high = inside_block(key, n, range.end);
    int prefix = inside_block(key, n, attn_rule_prefix(&w->rule, i).end);
    if (w->stage == CLATTN_WEIGHTS_RAW) return store_scores(w, i, key, n, scores, 1);
    if (w->stage == CLATTN_WEIGHTS_SOFTCAP) {
        if (job->problem->softcap == 0) return store_scores(w, i, key, n, scores, 1);
        step_row step = { .kinds = STEP_CAP, .cap = start_cap(job->problem->softcap) };
        step_scores(&step, scores, key, 0, n, 0, n);
        return store_scores(w, i, key, n, scores, (float)LN2);
    }
    if (job->stepped) {
        step_row step = start_step(job, w->b, w->h, i);
        step_scores(&step, scores, key, 0, n, prefix > 0 ? 0 : low, high);
    } else if (low > 0 || high < n || n % LANES != 0) {
        bounds_pass(scores, 0, n, prefix > 0 ? 0 : low, high);
    }
    for (int c = prefix; prefix > 0 && c < low; c++) scores[c] = -INFINITY;
    if (w->stage == CLATTN_WEIGHTS_BIAS) return store_scores(w, i, key, n, scores, (float)LN2);
    memcpy(w->buffer + (i - w->first) * w->buffer_pitch + key - w->range.begin, scores,
           (size_t)attn_round_up(n, LANES) * sizeof(float));
    return true;
}

/** Keys of a step in place and of a packed block go the same way. Rows that fail are marked in `good`. */
static void weights_keys(const weights_work *w, int64_t key, int n, bool *good) {
    const attn_cpu_job *job = w->job;
    if (w->height > 0) {
        float *rows = place_products(w, key, n);
        for (int64_t i = 0; i < w->count; i++)
            good[i] = take_scores(w, w->first + i, key, n, rows + i * DECODE_KEYS) && good[i];
        return;
    }
    const attn_keys keys = { &job->call->key, w->b, w->g };
    pack_keys(job->problem->type, floats_at(w->scratch, w->own->at.keys), &keys, key, n, job->problem->head_dim,
              splat(1.0f));
    for (int64_t row = 0; row < w->count; row += TILE_ROWS) {
        packed_products(w, row, n);
        for (int64_t i = row; i < attn_min(row + TILE_ROWS, w->count); i++)
            good[i] = take_scores(w, w->first + i, key, n, w->scores + (i - row) * SCORE_PITCH) && good[i];
    }
}

/** 2^(scores - maximum) of one row in its place; returns their sum, in parts that keep its digits. */
static float weights_exponentials(float *scores, int64_t n, float maximum) {
    vf zero = splat(maximum), sum = { 0 };
    for (int64_t part = 0; part < n; part += 64 * LANES) {
        vf of_part = { 0 };
        for (int64_t c = part; c < attn_min(n, part + 64 * LANES); c += LANES) {
            vf e = power_of_two(load(scores + c) - zero);
            store(scores + c, e);
            of_part += e;
        }
        sum += of_part;
    }
    return lanes_sum(sum);
}

/** The keys that the softmax asks for: those of the windows, and all before them where there is a prefix. */
static void find_range(weights_work *w) {
    const attn_cpu_job *job = w->job;
    attn_key_range prefix = attn_rows_prefix(job->problem, job->call, w->b, w->first, w->count);
    w->range = rows_keys(job, w->b, w->first, w->count);
    if (prefix.end == 0) return;
    bool none = w->range.begin >= w->range.end;
    w->gap = (attn_key_range){ prefix.end, none ? prefix.end : w->range.begin };
    w->range = (attn_key_range){ 0, none ? prefix.end : w->range.end };
}

/** Scores of keys key .. key + n that no row attends. */
static void skip_keys(const weights_work *w, int64_t key, int n) {
    for (int64_t i = 0; i < w->count; i++) {
        float *scores = w->buffer + i * w->buffer_pitch + key - w->range.begin;
        for (int c = 0; c < n; c++) scores[c] = -INFINITY;
    }
}

static void store_zeros(const weights_work *w, int64_t i, int64_t begin, int64_t end) {
    clattn_type type = w->job->problem->type;
    int64_t size = type == CLATTN_FP32 ? 4 : 2;
    char *row = (char *)w->job->call->weights.data + weights_row(w, i) * size;
    if (begin < end) memset(row + begin * size, 0, (size_t)((end - begin) * size));
}

/** The softmax of a row whose scores wait in the buffer. False: nothing, or something not finite. */
static bool store_softmax(const weights_work *w, int64_t i) {
    const attn_cpu_job *job = w->job;
    float *scores = w->buffer + (i - w->first) * w->buffer_pitch, maximum, sum;
    int64_t n = w->range.end - w->range.begin, whole = attn_round_up(n, LANES);
    vf sink;
    start_row(job, w->h, &maximum, &sink);
    float of_sink = maximum;
    for (int64_t c = 0; c < whole; c += job->block_key) {
        float top = maximum_pass(scores + c, 0, (int)attn_min(whole - c, job->block_key));
        maximum = top > maximum ? top : maximum;
    }
    if (!(maximum > -INFINITY)) return false;
    sum = weights_exponentials(scores, whole, maximum);
    if (of_sink > -INFINITY) sum += sink[0] * power_of_two(splat(of_sink - maximum))[0];
    if (!(sum < INFINITY)) return false;
    store_zeros(w, i, 0, w->range.begin);
    store_row(job->problem->type, job->call->weights.data, weights_row(w, i) + w->range.begin, scores, n, 1 / sum);
    store_zeros(w, i, w->range.end, job->problem->key_length);
    return true;
}

static void weights_item(const attn_cpu_weights_job *own, int64_t item, void *scratch) {
    const attn_cpu_job *job = &own->job;
    weights_work w = start_weights(own, item, scratch);
    int64_t used = attn_clamp(w.rule.query_length - w.first, 0, w.count);
    bool good[ATTN_CPU_WEIGHTS_ROWS], softmax = w.stage == CLATTN_WEIGHTS_SOFTMAX;
    for (int64_t i = used; i < w.count; i++) careful_weights(&w, w.first + i); /* beyond the used length: zeros */
    if (used == 0) return;
    w.count = used;
    w.range = (attn_key_range){ 0, w.keys };
    if (softmax) find_range(&w);
    w.range.begin = w.range.begin / DECODE_KEYS * DECODE_KEYS;
    start_weights_rows(&w);
    for (int64_t i = 0; i < w.count; i++) good[i] = true;
    int64_t step = w.height > 0 ? DECODE_KEYS : job->block_key;
    for (int64_t key = w.range.begin; key < w.range.end; key += step) {
        if (key >= w.gap.begin && key + step <= w.gap.end) {
            skip_keys(&w, key, (int)step);
        } else {
            weights_keys(&w, key, (int)attn_min(step, w.range.end - key), good);
        }
    }
    for (int64_t i = 0; i < w.count; i++) {
        bool done = good[i];
        if (softmax) {
            done = w.range.begin < w.range.end && store_softmax(&w, w.first + i);
        } else if (done) {
            float *row = (float *)job->call->weights.data + weights_row(&w, w.first + i);
            for (int64_t key = w.keys; key < job->problem->key_length; key++) row[key] = 0;
        }
        if (!done) careful_weights(&w, w.first + i);
    }
}

#endif
