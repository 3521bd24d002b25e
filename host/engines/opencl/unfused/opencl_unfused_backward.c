/*
 * Backward of opencl-unfused. Delta of every row first; then for each part of rows the scores again and the loss's derivatives
 * by the weights, by CLBlast; one kernel that makes weights and derivatives by the scores of them; and what these give to
 * values, keys and queries, by CLBlast. Parts follow one another, so every sum has its order. Last what has one number a row.
 */
#include "engines/opencl/unfused/opencl_unfused_backward.h"

#include "base/report.h"
#include "engines/opencl/unfused/opencl_unfused_matrices.h"

enum { ROW_NOTHING, ROW_GRAD_LOGSUMEXP, ROW_DELTA };                        /* as in gradient_delta.cl */
enum { STORE_NOTHING = 1, STORE_FIRST = 2, STORE_LAST = 4, STORE_ADD = 8 }; /* as in gradient_store.cl */

static bool wants(const attn_unfused_run *run, uint32_t bits) {
    return (run->state->problem.gradients & bits) != 0;
}

static bool uses(const attn_unfused_run *run, attn_unfused_region region) {
    return ATTN_HAS_REGION(run->state->regions, region);
}

/* ------------------------------------------------------------------------------------------------ rows */

/* Where a region begins, -1 where it is not used. */
static int64_t place_of(const attn_unfused_run *run, attn_unfused_region region) {
    return uses(run, region) ? run->part.at[region] : -1;
}

static clattn_status delta(attn_unfused_run *run) {
    const clattn_problem *p = &run->state->problem;
    const attn_arguments *a = &run->call.arguments;
    const int kind = p->delta ? ROW_DELTA : p->grad_logsumexp ? ROW_GRAD_LOGSUMEXP : ROW_NOTHING;
    const attn_tensor_id given = kind == ROW_DELTA ? ATTN_TENSOR_DELTA : ATTN_TENSOR_GRAD_LOGSUMEXP;
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_DELTA]);
    const size_t global = (size_t)(a->batch * a->query_heads * a->query_length);
    if (!uses(run, ATTN_REGION_DELTA)) {
        return CLATTN_OK;
    }
    ATTN_TRY(attn_chain_step(&run->call.chain, "delta"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_extras(&call, &run->call);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass_layout(&call, &run->call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass_tensor(&call, &run->call, given);
    attn_pass_layout(&call, &run->call, given);
    attn_pass_int32(&call, kind);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_LOGSUMEXP);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[ATTN_REGION_DELTA]);
    attn_pass_int64(&call, place_of(run, ATTN_REGION_SINK_ROWS));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, NULL, "gradient_delta");
}

/* A gradient that is a sum over rows: of [batch, query_heads, query_length], to a shape of those sizes or 1. */
static clattn_status sum_rows(attn_unfused_run *run, attn_unfused_region rows, int kernel, attn_tensor_id gradient,
                              const int64_t shape[3]) {
    const attn_arguments *a = &run->call.arguments;
    const int64_t sizes[] = { a->batch, a->query_heads, a->query_length, shape[0], shape[1], shape[2] };
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[kernel]);
    const size_t local = (size_t)run->state->lanes, global = local * (size_t)(shape[0] * shape[1] * shape[2]);
    attn_layout layout = run->call.placements[gradient].layout;
    if (gradient != ATTN_TENSOR_GRAD_BIAS) { /* a list, whose heads stand in the last dimension */
        layout = (attn_layout){ layout.offset, { 0, 1, 0, 0 } };
    }
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[rows]);
    for (int k = 0; k < 6; k++) {
        attn_pass_int64(&call, sizes[k]);
    }
    attn_pass_tensor(&call, &run->call, gradient);
    attn_pass(&call, &layout, sizeof layout);
    attn_pass_int32(&call, run->state->problem.gradients_add);
    attn_pass_local(&call, (int64_t)(local * sizeof(float)));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &local, "gradient_rows");
}

static clattn_status sum_all_rows(attn_unfused_run *run) {
    const clattn_problem *p = &run->state->problem;
    const int64_t heads[3] = { 1, p->query_heads, 1 };
    const int64_t bias[3] = { p->bias_shape[0], p->bias_shape[1],
                              p->bias_shape[2] == 1 ? 1 : run->call.arguments.query_length };
    ATTN_TRY(attn_chain_step(&run->call.chain, "sums of rows"));
    if (uses(run, ATTN_REGION_SINK_ROWS)) {
        ATTN_TRY(sum_rows(run, ATTN_REGION_SINK_ROWS, ATTN_UNFUSED_ROWS, ATTN_TENSOR_GRAD_SINKS, heads));
    }
    if (uses(run, ATTN_REGION_SLOPE_ROWS)) {
        ATTN_TRY(sum_rows(run, ATTN_REGION_SLOPE_ROWS, ATTN_UNFUSED_ROWS, ATTN_TENSOR_GRAD_SLOPES, heads));
    }
    if (uses(run, ATTN_REGION_BIAS_ROWS)) {
        ATTN_TRY(sum_rows(run, ATTN_REGION_BIAS_ROWS, ATTN_UNFUSED_BIAS_ROWS, ATTN_TENSOR_GRAD_BIAS, bias));
    }
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ a part */

/* The first row of the part, numbered over [batch, query_heads, query_length]. */
static int64_t first_line(const attn_unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    return run->first_pair * a->group * a->query_length + run->first_row;
}

static bool has_products(const attn_unfused_run *run) {
    return run->pairs > 0 && run->rows > 0 && run->call.arguments.key_length > 0;
}

/* The loss's derivatives by the weights, row by row: column-major key_length x rows = value^T * grad_output. */
static clattn_status changes(attn_unfused_run *run, const struct attn_matrix *given) {
    const attn_arguments *a = &run->call.arguments;
    attn_product product = { .m = a->key_length,
                             .n = run->rows,
                             .k = a->value_dim,
                             .count = run->pairs,
                             .alpha = 1.0f,
                             .a_transposed = true,
                             .b = *given,
                             .temporary = run->call.workspace };
    ATTN_TRY(attn_unfused_get_value(run, false, &product.a));
    product.c = attn_unfused_region_matrix(run, ATTN_REGION_CHANGES, run->rows, a->key_length);
    ATTN_TRY(attn_chain_step(&run->call.chain, "changes of weights"));
    return attn_product_enqueue(&run->call.chain, &product);
}

static clattn_status weights(attn_unfused_run *run) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_SCORES]);
    const size_t group = (size_t)run->state->row_group, global = group * (size_t)(run->rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "weights"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_rules(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[ATTN_REGION_SCORES]);
    attn_pass_int64(&call, place_of(run, ATTN_REGION_CHANGES));
    attn_pass_int64(&call, place_of(run, ATTN_REGION_UNCAPPED));
    attn_pass_int64(&call, place_of(run, ATTN_REGION_DELTA));
    attn_pass_int64(&call, place_of(run, ATTN_REGION_SLOPE_ROWS));
    attn_pass_int64(&call, place_of(run, ATTN_REGION_BIAS_ROWS));
    attn_pass_int64(&call, first_line(run));
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_LOGSUMEXP);
    attn_pass_local(&call, (int64_t)(group * sizeof(float)));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &group, "backward_scores");
}

/* One of grad_query, grad_key and grad_value. */
typedef struct sums_of {
    const char *name;
    attn_tensor_id gradient;
    attn_unfused_region shares, sums, total;
    bool over_rows; /* a row for each key, else one for each query */
    int64_t dim;
    float factor;
} sums_of;

/* Sums that are not finite may have met what takes no part. */
static clattn_status repair(attn_unfused_run *run, const sums_of *s, const struct attn_matrix *matrix) {
    const int64_t lines = s->over_rows ? run->call.arguments.key_length : run->rows;
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_REPAIR]);
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)(lines * run->pairs);
    if (!attn_repair_needed(&run->state->problem)) {
        return CLATTN_OK;
    }
    ATTN_TRY(attn_chain_step(&run->call.chain, "repair"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_rules(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[s->sums]);
    attn_pass_int64(&call, run->part.at[s->shares]);
    attn_pass_buffer(&call, matrix->memory);
    attn_pass_int64(&call, matrix->at);
    attn_pass_int64(&call, matrix->leading);
    attn_pass_int64(&call, matrix->step);
    attn_pass_int64(&call, s->dim);
    attn_pass_float(&call, s->factor);
    attn_pass_int32(&call, s->over_rows);
    attn_pass_int32(&call, s->gradient == ATTN_TENSOR_GRAD_VALUE); /* only_kept */
    attn_pass_int64(&call, first_line(run));
    attn_pass_int64(&call, run->rows);
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "backward_repair");
}

static int32_t how_to_store(const attn_unfused_run *run, const sums_of *s) {
    const attn_arguments *a = &run->call.arguments;
    const bool last = !s->over_rows || run->first_row + run->rows >= a->group * a->query_length;
    return (has_products(run) ? 0 : STORE_NOTHING) | (!s->over_rows || run->first_row == 0 ? STORE_FIRST : 0) |
           (last ? STORE_LAST : 0) | (run->state->problem.gradients_add ? STORE_ADD : 0);
}

static clattn_status store(attn_unfused_run *run, const sums_of *s) {
    const attn_arguments *a = &run->call.arguments;
    const int64_t heads = s->over_rows ? a->kv_heads : a->query_heads,
                  length = s->over_rows ? a->key_length : a->query_length,
                  lines = run->pairs * (s->over_rows ? a->key_length : run->rows);
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_STORE]);
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)lines;
    ATTN_TRY(attn_chain_step(&run->call.chain, "store"));
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[s->sums]);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[s->total]);
    attn_pass_tensor(&call, &run->call, s->gradient);
    attn_pass_layout(&call, &run->call, s->gradient);
    attn_pass_int64(&call, heads);
    attn_pass_int64(&call, length);
    attn_pass_int64(&call, s->dim);
    attn_pass_int64(&call, s->over_rows ? run->first_pair * a->key_length : first_line(run));
    attn_pass_int32(&call, how_to_store(run, s));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "gradient_store");
}

/* Column-major dim x keys = matrix * shares^T, the shares key_length x rows; or dim x rows = matrix * shares. */
static clattn_status sum(attn_unfused_run *run, const sums_of *s, const struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    const int64_t lines = s->over_rows ? a->key_length : run->rows;
    if (has_products(run)) {
        const attn_product product = { .m = s->dim,
                                       .n = lines,
                                       .k = s->over_rows ? run->rows : a->key_length,
                                       .count = run->pairs,
                                       .alpha = s->factor,
                                       .b_transposed = s->over_rows,
                                       .a = *matrix,
                                       .b = attn_unfused_region_matrix(run, s->shares, run->rows, a->key_length),
                                       .c = attn_unfused_region_matrix(run, s->sums, lines, s->dim),
                                       .temporary = run->call.workspace };
        ATTN_TRY(attn_chain_step(&run->call.chain, s->name));
        ATTN_TRY(attn_product_enqueue(&run->call.chain, &product));
        ATTN_TRY(repair(run, s, matrix));
    }
    return store(run, s);
}

/* The rows of the bias that the part's rows belong to: first and number in each dimension. */
static void bias_box(const attn_unfused_run *run, int64_t first[3], int64_t count[3]) {
    const attn_arguments *a = &run->call.arguments;
    const int64_t *shape = run->state->problem.bias_shape, sizes[3] = { a->batch, a->query_heads, a->query_length };
    int64_t from[3], to[3], begin = first_line(run), end = attn_max(begin + run->pairs * run->rows - 1, begin);
    for (int k = 2; k >= 0; k--) {
        from[k] = sizes[k] > 0 ? begin % sizes[k] : 0, to[k] = sizes[k] > 0 ? end % sizes[k] : 0;
        begin = sizes[k] > 0 ? begin / sizes[k] : 0, end = sizes[k] > 0 ? end / sizes[k] : 0;
    }
    bool same = run->pairs * run->rows > 0; /* in the dimensions before; a part without rows makes all of the bias 0 */
    for (int k = 0; k < 3; k++) {
        first[k] = same && shape[k] != 1 ? from[k] : 0;
        count[k] = shape[k] == 1 ? 1 : same ? to[k] - from[k] + 1 : sizes[k];
        same = same && from[k] == to[k];
    }
}

static clattn_status bias(attn_unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    const int64_t *shape = run->state->problem.bias_shape;
    const attn_unfused_region region = uses(run, ATTN_REGION_UNCAPPED) ? ATTN_REGION_UNCAPPED : ATTN_REGION_CHANGES;
    int64_t first[3], count[3];
    bias_box(run, first, count);
    const int64_t numbers[] = { run->part.at[region],
                                run->part.at[ATTN_REGION_BIAS_TOTAL],
                                first_line(run),
                                run->pairs * run->rows,
                                shape[0],
                                shape[1],
                                shape[2] == 1 ? 1 : a->query_length,
                                first[0],
                                first[1],
                                first[2],
                                count[1],
                                count[2] };
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_BIAS]);
    const size_t lanes = (size_t)run->state->lanes, local[2] = { lanes, 1 },
                 global[2] = { (size_t)attn_round_up(a->key_length, (int64_t)lanes),
                               (size_t)(count[0] * count[1] * count[2]) };
    ATTN_TRY(attn_chain_step(&run->call.chain, "bias"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        attn_pass_int64(&call, numbers[n]);
    }
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_GRAD_BIAS);
    attn_pass_layout(&call, &run->call, ATTN_TENSOR_GRAD_BIAS);
    attn_pass_int32(&call, run->state->problem.gradients_add);
    return attn_chain_launch(&run->call.chain, &call, 2, global, local, "gradient_bias");
}

static clattn_status run_part(attn_unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    struct attn_matrix query = { 0 }, key = { 0 }, given = { 0 };
    const sums_of of_value = { "grad_value",
                               ATTN_TENSOR_GRAD_VALUE,
                               ATTN_REGION_SCORES,
                               ATTN_REGION_VALUE_SUMS,
                               ATTN_REGION_VALUE_TOTAL,
                               true,
                               a->value_dim,
                               1.0f },
                  of_key = { "grad_key",
                             ATTN_TENSOR_GRAD_KEY,
                             ATTN_REGION_CHANGES,
                             ATTN_REGION_KEY_SUMS,
                             ATTN_REGION_KEY_TOTAL,
                             true,
                             a->head_dim,
                             a->scale },
                  of_query = { "grad_query",        ATTN_TENSOR_GRAD_QUERY,
                               ATTN_REGION_CHANGES, ATTN_REGION_SUMS,
                               ATTN_REGION_SUMS,    false,
                               a->head_dim,         a->scale };
    if (has_products(run)) {
        ATTN_TRY(attn_unfused_get_query(run, wants(run, CLATTN_GRADIENT_KEY), &query));
        ATTN_TRY(attn_unfused_get_key(run, wants(run, CLATTN_GRADIENT_QUERY), &key));
        ATTN_TRY(attn_unfused_get_given(run, wants(run, CLATTN_GRADIENT_VALUE), &given));
        ATTN_TRY(attn_unfused_scores(run, &query, &key));
        if (uses(run, ATTN_REGION_CHANGES)) {
            ATTN_TRY(changes(run, &given));
        }
    }
    ATTN_TRY(weights(run));
    if (wants(run, CLATTN_GRADIENT_VALUE)) {
        ATTN_TRY(sum(run, &of_value, &given));
    }
    if (wants(run, CLATTN_GRADIENT_KEY)) {
        ATTN_TRY(sum(run, &of_key, &query));
    }
    if (wants(run, CLATTN_GRADIENT_QUERY)) {
        ATTN_TRY(sum(run, &of_query, &key));
    }
    return uses(run, ATTN_REGION_BIAS_TOTAL) ? bias(run) : CLATTN_OK;
}

static clattn_status run_all(attn_unfused_run *run, const attn_unfused_sizes *sizes) {
    ATTN_TRY(delta(run));
    if (uses(run, ATTN_REGION_SCORES)) {
        ATTN_TRY(attn_unfused_walk(run, sizes, true, run_part));
    }
    ATTN_TRY(sum_all_rows(run));
    return attn_opencl_progress(&run->call, 1.0);
}

clattn_status attn_unfused_execute_backward(attn_unfused_state *state, const attn_execution *execution) {
    attn_unfused_run run = { .state = state, .slot = execution->slot };
    const attn_call *call = execution->call;
    attn_unfused_sizes sizes;
    ATTN_TRY(attn_unfused_sizes_of(state, call->query_length, call->key_length, &sizes));
    ATTN_TRY(attn_unfused_cut(&sizes, state->workspace_size, &run.part, call->report));
    ATTN_TRY(attn_opencl_call_begin(&run.call, &run.slot->base, execution));
    return attn_opencl_call_end(&run.call, run_all(&run, &sizes));
}
