/*
 * One row at a time in double: every feature, every type, no tiles. Its keys are numbered one after another, those of a
 * prefix that stands apart first. Sums over them are blocked, so that long rows keep their digits. May use problem/mask.h for
 * ranges and masks; knows nothing of threads and instruction sets. A new feature of the score goes into finish_score().
 */
#include "engines/cpu/cpu_careful.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "problem/dropout.h"
#include "problem/key_run.h"
#include "problem/mask.h"
#include "problem/problem.h"

enum { LANES = 8, BLOCK = 64 };

/** A row and its scratch. */
typedef struct row_work {
    const clattn_problem *problem;
    const attn_call *call;
    int64_t b, h, g, i;
    int64_t position;     /* i + offset */
    int64_t prefix;       /* keys of the prefix, where it stands apart; by lengths and causal rule */
    attn_key_range range; /* the others, by lengths, causal rule, window and prefix */
    double *query, *output, *part, *scores;
    unsigned char *allowed; /* of key key_of(n) */
    double maximum, sum;
} row_work;

bool attn_cpu_row_scratch(const clattn_problem *problem, int64_t *bytes) {
    int64_t dims, keys;
    return attn_add(problem->head_dim, problem->value_dim, &dims) && attn_add(dims, problem->value_dim + 16, &dims) &&
           attn_multiply(dims, 8, &dims) && attn_multiply(problem->key_length + 8, 9, &keys) &&
           attn_add(dims, keys, bytes) && attn_add(*bytes, 63, bytes) && (*bytes = *bytes / 64 * 64, true);
}

static int64_t count_keys(const row_work *row) {
    return row->prefix + row->range.end - row->range.begin;
}

/** Number n of the row's keys. */
static int64_t key_of(const row_work *row, int64_t n) {
    return n < row->prefix ? n : row->range.begin + n - row->prefix;
}

/** The number of key j; -1 where lengths, causal rule, window and prefix forbid it. */
static int64_t number_of(const row_work *row, int64_t j) {
    bool inside = j >= row->range.begin && j < row->range.end;
    return j < row->prefix ? j : inside ? row->prefix + j - row->range.begin : -1;
}

/**
 * Takes keys that the mask forbids off the range's beginning, many at a time: rows with nothing allowed are common where a
 * mask says what is padding, and should cost next to nothing.
 */
static void skip_forbidden(row_work *row) {
    static const unsigned char none[8];
    const attn_view *mask = &row->call->mask;
    if (row->problem->mask == CLATTN_MASK_NONE || count_keys(row) == 0) {
        return; /* no key: the mask may have no byte */
    }
    const unsigned char *bytes = (const unsigned char *)mask->data + attn_view_row(mask, row->b, row->h, row->i);
    attn_key_range *range = &row->range;
    bool bits = row->problem->mask == CLATTN_MASK_BITS;
    if (mask->stride[3] == 0) { /* one for all keys */
        bool allows = (bits ? bytes[0] & 1 : bytes[0]) != 0;
        row->prefix = allows ? row->prefix : 0;
        range->end = allows ? range->end : range->begin;
    } else if (bits) {
        while (range->begin % 8 == 0 && range->begin + 8 <= range->end && bytes[range->begin / 8] == 0) {
            range->begin += 8;
        }
    } else if (mask->stride[3] == 1) {
        while (range->begin + 8 <= range->end && memcmp(bytes + range->begin, none, 8) == 0) {
            range->begin += 8;
        }
    }
}

static row_work start_row(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                          void *scratch) {
    row_work row = { .problem = problem, .call = call, .b = b, .h = h, .i = i };
    row.g = h / (problem->query_heads / problem->kv_heads);
    row.position = i + attn_call_offset(problem, call, b);
    attn_row_rule rule = attn_row_rule_of(problem, call, b);
    row.range = attn_rule_keys(&rule, i);
    row.prefix = attn_rule_prefix(&rule, i).end;
    row.query = scratch;
    row.output = row.query + problem->head_dim;
    row.part = row.output + problem->value_dim;
    row.scores = row.part + problem->value_dim;
    row.allowed = (unsigned char *)(row.scores + problem->key_length);
    row.maximum = -INFINITY;
    skip_forbidden(&row);
    return row;
}

static double load(clattn_type type, const void *data, int64_t index) {
    return type == CLATTN_FP64 ? ((const double *)data)[index] : (double)attn_load_float(type, data, index);
}

static void load_query(row_work *row) {
    const attn_view *view = &row->call->query;
    int64_t first = attn_view_row(view, row->b, row->h, row->i);
    for (int64_t d = 0; d < row->problem->head_dim; d++) {
        row->query[d] = load(row->problem->type, view->data, first + d);
    }
}

/* Sums of products in LANES partial sums, added pairwise: as vectorisable as it is accurate. */
#define DEFINE_DOT(name, type, read)                                                                                   \
    static double name(const double *a, const type *b, int64_t n) {                                                    \
        double sum[LANES] = { 0 };                                                                                     \
        int64_t d = 0;                                                                                                 \
        for (; d + LANES <= n; d += LANES) {                                                                           \
            for (int lane = 0; lane < LANES; lane++) {                                                                 \
                sum[lane] += a[d + lane] * (double)read(b[d + lane]);                                                  \
            }                                                                                                          \
        }                                                                                                              \
        for (int lane = 0; d < n; d++, lane++) {                                                                       \
            sum[lane] += a[d] * (double)read(b[d]);                                                                    \
        }                                                                                                              \
        return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));                      \
    }

/* out += w * values of one key. */
#define DEFINE_ADD(name, type, read)                                                                                   \
    static void name(double *out, double w, const type *v, int64_t n) {                                                \
        for (int64_t d = 0; d < n; d++) {                                                                              \
            out[d] += w * (double)read(v[d]);                                                                          \
        }                                                                                                              \
    }

DEFINE_DOT(dot_fp64, double, )
DEFINE_DOT(dot_fp32, float, )
DEFINE_DOT(dot_fp16, uint16_t, attn_half_to_float)
DEFINE_DOT(dot_bf16, uint16_t, attn_bf16_to_float)
DEFINE_ADD(add_fp64, double, )
DEFINE_ADD(add_fp32, float, )
DEFINE_ADD(add_fp16, uint16_t, attn_half_to_float)
DEFINE_ADD(add_bf16, uint16_t, attn_bf16_to_float)

double attn_cpu_dot(const double *a, clattn_type type, const void *data, int64_t first, int64_t n) {
    switch (type) {
        case CLATTN_FP32: return dot_fp32(a, (const float *)data + first, n);
        case CLATTN_FP16: return dot_fp16(a, (const uint16_t *)data + first, n);
        case CLATTN_BF16: return dot_bf16(a, (const uint16_t *)data + first, n);
        default: return dot_fp64(a, (const double *)data + first, n);
    }
}

void attn_cpu_add_scaled(double *sums, double factor, clattn_type type, const void *data, int64_t first, int64_t n) {
    switch (type) {
        case CLATTN_FP32: add_fp32(sums, factor, (const float *)data + first, n); break;
        case CLATTN_FP16: add_fp16(sums, factor, (const uint16_t *)data + first, n); break;
        case CLATTN_BF16: add_bf16(sums, factor, (const uint16_t *)data + first, n); break;
        default: add_fp64(sums, factor, (const double *)data + first, n); break;
    }
}

static double raw_score(const row_work *row, int64_t j) {
    const attn_view *view = &row->call->key;
    const int64_t first = attn_key_at(&(attn_keys){ view, row->b, row->g }, j);
    return row->problem->scale *
           attn_cpu_dot(row->query, row->problem->type, view->data, first, row->problem->head_dim);
}

static void add_value(const row_work *row, int64_t j, double w) {
    const attn_view *view = &row->call->value;
    const int64_t first = attn_key_at(&(attn_keys){ view, row->b, row->g }, j);
    attn_cpu_add_scaled(row->part, w, row->problem->type, view->data, first, row->problem->value_dim);
}

static double cap_score(const row_work *row, double score) {
    double cap = row->problem->softcap;
    return cap > 0 ? cap * tanh(score / cap) : score;
}

static double sink_of(const row_work *row) {
    const attn_view *sinks = &row->call->sinks;
    return ((const float *)sinks->data)[sinks->offset + row->h];
}

/** Bias and ALiBi on a capped score; false when a bias of -inf forbids the key. */
static bool finish_score(const row_work *row, int64_t j, double *score) {
    const attn_view *bias = &row->call->bias, *slopes = &row->call->alibi_slopes;
    if (row->problem->bias != CLATTN_BIAS_NONE) {
        int64_t index = attn_view_row(bias, row->b, row->h, row->i) + j * bias->stride[3];
        double x = load(attn_bias_type(row->problem), bias->data, index);
        if (x == -INFINITY) {
            return false;
        }
        *score += x;
    }
    if (row->problem->alibi) {
        *score -= (double)((const float *)slopes->data)[slopes->offset + row->h] * fabs((double)(j - row->position));
    }
    return true;
}

void attn_cpu_row_step(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                       int64_t first, int begin, int end, double *scores) {
    row_work row = { .problem = problem, .call = call, .b = b, .h = h, .i = i };
    row.position = i + attn_call_offset(problem, call, b);
    for (int n = begin; n < end; n++) {
        double score = cap_score(&row, scores[n]);
        bool allowed = attn_mask_allows(problem, call, b, h, i, first + n) && finish_score(&row, first + n, &score);
        scores[n] = allowed ? score : -INFINITY;
    }
}

bool attn_cpu_row_score(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                        int64_t j, double *query, double *raw, double *score) {
    row_work row = { .problem = problem, .call = call, .b = b, .h = h, .i = i, .query = query };
    row.g = h / (problem->query_heads / problem->kv_heads);
    row.position = i + attn_call_offset(problem, call, b);
    if (!attn_mask_allows(problem, call, b, h, i, j)) {
        return false;
    }
    *raw = raw_score(&row, j);
    *score = cap_score(&row, *raw);
    return finish_score(&row, j, score);
}

/**
 * Scores of the row's range and their maximum, the sink's included; NaN as soon as an allowed score is. False where no score
 * is above -inf: then there is nothing to weigh, and the sink stands, whatever it is.
 */
static bool score_row(row_work *row) {
    load_query(row);
    for (int64_t n = 0; n < count_keys(row); n++) {
        int64_t j = key_of(row, n);
        row->allowed[n] = attn_mask_allows(row->problem, row->call, row->b, row->h, row->i, j);
        if (!row->allowed[n]) {
            continue;
        }
        double score = cap_score(row, raw_score(row, j));
        row->allowed[n] =
            finish_score(row, j, &score) && score != -INFINITY; /* weight 0 by selection: its value may hold anything */
        row->scores[n] = score;
        if (row->allowed[n] && !(score <= row->maximum)) {
            row->maximum = isnan(row->maximum) ? row->maximum : score;
        }
    }
    const bool any = row->maximum != -INFINITY;
    if (row->problem->sinks && sink_of(row) > row->maximum) {
        row->maximum = sink_of(row);
    }
    return any;
}

/** Scores become exponentials (0 where not allowed), their sum goes to row->sum. */
static void exponentials(row_work *row) {
    int64_t count = count_keys(row);
    double sum = row->problem->sinks ? exp(sink_of(row) - row->maximum) : 0;
    for (int64_t first = 0; first < count; first += BLOCK) {
        double part = 0;
        for (int64_t n = first; n < attn_min(first + BLOCK, count); n++) {
            row->scores[n] = row->allowed[n] ? exp(row->scores[n] - row->maximum) : 0;
            part += row->scores[n];
        }
        sum += part;
    }
    row->sum = sum;
}

static void store(clattn_type type, void *data, int64_t index, double x) {
    switch (type) {
        case CLATTN_FP16: ((uint16_t *)data)[index] = attn_half_from_double(x); break;
        case CLATTN_BF16: ((uint16_t *)data)[index] = attn_bf16_from_double(x); break;
        case CLATTN_FP32: ((float *)data)[index] = (float)x; break;
        default: ((double *)data)[index] = x; break;
    }
}

/** What dropout takes is as if it were not allowed, now that the sum is known: its value may hold anything. */
static void drop_keys(row_work *row) {
    attn_dropout_row dropout = attn_dropout_row_of(row->problem, row->call, row->b, row->h, row->i);
    attn_philox words = { { 0 } };
    int64_t block = -1;
    for (int64_t n = 0; row->problem->dropout > 0 && n < count_keys(row); n++) {
        int64_t key = dropout.first_key + key_of(row, n);
        if (key / 4 != block) {
            block = key / 4;
            words = attn_dropout_block(&dropout, block);
        }
        row->allowed[n] = row->allowed[n] && words.word[key % 4] >= dropout.threshold;
    }
}

static void sum_values(row_work *row) {
    int64_t count = count_keys(row), dim = row->problem->value_dim;
    memset(row->output, 0, (size_t)dim * sizeof(double));
    for (int64_t first = 0; first < count; first += BLOCK) {
        memset(row->part, 0, (size_t)dim * sizeof(double));
        for (int64_t n = first; n < attn_min(first + BLOCK, count); n++) {
            if (row->allowed[n]) {
                add_value(row, key_of(row, n), row->scores[n]);
            }
        }
        for (int64_t d = 0; d < dim; d++) {
            row->output[d] += row->part[d];
        }
    }
}

void attn_cpu_row_output(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                         void *scratch) {
    row_work row = start_row(problem, call, b, h, i, scratch);
    bool nothing = !score_row(&row);
    double logsumexp = problem->sinks ? sink_of(&row) : -INFINITY;
    memset(row.output, 0, (size_t)problem->value_dim * sizeof(double));
    if (!nothing) {
        exponentials(&row);
        drop_keys(&row);
        sum_values(&row);
        logsumexp = row.maximum + log(row.sum);
    }
    int64_t first = attn_view_row(&call->output, b, h, i);
    const double divisor = row.sum * (1 - problem->dropout);
    const clattn_type type = attn_output_type(problem);
    for (int64_t d = 0; d < problem->value_dim; d++) {
        store(type, call->output.data, first + d, nothing ? 0 : row.output[d] / divisor);
    }
    if (problem->logsumexp) {
        store(attn_logsumexp_type(problem), call->logsumexp.data, attn_view_row(&call->logsumexp, b, h, i), logsumexp);
    }
}

/** The stages before the softmax: every used key, whether allowed or not, but -inf there after the bias. */
static double stage_score(row_work *row, int64_t j) {
    clattn_weights_stage stage = row->problem->weights;
    if (stage == CLATTN_WEIGHTS_BIAS &&
        !(number_of(row, j) >= 0 && attn_mask_allows(row->problem, row->call, row->b, row->h, row->i, j))) {
        return -INFINITY;
    }
    double score = raw_score(row, j);
    score = stage == CLATTN_WEIGHTS_RAW ? score : cap_score(row, score);
    return stage != CLATTN_WEIGHTS_BIAS || finish_score(row, j, &score) ? score : -INFINITY;
}

void attn_cpu_row_weights(const clattn_problem *problem, const attn_call *call, int64_t b, int64_t h, int64_t i,
                          void *scratch) {
    if (i >= call->query_length) {
        return; /* a shorter call leaves them as they are */
    }
    row_work row = start_row(problem, call, b, h, i, scratch);
    clattn_type type = attn_weights_type(problem);
    bool used = i < attn_used_query_length(call, b);
    int64_t first = attn_view_row(&call->weights, b, h - problem->weights_first_head, i - problem->weights_first_row);
    int64_t keys = used ? attn_used_key_length(call, b) : 0;
    bool softmax = problem->weights == CLATTN_WEIGHTS_SOFTMAX, any = false;
    if (used && softmax) {
        any = score_row(&row);
        exponentials(&row);
    } else if (used) {
        load_query(&row);
    }
    for (int64_t j = 0; j < problem->key_length; j++) {
        double x = 0;
        int64_t n = any ? number_of(&row, j) : -1;
        if (j < keys && !softmax) {
            x = stage_score(&row, j);
        } else if (n >= 0) {
            x = row.scores[n] / row.sum;
        }
        store(type, call->weights.data, first + j, x);
    }
}
