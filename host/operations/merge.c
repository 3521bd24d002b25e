/*
 * Merging attention over disjoint sets of keys: (output, logsumexp) pairs into one, by plain loops in double. Host
 * memory; knows no engine. Inside a call the OpenCL engines merge their own splits in kernels/attention_merge.cl.
 */
#include <math.h>

#include "clattn/clattn.h"

static double get_logsumexp(const clattn_merge_part *part, int64_t row) {
    return part->type == CLATTN_FP64 ? ((const double *)part->logsumexp)[row]
                                     : (double)((const float *)part->logsumexp)[row];
}

static void set_logsumexp(const clattn_merge_part *part, int64_t row, double x) {
    if (part->logsumexp == NULL) {
        return;
    }
    if (part->type == CLATTN_FP64) {
        ((double *)part->logsumexp)[row] = x;
    } else {
        ((float *)part->logsumexp)[row] = (float)x;
    }
}

/* The largest logsumexp of a row; NaN when one is NaN. */
static double row_maximum(const clattn_merge_part *parts, int64_t count, int64_t row) {
    double maximum = -INFINITY;
    for (int64_t k = 0; k < count; k++) {
        double x = get_logsumexp(&parts[k], row);
        if (isnan(x)) {
            return x;
        }
        maximum = x > maximum ? x : maximum;
    }
    return maximum;
}

static void merge_row(const clattn_merge_part *parts, int64_t count, int64_t row, int64_t value_dim,
                      const clattn_merge_part *result) {
    double maximum = row_maximum(parts, count, row);
    if (maximum == -INFINITY) {
        for (int64_t d = 0; d < value_dim; d++) {
            clattn_set_element(result->type, result->output, row * result->row_stride + d, 0.0);
        }
        set_logsumexp(result, row, -INFINITY);
        return;
    }
    double sum = 0.0;
    for (int64_t k = 0; k < count; k++) {
        sum += exp(get_logsumexp(&parts[k], row) - maximum);
    }
    for (int64_t d = 0; d < value_dim; d++) {
        double x = 0.0;
        for (int64_t k = 0; k < count; k++) {
            double weight = exp(get_logsumexp(&parts[k], row) - maximum) / sum;
            if (weight != 0.0) { /* what has no weight may hold anything */
                x += weight * clattn_get_element(parts[k].type, parts[k].output, row * parts[k].row_stride + d);
            }
        }
        clattn_set_element(result->type, result->output, row * result->row_stride + d, x);
    }
    set_logsumexp(result, row, maximum + log(sum));
}

static bool is_usable(const clattn_merge_part *part, int64_t rows, int64_t value_dim, bool is_result) {
    return part->type >= CLATTN_FP32 && part->type <= CLATTN_FP64 && part->row_stride >= value_dim &&
           (rows == 0 || ((part->output != NULL || value_dim == 0) && (is_result || part->logsumexp != NULL)));
}

clattn_status clattn_merge(const clattn_merge_part *parts, int64_t count, int64_t rows, int64_t value_dim,
                           const clattn_merge_part *result) {
    if (result == NULL || count < 0 || rows < 0 || value_dim < 0 || (count > 0 && parts == NULL) ||
        !is_usable(result, rows, value_dim, true)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    for (int64_t k = 0; k < count; k++) {
        if (!is_usable(&parts[k], rows, value_dim, false)) {
            return CLATTN_INVALID_ARGUMENT;
        }
    }
    for (int64_t row = 0; row < rows; row++) {
        merge_row(parts, count, row, value_dim, result);
    }
    return CLATTN_OK;
}
