/*
 * How much local memory a kernel may declare. NVIDIA's OpenCL reports 48 KB where the hardware has more, and whether static
 * arrays may have it only a trial can say: kernels/local_probe.cl. Knows nothing of engines. To try another size: sizes[].
 */
#include "opencl/local_memory.h"

#include <stdio.h>

#include "base/report.h"
#include "opencl/program.h"

enum { PROBE_THREADS = 128, MOST_GROUPS = 256 };

static const int64_t sizes[] = { 128 << 10, 96 << 10, 64 << 10 };

/* All that a trial makes. */
typedef struct trial {
    struct attn_opencl_device device; /* a stand-in, with the trial's own context */
    cl_command_queue queue;
    cl_mem result;
    cl_program program;
    cl_kernel kernel;
} trial;

static clattn_status open_trial(trial *t, int64_t bytes, int64_t groups) {
    char options[64];
    cl_int code = CL_SUCCESS;
    t->device.context = clCreateContext(NULL, 1, &t->device.id, NULL, NULL, &code);
    ATTN_TRY(attn_cl_status(code));
    t->queue = clCreateCommandQueue(t->device.context, t->device.id, 0, &code);
    ATTN_TRY(attn_cl_status(code));
    t->result = clCreateBuffer(t->device.context, CL_MEM_READ_WRITE, (size_t)groups * sizeof(cl_uint), NULL, &code);
    ATTN_TRY(attn_cl_status(code));
    snprintf(options, sizeof options, "-DBYTES=%lld", (long long)bytes);
    ATTN_TRY(attn_program_build(&t->device, "local_probe", options, &t->program, NULL));
    return attn_kernel_create(t->program, "local_probe", &t->kernel, NULL);
}

static bool run_trial(const trial *t, int64_t groups) {
    cl_uint right[MOST_GROUPS] = { 0 };
    const size_t local = PROBE_THREADS, global = (size_t)groups * local, bytes = (size_t)groups * sizeof right[0];
    if (clEnqueueWriteBuffer(t->queue, t->result, CL_TRUE, 0, bytes, right, 0, NULL, NULL) != CL_SUCCESS ||
        clSetKernelArg(t->kernel, 0, sizeof t->result, &t->result) != CL_SUCCESS ||
        clEnqueueNDRangeKernel(t->queue, t->kernel, 1, NULL, &global, &local, 0, NULL, NULL) != CL_SUCCESS ||
        clEnqueueReadBuffer(t->queue, t->result, CL_TRUE, 0, bytes, right, 0, NULL, NULL) != CL_SUCCESS) {
        return false;
    }
    for (int64_t k = 0; k < groups; k++) {
        if (right[k] != 1) {
            return false;
        }
    }
    return true;
}

static void close_trial(trial *t) {
    if (t->kernel) {
        (void)clReleaseKernel(t->kernel);
    }
    if (t->program) {
        (void)clReleaseProgram(t->program);
    }
    if (t->result) {
        (void)clReleaseMemObject(t->result);
    }
    if (t->queue) {
        (void)clReleaseCommandQueue(t->queue);
    }
    if (t->device.context) {
        (void)clReleaseContext(t->device.context);
    }
}

bool attn_opencl_try_local(const struct attn_opencl_device *device, int64_t bytes, int64_t groups) {
    trial t = { .queue = NULL };
    t.device.memory = device->memory;
    t.device.id = device->id;
    groups = groups < 1 ? 1 : groups > MOST_GROUPS ? MOST_GROUPS : groups;
    const bool good = open_trial(&t, bytes, groups) == CLATTN_OK && run_trial(&t, groups);
    close_trial(&t);
    return good;
}

static int64_t find_local_memory(const struct attn_opencl_device *device) {
    const int64_t reported = device->info.local_memory;
    if (device->nvidia_capability == 0) {
        return reported;
    }
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0] && sizes[k] > reported; k++) {
        if (attn_opencl_try_local(device, sizes[k], device->info.compute_units)) {
            return sizes[k];
        }
    }
    return reported;
}

int64_t attn_opencl_local_memory(struct attn_opencl_device *device) {
    pthread_mutex_lock(&device->lock);
    if (device->local_memory_found == 0) {
        device->local_memory_found = find_local_memory(device);
    }
    const int64_t bytes = device->local_memory_found;
    pthread_mutex_unlock(&device->lock);
    return bytes;
}
