/*
 * The probes on an OpenCL device: chains of multiply-adds in registers, and copying a buffer within the device. Through
 * the public interface alone. A build without OpenCL, and a device that cannot, answer 0.
 */
#include "bench/opencl_limits.h"

#include "base/text.h"

#if CLATTN_HAVE_OPENCL
#include "clattn/clattn_opencl.h"

enum { ATTN_CHAINS = 8, ATTN_STEPS = 4096, ATTN_ITEMS = 1 << 20, ATTN_ROUNDS = 5 };

static const char *const fma_source =
    "__kernel void chains(__global float *out, float factor, float term) {\n"
    "    float8 a = (float8)(1, 2, 3, 4, 5, 6, 7, 8) + (float)get_global_id(0);\n"
    "    for (int n = 0; n < 512; n++) {\n"
    "        a = fma(a, factor, term); a = fma(a, factor, term); a = fma(a, factor, term); a = fma(a, factor, term);\n"
    "        a = fma(a, factor, term); a = fma(a, factor, term); a = fma(a, factor, term); a = fma(a, factor, term);\n"
    "    }\n"
    "    float s = a.s0 + a.s1 + a.s2 + a.s3 + a.s4 + a.s5 + a.s6 + a.s7;\n"
    "    if (s == 12345.678f) out[0] = s;\n"
    "}\n";

/* Seconds of the fastest round of multiply-adds; 0 = failed. */
static double time_fma(cl_command_queue queue, cl_kernel kernel) {
    double best = 0;
    size_t items = ATTN_ITEMS;
    for (int round = 0; round < ATTN_ROUNDS; round++) {
        double start = attn_seconds();
        if (clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL) != CL_SUCCESS ||
            clFinish(queue) != CL_SUCCESS) {
            return 0;
        }
        double seconds = attn_seconds() - start;
        best = round == 1 || (round > 1 && seconds < best) ? seconds : best; /* the first round warms up */
    }
    return best;
}

static double probe_fma(cl_context context, cl_device_id device, cl_command_queue queue, cl_mem memory) {
    cl_float factor = 0.999999f, term = 1e-7f;
    cl_int status = CL_SUCCESS;
    double seconds = 0;
    const char *source = fma_source;
    cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, &status);
    if (status != CL_SUCCESS) {
        return 0;
    }
    if (clBuildProgram(program, 1, &device, "", NULL, NULL) == CL_SUCCESS) {
        cl_kernel kernel = clCreateKernel(program, "chains", &status);
        if (status == CL_SUCCESS) {
            if (clSetKernelArg(kernel, 0, sizeof memory, &memory) == CL_SUCCESS &&
                clSetKernelArg(kernel, 1, sizeof factor, &factor) == CL_SUCCESS &&
                clSetKernelArg(kernel, 2, sizeof term, &term) == CL_SUCCESS) {
                seconds = time_fma(queue, kernel);
            }
            clReleaseKernel(kernel);
        }
    }
    clReleaseProgram(program);
    return seconds > 0 ? 2.0 * ATTN_CHAINS * ATTN_STEPS * ATTN_ITEMS / seconds / 1e9 : 0;
}

static double probe_copy(cl_command_queue queue, cl_mem memory, size_t half) {
    double best = 0;
    for (int round = 0; round < ATTN_ROUNDS; round++) {
        double start = attn_seconds();
        for (int n = 0; n < 8; n++) {
            if (clEnqueueCopyBuffer(queue, memory, memory, 0, half, half, 0, NULL, NULL) != CL_SUCCESS) {
                return 0;
            }
        }
        if (clFinish(queue) != CL_SUCCESS) {
            return 0;
        }
        double rate = 8 * 2.0 * (double)half / (attn_seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    return best;
}

void attn_measure_opencl_limits(clattn_runtime *runtime, int64_t device, double *fma_gflops, double *copy_gbytes) {
    cl_context context;
    cl_device_id id;
    cl_int status = CL_SUCCESS;
    size_t half = (size_t)256 << 20;
    *fma_gflops = *copy_gbytes = 0;
    if (clattn_runtime_get_context(runtime, device, &context, &id) != CLATTN_OK) {
        return;
    }
    cl_command_queue queue = clCreateCommandQueue(context, id, 0, &status);
    if (status != CL_SUCCESS) {
        return;
    }
    cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, 2 * half, NULL, &status);
    if (status == CL_SUCCESS) {
        *fma_gflops = probe_fma(context, id, queue, memory);
        *copy_gbytes = probe_copy(queue, memory, half);
        clReleaseMemObject(memory);
    }
    clReleaseCommandQueue(queue);
}

#else
void attn_measure_opencl_limits(clattn_runtime *runtime, int64_t device, double *fma_gflops, double *copy_gbytes) {
    (void)runtime;
    (void)device;
    *fma_gflops = *copy_gbytes = 0;
}
#endif
