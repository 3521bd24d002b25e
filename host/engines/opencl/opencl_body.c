/*
 * Which body runs on a device, and its program. Knows no kernel's arguments. To add a condition on devices: the architecture
 * string in get_architecture(), or a check in attn_opencl_build().
 */
#include "engines/opencl/opencl_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engines/engine_body.h"
#include "opencl/local_memory.h"

enum { MOST_PRIVATE = 1024 /* bytes a GPU kernel may keep outside registers before it counts as spilling */ };

const attn_body attn_opencl_bodies[] = {
    [ATTN_BODY_CPU] = ATTN_BODY_CPU_SHAPED,
    [ATTN_BODY_GPU] = ATTN_BODY_GPU_SHAPED,
    { NULL, NULL, NULL },
};

const char *attn_opencl_why_not(const attn_device *device) {
    return device->opencl ? NULL : "it needs an OpenCL device";
}

attn_opencl_body attn_opencl_body_choose(const attn_device *device) {
    const char *body = device->blocks.body;
    if (body) {
        int at = attn_body_find(attn_opencl_bodies, body);
        return at < 0 ? ATTN_BODY_MMA : (attn_opencl_body)at;
    }
    return device->opencl->is_cpu ? ATTN_BODY_CPU : ATTN_BODY_GPU;
}

bool attn_opencl_body_supports(const clattn_problem *problem, const attn_device *device, unsigned serves,
                               clattn_report *why_not) {
    if (!attn_opencl_supports(problem, device, serves, why_not)) {
        return false;
    }
    if (problem->weights != CLATTN_WEIGHTS_NONE) {
        attn_report_line(why_not, "weights: the scores are never stored; opencl-unfused serves weights out");
        return false;
    }
    if (problem->head_dim > ATTN_MOST_DIMS || problem->value_dim > ATTN_MOST_DIMS) {
        attn_report_line(why_not, "%s: %" PRId64 " is more than the %d that the kernels hold",
                         problem->head_dim > ATTN_MOST_DIMS ? "head_dim" : "value_dim",
                         attn_max(problem->head_dim, problem->value_dim), ATTN_MOST_DIMS);
        return false;
    }
    return true;
}

bool attn_opencl_has_shuffles(const struct attn_opencl_device *device) {
    return device->c_version >= 300 && attn_opencl_has_extension(device, "cl_khr_subgroup_shuffle");
}

int64_t attn_opencl_vector(const struct attn_opencl_device *device) {
    return device->float_vector >= 16 ? 16 : device->float_vector >= 8 ? 8 : 4;
}

/* What rows of the tables name in the column architecture. */
static void get_architecture(const struct attn_opencl_device *device, char *text, size_t size) {
    text[0] = '\0';
    if (device->nvidia_capability > 0) {
        snprintf(text, size, "sm_%" PRId64, device->nvidia_capability);
    } else if (device->is_cpu) {
        snprintf(text, size, "vector%" PRId64, attn_opencl_vector(device));
    } else if (strncmp(device->info.name, "gfx", 3) == 0) { /* AMD: "gfx90a:sramecc+:xnack-" */
        snprintf(text, size, "%.*s", (int)strcspn(device->info.name, ":"), device->info.name);
    } else if (attn_opencl_has_extension(device, "cl_intel_subgroup_matrix_multiply_accumulate")) {
        snprintf(text, size, "matrix%" PRId64, device->smallest_sub_group);
    }
}

int64_t attn_opencl_find_rows_of(const char *table, clattn_type type, int64_t dim, const attn_device *device,
                                 attn_tuning_row rows[ATTN_OPENCL_ROWS]) {
    const struct attn_opencl_device *opencl = device->opencl;
    char architecture[32];
    get_architecture(opencl, architecture, sizeof architecture);
    attn_tuning_key key = { opencl->info.vendor, architecture, opencl->info.name, clattn_type_name(type), dim };
    return attn_tuning_find_rows(device->tuning, table, &key, rows, ATTN_OPENCL_ROWS);
}

int64_t attn_opencl_find_rows(const char *table, const clattn_problem *problem, const attn_device *device,
                              attn_tuning_row rows[ATTN_OPENCL_ROWS]) {
    return attn_opencl_find_rows_of(table, problem->type, attn_max(problem->head_dim, problem->value_dim), device, rows);
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

clattn_status attn_opencl_build(const attn_device *device, const char *name, const char *options, int64_t threads,
                                bool spills_matter, cl_program *program, clattn_plan_info *info,
                                clattn_report *report) {
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
    if (info) {
        info->private_memory = limits.private_memory;
        info->local_memory = limits.local_memory;
    }
    return CLATTN_OK;
}

void attn_opencl_body_describe(clattn_plan_info *info) {
    info->accumulate = "fp32";
    info->weights_rounded = false;
    info->sum_running = false;
    info->clean_values = true;
}
