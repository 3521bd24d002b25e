/*
 * The parts of a call of opencl-unfused, and their matrices: what CLBlast can take is taken where it lies, the rest is gathered
 * into the workspace as dense floats. Knows nothing of devices' limits (opencl_unfused_parts.c) and of CLBlast's calls
 * (opencl_unfused_product.c).
 */
#include "engines/opencl/unfused/opencl_unfused_matrices.h"

#include "base/report.h"

/* A matrix as it lies in the caller's memory, when that is something CLBlast can take: floats, rows that do not
 * overlap, the same step from pair to pair, everything below 2^31 elements. heads is how many heads' rows make a
 * pair's rows. */
static bool in_place(const attn_unfused_run *run, attn_tensor_id id, int64_t heads, int64_t length, int64_t dim,
                     int64_t first_row, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    const attn_placement *p = &run->call.placements[id];
    const attn_int64 *stride = p->layout.stride;
    int64_t leading = length > 1 ? stride[2] : heads > 1 ? stride[1] : dim;
    int64_t step = a->kv_heads > 1 ? heads * stride[1] : stride[0];
    int64_t b = run->first_pair / a->kv_heads, g = run->first_pair % a->kv_heads;
    bool plain = p->element == (int64_t)sizeof(float) && leading >= dim && step >= 0 &&
                 (heads == 1 || stride[1] == length * leading) &&
                 (run->pairs == 1 || a->batch == 1 || a->kv_heads == 1 || stride[0] == a->kv_heads * step);
    /* the end of the whole tensor is an upper bound for every address */
    if (!plain || !p->name || p->layout.offset + (p->end - p->first) > INT32_MAX || leading > INT32_MAX) {
        return false;
    }
    int64_t at =
        attn_view_row(&(attn_view){ NULL, p->layout.offset, { stride[0], stride[1], stride[2], 1 } }, b, g * heads, 0);
    *matrix = (struct attn_matrix){ p->memory, at + first_row * leading, leading, step };
    return true;
}

struct attn_matrix attn_unfused_region_matrix(const attn_unfused_run *run, attn_unfused_region region, int64_t lines,
                                              int64_t columns) {
    return (struct attn_matrix){ run->call.workspace, run->part.at[region], columns, lines * columns };
}

static clattn_status gather(attn_unfused_run *run, cl_kernel kernel, attn_tensor_id id, attn_unfused_region region,
                            bool of_rows, int64_t dim, struct attn_matrix *matrix) {
    attn_kernel_call call = attn_kernel_call_begin(kernel);
    const int64_t lines = of_rows ? run->rows : run->call.arguments.key_length;
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)(lines * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "gather"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_extras(&call, &run->call);
    attn_pass_tensor(&call, &run->call, id);
    attn_pass_layout(&call, &run->call, id);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.at[region]);
    attn_pass_int32(&call, of_rows);
    attn_pass_int64(&call, dim);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, of_rows ? run->first_row : 0);
    attn_pass_int64(&call, lines);
    ATTN_TRY(attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "gather"));
    *matrix = attn_unfused_region_matrix(run, region, lines, dim);
    return CLATTN_OK;
}

static clattn_status get_rows(attn_unfused_run *run, int kernel, attn_tensor_id id, attn_unfused_region region,
                              int64_t dim, bool clean, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    if (!(clean && run->state->problem.query_lengths) &&
        in_place(run, id, a->group, a->query_length, dim, run->first_row, matrix)) {
        return CLATTN_OK;
    }
    return gather(run, run->slot->kernels[kernel], id, region, true, dim, matrix);
}

static clattn_status get_keys(attn_unfused_run *run, attn_tensor_id id, attn_unfused_region region, int64_t dim,
                              bool clean, struct attn_matrix *matrix) {
    if (!(clean && run->state->problem.key_lengths) &&
        in_place(run, id, 1, run->call.arguments.key_length, dim, 0, matrix)) {
        return CLATTN_OK;
    }
    return gather(run, run->slot->kernels[ATTN_UNFUSED_GATHER], id, region, false, dim, matrix);
}

clattn_status attn_unfused_get_query(attn_unfused_run *run, bool clean, struct attn_matrix *matrix) {
    return get_rows(run, ATTN_UNFUSED_GATHER, ATTN_TENSOR_QUERY, ATTN_REGION_QUERY, run->state->problem.head_dim, clean,
                    matrix);
}

clattn_status attn_unfused_get_given(attn_unfused_run *run, bool clean, struct attn_matrix *matrix) {
    return get_rows(run, ATTN_UNFUSED_GATHER_GIVEN, ATTN_TENSOR_GRAD_OUTPUT, ATTN_REGION_GIVEN,
                    run->state->problem.value_dim, clean, matrix);
}

clattn_status attn_unfused_get_key(attn_unfused_run *run, bool clean, struct attn_matrix *matrix) {
    return get_keys(run, ATTN_TENSOR_KEY, ATTN_REGION_KEY, run->state->problem.head_dim, clean, matrix);
}

clattn_status attn_unfused_get_value(attn_unfused_run *run, bool clean, struct attn_matrix *matrix) {
    return get_keys(run, ATTN_TENSOR_VALUE, ATTN_REGION_VALUE, run->state->problem.value_dim, clean, matrix);
}

/* Column-major key_length x rows = key^T * query. */
clattn_status attn_unfused_scores(attn_unfused_run *run, const struct attn_matrix *query,
                                  const struct attn_matrix *key) {
    const attn_arguments *a = &run->call.arguments;
    const attn_product product = {
        .m = a->key_length,
        .n = run->rows,
        .k = a->head_dim,
        .count = run->pairs,
        .alpha = a->scale,
        .a_transposed = true,
        .a = *key,
        .b = *query,
        .c = attn_unfused_region_matrix(run, ATTN_REGION_SCORES, run->rows, a->key_length),
        .temporary = run->call.workspace,
    };
    ATTN_TRY(attn_chain_step(&run->call.chain, "scores"));
    return attn_product_enqueue(&run->call.chain, &product);
}

static clattn_status walk_pairs(attn_unfused_run *run, const attn_unfused_sizes *sizes, bool empty,
                                clattn_status (*work)(attn_unfused_run *run)) {
    int64_t row = 0;
    while (row < sizes->rows || (empty && row == 0)) {
        run->first_row = row;
        run->rows = attn_min(run->part.rows, sizes->rows - row);
        double done = (double)run->first_pair + (double)row / (double)attn_max(sizes->rows, 1);
        ATTN_TRY(attn_opencl_progress(&run->call, done / (double)attn_max(sizes->pairs, 1)));
        ATTN_TRY(work(run));
        row += attn_max(run->rows, 1);
    }
    return CLATTN_OK;
}

clattn_status attn_unfused_walk(attn_unfused_run *run, const attn_unfused_sizes *sizes, bool empty,
                                clattn_status (*work)(attn_unfused_run *run)) {
    int64_t pair = 0;
    while (pair < sizes->pairs || (empty && pair == 0)) {
        run->first_pair = pair;
        run->pairs = attn_min(run->part.pairs, sizes->pairs - pair);
        ATTN_TRY(walk_pairs(run, sizes, empty, work));
        pair += attn_max(run->pairs, 1);
    }
    return CLATTN_OK;
}
