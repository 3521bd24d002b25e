/*
 * A call of additive attention on an OpenCL device: copies in, launches, copies out. Long calls are cut into launches, so
 * that no single one meets a watchdog.
 */
#include "engines/additive/additive_opencl.h"
#include "opencl/launch.h"

#include "kernels/include/additive_arguments.cl.h"

static const double LAUNCH_STEPS = 4e9; /* tanh of one launch: well under a second on any device in use */

/* One call: its chain of commands, in the buffers of its slot. */
typedef struct additive_run {
    const attn_additive_state *state;
    const attn_additive_slot *slot;
    const attn_additive_call *call;
    attn_chain chain;
} additive_run;

/* `count` pieces of `size` bytes, `pitch` bytes apart on both sides: only what the call uses is touched. */
typedef struct pieces {
    int64_t count, size, pitch;
} pieces;

static clattn_status copy_in(additive_run *r, int buffer, const void *host, pieces p) {
    for (int64_t k = 0; k < p.count && p.size > 0; k++) {
        cl_int code =
            clEnqueueWriteBuffer(r->chain.queue, r->slot->buffers[buffer].memory, CL_TRUE, (size_t)(k * p.pitch),
                                 (size_t)p.size, (const char *)host + k * p.pitch, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueWriteBuffer", r->chain.report));
    }
    return CLATTN_OK;
}

static clattn_status copy_out(additive_run *r, int buffer, void *host, pieces p) {
    for (int64_t k = 0; host && k < p.count && p.size > 0; k++) {
        cl_int code =
            clEnqueueReadBuffer(r->chain.queue, r->slot->buffers[buffer].memory, CL_TRUE, (size_t)(k * p.pitch),
                                (size_t)p.size, (char *)host + k * p.pitch, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueReadBuffer", r->chain.report));
    }
    return CLATTN_OK;
}

static clattn_status copy_lengths(additive_run *r, int buffer, const clattn_integers *lengths) {
    for (int64_t b = 0; lengths->data && b < r->state->problem.batch; b++) {
        cl_long length = attn_integer(lengths, b);
        cl_int code = clEnqueueWriteBuffer(r->chain.queue, r->slot->buffers[buffer].memory, CL_TRUE,
                                           (size_t)b * sizeof length, sizeof length, &length, 0, NULL, NULL);
        ATTN_TRY(attn_cl_check(code, "clEnqueueWriteBuffer", r->chain.report));
    }
    return CLATTN_OK;
}

static clattn_status copy_inputs(additive_run *r) {
    const clattn_additive_problem *p = &r->state->problem;
    const attn_additive_call *c = r->call;
    int64_t number = (int64_t)sizeof(float), row = p->hidden * number, value = p->value_dim * number;
    ATTN_TRY(
        copy_in(r, ATTN_ADDITIVE_QUERY, c->query, (pieces){ p->batch, c->query_length * row, p->query_length * row }));
    ATTN_TRY(copy_in(r, ATTN_ADDITIVE_KEY, c->key, (pieces){ p->batch, c->key_length * row, p->key_length * row }));
    ATTN_TRY(copy_in(r, ATTN_ADDITIVE_V, c->v, (pieces){ 1, row, row }));
    ATTN_TRY(
        copy_in(r, ATTN_ADDITIVE_VALUE, c->value, (pieces){ p->batch, c->key_length * value, p->key_length * value }));
    if (c->mask) {
        int64_t size = p->mask_shape[0] * p->mask_shape[1] * p->mask_shape[2];
        ATTN_TRY(copy_in(r, ATTN_ADDITIVE_MASK, c->mask, (pieces){ 1, size, size }));
    }
    ATTN_TRY(copy_lengths(r, ATTN_ADDITIVE_QUERY_LENGTHS, &c->query_lengths));
    return copy_lengths(r, ATTN_ADDITIVE_KEY_LENGTHS, &c->key_lengths);
}

static void pass_buffer(attn_kernel_call *call, const additive_run *r, int buffer) {
    attn_pass_buffer(call,
                     r->slot->buffers[buffer].memory ? r->slot->buffers[buffer].memory : r->state->opencl->nothing);
}

static clattn_status launch(additive_run *r, cl_kernel kernel, const additive_arguments *a, int64_t first,
                            int64_t rows) {
    attn_kernel_call call = attn_kernel_call_begin(kernel);
    attn_pass(&call, a, sizeof *a);
    attn_pass_int64(&call, first);
    for (int buffer = ATTN_ADDITIVE_QUERY; buffer <= ATTN_ADDITIVE_KEY_LENGTHS; buffer++) {
        if (buffer != ATTN_ADDITIVE_VALUE) {
            pass_buffer(&call, r, buffer);
        }
    }
    if (kernel == r->slot->kernel) {
        pass_buffer(&call, r, ATTN_ADDITIVE_VALUE);
        pass_buffer(&call, r, ATTN_ADDITIVE_OUTPUT);
        pass_buffer(&call, r, ATTN_ADDITIVE_LOGSUMEXP);
    } else {
        pass_buffer(&call, r, ATTN_ADDITIVE_LOGSUMEXP);
        pass_buffer(&call, r, ATTN_ADDITIVE_WEIGHTS);
    }
    size_t group = (size_t)r->state->group, global = (size_t)rows * group;
    return attn_chain_launch(&r->chain, &call, 1, &global, &group,
                             kernel == r->slot->kernel ? "additive" : "additive_weights");
}

static clattn_status launch_all(additive_run *r, cl_kernel kernel, const additive_arguments *a) {
    double steps = (double)attn_max(a->keys, 1) * (double)(a->hidden + a->value_dim);
    int64_t rows = a->batch * a->rows, most = steps < LAUNCH_STEPS ? (int64_t)(LAUNCH_STEPS / steps) : 1;
    for (int64_t first = 0; first < rows; first += most) {
        ATTN_TRY(launch(r, kernel, a, first, attn_min(most, rows - first)));
    }
    return CLATTN_OK;
}

static clattn_status copy_outputs(additive_run *r) {
    const clattn_additive_problem *p = &r->state->problem;
    const attn_additive_call *c = r->call;
    int64_t number = (int64_t)sizeof(float), value = p->value_dim * number, key = p->key_length * number;
    ATTN_TRY(copy_out(r, ATTN_ADDITIVE_OUTPUT, c->output,
                      (pieces){ p->batch, c->query_length * value, p->query_length * value }));
    ATTN_TRY(copy_out(r, ATTN_ADDITIVE_LOGSUMEXP, c->logsumexp,
                      (pieces){ p->batch, c->query_length * number, p->query_length * number }));
    attn_chain_lose(&r->chain); /* these reads have no events: after an error all of them are waited for */
    for (int64_t b = 0; c->weights && b < p->batch; b++) { /* rows of this call's key_length */
        cl_int code = CL_SUCCESS;
        for (int64_t i = 0; i < c->query_length && c->key_length > 0 && code == CL_SUCCESS; i++) {
            int64_t at = (b * p->query_length + i) * key;
            code = clEnqueueReadBuffer(r->chain.queue, r->slot->buffers[ATTN_ADDITIVE_WEIGHTS].memory, CL_FALSE,
                                       (size_t)at, (size_t)(c->key_length * number), (char *)c->weights + at, 0, NULL,
                                       NULL);
        }
        ATTN_TRY(attn_cl_check(code, "clEnqueueReadBuffer", r->chain.report));
    }
    return attn_cl_check(clFinish(r->chain.queue), "clFinish", r->chain.report);
}

static clattn_status run(additive_run *r) {
    const clattn_additive_problem *p = &r->state->problem;
    const attn_additive_call *c = r->call;
    additive_arguments a = { .batch = p->batch,
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
    ATTN_TRY(copy_inputs(r));
    ATTN_TRY(launch_all(r, r->slot->kernel, &a));
    if (r->slot->weights_kernel) {
        ATTN_TRY(launch_all(r, r->slot->weights_kernel, &a));
    }
    ATTN_TRY(attn_chain_finish(&r->chain));
    return copy_outputs(r);
}

clattn_status attn_additive_opencl_execute(void *state, const attn_execution *execution) {
    additive_run r = { .state = state, .slot = execution->slot, .call = execution->call };
    attn_chain_begin(&r.chain, r.state->opencl, NULL, 0, NULL, r.call->report, NULL);
    return attn_chain_end(&r.chain, run(&r), NULL);
}
