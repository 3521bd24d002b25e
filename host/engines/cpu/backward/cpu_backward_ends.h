/*
 * The ends of backward: delta of each row before, sums to results after. Has no guard: the includer defines
 * ATTN_BACKWARD_WIDE anew each time.
 */
#include "engines/cpu/backward/cpu_backward_walk.h"

/** Block `item % blocks` of the rows or keys of head `item / blocks` of [batch, heads]. */
typedef struct OF(block_rows) {
    int64_t b, h, begin, end;
} OF(block_rows);

static OF(block_rows) OF(get_rows)(int64_t item, int64_t heads, int64_t length) {
    int64_t blocks = attn_divide_up(length, ATTN_CPU_BACKWARD_ROWS), head = item / blocks,
            first = item % blocks * ATTN_CPU_BACKWARD_ROWS;
    return (OF(block_rows)){ head / heads, head % heads, first, attn_min(first + ATTN_CPU_BACKWARD_ROWS, length) };
}

#if !ATTN_BACKWARD_WIDE
INLINE float OF(delta_typed)(const clattn_type type, const void *given, int64_t at, const void *output, int64_t at2,
                             int64_t dim) {
    vf sum[2] = { { 0 }, { 0 } };
    for (int64_t d = 0; d < dim; d += 2 * LANES) {
        sum[0] += load_up_to(type, given, at + d, dim - d) * load_up_to(type, output, at2 + d, dim - d);
        if (dim - d <= LANES)
            break;
        sum[1] += load_up_to(type, given, at + d + LANES, dim - d - LANES) *
                  load_up_to(type, output, at2 + d + LANES, dim - d - LANES);
    }
    return lanes_sum(sum[0] + sum[1]);
}

/** In single precision; NaN or Inf where that is not enough. */
static double OF(fast_delta)(const attn_cpu_job *job, int64_t b, int64_t h, int64_t i) {
    const clattn_problem *p = job->problem;
    const attn_call *c = job->call;
    const int64_t given = attn_view_row(&c->grad_output, b, h, i), output = attn_view_row(&c->output, b, h, i);
    float sum;
    switch (attn_output_type(p)) {
        case CLATTN_FP16:
            sum = OF(delta_typed)(CLATTN_FP16, c->grad_output.data, given, c->output.data, output, p->value_dim);
            break;
        case CLATTN_BF16:
            sum = OF(delta_typed)(CLATTN_BF16, c->grad_output.data, given, c->output.data, output, p->value_dim);
            break;
        default:
            sum = OF(delta_typed)(CLATTN_FP32, c->grad_output.data, given, c->output.data, output, p->value_dim);
            break;
    }
    if (!p->grad_logsumexp)
        return sum;
    return (double)sum - (double)((const float *)c->grad_logsumexp.data)[attn_view_row(&c->grad_logsumexp, b, h, i)];
}
#endif

static void OF(delta_item)(const attn_cpu_backward_job *own, int64_t item, void *scratch) {
    const clattn_problem *p = own->job.problem;
    const attn_call *c = own->job.call;
    const OF(block_rows) rows = OF(get_rows)(item, p->query_heads, c->query_length);
    const int64_t used = attn_used_query_length(c, rows.b);
    (void)scratch;
    for (int64_t i = rows.begin; i < rows.end; i++) {
        double *delta = own->deltas + (rows.b * p->query_heads + rows.h) * c->query_length + i;
#if !ATTN_BACKWARD_WIDE
        if (i < used && !p->delta) {
            *delta = OF(fast_delta)(&own->job, rows.b, rows.h, i);
            if (isfinite(*delta))
                continue;
        }
#endif
        *delta = i < used ? attn_cpu_careful_delta(p, c, rows.b, rows.h, i) : 0;
    }
}

/** Writes or adds a finished row; false when it is not finite, and nothing is written then. */
static bool OF(put_row)(const clattn_problem *p, const attn_cpu_backward_sums *sums, const attn_view *view,
                        const OF(block_rows) * rows, int64_t i, int64_t dim) {
    const REAL *from = OF(sums_row)(sums, rows->b, rows->h, i);
    const int64_t to = attn_view_row(view, rows->b, rows->h, i);
    const int64_t whole = dim / WIDTH * WIDTH;
    VEC zero = { 0 };
    for (int64_t d = 0; d < whole; d += WIDTH)
        zero += OF(get)(from + d) - OF(get)(from + d);
    for (int64_t d = whole; d < dim; d++)
        zero[0] += from[d] - from[d];
    if (!OF(is_finite)(zero))
        return false;
    if (sums->in_place)
        return true;
    for (int64_t d = 0; d < dim && p->gradients_add; d++)
        ((REAL *)view->data)[to + d] += from[d];
    if (p->gradients_add)
        return true;
#if ATTN_BACKWARD_WIDE
    memcpy((double *)view->data + to, from, (size_t)dim * sizeof *from);
#else
    store_row(attn_gradient_type(p), view->data, to, from, dim, 1);
#endif
    return true;
}

static void OF(finish_item)(const attn_cpu_backward_job *own, int64_t item, void *scratch) {
    const clattn_problem *p = own->job.problem;
    const attn_call *c = own->job.call;
    const attn_cpu_careful_gradients careful = { p, c, own->deltas };
    char *row = (char *)scratch + own->at.row;
    const int64_t blocks = attn_divide_up(c->query_length, ATTN_CPU_BACKWARD_ROWS) * p->batch * p->query_heads;
    if (item < blocks) {
        const OF(block_rows) rows = OF(get_rows)(item, p->query_heads, c->query_length);
        for (int64_t i = rows.begin; i < rows.end && own->query.data; i++) {
            if (!OF(put_row)(p, &own->query, &c->grad_query, &rows, i, p->head_dim)) {
                attn_cpu_careful_grad_query(&careful, rows.b, rows.h, i, row);
            }
        }
        return;
    }
    const OF(block_rows) keys = OF(get_rows)(item - blocks, p->kv_heads, c->key_length);
    for (int64_t j = keys.begin; j < keys.end; j++) {
        bool key = own->key.data && !OF(put_row)(p, &own->key, &c->grad_key, &keys, j, p->head_dim);
        bool value = own->value.data && !OF(put_row)(p, &own->value, &c->grad_value, &keys, j, p->value_dim);
        if (key || value)
            attn_cpu_careful_grad_key(&careful, keys.b, keys.h, j, key, value, row);
    }
}

/** One number of grad_bias where rows, or keys, share it: the sum over those that do. j: of a key. */
static double OF(bias_sum)(const attn_cpu_backward_job *own, int64_t b0, int64_t h0, int64_t i0, int64_t j) {
    const clattn_problem *p = own->job.problem;
    const attn_call *c = own->job.call;
    const int64_t *shape = p->bias_shape;
    double sum = 0;
    for (int64_t b = shape[0] == 1 ? 0 : b0; b < (shape[0] == 1 ? p->batch : b0 + 1); b++) {
        for (int64_t h = shape[1] == 1 ? 0 : h0; h < (shape[1] == 1 ? p->query_heads : h0 + 1); h++) {
            const int64_t head = b * p->query_heads + h;
            if (own->bias == ATTN_CPU_BIAS_KEYS) {
                sum += own->key_bias[head * c->key_length + j];
                continue;
            }
            const double *rows = own->row_bias + head * c->query_length;
            for (int64_t i = shape[2] == 1 ? 0 : i0; i < (shape[2] == 1 ? c->query_length : i0 + 1); i++) {
                sum += rows[i];
            }
        }
    }
    return sum;
}

static void OF(finish_bias_item)(const attn_cpu_backward_job *own, int64_t item, void *scratch) {
    const clattn_problem *p = own->job.problem;
    const attn_call *c = own->job.call;
    const int64_t rows = p->bias_shape[2] == 1 ? 1 : c->query_length, head = item / rows, i = item % rows;
    const int64_t b = head / p->bias_shape[1], h = head % p->bias_shape[1];
    const int64_t columns = p->bias_shape[3] == 1 ? 1 : c->key_length, to = attn_view_row(&c->grad_bias, b, h, i);
    const REAL *pairs = own->bias == ATTN_CPU_BIAS_PAIRS ? OF(sums_row)(&own->pairs, b, h, i) : NULL;
    (void)scratch;
    for (int64_t j = 0; j < columns; j++) {
        double x = pairs ? (double)pairs[j] : OF(bias_sum)(own, b, h, i, j);
        attn_cpu_put_gradient(p, attn_grad_bias_type(p), &c->grad_bias, to + j, x);
    }
}

static const attn_cpu_backward_kernels OF(backward_kernels) = {
    .size = (int64_t)sizeof(REAL),
    .strip = STRIP,
    .delta = OF(delta_item),
    .walk = OF(walk_item),
    .finish = OF(finish_item),
    .finish_bias = OF(finish_bias_item),
};
