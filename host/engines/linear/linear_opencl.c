/*
 * Linear maps on an OpenCL device: CLBlast's product on buffers taken at creation. Each call carries its memory there
 * and back; the bias is put in place on the host, before the product is added to it.
 */
#include <clblast_c.h>
#include <string.h>

#include "engines/linear/linear_engines.h"
#include "engines/opencl/unfused/opencl_unfused_product.h"
#include "opencl/buffer.h"

typedef struct opencl_state {
    clattn_linear_problem problem;
    struct attn_opencl_device *device;
    attn_buffer input, w, output;
} opencl_state;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (!device->opencl) {
        attn_report_line(why_not, "device: not an OpenCL device");
        return false;
    }
    return attn_product_serves(device->opencl, why_not);
}

static void release(void *state) {
    opencl_state *s = state;
    attn_buffer_release(&s->input);
    attn_buffer_release(&s->w);
    attn_buffer_release(&s->output);
    attn_release(s->device->memory, s);
}

static clattn_status make_ready(opencl_state *s, clattn_operation_info *info, clattn_report *report) {
    const clattn_linear_problem *p = &s->problem;
    int64_t number = (int64_t)sizeof(float);
    int64_t temporary = 0;
    ATTN_TRY(attn_product_prepare(s->device, report));
    ATTN_TRY(attn_buffer_reserve(s->device, p->rows * p->in_dim * number, "input", &s->input, report));
    ATTN_TRY(attn_buffer_reserve(s->device, p->out_dim * p->in_dim * number, "w", &s->w, report));
    ATTN_TRY(attn_buffer_reserve(s->device, p->rows * p->out_dim * number, "output", &s->output, report));
    if (p->rows > 0 && p->in_dim > 0 && p->out_dim > 0) {
        ATTN_TRY(attn_product_temporary(s->device, p->out_dim, p->rows, p->in_dim, true, &temporary, report));
    }
    if (temporary > 0) {
        ATTN_TRY(attn_product_prepare_large(s->device, report));
    }
    info->workspace_size = s->input.size + s->w.size + s->output.size;
    strcpy(info->kernel, "CLBlast Sgemm");
    return CLATTN_OK;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report) {
    opencl_state *made = attn_allocate_zeroed(device->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    made->problem = *(const clattn_linear_problem *)problem;
    made->device = device->opencl;
    clattn_status status = make_ready(made, info, report);
    if (status != CLATTN_OK) {
        release(made);
        return status;
    }
    *state = made;
    return CLATTN_OK;
}

static clattn_status write_buffer(const opencl_state *s, const attn_buffer *buffer, const float *from, int64_t count,
                                  clattn_report *report) {
    cl_int code = clEnqueueWriteBuffer(s->device->queue, buffer->memory, CL_TRUE, 0, (size_t)count * sizeof *from, from,
                                       0, NULL, NULL);
    return attn_cl_check(code, "clEnqueueWriteBuffer", report);
}

static clattn_status run(const opencl_state *s, const attn_linear_call *c) {
    const clattn_linear_problem *p = &s->problem;
    int64_t count = c->rows * p->out_dim;
    for (int64_t k = 0; c->b && k < count; k++) {
        c->output[k] = c->b[k % p->out_dim] + (c->add ? c->output[k] : 0.0f);
    }
    bool begun = c->b || c->add;
    ATTN_TRY(write_buffer(s, &s->input, c->input, c->rows * p->in_dim, c->report));
    ATTN_TRY(write_buffer(s, &s->w, c->w, p->out_dim * p->in_dim, c->report));
    if (begun) {
        ATTN_TRY(write_buffer(s, &s->output, c->output, count, c->report));
    }
    size_t rows = (size_t)c->rows, in = (size_t)p->in_dim, out = (size_t)p->out_dim;
    cl_command_queue queue = s->device->queue;
    CLBlastStatusCode code = CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, rows, out, in,
                                          1.0f, s->input.memory, 0, in, s->w.memory, 0, in, begun ? 1.0f : 0.0f,
                                          s->output.memory, 0, out, &queue, NULL);
    if (code != CLBlastSuccess) {
        return attn_refuse(c->report, CLATTN_OPENCL_ERROR, "CLBlastSgemm: status %d", (int)code);
    }
    cl_int read = clEnqueueReadBuffer(queue, s->output.memory, CL_TRUE, 0, (size_t)count * sizeof(float), c->output, 0,
                                      NULL, NULL);
    return attn_cl_check(read, "clEnqueueReadBuffer", c->report);
}

static clattn_status execute(void *state, const void *call) {
    const opencl_state *s = state;
    clattn_status status = run(s, call);
    if (status != CLATTN_OK) {
        (void)clFinish(s->device->queue); /* nothing is under way any more when a failed call returns */
    }
    return status;
}

const attn_operation_engine attn_linear_opencl = { "opencl", false, supports, prepare, execute, release };
