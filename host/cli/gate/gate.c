/*
 * Judges results: walks over the rows of a case, computes the gold once a row, compares every result with it, and
 * pools what is compared over many outputs. Bounds are in gate_row.c. To add a rule, add its check here and its text
 * to docs/numerics.md.
 */
#include "gate/gate.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate_row.h"

enum { ATTN_POOL_LEAST = 4096 };

/* Sums over the pooled outputs of one result. */
typedef struct error_pool {
    double error_max, error_sum, signed_sum, bound_sum, error_square, gold_square, plain_max, plain_sum;
    double tf32_square; /* of gold (1 + the row's score_square) */
} error_pool;

void attn_gate_break(attn_gate_result *result, const char *format, ...) {
    va_list arguments;
    result->passed = false;
    if (result->failures++ == 0) {
        va_start(arguments, format);
        vsnprintf(result->failure, sizeof result->failure, format, arguments);
        va_end(arguments);
    }
}

static double largest(clattn_type type) {
    switch (type) {
        case CLATTN_FP16: return 65504;
        case CLATTN_FP64: return 0x1.fffffffffffffp+1023;
        case CLATTN_BF16: return 0x1.fep+127;
        default: return 0x1.fffffep+127;
    }
}

/* Whether a result that is not finite is right: the gold is not finite either, or does not fit the type. */
static bool overflow_is_right(clattn_type type, double gold, double bound) {
    return !isfinite(gold) || fabs(gold) + bound > largest(type);
}

bool attn_gate_is_within(clattn_type type, double got, long double gold, double bound, double *error) {
    *error = fabs((double)((long double)got - gold));
    if (!isfinite(got) || !isfinite((double)gold)) {
        return !isfinite(got) && overflow_is_right(type, (double)gold, bound);
    }
    return *error <= bound;
}

static void pool_output(error_pool *pool, attn_gate_row *row, attn_gate_result *result, int64_t d, double got,
                        double bound) {
    double gold = (double)row->gold.output[d], error = got - gold;
    attn_plain_form form = attn_gate_form(row, &result->info);
    double plain = fabs((double)attn_gate_plain(row, form)[d] - gold);
    result->pooled++;
    pool->error_max = fmax(pool->error_max, fabs(error));
    pool->error_sum += fabs(error);
    pool->signed_sum += error;
    pool->bound_sum += bound;
    pool->error_square += error * error;
    pool->gold_square += gold * gold;
    pool->tf32_square += form == ATTN_PLAIN_TF32 ? gold * gold * (1 + row->score_square) : 0;
    pool->plain_max = fmax(pool->plain_max, plain);
    pool->plain_sum += plain;
}

static void check_output(attn_gate_row *row, const attn_gate_subject *subject, error_pool *pool) {
    const attn_case_data *data = row->data;
    clattn_type type = attn_case_output_type(&data->problem);
    attn_gate_result *result = subject->result;
    int64_t at = attn_rows_at(&data->output_rows, row->b, row->h, row->i);
    for (int64_t d = 0; d < data->problem.value_dim; d++) {
        double got = clattn_get_element(type, subject->output, at + d), error = 0;
        result->outputs++;
        if (!row->any_allowed) {
            if (got != 0) {
                attn_gate_break(result,
                                "rule 5 (nothing allowed is exactly 0): output[%" PRId64 ",%" PRId64 ",%" PRId64
                                ",%" PRId64 "] is %.9g",
                                row->b, row->h, row->i, d, got);
            }
            continue;
        }
        double bound = attn_gate_output_bound(row, &result->info, d);
        if (!attn_gate_is_within(type, got, row->gold.output[d], bound, &error)) {
            attn_gate_break(result,
                            "rule 1 (bound of an element): output[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                            "] is %.9g, gold %.9Lg, error %.3g, bound %.3g",
                            row->b, row->h, row->i, d, got, row->gold.output[d], error, bound);
        }
        if (isfinite(error)) {
            result->worst = fmax(result->worst, error / bound);
            if (row->pooled) {
                pool_output(pool, row, result, d, got, bound);
            }
        }
    }
    if (row->plain_runs > 0 && type != CLATTN_FP64) { /* of every row looked at, so that they stand for all */
        attn_plain_form form = attn_gate_form(row, &result->info);
        (void)attn_gate_plain(row, form);
        result->plain_rows++;
        result->plain_seconds += row->plain_seconds[form];
    }
}

static void check_logsumexp(const attn_gate_row *row, const attn_gate_subject *subject) {
    const clattn_problem *p = &row->data->problem;
    double error = 0, gold = (double)row->gold.logsumexp;
    if (!subject->logsumexp) {
        return;
    }
    int64_t at = (row->b * p->query_heads + row->h) * p->query_length + row->i;
    clattn_type type = attn_case_logsumexp_type(p);
    double got = clattn_get_element(type, subject->logsumexp, at);
    bool right = isinf(gold) ? got == gold
                             : attn_gate_is_within(type, got, row->gold.logsumexp,
                                                   attn_gate_logsumexp_bound(row, &subject->result->info), &error);
    if (!right) {
        attn_gate_break(subject->result,
                        "rule 5 (logsumexp): logsumexp[%" PRId64 ",%" PRId64 ",%" PRId64
                        "] is %.9g, gold %.9g, error %.3g, bound %.3g",
                        row->b, row->h, row->i, got, gold, error,
                        attn_gate_logsumexp_bound(row, &subject->result->info));
    }
}

static long double gold_weight(const attn_gate_row *row, int64_t j) {
    if (j >= row->used_keys || !row->gold.row_used) {
        return 0;
    }
    switch (row->data->problem.weights) {
        case CLATTN_WEIGHTS_RAW: return row->gold.raw[j];
        case CLATTN_WEIGHTS_SOFTCAP: return row->gold.softcap[j];
        case CLATTN_WEIGHTS_BIAS: return row->gold.scores[j];
        default: return row->gold.weights[j];
    }
}

static void check_weights(const attn_gate_row *row, const attn_gate_subject *subject) {
    const clattn_problem *p = &row->data->problem;
    int64_t h = row->h - p->weights_first_head, i = row->i - p->weights_first_row;
    if (!subject->weights || h < 0 || h >= p->weights_heads || i < 0 || i >= p->weights_rows) {
        return;
    }
    clattn_type type = attn_case_weights_type(p);
    int64_t at = ((row->b * p->weights_heads + h) * p->weights_rows + i) * p->key_length;
    for (int64_t j = 0; j < p->key_length; j++) {
        double got = clattn_get_element(type, subject->weights, at + j), error = 0;
        long double gold = gold_weight(row, j);
        bool used = j < row->used_keys && row->gold.row_used;
        double bound = used ? attn_gate_weight_bound(row, &subject->result->info, j) : 0;
        bool exact = gold == 0 && (!used || (p->weights == CLATTN_WEIGHTS_SOFTMAX && !row->allowed[j]));
        bool right =
            exact || isinf((double)gold) ? got == (double)gold : attn_gate_is_within(type, got, gold, bound, &error);
        if (!right) {
            attn_gate_break(subject->result,
                            "rule 5 (weights): weights[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
                            "] is %.9g, gold %.9Lg, error %.3g, bound %.3g",
                            row->b, row->h, row->i, j, got, gold, error, bound);
        }
    }
}

/* ------------------------------------------------------------------------------------ pooled rules */

/* tf32: the part of the squared result that errors of plain TF32 are counted in; 0 = the plan has none. */
static double nmse_limit(clattn_type type, bool rounded, double tf32) {
    if (tf32 > 0) {
        return 2e-7 * tf32;
    }
    switch (type) {
        case CLATTN_FP16: return rounded ? 2e-7 : 1e-7;
        case CLATTN_BF16: return rounded ? 1.2e-5 : 6e-6;
        default: return 1e-10;
    }
}

static void finish_pool(const error_pool *pool, const clattn_problem *p, attn_gate_result *result) {
    /* an output wider than the storage type has the errors of its own type, unless weights have those of storage */
    clattn_type type = result->info.weights_rounded ? p->type : attn_case_output_type(p);
    double tf32 = pool->gold_square > 0 ? pool->tf32_square / pool->gold_square : 0;
    bool strict = type == CLATTN_FP32 && !(tf32 > 0);
    double n = (double)result->pooled, most = strict ? 4 : 2, mean = strict ? 2 : 1.1;
    if (result->pooled < ATTN_POOL_LEAST) {
        return;
    }
    result->max_error = pool->error_max;
    result->mean_error = pool->error_sum / n;
    result->plain_max = pool->plain_max;
    result->plain_mean = pool->plain_sum / n;
    result->nmse = pool->gold_square > 0 ? pool->error_square / pool->gold_square : 0;
    result->drift = pool->bound_sum > 0 ? fabs(pool->signed_sum) / pool->bound_sum : 0;
    if (result->max_error > most * result->plain_max) {
        attn_gate_break(result, "rule 2 (against plain evaluation): largest error %.3g, plain %.3g, allowed %gx",
                        result->max_error, result->plain_max, most);
    }
    if (result->mean_error > mean * result->plain_mean) {
        attn_gate_break(result, "rule 2 (against plain evaluation): mean error %.3g, plain %.3g, allowed %gx",
                        result->mean_error, result->plain_mean, mean);
    }
    double limit = nmse_limit(type, result->info.weights_rounded, tf32);
    if (!(result->nmse <= limit)) {
        attn_gate_break(result, "rule 3 (normalised mean squared error): %.3g, allowed %.3g", result->nmse, limit);
    }
    if (!(result->drift <= 0.1)) {
        attn_gate_break(result, "rule 4 (drift): mean signed error is %.3g of the mean bound, allowed 0.1",
                        result->drift);
    }
}

/* ------------------------------------------------------------------------------------ the walk */

static int check_row(attn_gate_row *row, attn_gate_subject *subjects, error_pool *pools, int count, int64_t h,
                     int64_t i, attn_error *error) {
    if (attn_gate_row_compute(row, h, i, error) != ATTN_DONE) {
        return error->status;
    }
    for (int s = 0; s < count; s++) {
        subjects[s].result->rows++;
        check_output(row, &subjects[s], &pools[s]);
        check_logsumexp(row, &subjects[s]);
        check_weights(row, &subjects[s]);
    }
    return ATTN_DONE;
}

/* How many rows the reference may look at. */
static int64_t rows_to_check(const attn_case_data *data, const attn_gate_options *options, int64_t all) {
    const clattn_problem *p = &data->problem;
    double row = (double)(p->key_length + 1) * (double)(p->head_dim + 2 * p->value_dim);
    if (!options || options->max_work <= 0 || row * (double)all <= options->max_work) {
        return all;
    }
    int64_t rows = (int64_t)(options->max_work / row / 2); /* a sampled row loads its head, too */
    return rows < 4 ? (all < 4 ? all : 4) : rows;
}

static int walk(const attn_case_data *data, const attn_gate_options *options, attn_gate_subject *subjects,
                error_pool *pools, int count, attn_error *error) {
    const clattn_problem *p = &data->problem;
    attn_gate_row row;
    int64_t all = p->batch * p->query_heads * p->query_length, head = -1;
    int64_t rows = rows_to_check(data, options, all);
    if (rows > 0 && attn_gate_row_create(&row, data, error) != ATTN_DONE) {
        return error->status;
    }
    int status = ATTN_DONE;
    row.plain_runs = options ? options->plain_runs : 0;
    for (int64_t n = 0; n < rows && status == ATTN_DONE; n++) {
        int64_t which = rows == 1 ? 0 : (int64_t)((double)n * (double)(all - 1) / (double)(rows - 1) + 0.5);
        which = rows == all ? n : which;
        int64_t b = which / (p->query_heads * p->query_length), h = which / p->query_length % p->query_heads;
        int64_t g = h / (p->query_heads / p->kv_heads);
        if (b * p->kv_heads + g != head) {
            head = b * p->kv_heads + g;
            attn_gate_row_load_head(&row, b, g);
        }
        status = check_row(&row, subjects, pools, count, h, which % p->query_length, error);
    }
    if (rows > 0) {
        attn_gate_row_free(&row);
    }
    return status;
}

int attn_gate_check(const attn_case_data *data, const attn_gate_options *options, attn_gate_subject *subjects,
                    int count, attn_error *error) {
    error_pool *pools = calloc((size_t)count + 1, sizeof *pools);
    if (!pools) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    for (int s = 0; s < count; s++) {
        subjects[s].result->passed = subjects[s].result->failures == 0;
        if (subjects[s].result->info.products_tf32 && !data->options.allow_tf32) {
            attn_gate_break(subjects[s].result, "products_tf32: the plan rounds to TF32, which nobody allowed");
        }
    }
    int status = walk(data, options, subjects, pools, count, error);
    for (int s = 0; s < count && status == ATTN_DONE; s++) {
        finish_pool(&pools[s], &data->problem, subjects[s].result);
    }
    free(pools);
    return status;
}
