// What a team of LANES work-items of attention_decode_gpu.cl does with KEYS keys: products and softmax; the sums of values
// are in decode_values.cl.h.
// Knows nothing of splits and of other teams. Defines: those of attention_decode_gpu.cl.
#ifndef ATTN_DECODE_TEAM_CL_H
#define ATTN_DECODE_TEAM_CL_H

#include "include/arguments.cl.h"
#include "include/decode_local.cl.h"
#include "include/dropout.cl.h"
#include "include/index.cl.h"
#include "include/lanes.cl.h"
#include "include/mask.cl.h"
#include "include/softmax_online.cl.h"

#define OWNED ((SCORES + LANES - 1) / LANES) // scores that a lane finishes: numbers lane + n * LANES

typedef struct team_member {
    long b, g, first;      // batch entry, key-value head, first row
    int rows, lane, team;  // rows that exist
    __local float *shared; // of the work-group
    attn_gap gap;          // between a prefix and the window
} team_member;

static inline long row_head(const attn_arguments *a, const team_member *t, int i) {
    return t->g * a->group + (t->first + min(i, t->rows - 1)) % a->group;
}

static inline long row_position(const attn_arguments *a, const team_member *t, int i) {
    return (t->first + min(i, t->rows - 1)) / a->group;
}

// Chunk p of a lane begins at column (p * LANES + lane) * CHUNK.
#define COLUMN(t, p) (((p) * LANES + (t)->lane) * CHUNK)

// Local memory of the work-item alone for chunk n of a load, where rows are not aligned.
#define SLOW_CHUNK(t, n) ((t)->shared + AT_SLOW + ((n) * THREADS + (t)->team * LANES + (t)->lane) * 4)

// The team's next KEYS keys (or values), from key `first` + team on, TEAMS apart; zeros from key `end` on. Both are numbers
// without the gap.
static inline void load_keys(const lanes_rows *r, const team_member *t, long first, long end,
                             uint4 chunks[KEYS][PARTS]) {
    __global const attn_storage *row = r->start + attn_key_offset(r->stride, attn_gap_key(&t->gap, first) + t->team);
    const int there = (int)min(end - first - t->team, (long)(KEYS * TEAMS));
    if (r->aligned) {
        LANES_OPAQUE(row);
#pragma unroll
        for (int u = 0; u < KEYS; u++) {
#pragma unroll
            for (int p = 0; p < PARTS; p++) {
                const int dims = u * TEAMS < there ? r->dims : 0;
                chunks[u][p] = lanes_chunk(row + u * (TEAMS * r->stride), COLUMN(t, p), dims);
            }
        }
        return;
    }
#pragma unroll 1
    for (int n = 0; n < KEYS * PARTS; n++) {
        const int u = n / PARTS, dims = u * TEAMS < there ? r->dims : 0;
        lanes_gather(row + u * (TEAMS * r->stride), COLUMN(t, n % PARTS), dims, (__local uint *)SLOW_CHUNK(t, n));
    }
#pragma unroll
    for (int n = 0; n < KEYS * PARTS; n++) {
        chunks[n / PARTS][n % PARTS] = *(__local const uint4 *)SLOW_CHUNK(t, n);
    }
}

#if QUERY_IN_REGISTERS
#define QUERY_FLOATS (ROWS * SHARE)
#else
#define QUERY_FLOATS 1
#endif

// Query rows: a lane's own columns into q, or those of all lanes into local memory (then a barrier must follow).
static inline void load_query(const attn_arguments *a, const team_member *t, __global const attn_storage *query,
                              float *q) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const lanes_rows r = lanes_get_rows(
            query + attn_row_at(&a->query, t->b, row_head(a, t, i), row_position(a, t, i)), 0, a->head_dim);
        const int dims = i < t->rows ? r.dims : 0;
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            float y[CHUNK];
            if (r.aligned) {
                lanes_unpack(lanes_chunk(r.start, COLUMN(t, p), dims), y);
            } else {
                lanes_gather(r.start, COLUMN(t, p), dims, (__local uint *)SLOW_CHUNK(t, 0));
                lanes_unpack(*(__local const uint4 *)SLOW_CHUNK(t, 0), y);
            }
#pragma unroll
            for (int n = 0; n < CHUNK; n++) {
#if QUERY_IN_REGISTERS
                q[i * SHARE + p * CHUNK + n] = y[n];
#else
                t->shared[AT_QUERY + i * WIDTH + (p * CHUNK + n / 4 * 4) * LANES + t->lane * 4 + n % 4] = y[n];
#endif
            }
        }
    }
}

// The lane's part of the products of all rows with the keys, for the owners of the scores. The order of the loops keeps
// few numbers alive.
static inline void multiply_keys(const team_member *t, const float *q, uint4 chunks[KEYS][PARTS]) {
    __local float *sums = t->shared + t->team * TEAM_STRIDE + t->lane;
#if QUERY_IN_REGISTERS
#pragma unroll
    for (int u = 0; u < KEYS; u++) {
        float y[SHARE];
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            lanes_unpack(chunks[u][p], y + p * CHUNK);
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < SHARE; n++) {
                sum = fma(q[i * SHARE + n], y[n], sum);
            }
            sums[(u * ROWS + i) * SUM_STRIDE] = sum;
        }
    }
#else
    float y[KEYS][SHARE];
#pragma unroll
    for (int u = 0; u < KEYS; u++) {
#pragma unroll
        for (int p = 0; p < PARTS; p++) {
            lanes_unpack(chunks[u][p], y[u] + p * CHUNK);
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        float s[KEYS];
#pragma unroll
        for (int u = 0; u < KEYS; u++) {
            s[u] = 0.0f;
        }
#pragma unroll
        for (int n = 0; n < SHARE; n += 4) {
            const float4 x = *(__local const float4 *)(t->shared + AT_QUERY + i * WIDTH + n * LANES + t->lane * 4);
#pragma unroll
            for (int u = 0; u < KEYS; u++) {
                s[u] = fma(x.y, y[u][n + 1], fma(x.x, y[u][n], s[u]));
                s[u] = fma(x.w, y[u][n + 3], fma(x.z, y[u][n + 2], s[u]));
            }
        }
#pragma unroll
        for (int u = 0; u < KEYS; u++) {
            sums[(u * ROWS + i) * SUM_STRIDE] = s[u];
        }
    }
#endif
}

// The sum over the lanes of score `number` of the team.
static inline float sum_lanes(const team_member *t, int number) {
    __local const float4 *parts = (__local const float4 *)(t->shared + t->team * TEAM_STRIDE + number * SUM_STRIDE);
    float4 sum = parts[0];
#pragma unroll
    for (int n = 1; n < LANES / 4; n++) {
        sum += parts[n];
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

// A row of the work-group, in local memory: what finishing its scores takes.
typedef struct shared_row {
    attn_row row;
    attn_range range; // keys it may attend to; without a prefix, inside the split
#if ATTN_DROPOUT
    attn_dropout_row dropout;
#endif
} shared_row;

typedef char shared_row_fits[sizeof(shared_row) <= ROW_FLOATS * sizeof(float) ? 1 : -1];

#define SHARED_ROW(t, i) ((__local shared_row *)((t)->shared + AT_ROWS) + (i))

// The work-items below ROWS, a row each.
static inline void describe_row(const attn_arguments *a, const attn_extras *x, const attn_entry *e,
                                const team_member *t, attn_range part, int i) {
    shared_row r = { attn_get_row(a, x, e, t->b, row_head(a, t, i), row_position(a, t, i)),
                     attn_row_range(a, e, row_position(a, t, i)) };
#if ATTN_DROPOUT
    r.dropout = attn_get_dropout_row(x, t->b, row_head(a, t, i), row_position(a, t, i));
#endif
#if ATTN_PREFIX
    if (i >= t->rows) {
        r.range.end = r.range.prefix = 0;
    }
#else
    r.range.begin = max(r.range.begin, part.begin);
    r.range.end = i < t->rows ? min(r.range.end, part.end) : 0;
#endif
    *SHARED_ROW(t, i) = r;
}

// What a lane keeps of the one row whose scores it finishes, lane % ROWS: the team's maximum, the sum of its own keys.
typedef struct running_row {
    float maximum, sum;
} running_row;

// The weight of key k, 0 where dropped.
static inline float kept_weight(__local const shared_row *r, long k, float w) {
#if ATTN_DROPOUT
    const attn_dropout_row dropout = r->dropout;
    return attn_dropout_keeps(&dropout, k) ? w : 0.0f;
#else
    return w;
#endif
}

// From products to weights: keys `first` + team + u * TEAMS, in numbers without the gap and below `end`. Every work-item
// of the team comes here.
static inline void softmax_step(const attn_arguments *a, const attn_extras *x, const team_member *t, long first,
                                long end, running_row *o) {
    const long near = attn_gap_key(&t->gap, first) + t->team;
    const int there = ATTN_PREFIX ? (int)min(end - first - t->team, (long)(KEYS * TEAMS)) : KEYS * TEAMS;
    __local float *scores = t->shared + AT_SCORES + t->team * SCORES + t->lane % ROWS * KEYS;
    __local float *weights = t->shared + AT_WEIGHTS + t->team * SCORES;
    __local const shared_row *r = SHARED_ROW(t, t->lane % ROWS);
    float mine[OWNED];
    LANES_SYNC();
#pragma unroll
    for (int n = 0; n < OWNED; n++) {
        const int number = (t->lane + n * LANES) % SCORES, u = number / ROWS;
        const long k = near + u * TEAMS;
        const attn_range range = r->range;
        mine[n] = -INFINITY;
        if (t->lane < SCORES && attn_range_has(&range, k) && u * TEAMS < there) {
            const attn_row row = r->row;
            mine[n] = attn_score_step(a, x, &row, k, sum_lanes(t, number) * a->scale);
        }
        if (t->lane < SCORES) {
            scores[u] = mine[n];
        }
    }
    LANES_SYNC();
    float top = o->maximum;
#pragma unroll
    for (int u = 0; u < KEYS; u++) {
        top = scores[u] > top ? scores[u] : top;
    }
    const float keep = softmax_rescale(o->maximum, top);
    o->maximum = top;
    o->sum *= keep;
#pragma unroll
    for (int n = 0; n < OWNED; n++) {
        const float w = exp2((mine[n] - softmax_reference(top)) * LOG2_E);
        if (t->lane < SCORES) {
            const int number = (t->lane + n * LANES) % SCORES;
            weights[number] = kept_weight(r, near + number / ROWS * TEAMS, w);
        }
        o->sum += w;
    }
    if (t->lane < ROWS) {
        t->shared[AT_KEEP + t->team * ROWS + t->lane] = keep;
    }
    LANES_SYNC();
}

#endif
