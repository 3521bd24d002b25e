/*
 * The additive kernel, compiled once per instruction set: the includer says how wide a vector is and what to call the
 * table. Everything here is static, so that no function compiled for one instruction set is ever entered for another.
 */
#include <math.h>
#include <string.h>

#include "engines/additive/additive_cpu.h"
#include "engines/cpu/shared/cpu_vector.h"

/** 1 / q for 1 <= q < 1000, relative error 2^-23 at most. */
INLINE vf reciprocal(vf q) {
#if ATTN_VECTOR_BYTES == 64
    vf r = (vf)_mm512_rcp14_ps((__m512)q); /* the division itself is the slowest step of all by far */
    return r + r * (splat(1.0f) - q * r);
#else
    return splat(1.0f) / q;
#endif
}

/**
 * tanh, absolute error 5e-7 at most; NaN at NaN: of two numbers, one NaN, the limits answer the second. x times a
 * quotient of polynomials of degree 4 in x^2, relative error 1.9e-8 on [-9, 9] before rounding (iterated weighted least
 * squares).
 */
INLINE vf tanh_vector(vf x) {
    x = vmin(splat(9.0f), vmax(splat(-9.0f), x));
    vf y = x * x, p = splat(1.33532048e-8f), q = splat(7.7759654e-7f);
    p = p * y + splat(2.06080476e-5f);
    q = q * y + splat(3.28553317e-4f);
    p = p * y + splat(3.49552697e-3f);
    q = q * y + splat(2.58767512e-2f);
    p = p * y + splat(1.33809745e-1f);
    q = q * y + splat(4.6714291e-1f);
    p = p * y + splat(1.0f);
    q = q * y + splat(1.0f);
    return x * p * reciprocal(q);
}

/* Scores of `rows` rows (a constant) at one key. The scratch's query and v are padded with zeros. */
INLINE void score_key(const attn_additive_job *job, const float *query, const float *v, const float *key, int rows,
                      float *scores) {
    int64_t hidden = job->problem->hidden, pitch = job->hidden_pitch, whole = hidden / LANES * LANES;
    vf sum[ATTN_ADDITIVE_ROWS] = { { 0 } };
    for (int64_t h = 0; h < whole; h += LANES) {
        vf k = load(key + h), w = load(v + h);
        UNROLL for (int r = 0; r < rows; r++) sum[r] += w * tanh_vector(load(query + r * pitch + h) + k);
    }
    if (whole < hidden) {
        float tail[LANES] = { 0 };
        memcpy(tail, key + whole, (size_t)(hidden - whole) * sizeof *tail);
        vf k = load(tail), w = load(v + whole);
        UNROLL for (int r = 0; r < rows; r++) sum[r] += w * tanh_vector(load(query + r * pitch + whole) + k);
    }
    UNROLL for (int r = 0; r < rows; r++) scores[r * job->score_pitch] = lanes_sum(sum[r]);
}

/* -inf where row i may not attend, and up to a whole vector beyond the keys. Returns how many keys are allowed. */
static int64_t apply_mask(const attn_additive_job *job, int64_t b, int64_t i, int64_t keys, float *scores) {
    int64_t allowed = keys;
    for (int64_t j = 0; job->call->mask && j < keys; j++) {
        if (!attn_additive_allowed(job->call, b, i, j)) {
            scores[j] = -INFINITY;
            allowed--;
        }
    }
    for (int64_t j = keys; j < attn_round_up(keys, LANES); j++) {
        scores[j] = -INFINITY;
    }
    return allowed;
}

/* Turns scores into weights, not yet divided by their sum, which it returns. NaN stays: the maximum ignores it, the
 * sum not. */
static float exponentials(float *scores, int64_t keys, float *top) {
    vf most = splat(-INFINITY), sum = splat(0.0f);
    for (int64_t j = 0; j < keys; j += LANES) {
        most = vmax(load(scores + j), most);
    }
    vf m = splat(*top = lanes_max(most));
    for (int64_t first = 0; first < keys; first += ATTN_ADDITIVE_PART * LANES) {
        vf part = splat(0.0f);
        for (int64_t j = first; j < attn_min(keys, first + ATTN_ADDITIVE_PART * LANES); j += LANES) {
            vf w = power_of_two((load(scores + j) - m) * splat((float)LOG2E));
            store(scores + j, w);
            part += w;
        }
        sum += part;
    }
    return lanes_sum(sum);
}

/* `vectors` (a constant) vectors of columns. A key without weight is not looked at: its value may be anything. */
INLINE void sum_columns(const float *value, int64_t stride, const float *weights, int64_t keys, float factor,
                        int vectors, float *output) {
    vf total[4] = { { 0 } };
    for (int64_t first = 0; first < keys; first += ATTN_ADDITIVE_PART) {
        vf part[4] = { { 0 } };
        for (int64_t j = first; j < attn_min(keys, first + ATTN_ADDITIVE_PART); j++) {
            if (weights[j] != 0.0f) {
                vf w = splat(weights[j]);
                UNROLL for (int n = 0; n < vectors; n++) part[n] += w * load(value + j * stride + n * LANES);
            }
        }
        UNROLL for (int n = 0; n < vectors; n++) total[n] += part[n];
    }
    UNROLL for (int n = 0; n < vectors; n++) store(output + n * LANES, total[n] * splat(factor));
}

static void sum_column(const float *value, int64_t stride, const float *weights, int64_t keys, float factor,
                       float *output) {
    float total = 0;
    for (int64_t first = 0; first < keys; first += ATTN_ADDITIVE_PART) {
        float part = 0;
        for (int64_t j = first; j < attn_min(keys, first + ATTN_ADDITIVE_PART); j++) {
            part += weights[j] != 0.0f ? weights[j] * value[j * stride] : 0.0f;
        }
        total += part;
    }
    *output = total * factor;
}

static void sum_values(const attn_additive_job *job, int64_t b, int64_t keys, const float *weights, float factor,
                       float *output) {
    int64_t dim = job->problem->value_dim, d = 0;
    const float *value = keys > 0 ? job->call->value + b * job->problem->key_length * dim : NULL;
    for (; keys > 0 && d + 4 * LANES <= dim; d += 4 * LANES) {
        sum_columns(value + d, dim, weights, keys, factor, 4, output + d);
    }
    for (; keys > 0 && d + LANES <= dim; d += LANES) {
        sum_columns(value + d, dim, weights, keys, factor, 1, output + d);
    }
    for (; keys > 0 && d < dim; d++) {
        sum_column(value + d, dim, weights, keys, factor, output + d);
    }
    if (keys == 0) {
        memset(output, 0, (size_t)dim * sizeof *output);
    }
}

/* From the scores of row i to its outputs; keys 0 for a row that is not used. */
static void finish_row(const attn_additive_job *job, int64_t b, int64_t i, int64_t keys, float *scores) {
    const attn_additive_call *call = job->call;
    int64_t row = b * job->problem->query_length + i;
    float top = -INFINITY, sum = 0, factor = 0;
    keys = apply_mask(job, b, i, keys, scores) > 0 ? keys : 0;
    if (keys > 0) {
        sum = exponentials(scores, keys, &top);
        factor = 1.0f / sum;
    }
    sum_values(job, b, keys, scores, factor, call->output + row * job->problem->value_dim);
    if (call->logsumexp) {
        call->logsumexp[row] = keys > 0 ? top + logf(sum) : -INFINITY;
    }
    if (call->weights) {
        float *weights = call->weights + row * job->problem->key_length;
        for (int64_t j = 0; j < call->key_length; j++) {
            weights[j] = j < keys ? scores[j] * factor : 0.0f;
        }
    }
}

static void copy_padded(const float *from, int64_t count, int64_t pitch, float *to) {
    memcpy(to, from, (size_t)count * sizeof *to);
    memset(to + count, 0, (size_t)(pitch - count) * sizeof *to);
}

static void score_block(const attn_additive_job *job, int64_t b, int64_t first, int64_t rows, float *scratch,
                        float *scores) {
    const clattn_additive_problem *p = job->problem;
    int64_t keys = attn_additive_keys(job->call, b), pitch = job->hidden_pitch;
    float *v = scratch, *query = scratch + pitch;
    copy_padded(job->call->v, p->hidden, pitch, v);
    for (int64_t r = 0; r < rows; r++) {
        copy_padded(job->call->query + (b * p->query_length + first + r) * p->hidden, p->hidden, pitch,
                    query + r * pitch);
    }
    for (int64_t j = 0; j < keys; j++) {
        const float *key = job->call->key + (b * p->key_length + j) * p->hidden;
        if (rows == ATTN_ADDITIVE_ROWS) {
            score_key(job, query, v, key, ATTN_ADDITIVE_ROWS, scores + j);
            continue;
        }
        for (int64_t r = 0; r < rows; r++) {
            score_key(job, query + r * pitch, v, key, 1, scores + r * job->score_pitch + j);
        }
    }
}

static void additive_item(const attn_additive_job *job, int64_t item, float *scratch) {
    int64_t b = item / job->blocks, first = item % job->blocks * ATTN_ADDITIVE_ROWS;
    int64_t end = attn_min(first + ATTN_ADDITIVE_ROWS, job->call->query_length),
            used = attn_additive_rows(job->call, b);
    float *scores = scratch + (ATTN_ADDITIVE_ROWS + 1) * job->hidden_pitch;
    if (used > first) {
        score_block(job, b, first, attn_min(used, end) - first, scratch, scores);
    }
    for (int64_t i = first; i < end; i++) {
        finish_row(job, b, i, i < used ? attn_additive_keys(job->call, b) : 0, scores + (i - first) * job->score_pitch);
    }
}

const attn_additive_kernel *ATTN_KERNEL(void) {
    static const attn_additive_kernel kernel = { ATTN_KERNEL_NAME, additive_item };
    return &kernel;
}
