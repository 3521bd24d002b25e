/*
 * Merging attention over disjoint sets of keys: (output, logsumexp) pairs into one, by plain loops in double. Host
 * memory; knows no engine. Inside a call the OpenCL engines merge their own splits in kernels/attention_merge.cl.
 */
#include <math.h>

#include "base/memory.h"
#include "base/half.h"
#include "base/visit.h"
#include "operations/merge.h"

double attn_merge_get_logsumexp(const clattn_merge_part *part, int64_t row) {
    return part->type == CLATTN_FP64 ? ((const double *)part->logsumexp)[row]
                                     : (double)((const float *)part->logsumexp)[row];
}

void attn_merge_set_logsumexp(const clattn_merge_part *part, int64_t row, double x) {
    if (part->logsumexp == NULL) {
        return;
    }
    if (part->type == CLATTN_FP64) {
        ((double *)part->logsumexp)[row] = x;
    } else {
        ((float *)part->logsumexp)[row] = (float)x;
    }
}

double attn_merge_row_maximum(const clattn_merge_part *parts, int64_t count, int64_t row) {
    double maximum = -INFINITY;
    for (int64_t k = 0; k < count; k++) {
        double x = attn_merge_get_logsumexp(&parts[k], row);
        if (isnan(x)) {
            return x;
        }
        maximum = x > maximum ? x : maximum;
    }
    return maximum;
}

static ATTN_NOT_INLINED void merge_row(const clattn_merge_part *parts, int64_t count, int64_t row, int64_t value_dim,
                                       const clattn_merge_part *result) {
    double maximum = attn_merge_row_maximum(parts, count, row);
    if (maximum == -INFINITY) {
        for (int64_t d = 0; d < value_dim; d++) {
            attn_set_element(result->type, result->output, row * result->row_stride + d, 0.0);
        }
        attn_merge_set_logsumexp(result, row, -INFINITY);
        return;
    }
    double sum = 0.0;
    for (int64_t k = 0; k < count; k++) {
        sum += exp(attn_merge_get_logsumexp(&parts[k], row) - maximum);
    }
    for (int64_t d = 0; d < value_dim; d++) {
        double x = 0.0;
        for (int64_t k = 0; k < count; k++) {
            double weight = exp(attn_merge_get_logsumexp(&parts[k], row) - maximum) / sum;
            if (weight != 0.0) { /* what has no weight may hold anything */
                x += weight * attn_get_element(parts[k].type, parts[k].output, row * parts[k].row_stride + d);
            }
        }
        attn_set_element(result->type, result->output, row * result->row_stride + d, x);
    }
    attn_merge_set_logsumexp(result, row, maximum + log(sum));
}

bool attn_merge_spans(const clattn_merge_part *part, int64_t rows, int64_t value_dim, int64_t *output,
                      int64_t *logsumexp) {
    int64_t wide = part->type == CLATTN_FP64 ? 8 : 4, last;
    *output = *logsumexp = 0;
    if (rows == 0) {
        return true;
    }
    return attn_multiply(rows, wide, logsumexp) && attn_multiply(rows - 1, part->row_stride, &last) &&
           attn_add(last, value_dim, &last) && attn_multiply(last, clattn_type_size(part->type), output) &&
           attn_fits_address(part->output, *output) && attn_fits_address(part->logsumexp, *logsumexp);
}

bool attn_merge_is_usable(const clattn_merge_part *part, int64_t rows, int64_t value_dim, bool is_result) {
    int64_t output, logsumexp;
    return (int)part->type >= CLATTN_FP32 && (int)part->type <= CLATTN_FP64 && part->row_stride >= value_dim &&
           attn_merge_spans(part, rows, value_dim, &output, &logsumexp) &&
           (rows == 0 || ((part->output != NULL || value_dim == 0) && (is_result || part->logsumexp != NULL)));
}

bool attn_merge_rows_meet(const clattn_merge_part *a, int64_t a_bytes, const clattn_merge_part *b, int64_t b_bytes,
                          int64_t value_dim) {
    int64_t size = clattn_type_size(a->type), step = a->row_stride;
    if (!attn_ranges_meet(a->output, a_bytes, b->output, b_bytes)) {
        return false;
    }
    if (clattn_type_size(b->type) != size || b->row_stride != step || step == 0) {
        return true;
    }
    uintptr_t from = (uintptr_t)a->output, other = (uintptr_t)b->output;
    uintptr_t apart = (from < other ? other - from : from - other) % ((uintptr_t)step * (uintptr_t)size);
    uintptr_t width = (uintptr_t)value_dim * (uintptr_t)size;
    return apart < width || apart + width > (uintptr_t)step * (uintptr_t)size;
}

/* A row is written when it was read: the same rows of a part of the same type may be written over, nothing else. */
static bool overlaps_wrongly(const clattn_merge_part *part, const clattn_merge_part *result, int64_t rows,
                             int64_t value_dim) {
    int64_t read, read_sums, written, written_sums;
    if (!attn_merge_spans(part, rows, value_dim, &read, &read_sums) ||
        !attn_merge_spans(result, rows, value_dim, &written, &written_sums)) {
        return true;
    }
    bool same = part->output == result->output && part->type == result->type && part->row_stride == result->row_stride;
    bool same_sums = part->logsumexp == result->logsumexp && part->type == result->type;
    return (!same && attn_merge_rows_meet(part, read, result, written, value_dim)) ||
           (!same_sums && attn_ranges_meet(part->logsumexp, read_sums, result->logsumexp, written_sums)) ||
           attn_ranges_meet(part->output, read, result->logsumexp, written_sums) ||
           attn_ranges_meet(part->logsumexp, read_sums, result->output, written);
}

bool attn_merge_overlaps_itself(const clattn_merge_part *result, int64_t rows, int64_t value_dim) {
    int64_t written, written_sums;
    return !attn_merge_spans(result, rows, value_dim, &written, &written_sums) ||
           attn_ranges_meet(result->output, written, result->logsumexp, written_sums);
}

clattn_status clattn_merge(const clattn_merge_part *parts, int64_t count, int64_t rows, int64_t value_dim,
                           const clattn_merge_part *result) {
    if (result == NULL || count < 0 || rows < 0 || value_dim < 0 || (count > 0 && parts == NULL) ||
        !attn_merge_is_usable(result, rows, value_dim, true) || attn_merge_overlaps_itself(result, rows, value_dim)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    for (int64_t k = 0; k < count; k++) {
        if (!attn_merge_is_usable(&parts[k], rows, value_dim, false) ||
            overlaps_wrongly(&parts[k], result, rows, value_dim)) {
            return CLATTN_INVALID_ARGUMENT;
        }
    }
    if (value_dim == 0 && result->logsumexp == NULL) {
        return CLATTN_OK; /* nothing to write, however many rows */
    }
    attn_visit visit = attn_visit_begin();
    for (int64_t row = 0; row < rows; row++) {
        merge_row(parts, count, row, value_dim, result);
    }
    attn_visit_end(&visit);
    return CLATTN_OK;
}
