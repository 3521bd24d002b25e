/*
 * opencl-fused, backward: gradients that are sums over much, of a bias, of ALiBi slopes and of sinks. A kernel of their own
 * looks at pairs one by one (gradient_pairs.cl) or at rows (gradient_sinks.cl); where it made parts, gradient_sum.cl adds them.
 */
#include "engines/opencl/fused/opencl_fused_backward.h"
#include "problem/training.h"

#include "kernels/include/gradient_sum.cl.h"

/* What is summed. */
typedef struct backward_sum {
    attn_tensor_id id;
    const char *step;
    gradient_shape shape;
    bool is_fp32;
    int64_t parts;
    attn_layout layout; /* of the result, by the dimensions of the shape */
} backward_sum;

static backward_sum bias_sum(const clattn_problem *p, const attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const attn_int64 full[4] = { a->batch, a->query_heads, a->query_length, a->key_length };
    backward_sum sum = { .id = ATTN_TENSOR_GRAD_BIAS,
                         .step = "bias",
                         .is_fp32 = attn_grad_bias_type(p) == CLATTN_FP32,
                         .layout = call->placements[ATTN_TENSOR_GRAD_BIAS].layout };
    for (int k = 0; k < 4; k++) {
        sum.shape.size[k] = p->bias_shape[k] == 1 ? 1 : full[k];
    }
    sum.parts = gradient_parts(gradient_elements(&sum.shape), gradient_rows(a, &sum.shape));
    return sum;
}

/* One number a head. */
static backward_sum head_sum(const attn_opencl_call *call, attn_tensor_id id) {
    const attn_arguments *a = &call->arguments;
    backward_sum sum = { .id = id,
                         .step = "heads",
                         .shape = { { 1, a->query_heads, 1, 1 } },
                         .is_fp32 = true,
                         .layout = { call->placements[id].layout.offset, { 0, 1, 0, 0 } } };
    sum.parts = gradient_parts(a->query_heads, a->batch * a->query_length);
    return sum;
}

static clattn_status submit_total(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call,
                                  const backward_sum *sum) {
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_SUM]),
                       .what = "gradient_sum",
                       .groups = gradient_elements(&sum->shape) };
    attn_pass(&grid.kernel, &sum->shape, sizeof sum->shape);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, sum->parts);
    attn_pass_int32(&grid.kernel, sum->is_fp32 ? 1 : 0);
    attn_pass_int32(&grid.kernel, backward->problem.gradients_add ? 1 : 0);
    attn_pass_tensor(&grid.kernel, call, sum->id);
    attn_pass(&grid.kernel, &sum->layout, sizeof sum->layout);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(&grid.kernel, backward->parts_at);
    return attn_grid_launch(call, grid, 0.99, 0.99);
}

/* Of a bias or of slopes. */
static clattn_status submit_pairs(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call,
                                  const backward_sum *sum) {
    const attn_arguments *a = &call->arguments;
    const double rows = (double)gradient_rows(a, &sum->shape) / (double)sum->parts;
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_BIAS]),
                       .what = "gradient_pairs",
                       .groups = gradient_elements(&sum->shape) * sum->parts,
                       .work = rows * (sum->shape.size[3] == 1 ? (double)a->key_length : 1.0) * 2.0 *
                               (double)(a->head_dim + a->value_dim) };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_rules(&grid.kernel, call);
    attn_backward_pass_tensors(backward, &grid.kernel, call);
    attn_pass(&grid.kernel, &sum->shape, sizeof sum->shape);
    attn_pass_int64(&grid.kernel, sum->parts);
    attn_pass_int32(&grid.kernel, sum->id == ATTN_TENSOR_GRAD_SLOPES ? 1 : 0);
    attn_pass_int32(&grid.kernel, sum->is_fp32 ? 1 : 0);
    attn_pass_int32(&grid.kernel, backward->problem.gradients_add ? 1 : 0);
    attn_pass_tensor(&grid.kernel, call, sum->id);
    attn_pass(&grid.kernel, &sum->layout, sizeof sum->layout);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(&grid.kernel, backward->parts_at);
    ATTN_TRY(attn_chain_step(&call->chain, sum->step));
    ATTN_TRY(attn_grid_launch(call, grid, 0.9, 0.95));
    return sum->parts > 1 ? submit_total(backward, slot, call, sum) : CLATTN_OK;
}

static clattn_status submit_sinks(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const backward_sum sum = head_sum(call, ATTN_TENSOR_GRAD_SINKS);
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_SINKS]),
                       .what = "gradient_sinks",
                       .groups = a->query_heads * sum.parts };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_rules(&grid.kernel, call);
    attn_backward_pass_numbers(backward, &grid.kernel, call);
    attn_pass_int64(&grid.kernel, sum.parts);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(&grid.kernel, backward->parts_at);
    ATTN_TRY(attn_chain_step(&call->chain, sum.step));
    ATTN_TRY(attn_grid_launch(call, grid, 0.95, 0.95));
    return submit_total(backward, slot, call, &sum);
}

clattn_status attn_backward_sums(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const clattn_problem *p = &backward->problem;
    if (attn_wants_gradient(p, CLATTN_GRADIENT_BIAS)) {
        const backward_sum sum = bias_sum(p, call);
        ATTN_TRY(submit_pairs(backward, slot, call, &sum));
    }
    if (attn_wants_gradient(p, CLATTN_GRADIENT_ALIBI_SLOPES)) {
        const backward_sum sum = head_sum(call, ATTN_TENSOR_GRAD_SLOPES);
        ATTN_TRY(submit_pairs(backward, slot, call, &sum));
    }
    return attn_wants_gradient(p, CLATTN_GRADIENT_SINKS) ? submit_sinks(backward, slot, call) : CLATTN_OK;
}
