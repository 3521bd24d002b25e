/*
 * Programs built from the embedded sources, their kernels and what these need. A device keeps its programs, by name and
 * options, until it ends; looking one up and building it happen under one lock, so that two plans made at once never build
 * the same one twice. Knows nothing of engines. Options never include -cl-fast-relaxed-math or -cl-finite-math-only:
 * infinities mean something in these kernels.
 */
#include <stdio.h>
#include <string.h>

#include "base/report.h"
#include "opencl/kernel_sources.h"
#include "opencl/program.h"

typedef struct attn_program {
    attn_opencl_kept kept; /* first */
    cl_program program;
    char fingerprint[]; /* name, a NUL, options, a NUL */
} attn_program;

static const attn_kernel_source *find_source(const char *name) {
    for (size_t k = 0; k < attn_kernel_source_count; ++k) {
        if (strcmp(attn_kernel_sources[k].name, name) == 0) {
            return &attn_kernel_sources[k];
        }
    }
    return NULL;
}

static void report_log(const struct attn_opencl_device *device, cl_program program, clattn_report *report) {
    size_t size = 0;
    if (!report ||
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS || size == 0 ||
        size > 1 << 26) {
        return;
    }
    char *log = attn_allocate(device->memory, (int64_t)size + 1);
    if (log &&
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL) == CL_SUCCESS) {
        log[size] = '\0';
        attn_report_text(report, "  ", log);
    }
    attn_release(device->memory, log);
}

clattn_status attn_program_build(const struct attn_opencl_device *device, const char *name, const char *options,
                                 cl_program *result, clattn_report *report) {
    const attn_kernel_source *source = find_source(name);
    if (!source) {
        return attn_refuse(report, CLATTN_INTERNAL, "program %s is not in this build", name);
    }
    char all[1024];
    const char *standard = strstr(options, "-cl-std=") != NULL ? "" : "-cl-std=CL1.2 ";
    int n = snprintf(all, sizeof all, "%s%s", standard, options);
    if (n < 0 || (size_t)n >= sizeof all) {
        return attn_refuse(report, CLATTN_INTERNAL, "program %s: build options are too long", name);
    }
    cl_int code = CL_SUCCESS;
    cl_program program =
        clCreateProgramWithSource(device->context, 1, (const char *[]){ source->text }, &source->size, &code);
    ATTN_TRY(attn_cl_check(code, "clCreateProgramWithSource", report));
    code = clBuildProgram(program, 1, &device->id, all, NULL, NULL);
    if (code != CL_SUCCESS) {
        attn_report_line(report, "program %s does not build on %s with \"%s\":", name, device->info.name, all);
        report_log(device, program, report);
        (void)clReleaseProgram(program);
        return attn_cl_check(code, "clBuildProgram", report);
    }
    *result = program;
    return CLATTN_OK;
}

static void end_program(struct attn_opencl_device *device, attn_opencl_kept *kept, bool forget) {
    attn_program *entry = (attn_program *)kept;
    if (!forget) {
        (void)clReleaseProgram(entry->program);
    }
    attn_release(device->memory, entry);
}

/* Of what the device keeps, the program of that name and options; NULL when there is none. */
static const attn_program *find_program(const struct attn_opencl_device *device, const char *name, const char *options) {
    for (const attn_opencl_kept *kept = device->kept; kept; kept = kept->next) {
        const attn_program *entry = (const attn_program *)kept;
        if (kept->end == end_program && strcmp(entry->fingerprint, name) == 0 &&
            strcmp(entry->fingerprint + strlen(name) + 1, options) == 0) {
            return entry;
        }
    }
    return NULL;
}

static clattn_status get_locked(struct attn_opencl_device *device, const char *name, const char *options,
                                cl_program *program, clattn_report *report) {
    const attn_program *known = find_program(device, name, options);
    if (known) {
        *program = known->program;
        return CLATTN_OK;
    }
    size_t name_size = strlen(name) + 1, options_size = strlen(options) + 1;
    attn_program *entry = attn_allocate(device->memory, (int64_t)(sizeof *entry + name_size + options_size));
    if (!entry) {
        return CLATTN_OUT_OF_MEMORY;
    }
    clattn_status status = attn_program_build(device, name, options, &entry->program, report);
    if (status != CLATTN_OK) {
        attn_release(device->memory, entry);
        return status;
    }
    memcpy(entry->fingerprint, name, name_size);
    memcpy(entry->fingerprint + name_size, options, options_size);
    entry->kept.end = end_program;
    attn_opencl_at_end(device, &entry->kept);
    *program = entry->program;
    return CLATTN_OK;
}

clattn_status attn_program_get(struct attn_opencl_device *device, const char *name, const char *options,
                               cl_program *program, clattn_report *report) {
    *program = NULL;
    ATTN_TRY(attn_opencl_open(device, report));
    pthread_mutex_lock(&device->lock);
    clattn_status status = get_locked(device, name, options, program, report);
    pthread_mutex_unlock(&device->lock);
    return status;
}

clattn_status attn_kernel_create(cl_program program, const char *kernel, cl_kernel *result, clattn_report *report) {
    cl_int code = CL_SUCCESS;
    *result = clCreateKernel(program, kernel, &code);
    if (code != CL_SUCCESS) {
        *result = NULL;
        attn_report_line(report, "kernel %s:", kernel);
    }
    return attn_cl_check(code, "clCreateKernel", report);
}

clattn_status attn_kernel_ask(const struct attn_opencl_device *device, cl_kernel kernel, attn_kernel_limits *limits,
                              clattn_report *report) {
    size_t group = 0, preferred = 1;
    cl_ulong local = 0, private_memory = 0;
    cl_int code = clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    ATTN_TRY(attn_cl_check(code, "clGetKernelWorkGroupInfo", report));
    code = clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    ATTN_TRY(attn_cl_check(code, "clGetKernelWorkGroupInfo", report));
    code = clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, sizeof preferred,
                                    &preferred, NULL);
    limits->preferred = code == CL_SUCCESS && preferred > 0 ? (int64_t)preferred : 1;
    code = clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof private_memory,
                                    &private_memory, NULL);
    limits->private_memory = code == CL_SUCCESS ? (int64_t)private_memory : -1;
    limits->work_group = (int64_t)group;
    limits->local_memory = (int64_t)local;
    return CLATTN_OK;
}
