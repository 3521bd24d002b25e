/*
 * Decode, the very few rows of a group: both products with keys and values as they lie in memory. A tile has 1, 2, 4 or
 * 8 rows; its scores lie [keys / stripe][rows][stripe], stripe = LANES / rows, as the reduction of its dot products
 * leaves them, so that the softmax takes all rows at once. While keys are multiplied, their values are prefetched, and
 * with the values the next keys; on some processors also keys and values FAR_BLOCKS further on, into L2.
 */
#ifndef ATTN_ENGINES_CPU_DECODE_CPU_DECODE_PLACE_H
#define ATTN_ENGINES_CPU_DECODE_CPU_DECODE_PLACE_H

#include <math.h>
#include <string.h>

#include "engines/cpu/decode/cpu_decode_group.h"
#include "engines/cpu/shared/cpu_pack.h"
#include "engines/cpu/shared/cpu_step.h"
#include "problem/key_run.h"

enum { PLACE_TILE = LANES >= 16 ? 8 : 4, PLACE_SUMS = LANES >= 16 ? 16 : 8, LINE = 64, FAR_BLOCKS = 2 };

/** A tile of rows under way; lane r * stripe + i of both belongs to row r. */
typedef struct place_tile {
    int64_t row; /* of the group */
    int height;
    vf maxima, sums;
} place_tile;

/** n keys from number `first` on that lie in one run, and so do their values. */
typedef struct place_keys {
    int64_t first;
    int n;
    attn_key_run keys, values;
} place_keys;

/** Those of the n keys from number `first` on that a block may take at once. */
static inline place_keys get_place_keys(const decode_work *w, int64_t first, int64_t n) {
    const attn_keys keys = { &w->job->call->key, w->b, w->g }, values = { &w->job->call->value, w->b, w->g };
    place_keys block = { .first = first, .keys = attn_key_run_at(&keys, first, n) };
    block.values = attn_key_run_at(&values, first, block.keys.n);
    block.n = (int)block.values.n;
    return block;
}

/** Height of the next tile when `left` rows are left. */
static inline int place_height(int64_t left) {
    int height = PLACE_TILE;
    while (height > 1 && left <= height / 2) height /= 2;
    return height;
}

/** 2 * LANES elements. bf16: the even ones, then the odd ones (of little-endian words), which takes no shuffles. */
INLINE void load_pair(const clattn_type type, const void *data, int64_t index, vf *pair) {
    if (type != CLATTN_BF16) {
        pair[0] = load_typed(type, data, index);
        pair[1] = load_typed(type, data, index + LANES);
        return;
    }
    vu words;
    memcpy(&words, (const uint16_t *)data + index, sizeof words);
    pair[0] = (vf)(words << 16);
    pair[1] = (vf)(words & 0xffff0000u);
}

/** One of the caller's rows into floats in the order of load_pair(), times factor; the last vector is filled up with 0. */
INLINE void copy_paired(const clattn_type type, float *copy, const void *data, int64_t index, int64_t dim, vf factor) {
    int64_t d = 0;
    for (; d + 2 * LANES <= dim; d += 2 * LANES) {
        vf pair[2];
        load_pair(type, data, index + d, pair);
        store(copy + d, pair[0] * factor);
        store(copy + d + LANES, pair[1] * factor);
    }
    for (; d < dim; d += LANES) store(copy + d, load_up_to(type, data, index + d, dim - d) * factor);
}

/** A query's row as place_dots() takes it (`paired`), or as packed keys are multiplied with it; pitch floats, times factor. */
static void copy_query(const attn_cpu_job *job, bool paired, float *copy, int64_t pitch, int64_t b, int64_t h,
                       int64_t i, vf factor) {
    const clattn_problem *problem = job->problem;
    const attn_view *query = &job->call->query;
    int64_t index = attn_view_row(query, b, h, i);
    if (paired && problem->type == CLATTN_BF16) {
        copy_paired(CLATTN_BF16, copy, query->data, index, problem->head_dim, factor);
    } else {
        copy_rows(problem->type, copy, pitch, query->data, index, 0, 1, problem->head_dim, factor);
    }
}

/** Sums of bf16 values back in the order of their columns. */
static void order_pairs(float *output, int64_t dim) {
    for (int64_t c = 0; c + 2 * LANES <= dim; c += 2 * LANES) {
        vf even = load(output + c), odd = load(output + c + LANES);
        store(output + c, interleave_low(even, odd));
        store(output + c + LANES, interleave_high(even, odd));
    }
}

/** What is prefetched meanwhile: memory so many bytes from what is read, into L1 and into L2; 0: nothing. */
typedef struct place_ahead {
    intptr_t near, far;
} place_ahead;

/** Prefetches the lines of `vectors` vectors: a hint, wherever that is. */
INLINE void prefetch_vectors(const clattn_type type, const int vectors, const void *data, int64_t index,
                             place_ahead ahead) {
    const int size = type == CLATTN_FP32 ? 4 : 2;
    uintptr_t at = (uintptr_t)data + (uintptr_t)(index * size), near = at + (uintptr_t)ahead.near;
    UNROLL for (int x = 0; x < vectors * LANES * size; x += LINE) __builtin_prefetch((const void *)(near + x), 0, 3);
    if (ahead.far == 0) return;
    at += (uintptr_t)ahead.far;
    UNROLL for (int x = 0; x < vectors * LANES * size; x += LINE) __builtin_prefetch((const void *)(at + x), 0, 2);
}

/** `height` rows against `count` keys at `at`: sums along the dim, still one vector each, in a[r * stripe + i]. */
INLINE void place_dots(const clattn_type type, const int height, const int count, const int stripe, const void *data,
                       const int64_t *at, const float *queries, int64_t pitch, int64_t dim, vf *a, place_ahead ahead) {
    int64_t d = 0;
    UNROLL for (int r = 0; r < height; r++) {
        UNROLL for (int i = 0; i < count; i++) a[r * stripe + i] = (vf){ 0 };
    }
    for (; d + 2 * LANES <= dim; d += 2 * LANES) {
        UNROLL for (int i = 0; i < count; i++) {
            vf k[2];
            load_pair(type, data, at[i] + d, k);
            prefetch_vectors(type, 2, data, at[i] + d, ahead);
            UNROLL for (int r = 0; r < height; r++) {
                a[r * stripe + i] += load(queries + r * pitch + d) * k[0];
                a[r * stripe + i] += load(queries + r * pitch + d + LANES) * k[1];
            }
        }
    }
    for (; d < dim; d += LANES) {
        UNROLL for (int i = 0; i < count; i++) {
            vf k = load_up_to(type, data, at[i] + d, dim - d);
            UNROLL for (int r = 0; r < height; r++) a[r * stripe + i] += load(queries + r * pitch + d) * k;
        }
    }
}

/** Products of a tile with n keys of a run; of the last stripe's missing keys some number. `ahead` is prefetched. */
INLINE void place_scores(const clattn_type type, const int height, const decode_work *w, const float *queries,
                         const attn_key_run *keys, int n, place_ahead ahead) {
    const void *data = w->job->call->key.data;
    const int stripe = LANES / height, count = stripe < 4 ? stripe : 4;
    const int64_t first = keys->first, stride = keys->stride;
    for (int c = 0; c < n; c += stripe) {
        vf a[LANES];
        UNROLL for (int part = 0; part < stripe; part += count) {
            int64_t at[4];
            UNROLL for (int i = 0; i < count; i++) {
                at[i] = first + (c + part + i < n ? c + part + i : n - 1) * stride;
            }
            place_dots(type, height, count, stripe, data, at, queries, w->dim_pitch, w->job->problem->head_dim,
                       a + part, ahead);
        }
        store(w->scores + c * height, transposed_sums(a));
    }
}

/** Scores that need more than the product, by step or bounds: row by row out of the tile and back. */
static void place_step(const decode_work *w, const place_tile *t, int64_t key, int n) {
    const attn_cpu_job *job = w->job;
    const int height = t->height, stripe = LANES / height;
    float *scores = w->scores + PLACE_TILE * DECODE_KEYS;
    for (int r = 0; r < height; r++) {
        attn_key_range range = w->ranges[t->row + r];
        int low = inside_block(key, n, range.begin), high = inside_block(key, n, range.end);
        bool stepped = job->stepped && t->row + r < w->rows;
        if (!stepped && low == 0 && high == n && n % stripe == 0) continue;
        for (int c = 0; c < n; c += stripe)
            memcpy(scores + c, w->scores + c * height + r * stripe, (size_t)stripe * sizeof(float));
        if (stepped) {
            step_row step = start_step(job, w->b, decode_head(w, t->row + r), decode_row(w, t->row + r));
            step_scores(&step, scores, key, 0, n, low, high);
        } else {
            bounds_pass(scores, 0, n, low, high);
        }
        for (int c = 0; c < n; c += stripe)
            memcpy(w->scores + c * height + r * stripe, scores + c, (size_t)stripe * sizeof(float));
    }
}

/** Some row's maximum grew by more than LAZY: it takes the new one, and what was summed before is rescaled. */
static __attribute__((noinline)) void raise_tile(place_tile *t, vf top, float *output, int64_t pitch) {
    const int stripe = LANES / t->height;
    for (int r = 0; r < t->height; r++) {
        float most = top[r * stripe], old = t->maxima[r * stripe];
        for (int i = 1; i < stripe; i++) most = top[r * stripe + i] > most ? top[r * stripe + i] : most;
        if (!(most > old + LAZY)) continue;
        vf factor = old > -INFINITY ? power_of_two(splat(old - most)) : (vf){ 0 };
        for (int i = 0; i < stripe; i++) {
            t->maxima[r * stripe + i] = most;
            t->sums[r * stripe + i] *= factor[0];
        }
        float *sums = output + r * pitch;
        for (int64_t c = 0; c < pitch; c += LANES) store(sums + c, load(sums + c) * factor);
    }
}

/** Scores of a tile, in log2, to weights relative to its rows' maxima. */
static void place_softmax(place_tile *t, float *scores, int vectors, float *output, int64_t pitch) {
    vf top = splat(-INFINITY), top2 = top, sum = { 0 }, sum2 = sum;
    int v = 0;
    for (; v + 2 <= vectors; v += 2) {
        top = vmax(load(scores + v * LANES), top);
        top2 = vmax(load(scores + (v + 1) * LANES), top2);
    }
    if (v < vectors) top = vmax(load(scores + v * LANES), top);
    top = vmax(top, top2);
    if (any_lane(top > t->maxima + splat(LAZY))) raise_tile(t, top, output, pitch);
    vf zero = choose(t->maxima > splat(-INFINITY), t->maxima, (vf){ 0 });
    for (v = 0; v + 4 <= vectors; v += 4) {
        vf e[4];
        UNROLL for (int i = 0; i < 4; i++) e[i] = power_of_two(load(scores + (v + i) * LANES) - zero);
        UNROLL for (int i = 0; i < 4; i++) store(scores + (v + i) * LANES, e[i]);
        sum += e[0] + e[1];
        sum2 += e[2] + e[3];
    }
    for (; v < vectors; v++) {
        vf e = power_of_two(load(scores + v * LANES) - zero);
        store(scores + v * LANES, e);
        sum += e;
    }
    t->sums += sum + sum2;
}

/** Weights of a tile that are dropped become 0. */
static __attribute__((noinline)) void place_dropout(const decode_work *w, const place_tile *t, int64_t key, int n) {
    uint32_t room[DROPOUT_ROOM] __attribute__((aligned(ATTN_VECTOR_BYTES)));
    const int height = t->height, stripe = LANES / height;
    for (int r = 0; r < height && t->row + r < w->rows; r++) {
        const int64_t row = t->row + r;
        const uint32_t *masks = dropout_masks(w->dropout, decode_head(w, row), decode_row(w, row), key, n, room);
        float *weights = w->scores + r * stripe;
        for (int c = 0; c < n; c += stripe, weights += LANES) {
            for (int k = 0; k < stripe; k++) weights[k] = c + k < n && masks[c + k] ? weights[k] : 0;
        }
    }
}

/** `vectors` vectors of columns of a tile's sums; `last` > 0: one vector of that many elements. */
INLINE void place_columns(const clattn_type type, const int height, const int vectors, const decode_work *w,
                          const attn_key_run *values, int64_t column, float *output, int64_t last, place_ahead ahead) {
    const void *data = w->job->call->value.data;
    int64_t at = values->first + column;
    const int n = (int)values->n;
    const int stripe = LANES / height;
    vf a[PLACE_TILE][8];
    UNROLL for (int r = 0; r < height; r++) {
        UNROLL for (int c = 0; c < vectors; c++) a[r][c] = (vf){ 0 };
    }
    const float *weights = w->scores;
    for (int key = 0; key < n; key++, at += values->stride, weights++) {
        if (key > 0 && key % stripe == 0) weights += LANES - stripe;
        vf v[8];
        if (vectors == 1) v[0] = load_up_to(type, data, at, last ? last : LANES);
        UNROLL for (int c = 0; c + 2 <= vectors; c += 2) load_pair(type, data, at + c * LANES, v + c);
        if (vectors > 1) prefetch_vectors(type, vectors, data, at, ahead);
        UNROLL for (int r = 0; r < height; r++) {
            vf p = splat(weights[r * stripe]);
            UNROLL for (int c = 0; c < vectors; c++) a[r][c] += p * v[c];
        }
    }
    UNROLL for (int r = 0; r < height; r++) {
        float *sum = output + r * w->own->value_pitch;
        UNROLL for (int c = 0; c < vectors; c++) store(sum + c * LANES, load(sum + c * LANES) + a[r][c]);
    }
}

INLINE void place_values(const clattn_type type, const int height, const decode_work *w, const attn_key_run *values,
                         float *output, place_ahead ahead) {
    const int most = PLACE_SUMS / height < 8 ? PLACE_SUMS / height : 8;
    int64_t dim = w->job->problem->value_dim, c = 0;
#define PLACE_COLUMNS(vectors)                                                                                         \
    for (; most >= vectors && c + vectors * LANES <= dim; c += vectors * LANES)                                        \
        place_columns(type, height, vectors, w, values, c, output + c, 0, ahead);
    PLACE_COLUMNS(8)
    PLACE_COLUMNS(4)
    PLACE_COLUMNS(2)
    PLACE_COLUMNS(1)
#undef PLACE_COLUMNS
    if (c < dim) place_columns(type, height, 1, w, values, c, output + c, dim - c, ahead);
}

/** From bytes of keys to those of values, and on to the keys of the next block, where both are laid out alike. */
INLINE void next_memory(const decode_work *w, int64_t size, const place_keys *block, place_ahead *to_values,
                        place_ahead *to_keys) {
    const attn_call *call = w->job->call;
    const int64_t n = block->n;
    uintptr_t from = (uintptr_t)call->key.data + (uintptr_t)(block->keys.first * size),
              to = (uintptr_t)call->value.data + (uintptr_t)(block->values.first * size);
    to_values->near = (intptr_t)(to - from);
    to_keys->near = n * block->keys.stride * size - to_values->near;
    if (w->own->near) return;
    to_values->far = FAR_BLOCKS * n * block->keys.stride * size;
    to_keys->far = FAR_BLOCKS * n * block->values.stride * size;
}

/** One tile against a block of keys. Of a group's tiles the first prefetches what comes next. */
INLINE void place_block(const clattn_type type, const int height, const decode_work *w, place_tile *t,
                        const place_keys *block) {
    const int stripe = LANES / height, n = block->n;
    const int64_t key = block->first;
    float *output = w->output + t->row * w->own->value_pitch;
    place_ahead to_values = { 0 }, to_keys = { 0 };
    if (t->row == 0) next_memory(w, type == CLATTN_FP32 ? 4 : 2, block, &to_values, &to_keys);
    place_scores(type, height, w, w->queries + t->row * w->dim_pitch, &block->keys, n, to_values);
    if (w->job->stepped || key < w->inner.begin || key + n > w->inner.end || n % stripe != 0) place_step(w, t, key, n);
    place_softmax(t, w->scores, (n + stripe - 1) / stripe, output, w->own->value_pitch);
    if (w->dropout) place_dropout(w, t, key, n);
    place_values(type, height, w, &block->values, output, to_keys);
}

/* An instance a type and a height. */
#define DEFINE_PLACE(name, type)                                                                                       \
    static void name(const decode_work *w, place_tile *t, const place_keys *block) {                                   \
        switch (t->height) {                                                                                           \
            case 1: place_block(type, 1, w, t, block); break;                                                          \
            case 2: place_block(type, 2, w, t, block); break;                                                          \
            case 4: place_block(type, 4, w, t, block); break;                                                          \
            default: place_block(type, PLACE_TILE, w, t, block); break;                                                \
        }                                                                                                              \
    }
DEFINE_PLACE(place_fp32, CLATTN_FP32)
DEFINE_PLACE(place_fp16, CLATTN_FP16)
DEFINE_PLACE(place_bf16, CLATTN_BF16)
#undef DEFINE_PLACE

#endif
