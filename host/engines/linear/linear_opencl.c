/*
 * Linear maps on an OpenCL device: CLBlast's product on the buffers of a call's slot. Each call carries its memory there
 * and back; the bias is put in place on the host, before the product is added to it.
 */
#include <clblast_c.h>
#include <string.h>

#include "engines/engine_body.h"
#include "engines/linear/linear_engines.h"
#include "engines/opencl/unfused/opencl_unfused_product.h"
#include "opencl/buffer.h"

typedef struct opencl_state {
    clattn_linear_problem problem;
    struct attn_opencl_device *device;
} opencl_state;

/* What a call under way needs for itself. */
typedef struct opencl_slot {
    attn_buffer input, w, output;
} opencl_slot;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (!device->opencl) {
        attn_report_line(why_not, "device: not an OpenCL device");
        return false;
    }
    return attn_body_alone(device, why_not) && attn_product_serves(device->opencl, why_not);
}

static void release(void *state) {
    opencl_state *s = state;
    attn_release(s->device->memory, s);
}

/* Bytes of the three buffers: input, w, output. */
static void buffer_sizes(const clattn_linear_problem *p, int64_t sizes[3]) {
    int64_t number = (int64_t)sizeof(float);
    sizes[0] = attn_max(p->rows * p->in_dim * number, 64);
    sizes[1] = attn_max(p->out_dim * p->in_dim * number, 64);
    sizes[2] = attn_max(p->rows * p->out_dim * number, 64);
}

static clattn_status make_ready(opencl_state *s, clattn_plan_info *info, clattn_report *report) {
    const clattn_linear_problem *p = &s->problem;
    int64_t temporary = 0, sizes[3];
    ATTN_TRY(attn_product_prepare(s->device, report));
    if (p->rows > 0) {
        const attn_product shape = { .m = p->out_dim, .n = p->rows, .k = p->in_dim, .a_transposed = true };
        ATTN_TRY(attn_product_temporary(s->device, &shape, &temporary, report));
    }
    if (temporary > 0) {
        ATTN_TRY(attn_product_prepare_large(s->device, report));
    }
    buffer_sizes(p, sizes);
    info->workspace_size = sizes[0] + sizes[1] + sizes[2];
    strcpy(info->kernel, "CLBlast Sgemm");
    return CLATTN_OK;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_plan_info *info,
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

static void slot_close(void *state, void *slot) {
    const opencl_state *s = state;
    opencl_slot *o = slot;
    attn_buffer_release(&o->input);
    attn_buffer_release(&o->w);
    attn_buffer_release(&o->output);
    attn_release(s->device->memory, o);
}

static clattn_status slot_open(void *state, void **slot, clattn_report *report) {
    const opencl_state *s = state;
    opencl_slot *made = attn_allocate_zeroed(s->device->memory, sizeof *made);
    int64_t sizes[3];
    clattn_status status;
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    buffer_sizes(&s->problem, sizes);
    ATTN_TRY_TO(attn_buffer_reserve(s->device, sizes[0], "input", &made->input, report), fail);
    ATTN_TRY_TO(attn_buffer_reserve(s->device, sizes[1], "w", &made->w, report), fail);
    ATTN_TRY_TO(attn_buffer_reserve(s->device, sizes[2], "output", &made->output, report), fail);
    *slot = made;
    return CLATTN_OK;
fail:
    slot_close(state, made);
    return status;
}

static clattn_status write_buffer(const opencl_state *s, const attn_buffer *buffer, const float *from, int64_t count,
                                  clattn_report *report) {
    cl_int code = clEnqueueWriteBuffer(s->device->queue, buffer->memory, CL_TRUE, 0, (size_t)count * sizeof *from, from,
                                       0, NULL, NULL);
    return attn_cl_check(code, "clEnqueueWriteBuffer", report);
}

static clattn_status run(const opencl_state *s, const opencl_slot *o, const attn_linear_call *c) {
    const clattn_linear_problem *p = &s->problem;
    int64_t count = c->rows * p->out_dim;
    for (int64_t k = 0; c->b && k < count; k++) {
        c->output[k] = c->b[k % p->out_dim] + (c->add ? c->output[k] : 0.0f);
    }
    bool begun = c->b || c->add;
    ATTN_TRY(write_buffer(s, &o->input, c->input, c->rows * p->in_dim, c->report));
    ATTN_TRY(write_buffer(s, &o->w, c->w, p->out_dim * p->in_dim, c->report));
    if (begun) {
        ATTN_TRY(write_buffer(s, &o->output, c->output, count, c->report));
    }
    size_t rows = (size_t)c->rows, in = (size_t)p->in_dim, out = (size_t)p->out_dim;
    cl_command_queue queue = s->device->queue;
    CLBlastStatusCode code = CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, rows, out, in,
                                          1.0f, o->input.memory, 0, in, o->w.memory, 0, in, begun ? 1.0f : 0.0f,
                                          o->output.memory, 0, out, &queue, NULL);
    if (code != CLBlastSuccess) {
        return attn_refuse(c->report, CLATTN_OPENCL_ERROR, "CLBlastSgemm: status %d", (int)code);
    }
    cl_int read = clEnqueueReadBuffer(queue, o->output.memory, CL_TRUE, 0, (size_t)count * sizeof(float), c->output, 0,
                                      NULL, NULL);
    return attn_cl_check(read, "clEnqueueReadBuffer", c->report);
}

static clattn_status execute(void *state, const attn_execution *execution) {
    const opencl_state *s = state;
    clattn_status status = run(s, execution->slot, execution->call);
    if (status != CLATTN_OK) {
        (void)clFinish(s->device->queue); /* nothing is under way any more when a failed call returns */
    }
    return status;
}

const attn_engine attn_linear_opencl = {
    .name = "opencl",
    .supports = supports,
    .preference = attn_prefer_by_kind,
    .prepare = prepare,
    .slot_open = slot_open,
    .slot_close = slot_close,
    .execute = execute,
    .release = release,
};
