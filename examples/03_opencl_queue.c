/*
 * Zero copy with OpenCL objects of one's own: the library adopts the context, reads and writes the program's cl_mem, and
 * chains to its events on an out-of-order queue. Nothing is copied or allocated by the call.
 * Exits with 77 where there is no OpenCL device.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clattn/clattn_opencl.h"

enum { HEADS = 4, ROWS = 32, KEYS = 96, DIM = 64, NO_DEVICE = 77 };

static float query[HEADS * ROWS * DIM], key[HEADS * KEYS * DIM], value[HEADS * KEYS * DIM], output[HEADS * ROWS * DIM];

static void check_cl(cl_int code, const char *what) {
    if (code != CL_SUCCESS) {
        fprintf(stderr, "%s: OpenCL error %d\n", what, (int)code);
        exit(1);
    }
}

static void check(clattn_status status, const clattn_report *report) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n", clattn_status_message(status), report->text);
        exit(1);
    }
}

static cl_device_id find_device(void) {
    cl_platform_id platforms[8];
    cl_uint count = 0;
    if (clGetPlatformIDs(8, platforms, &count) == CL_SUCCESS) {
        for (cl_uint n = 0; n < count && n < 8; n++) {
            cl_device_id device;
            if (clGetDeviceIDs(platforms[n], CL_DEVICE_TYPE_ALL, 1, &device, NULL) == CL_SUCCESS) {
                return device;
            }
        }
    }
    fprintf(stderr, "no OpenCL device here\n");
    exit(NO_DEVICE);
}

static cl_mem make_buffer(cl_context context, size_t bytes) {
    cl_int code;
    cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    check_cl(code, "clCreateBuffer");
    return memory;
}

/* Uploads on the out-of-order queue: nothing but the events says what comes first. */
static void upload(cl_command_queue queue, cl_mem to, const float *from, size_t bytes, cl_event *written) {
    check_cl(clEnqueueWriteBuffer(queue, to, CL_FALSE, 0, bytes, from, 0, NULL, written), "clEnqueueWriteBuffer");
}

static clattn_plan *make_plan(clattn_runtime *runtime, int64_t device) {
    static clattn_report report;
    clattn_plan *plan;
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    p.query_heads = HEADS, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM;
    p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    p.memory = CLATTN_MEMORY_OPENCL;
    options.device = device;
    check(clattn_plan_create(runtime, &p, &options, &plan, &report), &report);
    clattn_plan_info info;
    check(clattn_plan_get_info(plan, &info), &report);
    printf("engine %s: %s\n", info.engine, info.kernel);
    return plan;
}

int main(void) {
    static clattn_report report;
    clattn_runtime *runtime;
    int64_t index;
    cl_int code;
    cl_device_id device = find_device();
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &code);
    check_cl(code, "clCreateContext");
    cl_command_queue queue = clCreateCommandQueue(context, device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    check_cl(code, "clCreateCommandQueue");
    check(clattn_runtime_create(NULL, &runtime), &report);
    check(clattn_runtime_adopt_opencl(runtime, context, device, &index), &report);
    clattn_plan *plan = make_plan(runtime, index);

    for (int n = 0; n < HEADS * KEYS * DIM; n++) {
        key[n] = sinf((float)n);
        value[n] = 1.5F; /* so every output is 1.5, whatever the weights */
        query[n % (HEADS * ROWS * DIM)] = cosf((float)n);
    }
    cl_mem memory[4] = { make_buffer(context, sizeof query), make_buffer(context, sizeof key),
                         make_buffer(context, sizeof value), make_buffer(context, sizeof output) };
    cl_event written[3], computed, read;
    upload(queue, memory[0], query, sizeof query, &written[0]);
    upload(queue, memory[1], key, sizeof key, &written[1]);
    upload(queue, memory[2], value, sizeof value, &written[2]);
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = memory[0], t.key.data = memory[1], t.value.data = memory[2], t.output.data = memory[3];
    t.report = &report;
    check(clattn_enqueue(plan, queue, &t, 3, written, &computed), &report);
    check_cl(clEnqueueReadBuffer(queue, memory[3], CL_FALSE, 0, sizeof output, output, 1, &computed, &read),
             "clEnqueueReadBuffer");
    check_cl(clWaitForEvents(1, &read), "clWaitForEvents");

    float worst = 0;
    for (int n = 0; n < HEADS * ROWS * DIM; n++) {
        worst = fmaxf(worst, fabsf(output[n] - 1.5F));
    }
    printf("largest error: %g\n", (double)worst);
    clReleaseEvent(computed);
    clReleaseEvent(read);
    for (int n = 0; n < 4; n++) {
        clReleaseMemObject(memory[n]);
        if (n < 3) {
            clReleaseEvent(written[n]);
        }
    }
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime); /* the context is ours: released after */
    clReleaseCommandQueue(queue);
    clReleaseContext(context);
    return worst > 1e-5F;
}
