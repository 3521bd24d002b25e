/*
 * Building one program from the embedded sources, its kernels and what they need. Knows nothing of the cache above it
 * (program_cache.c) and of engines. Options never include -cl-fast-relaxed-math or -cl-finite-math-only: infinities
 * mean something in these kernels.
 */
#include <stdio.h>
#include <string.h>

#include "base/report.h"
#include "opencl/kernel_sources.h"
#include "opencl/program.h"
#include "opencl/program_build.h"

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
    if (report == NULL ||
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS || size == 0 ||
        size > 1 << 26) {
        return;
    }
    char *log = attn_allocate(device->memory, (int64_t)size + 1);
    if (log != NULL &&
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL) == CL_SUCCESS) {
        log[size] = '\0';
        attn_report_text(report, "  ", log);
    }
    attn_release(device->memory, log);
}

clattn_status attn_program_build(const struct attn_opencl_device *device, const char *name, const char *options,
                                 cl_program *result, clattn_report *report) {
    const attn_kernel_source *source = find_source(name);
    if (source == NULL) {
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
