/*
 * Gold and bounds of one row. F_j = 16 + L/128 + 4|s_j| + 4|m| + 4|scale| sum_d|q_d k_jd| (+ 10|s_j| with softcap) is
 * how many units of round-off the weight of key j may be off; docs/numerics.md says why. The gold comes from the
 * reference alone.
 */
#include "gate/gate_row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double TF32_TWICE = 2 * 0x1p-11 + 0x1p-22; /* two operands, each rounded to TF32 */

double attn_unit_roundoff(clattn_type type) {
    switch (type) {
        case CLATTN_FP16: return 0x1p-11;
        case CLATTN_BF16: return 0x1p-8;
        case CLATTN_FP64: return 0x1p-53;
        default: return 0x1p-24;
    }
}

/* Round-off of scores and sums. */
static double sum_roundoff(const attn_gate_row *row) {
    return row->data->problem.type == CLATTN_FP64 ? 0x1p-53 : 0x1p-24;
}

/* Smallest normal number of scores and sums. */
static double sum_tiny(const attn_gate_row *row) {
    return row->data->problem.type == CLATTN_FP64 ? 0x1p-1022 : 0x1p-126;
}

int attn_gate_row_create(attn_gate_row *row, const attn_case_data *data, attn_error *error) {
    const clattn_problem *p = &data->problem;
    size_t keys = (size_t)p->key_length + 1, values = (size_t)p->value_dim, dims = (size_t)p->head_dim;
    size_t wide = 6 * keys + values, doubles = keys + 4 * values + keys * values;
    size_t rows = keys * (dims + values) + dims; /* query, keys and values */
    size_t floats = rows * (data->options.allow_tf32 ? 2 : 1) + 3 * keys + ATTN_PLAIN_FORMS * values;
    *row = (attn_gate_row){ .data = data };
    row->block = malloc(wide * sizeof(long double) + doubles * sizeof(double) + floats * sizeof(float) + keys);
    if (!row->block) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory for the check against the reference");
    }
    long double *w = row->block;
    row->gold.raw = w;
    row->gold.softcap = w + keys;
    row->gold.scores = w + 2 * keys;
    row->gold.weights = w + 3 * keys;
    row->gold.magnitude = w + 4 * keys;
    row->gold.keep = w + 5 * keys;
    row->gold.output = w + 6 * keys;
    double *d = (double *)(void *)(w + wide);
    row->key_error = d;
    row->value_sum = d + keys;
    row->weight_sum = row->value_sum + values;
    row->error_sum = row->weight_sum + values;
    row->tf32_sum = row->error_sum + values;
    row->values = row->tf32_sum + values;
    float *f = (float *)(void *)(d + doubles);
    row->query_float = f;
    row->keys_float = f + dims;
    row->values_float = row->keys_float + keys * dims;
    row->tf32 = data->options.allow_tf32 ? f + rows : NULL;
    row->added = f + rows * (data->options.allow_tf32 ? 2 : 1);
    row->keep = row->added + keys;
    row->plain_scores = row->keep + keys;
    for (int form = 0; form < ATTN_PLAIN_FORMS; form++) {
        row->plain[form] = row->plain_scores + keys + (size_t)form * values;
    }
    row->allowed = (unsigned char *)(f + floats);
    return ATTN_DONE;
}

void attn_gate_row_free(attn_gate_row *row) {
    free(row->block);
    *row = (attn_gate_row){ 0 };
}

void attn_gate_row_load_head(attn_gate_row *row, int64_t b, int64_t g) {
    const attn_case_data *data = row->data;
    const clattn_problem *p = &data->problem;
    row->b = b;
    row->used_keys = attn_case_data_key_length(data, b);
    for (int64_t j = 0; j < row->used_keys; j++) {
        int64_t key = attn_rows_at(&data->key_rows, b, g, j), value = attn_rows_at(&data->value_rows, b, g, j);
        for (int64_t d = 0; d < p->head_dim; d++) {
            row->keys_float[j * p->head_dim + d] = (float)clattn_get_element(p->type, data->key.data, key + d);
        }
        for (int64_t d = 0; d < p->value_dim; d++) {
            double x = clattn_get_element(p->type, data->value.data, value + d);
            row->values[j * p->value_dim + d] = x;
            row->values_float[j * p->value_dim + d] = (float)x;
        }
    }
    if (row->tf32) { /* the query comes with its row */
        float *keys = row->tf32 + (row->keys_float - row->query_float);
        float *values = row->tf32 + (row->values_float - row->query_float);
        for (int64_t n = 0; n < row->used_keys * p->head_dim; n++) {
            keys[n] = attn_plain_tf32(row->keys_float[n]);
        }
        for (int64_t n = 0; n < row->used_keys * p->value_dim; n++) {
            values[n] = attn_plain_tf32(row->values_float[n]);
        }
    }
}

/* F_j without the part that depends on how an engine sums; the key's allowance. */
static void measure_key(attn_gate_row *row, int64_t j) {
    const clattn_reference_row *gold = &row->gold;
    double score = fabs((double)gold->scores[j]);
    row->allowed[j] = gold->scores[j] != -(long double)INFINITY;
    row->added[j] = (float)(gold->scores[j] - gold->softcap[j]);
    row->keep[j] = (float)gold->keep[j];
    row->key_error[j] = 0;
    if (!row->allowed[j]) {
        return;
    }
    row->any_allowed = true;
    row->terms++;
    row->pooled = row->pooled && score <= 30;
    row->key_error[j] = 16 + 4 * score + 4 * fabs((double)gold->maximum) + 4 * (double)gold->magnitude[j] +
                        (row->data->problem.softcap > 0 ? 10 * score : 0);
}

/* What an error of u in each operand of the key's score does to its weight, upwards and down. */
static void sum_tf32(attn_gate_row *row, double weight, double magnitude, double keep, const double *value) {
    double error = fmin(TF32_TWICE * magnitude, 300); /* beyond, exp() would not fit, and the bound says nothing */
    double up = weight * expm1(error);
    row->tf32_score += up;
    row->tf32_least += weight * expm1(-error);
    for (int64_t d = 0; d < row->data->problem.value_dim; d++) {
        row->tf32_sum[d] += up * keep * fabs(value[d]);
    }
}

static void sum_keys(attn_gate_row *row) {
    int64_t dim = row->data->problem.value_dim;
    memset(row->value_sum, 0, 4 * (size_t)dim * sizeof(double)); /* value_sum, weight_sum, error_sum, tf32_sum */
    row->score_error = row->tf32_score = 0;
    row->tf32_least = 1;
    for (int64_t j = 0; j < row->used_keys; j++) {
        double weight = (double)row->gold.weights[j], part = weight * row->key_error[j],
               keep = (double)row->gold.keep[j];
        const double *value = row->values + j * dim;
        if (!row->allowed[j]) {
            continue;
        }
        row->score_error += weight > 0 ? part : 0;
        for (int64_t d = 0; d < dim && keep > 0; d++) {
            double size = keep * fabs(value[d]);
            row->value_sum[d] += size;
            row->weight_sum[d] += weight * size;
            row->error_sum[d] += part * size;
        }
        if (row->tf32) {
            sum_tf32(row, weight, (double)row->gold.magnitude[j], keep, value);
        }
    }
    row->tf32_least = fmax(row->tf32_least, 1e-130); /* of exp(-300) nothing is left beside 1 */
}

/* Rows that are one row again and again (no scale, queries of 0, a query stride of 0) round alike: many outputs, few samples. */
static bool row_repeats(const attn_gate_row *row) {
    const clattn_problem *p = &row->data->problem;
    const clattn_tensor *query = &row->data->tensors.query;
    bool varies = false;
    for (int64_t j = 0; j < row->used_keys; j++) {
        varies = varies || row->gold.magnitude[j] > 0;
    }
    return !varies || (query->layout == CLATTN_STRIDED &&
                       ((query->batch_stride == 0 && p->batch > 1) || (query->head_stride == 0 && p->query_heads > 1) ||
                        (query->length_stride == 0 && p->query_length > 1)));
}

int attn_gate_row_compute(attn_gate_row *row, int64_t h, int64_t i, attn_error *error) {
    const attn_case_data *data = row->data;
    clattn_report report = { 0 };
    clattn_problem problem = data->problem;
    clattn_status status = clattn_reference_get_row(&problem, &data->tensors, row->b, h, i, &row->gold, NULL);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    row->h = h;
    row->i = i;
    row->any_allowed = false;
    row->pooled = true;
    row->terms = data->problem.sinks ? 1 : 0;
    memset(row->plain_done, 0, sizeof row->plain_done);
    for (int64_t j = 0; j < row->used_keys; j++) {
        measure_key(row, j);
    }
    /* a single term has weight 1 and plain evaluation makes no error at all: nothing to compare with */
    row->pooled =
        row->pooled && row->any_allowed && row->terms > 1 && data->problem.type != CLATTN_FP64 && !row_repeats(row);
    sum_keys(row);
    return ATTN_DONE;
}

/* L/128, or L/2 where an engine keeps one accumulator. */
static double length_part(const attn_gate_row *row, const clattn_plan_info *info) {
    return (double)row->data->problem.key_length / (info->sum_running ? 2 : 128);
}

attn_plain_form attn_gate_form(const attn_gate_row *row, const clattn_plan_info *info) {
    if (info->products_tf32 && row->tf32) {
        return ATTN_PLAIN_TF32;
    }
    return info->weights_rounded ? ATTN_PLAIN_STORED : ATTN_PLAIN_FP32;
}

double attn_gate_output_bound(const attn_gate_row *row, const clattn_plan_info *info, int64_t d) {
    clattn_type type = row->data->problem.type, written = attn_case_output_type(&row->data->problem);
    double gold = fabs((double)row->gold.output[d]), u = attn_unit_roundoff(type), length = length_part(row, info);
    double tiny = written == CLATTN_FP16 ? 0x1p-25 : sum_tiny(row) * (1 + row->value_sum[d]);
    double sums = row->error_sum[d] + length * row->weight_sum[d] + gold * (row->score_error + length);
    double bound = attn_unit_roundoff(written) * gold + tiny + sum_roundoff(row) * sums;
    if (info->weights_rounded) {
        bound += u * row->weight_sum[d];
        if (type == CLATTN_FP16) {
            bound += 0x1p-25 * exp((double)(row->gold.maximum - row->gold.logsumexp)) * row->value_sum[d];
        }
    }
    if (attn_gate_form(row, info) == ATTN_PLAIN_TF32) {
        double products = TF32_TWICE * (row->weight_sum[d] + row->tf32_sum[d]); /* of weights and values */
        bound += (row->tf32_sum[d] + gold * row->tf32_score + products) / row->tf32_least;
    }
    return bound;
}

/* A key's score moves logsumexp by its weight; the sum itself, and the sink's term, are off by a few units more. */
double attn_gate_logsumexp_bound(const attn_gate_row *row, const clattn_plan_info *info) {
    double gold = fabs((double)row->gold.logsumexp), u = sum_roundoff(row), tf32 = 0;
    if (attn_gate_form(row, info) == ATTN_PLAIN_TF32) {
        tf32 = fmax(log1p(row->tf32_score), -log(row->tf32_least));
    }
    double units = gold + row->score_error + length_part(row, info) + 16 + 4 * fabs((double)row->gold.maximum);
    return tf32 + u * units + sum_tiny(row);
}

/*
 * Units by which a product of query and key may be off where it is written itself, of what its terms are worth together.
 * Rule 1 counts 4 for it, beside 16 units for the whole row, which a product alone has no part in. Of some hundred thousand
 * sums of 128 terms in one chain a few are off by somewhat more than 4.
 */
static const double product_units = 6;

double attn_gate_weight_bound(const attn_gate_row *row, const clattn_plan_info *info, int64_t j) {
    const clattn_problem *p = &row->data->problem;
    double u = sum_roundoff(row), weight = (double)row->gold.weights[j], length = length_part(row, info);
    double magnitude = (double)row->gold.magnitude[j];
    switch (p->weights) {
        case CLATTN_WEIGHTS_RAW:
            return u * (4 * fabs((double)row->gold.raw[j]) + product_units * magnitude) + sum_tiny(row);
        case CLATTN_WEIGHTS_SOFTCAP:
            return u * (14 * fabs((double)row->gold.softcap[j]) + product_units * magnitude) + sum_tiny(row);
        case CLATTN_WEIGHTS_BIAS: /* the 16: bias and ALiBi may cancel */
            return u * ((p->alibi || p->bias != CLATTN_BIAS_NONE ? 16 : 0) + 4 * fabs((double)row->gold.scores[j]) +
                        14 * fabs((double)row->gold.softcap[j]) + product_units * magnitude) +
                   sum_tiny(row);
        default: break;
    }
    double tiny = p->type == CLATTN_FP16 ? 0x1p-25 : 2 * sum_tiny(row);
    double units = row->key_error[j] + row->score_error + 2 * length + 4 * fabs((double)row->gold.maximum) + 16;
    /* in an exponent: u * units where that is small, but a bias of -1e9 leaves fp32 scores no digits at all */
    return attn_unit_roundoff(p->type) * weight + tiny + weight * expm1(fmin(u * units, 700));
}

/* The mean square of the products in a score, as rule 3 of plain TF32 wants it. */
static void measure_products(attn_gate_row *row) {
    const clattn_problem *p = &row->data->problem;
    row->score_square = 0;
    for (int64_t j = 0; j < row->used_keys; j++) {
        const float *key = row->keys_float + j * p->head_dim;
        double square = 0;
        for (int64_t d = 0; d < p->head_dim && row->allowed[j]; d++) {
            double product = p->scale * (double)row->query_float[d] * (double)key[d];
            square += product * product;
        }
        row->score_square += (double)row->gold.weights[j] * square;
    }
}

/*
 * Products of 16-bit numbers are exact in fp32. Where nothing is rounded to 16 bits afterwards, plain evaluation takes a query
 * that is scaled already, and by log2(e), so that its products are rounded as those of fp32 numbers are.
 */
static const double log2_e = 1.44269504088896340736;

static bool scales_first(const clattn_problem *p, attn_plain_form form) {
    return form == ATTN_PLAIN_FP32 && p->type != attn_case_output_type(p);
}

/* The query of the row, and with TF32 its rounded copy; answers what the form works with. */
static const float *load_query(attn_gate_row *row, attn_plain_form form) {
    const attn_case_data *data = row->data;
    const clattn_problem *p = &data->problem;
    int64_t query = attn_rows_at(&data->query_rows, row->b, row->h, row->i);
    for (int64_t d = 0; d < p->head_dim; d++) {
        row->query_float[d] = (float)clattn_get_element(p->type, data->query.data, query + d);
        row->query_float[d] *= scales_first(p, form) ? (float)(p->scale * log2_e) : 1;
    }
    if (form != ATTN_PLAIN_TF32) {
        return row->query_float;
    }
    for (int64_t d = 0; d < p->head_dim; d++) {
        row->tf32[d] = attn_plain_tf32(row->query_float[d]);
    }
    measure_products(row);
    return row->tf32;
}

attn_plain attn_gate_plain_arguments(attn_gate_row *row, attn_plain_form form) {
    const attn_case_data *data = row->data;
    const clattn_problem *p = &data->problem;
    const float *query = load_query(row, form);
    attn_plain plain = { query,
                         query + (row->keys_float - row->query_float),
                         query + (row->values_float - row->query_float),
                         row->used_keys,
                         p->head_dim,
                         p->value_dim,
                         (float)(scales_first(p, form) ? 1 / log2_e : p->scale),
                         (float)p->softcap,
                         row->added,
                         row->allowed,
                         p->sinks,
                         0,
                         form,
                         p->type,
                         p->dropout > 0 ? row->keep : NULL };
    if (p->sinks) {
        plain.sink = ((const float *)data->sinks.data)[row->h];
    }
    return plain;
}

const float *attn_gate_plain(attn_gate_row *row, attn_plain_form form) {
    const clattn_problem *p = &row->data->problem;
    if (row->plain_done[form]) {
        return row->plain[form];
    }
    attn_plain plain = attn_gate_plain_arguments(row, form);
    for (int run = 0; run < row->plain_runs || run == 0; run++) {
        double start = attn_seconds();
        attn_plain_row(&plain, row->plain_scores, row->plain[form]);
        double seconds = attn_seconds() - start;
        row->plain_seconds[form] = run == 0 || seconds < row->plain_seconds[form] ? seconds : row->plain_seconds[form];
    }
    for (int64_t d = 0; d < p->value_dim; d++) {
        double stored;
        clattn_set_element(attn_case_output_type(p), &stored, 0, (double)row->plain[form][d]);
        row->plain[form][d] = (float)clattn_get_element(attn_case_output_type(p), &stored, 0);
    }
    row->plain_done[form] = true;
    return row->plain[form];
}
