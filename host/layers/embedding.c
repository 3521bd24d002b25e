/*
 * Embedding tables and positions: drawing numbers by a seed, looking rows up, the sinusoidal code. Knows no engine.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "layers/layer.h"

/* Number `index` of the sequence that splitmix64 makes from the seed: uniform in [0, 1), 53 bits. */
static double draw(uint64_t seed, uint64_t index) {
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static double draw_normal(uint64_t seed, uint64_t index) {
    double radius = sqrt(-2 * log(1 - draw(seed, 2 * index)));
    return radius * cos(6.28318530717958647693 * draw(seed, 2 * index + 1));
}

static ATTN_NOT_INLINED void fill(clattn_fill_kind kind, uint64_t seed, int64_t rows, int64_t columns, float *matrix) {
    double bound = sqrt(6 / ((double)rows + (double)columns)), deviation = sqrt(2 / (double)columns);
    for (int64_t k = 0; k < rows * columns; k++) {
        uint64_t index = (uint64_t)k;
        double x = kind == CLATTN_FILL_HE ? deviation * draw_normal(seed, index) : draw(seed, index);
        float rounded = (float)(kind == CLATTN_FILL_XAVIER ? bound * (2 * x - 1) : x);
        matrix[k] = kind == CLATTN_FILL_UNIFORM && rounded == 1.0f ? 0x1.fffffep-1f : rounded;
    }
}

clattn_status clattn_fill(clattn_fill_kind kind, uint64_t seed, int64_t rows, int64_t columns, float *matrix) {
    bool known = kind == CLATTN_FILL_UNIFORM || kind == CLATTN_FILL_XAVIER || kind == CLATTN_FILL_HE;
    int64_t bytes;
    if (!known || !attn_multiply(rows, columns, &bytes) || !attn_multiply(bytes, sizeof *matrix, &bytes)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    if (!matrix && rows * columns > 0) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    fill(kind, seed, rows, columns, matrix);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static clattn_status check_ids(int64_t words, int64_t dim, const int64_t *ids, int64_t count, bool there,
                               clattn_report *report) {
    if (words < 0 || dim < 1 || count < 0 || (count > 0 && !there)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "table, ids, output: missing, or a size is impossible");
    }
    if (words > INT64_MAX / (int64_t)sizeof(float) / dim || count > INT64_MAX / (int64_t)sizeof(float) / dim) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "words, count: times dim they do not fit 63 bits");
    }
    for (int64_t n = 0; n < count; n++) {
        if (ids[n] < 0 || ids[n] >= words) {
            return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                                "ids[%" PRId64 "]: %" PRId64 " is not one of %" PRId64 " words", n, ids[n], words);
        }
    }
    return CLATTN_OK;
}

clattn_status clattn_embedding_forward(const float *table, int64_t words, int64_t dim, const int64_t *ids,
                                       int64_t count, float *output, clattn_report *report) {
    clattn_report_clear(report);
    ATTN_TRY(check_ids(words, dim, ids, count, table && ids && output, report));
    for (int64_t n = 0; n < count; n++) {
        memcpy(output + n * dim, table + ids[n] * dim, (size_t)dim * sizeof *output);
    }
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void add_rows(int64_t dim, const int64_t *ids, int64_t count, const float *restrict grad_output,
                                      float *restrict grad_table) {
    for (int64_t n = 0; n < count; n++) {
        for (int64_t d = 0; d < dim; d++) {
            grad_table[ids[n] * dim + d] += grad_output[n * dim + d];
        }
    }
}

clattn_status clattn_embedding_backward(int64_t words, int64_t dim, const int64_t *ids, int64_t count,
                                        const float *grad_output, float *grad_table, clattn_report *report) {
    clattn_report_clear(report);
    ATTN_TRY(check_ids(words, dim, ids, count, ids && grad_output && grad_table, report));
    if (count > 0 && attn_layer_meet(grad_output, count * dim, grad_table, words * dim)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "grad_table: overlaps grad_output");
    }
    attn_visit visit = attn_visit_begin();
    add_rows(dim, ids, count, grad_output, grad_table);
    attn_visit_end(&visit);
    return CLATTN_OK;
}

static ATTN_NOT_INLINED void encode_positions(int64_t first, int64_t length, int64_t dim, double base, bool add,
                                              float *output) {
    for (int64_t d = 0; d < dim; d++) {
        double wave = pow(base, (double)(d / 2 * 2) / (double)dim);
        for (int64_t i = 0; i < length; i++) {
            double angle = (double)(first + i) / wave;
            double x = d % 2 == 0 ? sin(angle) : cos(angle);
            float *place = &output[i * dim + d];
            *place = (float)(add ? (double)*place + x : x);
        }
    }
}

clattn_status clattn_positional_encoding(int64_t first, int64_t length, int64_t dim, double base, bool add,
                                         float *output) {
    if (length < 0 || dim < 1 || !(base > 0) || !isfinite(base) || (length > 0 && !output)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    if (length > INT64_MAX / (int64_t)sizeof *output / dim || (first > 0 && length > INT64_MAX - first)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    attn_visit visit = attn_visit_begin();
    encode_positions(first, length, dim, base, add, output);
    attn_visit_end(&visit);
    return CLATTN_OK;
}
