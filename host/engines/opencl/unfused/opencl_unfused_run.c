/*
 * One call of opencl-unfused. For each part: matrices that CLBlast cannot take as they lie are gathered into the
 * workspace as dense floats, then scores, softmax, weighted sums, and the output in its own type and layout.
 * Knows nothing of devices' limits (opencl_unfused_parts.c) and of CLBlast's calls (opencl_unfused_product.c).
 */
#include "base/report.h"
#include "engines/opencl/unfused/opencl_unfused.h"

enum { GATHER_QUERY, GATHER_KEY, GATHER_VALUE }; /* as in gather.cl */

typedef struct unfused_run {
    attn_opencl_call call;
    attn_unfused_state *state;
    attn_grid_slot *slot;
    attn_unfused_part part;                     /* the largest part, and the workspace's layout */
    int64_t first_pair, pairs, first_row, rows; /* the part at work */
} unfused_run;

/* A matrix as it lies in the caller's memory, when that is something CLBlast can take: floats, rows that do not
 * overlap, the same step from pair to pair, everything below 2^31 elements. heads is how many heads' rows make a
 * pair's rows. */
static bool in_place(const unfused_run *run, attn_tensor_id id, int64_t heads, int64_t length, int64_t dim,
                     int64_t first_row, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    const attn_placement *p = &run->call.placements[id];
    const attn_int64 *stride = p->layout.stride;
    int64_t leading = length > 1 ? stride[2] : heads > 1 ? stride[1] : dim;
    int64_t step = a->kv_heads > 1 ? heads * stride[1] : stride[0];
    int64_t b = run->first_pair / a->kv_heads, g = run->first_pair % a->kv_heads;
    bool plain = run->state->problem.type == CLATTN_FP32 && leading >= dim && step >= 0 &&
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

static clattn_status gather(unfused_run *run, int which, attn_tensor_id id, int64_t at, int64_t first_row, int64_t rows,
                            int64_t dim, struct attn_matrix *matrix) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_GATHER]);
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)(rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "gather"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_extras(&call, &run->call);
    attn_pass_tensor(&call, &run->call, id);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, at);
    attn_pass_int32(&call, which);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, first_row);
    attn_pass_int64(&call, rows);
    ATTN_TRY(attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "gather"));
    *matrix = (struct attn_matrix){ run->call.workspace, at, dim, rows * dim };
    return CLATTN_OK;
}

static clattn_status get_query(unfused_run *run, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    if (in_place(run, ATTN_TENSOR_QUERY, a->group, a->query_length, a->head_dim, run->first_row, matrix)) {
        return CLATTN_OK;
    }
    return gather(run, GATHER_QUERY, ATTN_TENSOR_QUERY, run->part.query, run->first_row, run->rows, a->head_dim,
                  matrix);
}

static clattn_status get_key(unfused_run *run, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    if (in_place(run, ATTN_TENSOR_KEY, 1, a->key_length, a->head_dim, 0, matrix)) {
        return CLATTN_OK;
    }
    return gather(run, GATHER_KEY, ATTN_TENSOR_KEY, run->part.key, 0, a->key_length, a->head_dim, matrix);
}

/* With used lengths the values are gathered always: what lies beyond a length must become 0, because 0 * NaN is NaN. */
static clattn_status get_value(unfused_run *run, struct attn_matrix *matrix) {
    const attn_arguments *a = &run->call.arguments;
    if (!run->state->problem.key_lengths &&
        in_place(run, ATTN_TENSOR_VALUE, 1, a->key_length, a->value_dim, 0, matrix)) {
        return CLATTN_OK;
    }
    return gather(run, GATHER_VALUE, ATTN_TENSOR_VALUE, run->part.value, 0, a->key_length, a->value_dim, matrix);
}

/* Scores, row by row [rows][key_length]: column-major key_length x rows = key^T * query. */
static clattn_status scores(unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    attn_product product = { .m = a->key_length,
                             .n = run->rows,
                             .k = a->head_dim,
                             .count = run->pairs,
                             .alpha = a->scale,
                             .a_transposed = true,
                             .temporary = run->call.workspace };
    ATTN_TRY(get_query(run, &product.b));
    ATTN_TRY(get_key(run, &product.a));
    product.c = (struct attn_matrix){ run->call.workspace, run->part.scores, a->key_length, run->rows * a->key_length };
    ATTN_TRY(attn_chain_step(&run->call.chain, "scores"));
    return attn_product_enqueue(&run->call.chain, &product);
}

static clattn_status softmax(unfused_run *run) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_SOFTMAX]);
    const size_t group = (size_t)run->state->row_group, global = group * (size_t)(run->rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "softmax"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_extras(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.scores);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, run->first_row);
    attn_pass_int64(&call, run->rows);
    attn_pass_int64(&call, run->state->problem.key_length);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_LOGSUMEXP);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_WEIGHTS);
    attn_pass_local(&call, (int64_t)(group * sizeof(float)));
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &group, "softmax_masked");
}

/* Sums, row by row [rows][value_dim]: column-major value_dim x rows = value * weights. */
static clattn_status weighted_sum(unfused_run *run) {
    const attn_arguments *a = &run->call.arguments;
    attn_product product = { .m = a->value_dim,
                             .n = run->rows,
                             .k = a->key_length,
                             .count = run->pairs,
                             .alpha = 1.0f,
                             .temporary = run->call.workspace };
    ATTN_TRY(get_value(run, &product.a));
    product.b = (struct attn_matrix){ run->call.workspace, run->part.scores, a->key_length, run->rows * a->key_length };
    product.c = (struct attn_matrix){ run->call.workspace, run->part.sums, a->value_dim, run->rows * a->value_dim };
    ATTN_TRY(attn_chain_step(&run->call.chain, "weighted sum"));
    return attn_product_enqueue(&run->call.chain, &product);
}

static clattn_status output(unfused_run *run) {
    attn_kernel_call call = attn_kernel_call_begin(run->slot->kernels[ATTN_UNFUSED_OUTPUT]);
    const size_t lanes = (size_t)run->state->lanes, global = lanes * (size_t)(run->rows * run->pairs);
    ATTN_TRY(attn_chain_step(&run->call.chain, "output"));
    attn_pass_arguments(&call, &run->call);
    attn_pass_extras(&call, &run->call);
    attn_pass_buffer(&call, run->call.workspace);
    attn_pass_int64(&call, run->part.sums);
    attn_pass_int64(&call, run->part.scores);
    attn_pass_int64(&call, run->first_pair);
    attn_pass_int64(&call, run->first_row);
    attn_pass_int64(&call, run->rows);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(&call, &run->call, ATTN_TENSOR_OUTPUT);
    return attn_chain_launch(&run->call.chain, &call, 1, &global, &lanes, "weighted_output");
}

static clattn_status run_part(unfused_run *run) {
    bool keys = run->call.arguments.key_length > 0;
    if (keys) {
        ATTN_TRY(scores(run));
    }
    ATTN_TRY(softmax(run));
    if (keys) {
        ATTN_TRY(weighted_sum(run));
    }
    return output(run);
}

static clattn_status run_parts(unfused_run *run, const attn_unfused_sizes *sizes) {
    for (int64_t pair = 0; sizes->rows > 0 && pair < sizes->pairs; pair += run->part.pairs) {
        for (int64_t row = 0; row < sizes->rows; row += run->part.rows) {
            run->first_pair = pair;
            run->pairs = attn_min(run->part.pairs, sizes->pairs - pair);
            run->first_row = row;
            run->rows = attn_min(run->part.rows, sizes->rows - row);
            double done = ((double)pair + (double)row / (double)sizes->rows) / (double)sizes->pairs;
            ATTN_TRY(attn_opencl_progress(&run->call, done));
            ATTN_TRY(run_part(run));
        }
    }
    return attn_opencl_progress(&run->call, 1.0);
}

clattn_status attn_unfused_execute(void *opaque, const attn_execution *execution) {
    unfused_run run = { .state = opaque, .slot = execution->slot };
    const attn_call *call = execution->call;
    attn_unfused_sizes sizes;
    ATTN_TRY(attn_unfused_sizes_of(run.state, call->query_length, call->key_length, &sizes));
    ATTN_TRY(attn_unfused_cut(&sizes, run.state->workspace_size, &run.part, call->report));
    ATTN_TRY(attn_opencl_call_begin(&run.call, &run.slot->base, execution));
    return attn_opencl_call_end(&run.call, run_parts(&run, &sizes));
}
