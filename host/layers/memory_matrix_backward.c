/*
 * The derivative of a chunk of a matrix that learns. With the factors of memory_factors.h, and G and H the derivatives
 * by W and S after the chunk (n tokens), o_t the output that row t reads after t tokens, D_tj = grad_o_t . error_j and
 * A_tj = query_t . input_j:
 *
 *     grad_query_t = keep_t W_0^T grad_o_t + lift_t S_0^T grad_o_t - sum_j reach_tj D_tj input_j
 *     grad_input_j = - sum_t reach_tj D_tj query_t  - (reach_nj G + push_nj H)^T error_j
 *     grad_error_j = - sum_t reach_tj A_tj grad_o_t - (reach_nj G + push_nj H) input_j
 *     grad_W_0 = sum_t keep_t grad_o_t query_t^T + keep_n G
 *     grad_S_0 = sum_t lift_t grad_o_t query_t^T + lift_n G + hold_n H
 *     grad_keep_t = grad_o_t . W_0 query_t (+ <G, W_0> at n)       grad_lift_t = grad_o_t . S_0 query_t (+ <G, S_0>)
 *     grad_reach_tj = - D_tj A_tj (- error_j . G input_j at n)     grad_push_nj = - error_j . H input_j
 *     grad_hold_n = <H, S_0>
 *
 * Products by linear plans, sums of single numbers in double. Knows no engine.
 */
#include "layers/memory_matrix.h"

void attn_memory_matrix_learning_end(attn_memory_matrix *m) {
    if (!m->runtime) { /* never made */
        return;
    }
    attn_memory_matrix_learning *l = &m->learning;
    float *const arrays[] = { l->products, l->slopes, l->wide, l->wide_error, l->turned };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        clattn_release(m->runtime, arrays[k]);
    }
    clattn_linear_plan_destroy(l->by_error);
    *l = (attn_memory_matrix_learning){ 0 };
}

clattn_status attn_memory_matrix_learn(attn_memory_matrix *m, clattn_report *report) {
    attn_memory_matrix_learning *l = &m->learning;
    clattn_operation_info info;
    ATTN_TRY(clattn_linear_plan_get_info(m->forward, &info));
    const clattn_plan_options beside = attn_layer_beside(info.engine, info.device);
    const struct {
        float **place;
        int64_t columns;
    } all[] = { { &l->products, m->chunk },
                { &l->slopes, m->chunk },
                { &l->turned, m->chunk },
                { &l->wide, m->in },
                { &l->wide_error, m->out } };
    ATTN_TRY(attn_layer_linear(m->runtime, m->chunk, m->out, m->chunk, &beside, &l->by_error, report));
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        *all[k].place = attn_layer_floats(m->runtime, m->chunk * all[k].columns);
        if (!*all[k].place) {
            return CLATTN_OUT_OF_MEMORY;
        }
    }
    return CLATTN_OK;
}

static double inner(int64_t count, const float *a, const float *b) {
    double sum = 0;
    for (int64_t k = 0; k < count; k++) {
        sum += (double)a[k] * (double)b[k];
    }
    return sum;
}

clattn_status attn_memory_matrix_outer(attn_memory_matrix *m, const float *a, const float *b, float *sum,
                                       clattn_report *report) {
    attn_memory_transpose(m->chunk, m->out, a, m->turned_error);
    attn_memory_transpose(m->chunk, m->in, b, m->turned_input);
    return attn_layer_apply(m->outer, m->out, m->turned_error, m->turned_input, NULL, true, sum, report);
}

/* ------------------------------------------------------------------------------------------------ the state after */

static void add_scaled(int64_t count, float factor, const float *x, float *sum) {
    for (int64_t k = 0; k < count; k++) {
        sum[k] += factor * x[k];
    }
}

/*
 * What one of the two, W after the chunk by its row of reach or S by its row of push, gives inputs and errors: added.
 * `factors` and `grad_factors` are those rows.
 */
static clattn_status state_to_rows(attn_memory_matrix *m, const attn_memory_chunk *c, const attn_memory_slopes *g,
                                   const float *grad_state, const double *factors, double *grad_factors) {
    attn_memory_matrix_learning *l = &m->learning;
    ATTN_TRY(attn_memory_matrix_apply(m, c->tokens, grad_state, c->input, l->wide_error, c->report));
    ATTN_TRY(attn_memory_matrix_back(m, c->tokens, grad_state, c->error, false, l->wide, c->report));
    const float *row = attn_memory_factors_row(c->factors, factors, c->tokens); /* negative */
    for (int64_t j = 0; j < c->tokens; j++) {
        add_scaled(m->in, row[j], l->wide + j * m->in, g->grad_input + j * m->in);
        add_scaled(m->out, row[j], l->wide_error + j * m->out, g->grad_error + j * m->out);
        grad_factors[j] -= inner(m->out, c->error + j * m->out, l->wide_error + j * m->out);
    }
    return CLATTN_OK;
}

/* From the state after the chunk to the one before, where nothing is read; and the factors of both. */
static void state_to_state(const attn_memory_matrix *m, const attn_memory_chunk *c, const attn_memory_slopes *g) {
    const attn_memory_factors *f = c->factors;
    int64_t n = c->tokens, count = m->in * m->out;
    float keep = attn_memory_factor(f->keep[n]), lift = attn_memory_factor(f->lift[n]);
    float hold = attn_memory_factor(f->hold[n]);
    g->factors->keep[n] += inner(count, g->grad_w, c->w);
    g->factors->lift[n] += inner(count, g->grad_w, c->s);
    g->factors->hold[n] += inner(count, g->grad_s, c->s);
    for (int64_t k = 0; k < count; k++) {
        g->grad_s[k] = lift * g->grad_w[k] + hold * g->grad_s[k];
        g->grad_w[k] = keep * g->grad_w[k];
    }
}

/* ------------------------------------------------------------------------------------------------ what was read */

/* The squares of the chunk: slopes = -reach D and products = -reach A, whose own derivatives go to the factors. */
static clattn_status mark_products(attn_memory_matrix *m, const attn_memory_chunk *c, const attn_memory_slopes *g) {
    attn_memory_matrix_learning *l = &m->learning;
    int64_t width = m->chunk;
    memset(l->products, 0, (size_t)(width * width) * sizeof(float));
    memset(l->slopes, 0, (size_t)(width * width) * sizeof(float));
    ATTN_TRY(attn_layer_apply(m->scores, c->tokens, c->query, c->input, NULL, false, l->products, c->report));
    ATTN_TRY(attn_layer_apply(l->by_error, c->tokens, g->grad_output, c->error, NULL, false, l->slopes, c->report));
    for (int64_t t = 0; t < c->tokens; t++) {
        int64_t after = t + 1 - c->behind;
        float *a = l->products + t * width, *d = l->slopes + t * width;
        const float *reach = attn_memory_factors_row(c->factors, c->factors->reach + after * width, after);
        double *grad_reach = g->factors->reach + after * width;
        for (int64_t j = 0; j < after; j++) {
            grad_reach[j] -= (double)a[j] * (double)d[j];
            a[j] *= reach[j];
            d[j] *= reach[j];
        }
        memset(a + after, 0, (size_t)(width - after) * sizeof *a);
        memset(d + after, 0, (size_t)(width - after) * sizeof *d);
    }
    return CLATTN_OK;
}

/* rows += square x, or its transpose: the square is [chunk, chunk], x and rows [chunk, columns]. */
static clattn_status add_mixed(attn_memory_matrix *m, bool transposed, const float *square, bool of_inputs,
                               const float *x, float *rows, clattn_report *report) {
    float *turned = of_inputs ? m->turned_input : m->turned_error, *by = m->learning.turned;
    int64_t columns = of_inputs ? m->in : m->out;
    attn_memory_transpose(m->chunk, columns, x, turned);
    if (transposed) {
        attn_memory_transpose(m->chunk, m->chunk, square, by);
    }
    return attn_layer_apply(of_inputs ? m->outer : m->mix, m->chunk, transposed ? by : square, turned, NULL, true, rows,
                            report);
}

/* One of the two terms of a query that are products with the state: of W with keep, of S with lift. */
static clattn_status read_term(attn_memory_matrix *m, const attn_memory_chunk *c, const attn_memory_slopes *g,
                               const float *state, const double *factor, double *grad_factor, float *grad_state) {
    attn_memory_matrix_learning *l = &m->learning;
    int64_t n = c->tokens, first = 1 - c->behind;
    ATTN_TRY(attn_memory_matrix_apply(m, n, state, c->query, l->wide_error, c->report));
    for (int64_t t = 0; t < n; t++) {
        grad_factor[t + first] += inner(m->out, g->grad_output + t * m->out, l->wide_error + t * m->out);
    }
    ATTN_TRY(attn_memory_matrix_back(m, n, state, g->grad_output, false, l->wide, c->report));
    memset(l->wide_error, 0, (size_t)(m->chunk * m->out) * sizeof(float));
    for (int64_t t = 0; t < n; t++) {
        float by = attn_memory_factor(factor[t + first]);
        add_scaled(m->in, by, l->wide + t * m->in, g->grad_query + t * m->in);
        add_scaled(m->out, by, g->grad_output + t * m->out, l->wide_error + t * m->out);
    }
    return attn_memory_matrix_outer(m, l->wide_error, c->query, grad_state, c->report);
}

static clattn_status read_backward(attn_memory_matrix *m, const attn_memory_chunk *c, const attn_memory_slopes *g) {
    const attn_memory_factors *f = c->factors;
    attn_memory_matrix_learning *l = &m->learning;
    memset(g->grad_query, 0, (size_t)(m->chunk * m->in) * sizeof(float));
    ATTN_TRY(read_term(m, c, g, c->w, f->keep, g->factors->keep, g->grad_w));
    ATTN_TRY(read_term(m, c, g, c->s, f->lift, g->factors->lift, g->grad_s));
    ATTN_TRY(mark_products(m, c, g));
    ATTN_TRY(add_mixed(m, false, l->slopes, true, c->input, g->grad_query, c->report));
    ATTN_TRY(add_mixed(m, true, l->slopes, true, c->query, g->grad_input, c->report));
    return add_mixed(m, true, l->products, false, g->grad_output, g->grad_error, c->report);
}

clattn_status attn_memory_matrix_backward(attn_memory_matrix *m, const attn_memory_chunk *c,
                                          const attn_memory_slopes *g) {
    int64_t after = c->tokens * m->chunk;
    memset(g->grad_input, 0, (size_t)(m->chunk * m->in) * sizeof(float));
    memset(g->grad_error, 0, (size_t)(m->chunk * m->out) * sizeof(float));
    ATTN_TRY(state_to_rows(m, c, g, g->grad_w, c->factors->reach + after, g->factors->reach + after));
    ATTN_TRY(state_to_rows(m, c, g, g->grad_s, c->factors->push + after, g->factors->push + after));
    state_to_state(m, c, g);
    return g->grad_output ? read_backward(m, c, g) : CLATTN_OK;
}
