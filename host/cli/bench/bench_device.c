/*
 * A case's data in an OpenCL device's own memory, through the public interface alone. To add a tensor: its line in
 * place_all(). A build without OpenCL has none.
 */
#include "bench/bench_device.h"

#include <stdlib.h>

#if CLATTN_HAVE_OPENCL
#include "clattn/clattn_opencl.h"

enum { ATTN_DEVICE_TENSORS = 24 };

struct attn_device_data {
    cl_context context;
    cl_command_queue queue;
    cl_mem memory[ATTN_DEVICE_TENSORS];
    const attn_guarded *from[ATTN_DEVICE_TENSORS]; /* where each lies in the host's */
    bool result[ATTN_DEVICE_TENSORS];              /* output, or gradients */
    int count;
    clattn_tensors tensors;
};

/* A buffer with the bytes of `from`; NULL stays NULL. False: the device has no room. */
static bool place(attn_device_data *d, const attn_guarded *from, const void **tensor, bool result) {
    cl_int status = CL_SUCCESS;
    if (!*tensor) {
        return true;
    }
    size_t bytes = from->bytes > 0 ? (size_t)from->bytes : 1;
    cl_mem memory = clCreateBuffer(d->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (status != CL_SUCCESS) {
        return false;
    }
    d->from[d->count] = from;
    d->result[d->count] = result;
    d->memory[d->count++] = memory;
    *tensor = memory;
    return clEnqueueWriteBuffer(d->queue, memory, CL_TRUE, 0, bytes, from->data, 0, NULL, NULL) == CL_SUCCESS;
}

static bool place_all(attn_device_data *d, const attn_case_data *data) {
    clattn_tensors *t = &d->tensors;
    const struct {
        const attn_guarded *from;
        const void **tensor;
    } all[] = { { &data->query, (const void **)&t->query.data },
                { &data->key, (const void **)&t->key.data },
                { &data->value, (const void **)&t->value.data },
                { &data->output, (const void **)&t->output.data },
                { &data->mask, &t->mask.data },
                { &data->bias, &t->bias.data },
                { &data->slopes, (const void **)&t->alibi_slopes.data },
                { &data->sinks, (const void **)&t->sinks.data },
                { &data->query_lengths, &t->query_lengths.data },
                { &data->key_lengths, &t->key_lengths.data },
                { &data->offsets, &t->offsets.data },
                { &data->logsumexp, (const void **)&t->logsumexp.data },
                { &data->weights, (const void **)&t->weights.data },
                { &data->grad_output, (const void **)&t->grad_output.data },
                { &data->grad_logsumexp, (const void **)&t->grad_logsumexp.data },
                { &data->delta, (const void **)&t->delta.data },
                { &data->gradients[ATTN_GRAD_QUERY].memory, (const void **)&t->grad_query.data },
                { &data->gradients[ATTN_GRAD_KEY].memory, (const void **)&t->grad_key.data },
                { &data->gradients[ATTN_GRAD_VALUE].memory, (const void **)&t->grad_value.data },
                { &data->gradients[ATTN_GRAD_BIAS].memory, &t->grad_bias.data },
                { &data->gradients[ATTN_GRAD_SLOPES].memory, (const void **)&t->grad_alibi_slopes.data },
                { &data->gradients[ATTN_GRAD_SINKS].memory, (const void **)&t->grad_sinks.data } };
    const bool backward = data->problem.direction == CLATTN_BACKWARD;
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        bool gradient = (const char *)all[k].from >= (const char *)data->gradients &&
                        (const char *)all[k].from < (const char *)(data->gradients + ATTN_GRADIENTS);
        if (!place(d, all[k].from, all[k].tensor, backward ? gradient : all[k].from == &data->output)) {
            return false;
        }
    }
    return true;
}

attn_device_data *attn_device_data_create(clattn_runtime *runtime, int64_t device, const attn_case_data *data,
                                          attn_error *error) {
    cl_device_id id;
    cl_int status = CL_SUCCESS;
    attn_device_data *d = calloc(1, sizeof *d);
    if (!d || clattn_runtime_get_context(runtime, device, &d->context, &id) != CLATTN_OK) {
        (void)attn_fail(error, ATTN_UNSERVED, "no OpenCL context of the device");
        free(d);
        return NULL;
    }
    d->tensors = data->tensors;
    d->queue = clCreateCommandQueue(d->context, id, 0, &status);
    if (status != CL_SUCCESS || !place_all(d, data)) {
        (void)attn_fail(error, ATTN_UNSERVED, "the tensors do not fit the device's memory");
        attn_device_data_free(d);
        return NULL;
    }
    return d;
}

void attn_device_data_free(attn_device_data *d) {
    for (int k = 0; d && k < d->count; k++) {
        (void)clReleaseMemObject(d->memory[k]);
    }
    if (d && d->queue) {
        (void)clReleaseCommandQueue(d->queue);
    }
    free(d);
}

clattn_status attn_device_data_execute(clattn_plan *plan, attn_device_data *d, clattn_timing *timing,
                                       clattn_report *report) {
    cl_event event = NULL;
    cl_int outcome = CL_SUCCESS;
    d->tensors.timing = timing;
    d->tensors.report = report;
    clattn_status status = clattn_enqueue(plan, d->queue, &d->tensors, 0, NULL, &event);
    if (status != CLATTN_OK) {
        return status;
    }
    const cl_event_info what = CL_EVENT_COMMAND_EXECUTION_STATUS;
    bool done = clWaitForEvents(1, &event) == CL_SUCCESS &&
                clGetEventInfo(event, what, sizeof outcome, &outcome, NULL) == CL_SUCCESS && outcome == CL_COMPLETE;
    (void)clReleaseEvent(event);
    return done ? CLATTN_OK : CLATTN_OPENCL_ERROR;
}

bool attn_device_data_write_results(attn_device_data *d) {
    for (int k = 0; k < d->count; k++) {
        if (d->result[k] && d->from[k]->bytes > 0 &&
            clEnqueueWriteBuffer(d->queue, d->memory[k], CL_TRUE, 0, (size_t)d->from[k]->bytes, d->from[k]->data, 0,
                                 NULL, NULL) != CL_SUCCESS) {
            return false;
        }
    }
    return true;
}

bool attn_device_data_read_results(attn_device_data *d) {
    for (int k = 0; k < d->count; k++) {
        if (d->result[k] && d->from[k]->bytes > 0 &&
            clEnqueueReadBuffer(d->queue, d->memory[k], CL_TRUE, 0, (size_t)d->from[k]->bytes, d->from[k]->data, 0,
                                NULL, NULL) != CL_SUCCESS) {
            return false;
        }
    }
    return true;
}

#else
attn_device_data *attn_device_data_create(clattn_runtime *runtime, int64_t device, const attn_case_data *data,
                                          attn_error *error) {
    (void)runtime;
    (void)device;
    (void)data;
    (void)attn_fail(error, ATTN_UNSERVED, "this build has no OpenCL");
    return NULL;
}

void attn_device_data_free(attn_device_data *data) {
    (void)data;
}

clattn_status attn_device_data_execute(clattn_plan *plan, attn_device_data *data, clattn_timing *timing,
                                       clattn_report *report) {
    (void)plan;
    (void)data;
    (void)timing;
    (void)report;
    return CLATTN_UNSUPPORTED;
}

bool attn_device_data_write_results(attn_device_data *data) {
    (void)data;
    return false;
}

bool attn_device_data_read_results(attn_device_data *data) {
    (void)data;
    return false;
}
#endif
