/*
 * opencl-fused, backward: which programs a plan builds, its workspace, and the order of a call's dispatches. Workspace, linear in
 * the lengths: delta of every row, a flag for each row and key that may have to be made again, parts of sums, and what a
 * body packs. Knows no blocks. To add a body: a file with take and two submits, and its line in bodies[].
 */
#include "engines/opencl/fused/opencl_fused_backward.h"

#include <stdio.h>

#include "problem/training.h"

#include "kernels/include/backward_local.cl.h"
#include "kernels/include/gradient_sum.cl.h"

enum { ROWS_PER_DELTA = 32 /* rows that one work-item looks at, on a CPU device */ };

typedef struct backward_body {
    const char *program;
    attn_backward_take *take;
    clattn_status (*query)(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);
    clattn_status (*key)(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call);
} backward_body;

static const backward_body bodies[] = {
    [ATTN_BODY_CPU] = { "attention_backward_cpu", attn_backward_cpu_take, attn_backward_cpu_query,
                        attn_backward_cpu_key },
    [ATTN_BODY_GPU] = { "attention_backward_gpu", attn_backward_gpu_take, attn_backward_gpu_query,
                        attn_backward_gpu_key },
};

static const backward_body *find_body(const attn_device *device) {
    return &bodies[attn_opencl_body_choose(device)];
}

bool attn_backward_serves(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    const attn_opencl_body body = attn_opencl_body_choose(device);
    (void)problem;
    if (body != ATTN_BODY_CPU && body != ATTN_BODY_GPU) {
        attn_report_line(why_not, "blocks.body: %s makes no gradients", device->blocks.body);
        return false;
    }
    return true;
}

void attn_backward_types(const clattn_problem *problem, char *text, size_t size) {
    snprintf(text, size, "-DATTN_TYPE=%d -DATTN_GRADIENT_FP32=%d%s", (int)problem->type,
             attn_gradient_type(problem) == CLATTN_FP32 ? 1 : 0, attn_training_defines(problem));
}

static bool wants(const attn_backward *backward, uint32_t bits) {
    return (backward->problem.gradients & bits) != 0;
}

static bool add_size(int64_t *sum, int64_t x, int64_t y, int64_t z) {
    return attn_multiply(x, y, &x) && attn_multiply(x, z, &x) && attn_add(*sum, x, sum);
}

static clattn_status set_workspace(attn_backward *backward, clattn_report *report) {
    const clattn_problem *p = &backward->problem;
    int64_t end = 0;
    bool fits = !backward->delta || add_size(&end, p->batch, p->query_heads, p->query_length);
    backward->flags_at = end;
    fits = fits && (!backward->repair || !backward->wants_query ||
                    add_size(&end, p->batch, p->query_heads, p->query_length));
    backward->key_flags_at = end;
    fits = fits && (!backward->repair || !attn_backward_wants_keys(backward) ||
                    add_size(&end, p->batch, p->kv_heads, p->key_length));
    backward->parts_at = end;
    const bool sums = wants(backward, CLATTN_GRADIENT_BIAS | CLATTN_GRADIENT_ALIBI_SLOPES | CLATTN_GRADIENT_SINKS);
    fits = fits && (!sums || attn_add(end, attn_max(GRADIENT_PARTS_SIZE, 2 * p->query_heads), &end));
    backward->packed_at = attn_round_up(end, 16);
    fits = fits && end <= INT64_MAX - 16 && attn_add(backward->packed_at, backward->packed, &end);
    if (!fits || !attn_multiply(end, (int64_t)sizeof(float), &backward->workspace_size)) {
        return attn_refuse(report, CLATTN_OVERFLOW, "workspace: delta and flags of all rows and keys do not fit 63 bits");
    }
    return CLATTN_OK;
}

/* The programs beside those of the body. */
static clattn_status build_others(attn_backward *backward, clattn_report *report) {
    char options[160];
    const bool bias = wants(backward, CLATTN_GRADIENT_BIAS | CLATTN_GRADIENT_ALIBI_SLOPES);
    const bool sinks = wants(backward, CLATTN_GRADIENT_SINKS);
    const struct {
        attn_backward_program at;
        const char *name;
        bool needed;
    } programs[] = {
        { ATTN_BACKWARD_DELTA, "gradient_deltas", backward->delta },
        { ATTN_BACKWARD_REPAIR, "gradient_repair", backward->repair },
        { ATTN_BACKWARD_BIAS, "gradient_pairs", bias },
        { ATTN_BACKWARD_SINKS, "gradient_sinks", sinks },
        { ATTN_BACKWARD_SUM, "gradient_sum", bias || sinks },
    };
    attn_backward_types(&backward->problem, options, sizeof options);
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++) {
        if (programs[k].needed) {
            ATTN_TRY(attn_program_get(backward->device.opencl, programs[k].name, options,
                                      &backward->programs[programs[k].at], report));
        }
    }
    return CLATTN_OK;
}

clattn_status attn_backward_prepare(attn_backward *backward, const clattn_problem *problem, const attn_device *device,
                                    clattn_plan_info *info, clattn_report *report) {
    const backward_body *body = find_body(device);
    attn_tuning_row rows[ATTN_OPENCL_ROWS];
    clattn_status status = CLATTN_UNSUPPORTED;
    *backward = (attn_backward){ .problem = *problem, .device = *device, .program = body->program };
    backward->wants_query = wants(backward, CLATTN_GRADIENT_QUERY);
    backward->wants_key = wants(backward, CLATTN_GRADIENT_KEY);
    backward->wants_value = wants(backward, CLATTN_GRADIENT_VALUE);
    backward->delta = !problem->delta && wants(backward, ~(uint32_t)CLATTN_GRADIENT_VALUE);
    backward->repair = attn_repair_needed(problem) &&
                       (backward->wants_query || attn_backward_wants_keys(backward));
    const int64_t count = attn_opencl_find_rows(backward->program, problem, device, rows);
    for (int64_t k = 0; k < count && status != CLATTN_OK; k++) {
        status = body->take(backward, &rows[k], k == count - 1, info, report);
    }
    ATTN_TRY(status);
    ATTN_TRY(build_others(backward, report));
    ATTN_TRY(set_workspace(backward, report));
    info->workspace_size = backward->workspace_size;
    return CLATTN_OK;
}

clattn_status attn_backward_slot_open(const attn_backward *backward, void **slot, clattn_report *report) {
    const attn_slot_kernel kernels[ATTN_SLOT_KERNELS] = {
        [ATTN_BACKWARD_QUERY] = { backward->programs[ATTN_BACKWARD_QUERY], backward->program },
        [ATTN_BACKWARD_KEY] = { backward->programs[ATTN_BACKWARD_KEY], backward->program },
        [ATTN_BACKWARD_DELTA] = { backward->programs[ATTN_BACKWARD_DELTA], "gradient_deltas" },
        [ATTN_BACKWARD_REPAIR] = { backward->programs[ATTN_BACKWARD_REPAIR], "gradient_repair" },
        [ATTN_BACKWARD_BIAS] = { backward->programs[ATTN_BACKWARD_BIAS], "gradient_pairs" },
        [ATTN_BACKWARD_SINKS] = { backward->programs[ATTN_BACKWARD_SINKS], "gradient_sinks" },
        [ATTN_BACKWARD_SUM] = { backward->programs[ATTN_BACKWARD_SUM], "gradient_sum" },
        [ATTN_BACKWARD_PACK_KEYS] = { backward->programs[ATTN_BACKWARD_PACK_KEYS], "backward_pack" },
        [ATTN_BACKWARD_PACK_ROWS] = { backward->programs[ATTN_BACKWARD_PACK_ROWS], "backward_pack" },
    };
    return attn_grid_slot_open(backward->device.opencl, &backward->problem,
                               backward->device.caller_workspace ? 0 : backward->workspace_size, kernels, slot, report);
}

cl_mem attn_backward_workspace(const attn_backward *backward, const attn_opencl_call *call) {
    return call->workspace ? call->workspace : backward->device.opencl->nothing;
}

void attn_backward_pass_result(attn_kernel_call *kernel, const attn_opencl_call *call, attn_tensor_id id) {
    attn_pass_tensor(kernel, call, id);
    attn_pass_layout(kernel, call, id);
}

static void pass_delta(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call) {
    attn_pass_buffer(kernel, backward->problem.delta ? call->placements[ATTN_TENSOR_DELTA].memory
                                                     : attn_backward_workspace(backward, call));
}

/* Of delta, where it was given or where gradient_deltas puts it. */
static attn_layout delta_layout(const attn_backward *backward, const attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    return backward->problem.delta
               ? call->placements[ATTN_TENSOR_DELTA].layout
               : (attn_layout){ 0, { a->query_heads * a->query_length, a->query_length, 1, 0 } };
}

void attn_backward_pass_numbers(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call) {
    const attn_layout layout = delta_layout(backward, call);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_LOGSUMEXP);
    pass_delta(backward, kernel, call);
    attn_pass(kernel, &layout, sizeof layout);
}

void attn_backward_pass_tensors(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call) {
    const attn_layout layout = delta_layout(backward, call);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass_tensor(kernel, call, ATTN_TENSOR_LOGSUMEXP);
    pass_delta(backward, kernel, call);
    attn_pass_layout(kernel, call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass(kernel, &layout, sizeof layout);
}

static int32_t what_is_wanted(const attn_backward *backward, bool keys) {
    return (!keys || backward->wants_key ? WANTS_FIRST : 0) | (keys && backward->wants_value ? WANTS_SECOND : 0) |
           (backward->repair ? WANTS_REPAIR : 0) | (backward->problem.gradients_add ? WANTS_ADD : 0);
}

void attn_backward_pass_results(const attn_backward *backward, attn_kernel_call *kernel, const attn_opencl_call *call,
                                bool keys) {
    attn_backward_pass_result(kernel, call, keys ? ATTN_TENSOR_GRAD_KEY : ATTN_TENSOR_GRAD_QUERY);
    attn_backward_pass_result(kernel, call, ATTN_TENSOR_GRAD_VALUE);
    attn_pass_int32(kernel, what_is_wanted(backward, keys));
    attn_pass_buffer(kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(kernel, keys ? backward->key_flags_at : backward->flags_at);
}

static clattn_status submit_delta(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const attn_arguments *a = &call->arguments;
    const bool is_cpu = call->slot->device->is_cpu;
    const int64_t share = is_cpu ? ROWS_PER_DELTA : 1;
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_DELTA]),
                       .what = "gradient_deltas",
                       .groups = attn_divide_up(a->batch * a->query_heads * a->query_length, share),
                       .threads = is_cpu ? 1 : 0 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int32(&grid.kernel, (int32_t)share);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_GRAD_LOGSUMEXP);
    attn_pass_layout(&grid.kernel, call, ATTN_TENSOR_GRAD_OUTPUT);
    attn_pass_layout(&grid.kernel, call, ATTN_TENSOR_GRAD_LOGSUMEXP);
    attn_pass_int32(&grid.kernel, backward->problem.grad_logsumexp ? 1 : 0);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    ATTN_TRY(attn_chain_step(&call->chain, "delta"));
    return attn_grid_launch(call, grid, 0.0, 0.02);
}

/* Lines that the pass over rows, or over keys, left out. */
static clattn_status submit_repair(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call,
                                   bool keys) {
    const attn_arguments *a = &call->arguments;
    attn_grid grid = { .kernel = attn_kernel_call_begin(slot->kernels[ATTN_BACKWARD_REPAIR]),
                       .what = "gradient_repair",
                       .groups = a->batch * (keys ? a->kv_heads * a->key_length : a->query_heads * a->query_length) };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_rules(&grid.kernel, call);
    attn_backward_pass_tensors(backward, &grid.kernel, call);
    attn_pass_buffer(&grid.kernel, attn_backward_workspace(backward, call));
    attn_pass_int64(&grid.kernel, keys ? backward->key_flags_at : backward->flags_at);
    attn_pass_int32(&grid.kernel, keys ? 1 : 0);
    attn_pass_int32(&grid.kernel, backward->problem.gradients_add ? 1 : 0);
    attn_backward_pass_result(&grid.kernel, call, keys ? ATTN_TENSOR_GRAD_KEY : ATTN_TENSOR_GRAD_QUERY);
    attn_backward_pass_result(&grid.kernel, call, ATTN_TENSOR_GRAD_VALUE);
    attn_pass_int32(&grid.kernel, (keys ? backward->wants_key : backward->wants_query) ? 1 : 0);
    attn_pass_int32(&grid.kernel, keys && backward->wants_value ? 1 : 0);
    ATTN_TRY(attn_chain_step(&call->chain, "repair"));
    return attn_grid_launch(call, grid, keys ? 0.9 : 0.4, keys ? 0.9 : 0.4);
}

static clattn_status submit(const attn_backward *backward, attn_grid_slot *slot, attn_opencl_call *call) {
    const backward_body *body = find_body(&backward->device);
    if (backward->delta) {
        ATTN_TRY(submit_delta(backward, slot, call));
    }
    if (backward->wants_query) {
        ATTN_TRY(attn_chain_step(&call->chain, "query"));
        ATTN_TRY(body->query(backward, slot, call));
    }
    if (backward->wants_query && backward->repair) {
        ATTN_TRY(submit_repair(backward, slot, call, false));
    }
    if (attn_backward_wants_keys(backward)) {
        ATTN_TRY(attn_chain_step(&call->chain, "key and value"));
        ATTN_TRY(body->key(backward, slot, call));
    }
    if (attn_backward_wants_keys(backward) && backward->repair) {
        ATTN_TRY(submit_repair(backward, slot, call, true));
    }
    ATTN_TRY(attn_backward_sums(backward, slot, call));
    return attn_opencl_progress(call, 1.0);
}

/* Gradients of keys, slopes and sinks are written, as 0, even where there are no rows. */
clattn_status attn_backward_execute(const attn_backward *backward, const attn_execution *execution) {
    attn_grid_slot *slot = execution->slot;
    attn_opencl_call call;
    ATTN_TRY(attn_opencl_call_begin(&call, &slot->base, execution));
    return attn_opencl_call_end(&call, submit(backward, slot, &call));
}
