/*
 * Launches of OpenCL engines. Knows no body, no block sizes and no layout of any workspace.
 */
#include "engines/opencl/opencl_grid.h"

#include <stdio.h>

enum {
    ROWS_PER_REPAIR = 32, /* rows that one work-item looks at, on a CPU device */
    KEYS_PER_MASK = 64    /* keys whose dropout a work-item writes, as dropout_mask.cl has them */
};

/* Operations of one dispatch a compute unit: well below a second on any GPU. */
static const double WORK_PER_UNIT = 1e10;

/* Groups of one dispatch, so that it ends soon enough for watchdogs, progress and cancel. */
static int64_t groups_per_dispatch(const attn_opencl_call *call, const attn_grid *grid) {
    double most = WORK_PER_UNIT * (double)attn_max(call->slot->device->info.compute_units, 1);
    double groups = grid->work > 0.0 ? most / grid->work : (double)grid->groups;
    return groups < 1.0 ? 1 : groups < (double)grid->groups ? (int64_t)groups : attn_max(grid->groups, 1);
}

clattn_status attn_grid_launch(attn_opencl_call *call, attn_grid grid, double from, double to) {
    const int64_t step = groups_per_dispatch(call, &grid);
    for (int64_t first = 0; first < grid.groups; first += step) {
        const int64_t count = attn_min(step, grid.groups - first);
        const size_t local = (size_t)attn_max(grid.threads, 1), global = (size_t)count * local;
        attn_kernel_call kernel = grid.kernel;
        if (kernel.error == CL_SUCCESS) {
            kernel.next = 1;
            attn_pass_int64(&kernel, first);
        }
        ATTN_TRY(attn_chain_launch(&call->chain, &kernel, 1, &global, grid.threads > 0 ? &local : NULL, grid.what));
        ATTN_TRY(attn_opencl_progress(call, from + (to - from) * (double)(first + count) / (double)grid.groups));
    }
    return CLATTN_OK;
}

bool attn_repair_needed(const clattn_problem *problem) {
    return problem->causal || attn_problem_has_window(problem) || problem->mask != CLATTN_MASK_NONE ||
           problem->bias != CLATTN_BIAS_NONE || problem->dropout > 0;
}

clattn_status attn_repair_build(struct attn_opencl_device *device, const clattn_problem *problem, cl_program *program,
                                clattn_report *report) {
    char options[96];
    snprintf(options, sizeof options, "-DATTN_TYPE=%d%s", (int)problem->type, attn_training_defines(problem));
    return attn_program_get(device, "attention_repair", options, program, report);
}

clattn_status attn_repair_launch(attn_opencl_call *call, cl_kernel repair) {
    const attn_arguments *a = &call->arguments;
    const bool is_cpu = call->slot->device->is_cpu;
    const int64_t rows = a->batch * a->query_heads * a->query_length, share = is_cpu ? ROWS_PER_REPAIR : 1;
    attn_grid grid = { .kernel = attn_kernel_call_begin(repair),
                       .what = "attention_repair",
                       .groups = attn_divide_up(rows, share),
                       .threads = is_cpu ? 1 : 0 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int32(&grid.kernel, (int32_t)share);
    attn_pass_rules(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    ATTN_TRY(attn_chain_step(&call->chain, "repair"));
    return attn_grid_launch(call, grid, 0.99, 1.0);
}

clattn_status attn_dropout_mask_build(struct attn_opencl_device *device, const clattn_problem *problem,
                                      cl_program *program, clattn_report *report) {
    return problem->dropout_mask ? attn_program_get(device, "dropout_mask", "", program, report) : CLATTN_OK;
}

clattn_status attn_dropout_mask_launch(attn_opencl_call *call, cl_kernel mask) {
    const attn_arguments *a = &call->arguments;
    const int64_t keys = call->problem->key_length;
    if (!mask) {
        return CLATTN_OK;
    }
    attn_grid grid = { .kernel = attn_kernel_call_begin(mask),
                       .what = "dropout_mask",
                       .groups = a->batch * a->query_heads * a->query_length * attn_divide_up(keys, KEYS_PER_MASK),
                       .threads = call->slot->device->is_cpu ? 1 : 0 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int64(&grid.kernel, keys);
    attn_pass_extras(&grid.kernel, call);
    attn_pass_training(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_DROPOUT_MASK);
    ATTN_TRY(attn_chain_step(&call->chain, "dropout mask"));
    return attn_grid_launch(call, grid, 1.0, 1.0);
}

static clattn_status create_kernels(const attn_slot_kernel kernels[ATTN_SLOT_KERNELS], attn_grid_slot *slot,
                                    clattn_report *report) {
    for (int k = 0; k < ATTN_SLOT_KERNELS; k++) {
        if (kernels[k].program) {
            ATTN_TRY(attn_kernel_create(kernels[k].program, kernels[k].name, &slot->kernels[k], report));
        }
    }
    return CLATTN_OK;
}

clattn_status attn_grid_slot_open(struct attn_opencl_device *device, const clattn_problem *problem,
                                  int64_t workspace_size, const attn_slot_kernel kernels[ATTN_SLOT_KERNELS],
                                  void **result, clattn_report *report) {
    attn_grid_slot *slot = attn_allocate_zeroed(device->memory, (int64_t)sizeof *slot);
    *result = NULL;
    if (!slot) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = attn_opencl_slot_open(&slot->base, device, problem, workspace_size, report);
    if (status == CLATTN_OK) {
        status = create_kernels(kernels, slot, report);
    }
    if (status != CLATTN_OK) {
        attn_grid_slot_close(NULL, slot);
        return status;
    }
    *result = slot;
    return CLATTN_OK;
}

void attn_grid_slot_close(void *state, void *opened) {
    attn_grid_slot *slot = opened;
    (void)state;
    if (!slot) {
        return;
    }
    attn_opencl_slot_close(&slot->base);
    for (int k = 0; k < ATTN_SLOT_KERNELS; k++) {
        if (slot->kernels[k]) {
            (void)clReleaseKernel(slot->kernels[k]);
        }
    }
    attn_release(slot->base.device->memory, slot);
}

clattn_status attn_grid_execute(const void *state, const attn_execution *execution,
                                clattn_status (*submit)(const void *state, attn_grid_slot *slot,
                                                        attn_opencl_call *call)) {
    attn_grid_slot *slot = execution->slot;
    attn_opencl_call call;
    ATTN_TRY(attn_opencl_call_begin(&call, &slot->base, execution));
    clattn_status status = CLATTN_OK;
    if (call.arguments.batch > 0 && call.arguments.query_heads > 0 && call.arguments.query_length > 0) {
        status = submit(state, slot, &call);
    }
    return attn_opencl_call_end(&call, status);
}
