/*
 * What opencl-fused and opencl-decode share. Knows no layout of any workspace. To add a condition on devices: the
 * architecture string in attn_shape_find(), or a check in attn_shape_build().
 */
#include "engines/opencl/opencl_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engines/engine_body.h"
#include "opencl/local_memory.h"

enum {
    MOST_PRIVATE = 1024, /* bytes a GPU kernel may keep outside registers before it counts as spilling */
    ROWS_PER_REPAIR = 32 /* rows that one work-item looks at, on a CPU device */
};

static const double WORK_PER_UNIT =
    1e10; /* operations of one dispatch a compute unit: well below a second on any GPU */

const attn_body attn_shape_bodies[] = {
    [ATTN_SHAPE_CPU] = ATTN_BODY_CPU_SHAPED,
    [ATTN_SHAPE_GPU] = ATTN_BODY_GPU_SHAPED,
    { NULL, NULL, NULL },
};

const char *attn_shape_why_not(const attn_device *device) {
    return device->opencl ? NULL : "it needs an OpenCL device";
}

attn_shape attn_shape_choose(const attn_device *device) {
    const char *body = device->blocks.body;
    if (body) {
        int at = attn_body_find(attn_shape_bodies, body);
        return at < 0 ? ATTN_SHAPE_MMA : (attn_shape)at;
    }
    return device->opencl->is_cpu ? ATTN_SHAPE_CPU : ATTN_SHAPE_GPU;
}

bool attn_shape_supports(const clattn_problem *problem, const attn_device *device, clattn_report *why_not) {
    if (!attn_opencl_supports(problem, device, why_not)) {
        return false;
    }
    if (problem->weights != CLATTN_WEIGHTS_NONE) {
        attn_report_line(why_not, "weights: the scores are never stored; opencl-unfused serves weights out");
        return false;
    }
    if (problem->head_dim > ATTN_SHAPE_DIMS || problem->value_dim > ATTN_SHAPE_DIMS) {
        attn_report_line(why_not, "%s: %" PRId64 " is more than the %d that the kernels hold",
                         problem->head_dim > ATTN_SHAPE_DIMS ? "head_dim" : "value_dim",
                         attn_max(problem->head_dim, problem->value_dim), ATTN_SHAPE_DIMS);
        return false;
    }
    return true;
}

int64_t attn_shape_vector(const struct attn_opencl_device *device) {
    return device->float_vector >= 16 ? 16 : device->float_vector >= 8 ? 8 : 4;
}

/* What rows of the tables name in the column architecture. */
static void get_architecture(const struct attn_opencl_device *device, char *text, size_t size) {
    text[0] = '\0';
    if (device->nvidia_capability > 0) {
        snprintf(text, size, "sm_%" PRId64, device->nvidia_capability);
    } else if (device->is_cpu) {
        snprintf(text, size, "vector%" PRId64, attn_shape_vector(device));
    } else if (strncmp(device->info.name, "gfx", 3) == 0) { /* AMD: "gfx90a:sramecc+:xnack-" */
        snprintf(text, size, "%.*s", (int)strcspn(device->info.name, ":"), device->info.name);
    } else if (attn_opencl_has_extension(device, "cl_intel_subgroup_matrix_multiply_accumulate")) {
        snprintf(text, size, "matrix%" PRId64, device->smallest_sub_group);
    }
}

int64_t attn_shape_find(const char *table, const clattn_problem *problem, const attn_device *device,
                        attn_tuning_row rows[ATTN_SHAPE_ROWS]) {
    const struct attn_opencl_device *opencl = device->opencl;
    char architecture[32];
    get_architecture(opencl, architecture, sizeof architecture);
    attn_tuning_key key = { opencl->info.vendor, architecture, opencl->info.name, clattn_type_name(problem->type),
                            attn_max(problem->head_dim, problem->value_dim) };
    return attn_tuning_find_rows(device->tuning, table, &key, rows, ATTN_SHAPE_ROWS);
}

static clattn_status check_limits(const attn_device *device, const char *name, const attn_kernel_limits *limits,
                                  int64_t threads, bool spills_matter, clattn_report *report) {
    const clattn_device_info *info = &device->opencl->info;
    if (limits->work_group < threads) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: needs a work-group of %" PRId64 ", the device allows it %" PRId64, name, threads,
                           limits->work_group);
    }
    if (limits->local_memory > info->local_memory &&
        limits->local_memory > attn_opencl_local_memory(device->opencl)) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: needs %" PRId64 " bytes of local memory, the device has %" PRId64, name,
                           limits->local_memory, info->local_memory);
    }
    if (spills_matter && device->kind == CLATTN_DEVICE_OPENCL_GPU && limits->private_memory > MOST_PRIVATE) {
        return attn_refuse(report, CLATTN_UNSUPPORTED, "%s: spills %" PRId64 " bytes a work-item", name,
                           limits->private_memory);
    }
    return CLATTN_OK;
}

clattn_status attn_shape_build(const attn_device *device, const char *name, const char *options, int64_t threads,
                               bool spills_matter, cl_program *program, clattn_plan_info *info, clattn_report *report) {
    if (threads > device->opencl->info.max_work_group) {
        return attn_refuse(report, CLATTN_UNSUPPORTED,
                           "%s: needs a work-group of %" PRId64 ", the device allows %" PRId64, name, threads,
                           device->opencl->info.max_work_group);
    }
    ATTN_TRY(attn_program_get(device->opencl, name, options, program, report));
    cl_kernel kernel = NULL;
    attn_kernel_limits limits;
    ATTN_TRY(attn_kernel_create(*program, name, &kernel, report));
    clattn_status status = attn_kernel_ask(device->opencl, kernel, &limits, report);
    (void)clReleaseKernel(kernel);
    ATTN_TRY(status);
    ATTN_TRY(check_limits(device, name, &limits, threads, spills_matter, report));
    if (info != NULL) {
        info->private_memory = limits.private_memory;
        info->local_memory = limits.local_memory;
    }
    return CLATTN_OK;
}

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

static clattn_status create_kernels(const attn_slot_programs *programs, attn_shape_slot *slot, clattn_report *report) {
    ATTN_TRY(attn_kernel_create(programs->main, programs->main_kernel, &slot->main, report));
    if (programs->other != NULL) {
        ATTN_TRY(attn_kernel_create(programs->other, programs->other_kernel, &slot->other, report));
    }
    return programs->repair != NULL ? attn_kernel_create(programs->repair, "attention_repair", &slot->repair, report)
                                    : CLATTN_OK;
}

clattn_status attn_shape_slot_open(const attn_device *device, const clattn_problem *problem, int64_t workspace_size,
                                   const attn_slot_programs *programs, void **result, clattn_report *report) {
    attn_shape_slot *slot = attn_allocate_zeroed(device->memory, (int64_t)sizeof *slot);
    *result = NULL;
    if (slot == NULL) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = attn_opencl_slot_open(&slot->base, device->opencl, problem, workspace_size, report);
    if (status == CLATTN_OK) {
        status = create_kernels(programs, slot, report);
    }
    if (status != CLATTN_OK) {
        attn_shape_slot_close(device, slot);
        return status;
    }
    *result = slot;
    return CLATTN_OK;
}

void attn_shape_slot_close(const attn_device *device, void *memory) {
    attn_shape_slot *slot = memory;
    if (slot == NULL) {
        return;
    }
    attn_opencl_slot_close(&slot->base);
    cl_kernel kernels[] = { slot->main, slot->other, slot->repair };
    for (int k = 0; k < 3; k++) {
        if (kernels[k] != NULL) {
            (void)clReleaseKernel(kernels[k]);
        }
    }
    attn_release(device->memory, slot);
}

bool attn_repair_needed(const clattn_problem *problem) {
    return problem->causal || attn_problem_has_window(problem) || problem->mask != CLATTN_MASK_NONE ||
           problem->bias != CLATTN_BIAS_NONE;
}

clattn_status attn_repair_launch(attn_opencl_call *call, cl_kernel repair) {
    const attn_arguments *a = &call->arguments;
    const int64_t rows = a->batch * a->query_heads * a->query_length;
    const int64_t share = call->slot->device->is_cpu ? ROWS_PER_REPAIR : 1;
    attn_grid grid = { attn_kernel_call_begin(repair), "attention_repair", (rows + share - 1) / share,
                       call->slot->device->is_cpu ? 1 : 0, 0.0 };
    attn_pass_arguments(&grid.kernel, call);
    attn_pass_int64(&grid.kernel, 0);
    attn_pass_int32(&grid.kernel, (int32_t)share);
    attn_pass_extras(&grid.kernel, call);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_QUERY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_KEY);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_VALUE);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_OUTPUT);
    attn_pass_tensor(&grid.kernel, call, ATTN_TENSOR_LOGSUMEXP);
    ATTN_TRY(attn_chain_step(&call->chain, "repair"));
    return attn_grid_launch(call, grid, 0.99, 1.0);
}

void attn_shape_describe(clattn_plan_info *info) {
    info->accumulate = "fp32";
    info->weights_rounded = false;
    info->sum_running = false;
    info->clean_values = true;
}
