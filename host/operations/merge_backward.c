/*
 * The gradient of merging, by plain loops in double. The merged output is not needed: sum_d grad_output * output is the
 * weighted sum of the same product over the parts.
 */
#include <math.h>

#include "base/half.h"
#include "base/memory.h"
#include "base/visit.h"
#include "operations/merge.h"

/** One call. */
typedef struct job {
    const clattn_merge_part *parts, *gradient, *part_gradients;
    int64_t count, value_dim;
} job;

/** sum_d grad_output * output_k of a row. */
static double dot(const job *j, int64_t k, int64_t row) {
    const clattn_merge_part *part = &j->parts[k], *g = j->gradient;
    double sum = 0.0;
    for (int64_t d = 0; d < j->value_dim; d++) {
        sum += attn_get_element(g->type, g->output, row * g->row_stride + d) *
               attn_get_element(part->type, part->output, row * part->row_stride + d);
    }
    return sum;
}

static void set_part(const job *j, int64_t k, int64_t row, double weight, double grad_logsumexp) {
    const clattn_merge_part *to = &j->part_gradients[k], *g = j->gradient;
    for (int64_t d = 0; to->output && d < j->value_dim; d++) {
        double x = weight != 0.0 ? weight * attn_get_element(g->type, g->output, row * g->row_stride + d) : 0.0;
        attn_set_element(to->type, to->output, row * to->row_stride + d, x);
    }
    attn_merge_set_logsumexp(to, row, grad_logsumexp);
}

static ATTN_NOT_INLINED void merge_row_backward(const job *j, int64_t row) {
    double maximum = attn_merge_row_maximum(j->parts, j->count, row), sum = 0.0, whole = 0.0;
    bool seen = maximum != -INFINITY;
    for (int64_t k = 0; k < j->count && seen; k++) {
        double weight = exp(attn_merge_get_logsumexp(&j->parts[k], row) - maximum);
        sum += weight;
        whole += weight != 0.0 ? weight * dot(j, k, row) : 0.0; /* what has no weight may hold anything */
    }
    double grad_logsumexp = j->gradient->logsumexp ? attn_merge_get_logsumexp(j->gradient, row) : 0.0;
    for (int64_t k = 0; k < j->count; k++) {
        double weight = seen ? exp(attn_merge_get_logsumexp(&j->parts[k], row) - maximum) / sum : 0.0;
        double inner = weight != 0.0 ? weight * (dot(j, k, row) - whole / sum + grad_logsumexp) : 0.0;
        set_part(j, k, row, weight, inner);
    }
}

/** Whether what is written shares memory with `other`. */
static bool meets(const clattn_merge_part *written, const clattn_merge_part *other, int64_t rows, int64_t value_dim) {
    int64_t a, a_sums, b, b_sums;
    return !attn_merge_spans(written, rows, value_dim, &a, &a_sums) ||
           !attn_merge_spans(other, rows, value_dim, &b, &b_sums) ||
           attn_merge_rows_meet(written, a, other, b, value_dim) ||
           attn_ranges_meet(written->logsumexp, a_sums, other->logsumexp, b_sums) ||
           attn_ranges_meet(written->output, a, other->logsumexp, b_sums) ||
           attn_ranges_meet(written->logsumexp, a_sums, other->output, b);
}

/** A part's gradient: its members may both be missing, and what is missing has no stride. */
static bool is_writable(const job *j, int64_t k, int64_t rows) {
    clattn_merge_part asked = j->part_gradients[k], *to = &asked;
    asked.row_stride = asked.output ? asked.row_stride : j->value_dim;
    int64_t output, logsumexp;
    bool usable = (int)to->type >= CLATTN_FP32 && (int)to->type <= CLATTN_FP64 && to->row_stride >= j->value_dim &&
                  attn_merge_spans(to, rows, j->value_dim, &output, &logsumexp) &&
                  !attn_merge_overlaps_itself(to, rows, j->value_dim) && !meets(to, j->gradient, rows, j->value_dim);
    for (int64_t n = 0; n < j->count && usable; n++) {
        usable = !meets(to, &j->parts[n], rows, j->value_dim) &&
                 (n >= k || !meets(to, &j->part_gradients[n], rows, j->value_dim));
    }
    return usable;
}

clattn_status clattn_merge_backward(const clattn_merge_part *parts, int64_t count, int64_t rows, int64_t value_dim,
                                    const clattn_merge_part *gradient, const clattn_merge_part *part_gradients) {
    const job j = { parts, gradient, part_gradients, count, value_dim };
    if (!gradient || count < 0 || rows < 0 || value_dim < 0 || (count > 0 && (!parts || !part_gradients)) ||
        !attn_merge_is_usable(gradient, rows, value_dim, true)) {
        return CLATTN_INVALID_ARGUMENT;
    }
    for (int64_t k = 0; k < count; k++) {
        if (!attn_merge_is_usable(&parts[k], rows, value_dim, false)) {
            return CLATTN_INVALID_ARGUMENT;
        }
    }
    for (int64_t k = 0; k < count; k++) {
        if (!is_writable(&j, k, rows)) {
            return CLATTN_INVALID_ARGUMENT;
        }
    }
    attn_visit visit = attn_visit_begin();
    for (int64_t row = 0; row < rows && count > 0; row++) {
        merge_row_backward(&j, row);
    }
    attn_visit_end(&visit);
    return CLATTN_OK;
}
