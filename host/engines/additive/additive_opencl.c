/*
 * Additive attention on an OpenCL device: stages the call's host memory in buffers taken at creation, runs
 * kernels/additive.cl. One work-item a row on CPU devices, a work-group a row elsewhere. Knows nothing of how rows are
 * computed. Long calls are cut into launches, so that no single one meets a watchdog.
 */
#include <stdio.h>
#include <string.h>

#include "engines/additive/additive_engines.h"
#include "opencl/buffer.h"
#include "opencl/launch.h"
#include "opencl/program.h"

#include "../../../kernels/include/additive_arguments.cl.h"

enum { QUERY, KEY, V, VALUE, MASK, QUERY_LENGTHS, KEY_LENGTHS, OUTPUT, LOGSUMEXP, WEIGHTS, BUFFERS };
static const double LAUNCH_STEPS = 4e9; /* tanh of one launch: well under a second on any device in use */

typedef struct opencl_state {
    clattn_additive_problem problem;
    struct attn_opencl_device *device;
    attn_buffer buffers[BUFFERS];
    cl_kernel kernel, weights_kernel; /* the second only when weights are asked for */
    size_t group;
} opencl_state;

static bool supports(const void *problem, const attn_device *device, clattn_report *why_not) {
    (void)problem;
    if (!device->opencl) {
        attn_report_line(why_not, "device: not an OpenCL device");
    }
    return device->opencl != NULL;
}

/* Bytes of each buffer; 0 = not needed. All fit: operations/additive.c has checked the largest. */
static void buffer_sizes(const clattn_additive_problem *p, int64_t *size) {
    int64_t number = (int64_t)sizeof(float), mask = 1;
    for (int d = 0; d < 3; d++) {
        mask *= p->mask == CLATTN_MASK_BYTES ? p->mask_shape[d] : 0;
    }
    size[QUERY] = p->batch * p->query_length * p->hidden * number;
    size[KEY] = p->batch * p->key_length * p->hidden * number;
    size[V] = p->hidden * number;
    size[VALUE] = p->batch * p->key_length * p->value_dim * number;
    size[MASK] = mask;
    size[QUERY_LENGTHS] = p->query_lengths ? p->batch * (int64_t)sizeof(cl_long) : 0;
    size[KEY_LENGTHS] = p->key_lengths ? p->batch * (int64_t)sizeof(cl_long) : 0;
    size[OUTPUT] = p->batch * p->query_length * p->value_dim * number;
    size[LOGSUMEXP] = p->batch * p->query_length * number;
    size[WEIGHTS] = p->weights ? p->batch * p->query_length * p->key_length * number : 0;
}

static void drop_kernels(opencl_state *s) {
    cl_kernel *const kernels[] = { &s->kernel, &s->weights_kernel };
    for (int k = 0; k < 2; k++) {
        if (*kernels[k]) {
            (void)clReleaseKernel(*kernels[k]);
            *kernels[k] = NULL;
        }
    }
}

static void release(void *state) {
    opencl_state *s = state;
    drop_kernels(s);
    for (int k = 0; k < BUFFERS; k++) {
        attn_buffer_release(&s->buffers[k]);
    }
    attn_release(s->device->memory, s);
}

static clattn_status get_kernel(opencl_state *s, const char *name, const char *extra, cl_kernel *kernel,
                                clattn_report *report) {
    char options[96];
    cl_program program = NULL;
    int vector = s->device->is_cpu ? (s->device->float_vector >= 8 ? 16 : 8) : 4;
    snprintf(options, sizeof options, "%s-DGROUP=%d -DBLOCK=%d -DVECTOR=%d", extra, (int)s->group,
             s->group == 1 ? 64 : 128, vector);
    attn_kernel_limits limits;
    ATTN_TRY(attn_program_get(s->device, name, options, &program, report));
    ATTN_TRY(attn_kernel_create(program, name, kernel, report));
    ATTN_TRY(attn_kernel_ask(s->device, *kernel, &limits, report));
    if (limits.work_group < (int64_t)s->group || limits.local_memory > s->device->info.local_memory) {
        return attn_refuse(
            report, CLATTN_UNSUPPORTED,
            "%s: needs work-groups of %d with %lld bytes of local memory, the device allows it %lld, and %lld "
            "bytes",
            name, (int)s->group, (long long)limits.local_memory, (long long)limits.work_group,
            (long long)s->device->info.local_memory);
    }
    return CLATTN_OK;
}

static clattn_status get_kernels(opencl_state *s, clattn_report *report) {
    drop_kernels(s);
    ATTN_TRY(get_kernel(s, "additive", "", &s->kernel, report));
    return s->problem.weights ? get_kernel(s, "additive_weights", "-DWRITE_WEIGHTS ", &s->weights_kernel, report)
                              : CLATTN_OK;
}

static clattn_status make_ready(opencl_state *s, clattn_operation_info *info, clattn_report *report) {
    static const char *const names[BUFFERS] = { "query",         "key",         "v",      "value",     "mask",
                                                "query_lengths", "key_lengths", "output", "logsumexp", "weights" };
    int64_t sizes[BUFFERS];
    ATTN_TRY(attn_opencl_open(s->device, report));
    s->group = s->device->is_cpu || s->device->info.max_work_group < 64 ? 1 : 64;
    clattn_status status = get_kernels(s, report);
    if (status == CLATTN_UNSUPPORTED && s->group > 1) {
        s->group = 1; /* one work-item a row fits every device */
        status = get_kernels(s, report);
    }
    ATTN_TRY(status);
    buffer_sizes(&s->problem, sizes);
    for (int k = 0; k < BUFFERS; k++) {
        if (sizes[k] > 0) {
            ATTN_TRY(attn_buffer_reserve(s->device, sizes[k], names[k], &s->buffers[k], report));
            info->workspace_size += s->buffers[k].size;
        }
    }
    snprintf(info->kernel, sizeof info->kernel, "additive, a group of %d a row", (int)s->group);
    return CLATTN_OK;
}

static clattn_status prepare(const void *problem, const attn_device *device, void **state, clattn_operation_info *info,
                             clattn_report *report) {
    opencl_state *made = attn_allocate_zeroed(device->memory, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    made->problem = *(const clattn_additive_problem *)problem;
    made->device = device->opencl;
    clattn_status status = make_ready(made, info, report);
    if (status != CLATTN_OK) {
        release(made);
        return status;
    }
    *state = made;
    return CLATTN_OK;
}

/* `count` pieces of `size` bytes, `pitch` bytes apart on both sides: only what the call uses is touched. */
typedef struct pieces {
    int64_t count, size, pitch;
} pieces;

static clattn_status copy_in(const opencl_state *s, attn_chain *chain, int buffer, const void *host, pieces p) {
    for (int64_t k = 0; k < p.count && p.size > 0; k++) {
        cl_int code = clEnqueueWriteBuffer(chain->queue, s->buffers[buffer].memory, CL_TRUE, (size_t)(k * p.pitch),
                                           (size_t)p.size, (const char *)host + k * p.pitch, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueWriteBuffer", chain->report));
    }
    return CLATTN_OK;
}

static clattn_status copy_out(const opencl_state *s, attn_chain *chain, int buffer, void *host, pieces p) {
    for (int64_t k = 0; host && k < p.count && p.size > 0; k++) {
        cl_int code = clEnqueueReadBuffer(chain->queue, s->buffers[buffer].memory, CL_TRUE, (size_t)(k * p.pitch),
                                          (size_t)p.size, (char *)host + k * p.pitch, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueReadBuffer", chain->report));
    }
    return CLATTN_OK;
}

static clattn_status copy_lengths(const opencl_state *s, attn_chain *chain, int buffer,
                                  const clattn_integers *lengths) {
    for (int64_t b = 0; lengths->data && b < s->problem.batch; b++) {
        cl_long length = attn_integer(lengths, b);
        cl_int code = clEnqueueWriteBuffer(chain->queue, s->buffers[buffer].memory, CL_TRUE, (size_t)b * sizeof length,
                                           sizeof length, &length, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueWriteBuffer", chain->report));
    }
    return CLATTN_OK;
}

static clattn_status copy_inputs(const opencl_state *s, attn_chain *chain, const attn_additive_call *c) {
    const clattn_additive_problem *p = &s->problem;
    int64_t number = (int64_t)sizeof(float), row = p->hidden * number, value = p->value_dim * number;
    ATTN_TRY(copy_in(s, chain, QUERY, c->query, (pieces){ p->batch, c->query_length * row, p->query_length * row }));
    ATTN_TRY(copy_in(s, chain, KEY, c->key, (pieces){ p->batch, c->key_length * row, p->key_length * row }));
    ATTN_TRY(copy_in(s, chain, V, c->v, (pieces){ 1, row, row }));
    ATTN_TRY(copy_in(s, chain, VALUE, c->value, (pieces){ p->batch, c->key_length * value, p->key_length * value }));
    if (c->mask) {
        int64_t size = p->mask_shape[0] * p->mask_shape[1] * p->mask_shape[2];
        ATTN_TRY(copy_in(s, chain, MASK, c->mask, (pieces){ 1, size, size }));
    }
    ATTN_TRY(copy_lengths(s, chain, QUERY_LENGTHS, &c->query_lengths));
    return copy_lengths(s, chain, KEY_LENGTHS, &c->key_lengths);
}

static void pass_buffer(attn_kernel_call *call, const opencl_state *s, int buffer) {
    attn_pass_buffer(call, s->buffers[buffer].memory ? s->buffers[buffer].memory : s->device->nothing);
}

static clattn_status launch(const opencl_state *s, attn_chain *chain, cl_kernel kernel, const additive_arguments *a,
                            int64_t first, int64_t rows) {
    attn_kernel_call call = attn_kernel_call_begin(kernel);
    attn_pass(&call, a, sizeof *a);
    attn_pass_int64(&call, first);
    for (int buffer = QUERY; buffer <= KEY_LENGTHS; buffer++) {
        if (buffer != VALUE) {
            pass_buffer(&call, s, buffer);
        }
    }
    if (kernel == s->kernel) {
        pass_buffer(&call, s, VALUE);
        pass_buffer(&call, s, OUTPUT);
        pass_buffer(&call, s, LOGSUMEXP);
    } else {
        pass_buffer(&call, s, LOGSUMEXP);
        pass_buffer(&call, s, WEIGHTS);
    }
    size_t global = (size_t)rows * s->group;
    return attn_chain_launch(chain, &call, 1, &global, &s->group,
                             kernel == s->kernel ? "additive" : "additive_weights");
}

static clattn_status launch_all(const opencl_state *s, attn_chain *chain, cl_kernel kernel,
                                const additive_arguments *a) {
    double steps = (double)attn_max(a->keys, 1) * (double)(a->hidden + a->value_dim);
    int64_t rows = a->batch * a->rows, most = steps < LAUNCH_STEPS ? (int64_t)(LAUNCH_STEPS / steps) : 1;
    for (int64_t first = 0; first < rows; first += most) {
        ATTN_TRY(launch(s, chain, kernel, a, first, attn_min(most, rows - first)));
    }
    return CLATTN_OK;
}

static clattn_status copy_outputs(const opencl_state *s, attn_chain *chain, const attn_additive_call *c) {
    const clattn_additive_problem *p = &s->problem;
    int64_t number = (int64_t)sizeof(float), value = p->value_dim * number, key = p->key_length * number;
    ATTN_TRY(
        copy_out(s, chain, OUTPUT, c->output, (pieces){ p->batch, c->query_length * value, p->query_length * value }));
    ATTN_TRY(copy_out(s, chain, LOGSUMEXP, c->logsumexp,
                      (pieces){ p->batch, c->query_length * number, p->query_length * number }));
    attn_chain_lose(chain); /* these reads have no events: after an error all of them are waited for */
    for (int64_t b = 0; c->weights && b < p->batch; b++) { /* rows of this call's key_length */
        cl_int code = CL_SUCCESS;
        for (int64_t i = 0; i < c->query_length && c->key_length > 0 && code == CL_SUCCESS; i++) {
            int64_t at = (b * p->query_length + i) * key;
            code = clEnqueueReadBuffer(chain->queue, s->buffers[WEIGHTS].memory, CL_FALSE, (size_t)at,
                                       (size_t)(c->key_length * number), (char *)c->weights + at, 0, NULL, NULL);
        }
        ATTN_TRY(attn_cl_check(code, "clEnqueueReadBuffer", chain->report));
    }
    return attn_cl_check(clFinish(chain->queue), "clFinish", chain->report);
}

static clattn_status run(const opencl_state *s, attn_chain *chain, const attn_additive_call *c) {
    const clattn_additive_problem *p = &s->problem;
    const additive_arguments a = { .batch = p->batch,
                                   .query_length = p->query_length,
                                   .key_length = p->key_length,
                                   .rows = c->query_length,
                                   .keys = c->key_length,
                                   .hidden = p->hidden,
                                   .value_dim = p->value_dim,
                                   .mask_stride = { c->mask_stride[0], c->mask_stride[1], c->mask_stride[2] },
                                   .has_mask = c->mask != NULL,
                                   .has_query_lengths = c->query_lengths.data != NULL,
                                   .has_key_lengths = c->key_lengths.data != NULL };
    ATTN_TRY(copy_inputs(s, chain, c));
    ATTN_TRY(launch_all(s, chain, s->kernel, &a));
    if (s->weights_kernel) {
        ATTN_TRY(launch_all(s, chain, s->weights_kernel, &a));
    }
    ATTN_TRY(attn_chain_finish(chain));
    return copy_outputs(s, chain, c);
}

static clattn_status execute(void *state, const void *call) {
    const opencl_state *s = state;
    const attn_additive_call *c = call;
    attn_chain chain;
    if (s->problem.batch == 0 || c->query_length == 0) {
        return CLATTN_OK;
    }
    attn_chain_begin(&chain, s->device, NULL, 0, NULL, c->report, NULL);
    return attn_chain_end(&chain, run(s, &chain, c), NULL);
}

const attn_operation_engine attn_additive_opencl = { "opencl", false, supports, prepare, execute, release };
