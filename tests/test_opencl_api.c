/*
 * The calls that take OpenCL handles, as a caller uses them: an adopted context, cl_mem with offsets, sub-buffers, in-order
 * and out-of-order queues, wait lists and events. Numbers are judged by the reference engine on host memory.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/opencl.h"
#include "support/suite.h"

#ifdef CLATTN_HAVE_OPENCL

enum { BATCH = 2, HEADS = 4, KV_HEADS = 2, ROWS = 11, KEYS = 37, DIM = 20, VALUE_DIM = 12, LEAD = 64 };

static clattn_report report;

/* Host copies of everything; `expected` from the reference. */
static struct {
    float query[BATCH * HEADS * ROWS * DIM], key[BATCH * KV_HEADS * KEYS * DIM], value[BATCH * KV_HEADS * KEYS * VALUE_DIM];
    float bias[HEADS * ROWS * KEYS], slopes[HEADS], sinks[HEADS];
    uint8_t mask[BATCH * ROWS * KEYS];
    int32_t key_lengths[BATCH], query_lengths[BATCH];
    int64_t offsets[BATCH];
    float expected[BATCH * HEADS * ROWS * VALUE_DIM], expected_logsumexp[BATCH * HEADS * ROWS];
    float got[BATCH * HEADS * ROWS * VALUE_DIM], got_logsumexp[BATCH * HEADS * ROWS];
} host;

static void draw(float *x, size_t bytes, uint32_t seed) {
    for (size_t n = 0; n < bytes / sizeof *x; n++) {
        seed = seed * 1664525u + 1013904223u;
        x[n] = (float)(seed >> 8) * 0x1p-22F - 2;
    }
}

static clattn_problem make_problem(bool features) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.batch = BATCH, p.query_heads = HEADS, p.kv_heads = KV_HEADS;
    p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM, p.value_dim = VALUE_DIM;
    p.logsumexp = true;
    if (features) {
        p.causal = p.alibi = p.sinks = p.query_lengths = p.key_lengths = true;
        p.alignment = CLATTN_ALIGN_OFFSETS;
        p.mask = CLATTN_MASK_BYTES;
        p.mask_shape[1] = 1;
        p.bias = CLATTN_BIAS_FP32;
        p.bias_shape[0] = 1;
        p.softcap = 3;
    }
    return p;
}

static void compute_wanted(clattn_problem p) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    draw(host.query, sizeof host.query, 1);
    draw(host.key, sizeof host.key, 2);
    draw(host.value, sizeof host.value, 3);
    draw(host.bias, sizeof host.bias, 4);
    draw(host.sinks, sizeof host.sinks, 5);
    for (int n = 0; n < BATCH * ROWS * KEYS; n++) {
        host.mask[n] = n % 5 != 2;
    }
    for (int h = 0; h < HEADS; h++) {
        host.slopes[h] = 0.25F / (float)(h + 1);
    }
    host.key_lengths[0] = KEYS, host.key_lengths[1] = 9;
    host.query_lengths[0] = 5, host.query_lengths[1] = ROWS;
    host.offsets[0] = 20, host.offsets[1] = -2;
    t.query.data = host.query, t.key.data = host.key, t.value.data = host.value, t.output.data = host.expected;
    t.mask.data = host.mask, t.bias.data = host.bias, t.alibi_slopes.data = host.slopes, t.sinks.data = host.sinks;
    t.logsumexp.data = host.expected_logsumexp;
    t.key_lengths = (clattn_integers){ host.key_lengths, 0, CLATTN_INT32 };
    t.query_lengths = (clattn_integers){ host.query_lengths, 0, CLATTN_INT32 };
    t.offsets = (clattn_integers){ host.offsets, 0, CLATTN_INT64 };
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    const clattn_plan_options options = suite_on("reference", CLATTN_ANY_DEVICE);
    p.memory = CLATTN_MEMORY_HOST;
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    clattn_runtime_destroy(runtime);
}

static void compare(const char *engine, const char *what, const float *got, const float *expected, size_t bytes) {
    for (size_t n = 0; n < bytes / sizeof *got; n++) {
        bool right = isfinite(expected[n]) ? fabsf(got[n] - expected[n]) <= 2e-5F : got[n] == expected[n];
        ck_assert_msg(right, "%s: %s[%zu] is %g, not %g", engine, what, n, (double)got[n], (double)expected[n]);
    }
}

static clattn_tensor tensor_at(cl_mem memory, size_t lead) {
    return (clattn_tensor){ memory, (int64_t)(lead / sizeof(float)), CLATTN_BHSD, 0, 0, 0 };
}

enum { BUFFERS = 12 };

/* Every tensor in a cl_mem of its own, LEAD bytes from its start. */
static clattn_tensors to_device(const opencl_side *side, cl_mem buffers[BUFFERS]) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    const struct {
        const void *data;
        size_t bytes;
    } parts[BUFFERS] = { { host.query, sizeof host.query },
                         { host.key, sizeof host.key },
                         { host.value, sizeof host.value },
                         { NULL, sizeof host.got },
                         { host.mask, sizeof host.mask },
                         { host.bias, sizeof host.bias },
                         { host.slopes, sizeof host.slopes },
                         { host.sinks, sizeof host.sinks },
                         { NULL, sizeof host.got_logsumexp },
                         { host.query_lengths, sizeof host.query_lengths },
                         { host.key_lengths, sizeof host.key_lengths },
                         { host.offsets, sizeof host.offsets } };
    for (int n = 0; n < BUFFERS; n++) {
        buffers[n] = opencl_buffer(side, parts[n].data, parts[n].bytes, LEAD, LEAD);
    }
    t.query = tensor_at(buffers[0], LEAD), t.key = tensor_at(buffers[1], LEAD);
    t.value = tensor_at(buffers[2], LEAD), t.output = tensor_at(buffers[3], LEAD);
    t.mask = (clattn_broadcast){ .data = buffers[4], .offset = LEAD };
    t.bias = (clattn_broadcast){ .data = buffers[5], .offset = LEAD / 4 };
    t.alibi_slopes = (clattn_array){ buffers[6], LEAD / 4 };
    t.sinks = (clattn_array){ buffers[7], LEAD / 4 };
    t.logsumexp = (clattn_array){ buffers[8], LEAD / 4 };
    t.query_lengths = (clattn_integers){ buffers[9], LEAD / 4, CLATTN_INT32 };
    t.key_lengths = (clattn_integers){ buffers[10], LEAD / 4, CLATTN_INT32 };
    t.offsets = (clattn_integers){ buffers[11], LEAD / 8, CLATTN_INT64 };
    t.report = &report;
    return t;
}

/* The call waits for a user event that is set only after it was enqueued: it must not block, and must not start early. */
static void enqueue_gated(const opencl_side *side, clattn_plan *plan, const clattn_tensors *t, const char *engine) {
    cl_int code;
    cl_event done = NULL, gate = clCreateUserEvent(side->context, &code);
    EXPECT_CL(code);
    EXPECT_STATUS(clattn_enqueue(plan, side->queue, t, 1, &gate, &done), CLATTN_OK, &report);
    ck_assert_ptr_nonnull(done);
    cl_int state = CL_COMPLETE;
    EXPECT_CL(clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL));
    ck_assert_msg(state != CL_COMPLETE, "%s ended before what it waits for", engine);
    EXPECT_CL(clSetUserEventStatus(gate, CL_COMPLETE));
    EXPECT_CL(clWaitForEvents(1, &done));
    EXPECT_CL(clReleaseEvent(gate));
    EXPECT_CL(clReleaseEvent(done));
}

static void check_engine(clattn_runtime *runtime, const opencl_side *side, int64_t device, const char *engine, bool features) {
    clattn_problem p = make_problem(features);
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    cl_mem buffers[BUFFERS];
    options.engine = engine;
    options.device = device;
    p.memory = CLATTN_MEMORY_OPENCL;
    compute_wanted(p);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    clattn_tensors t = to_device(side, buffers);
    for (int round = 0; round < 2; round++) { /* the second finds the first one's traces */
        enqueue_gated(side, plan, &t, engine);
        opencl_read(side, buffers[3], host.got, sizeof host.got, LEAD, LEAD);
        opencl_read(side, buffers[8], host.got_logsumexp, sizeof host.got_logsumexp, LEAD, LEAD);
        compare(engine, "output", host.got, host.expected, sizeof host.got);
        compare(engine, "logsumexp", host.got_logsumexp, host.expected_logsumexp, sizeof host.got_logsumexp);
    }
    EXPECT_STATUS(clattn_enqueue(plan, side->queue, &t, 0, NULL, NULL), CLATTN_OK, &report); /* no event asked for */
    EXPECT_CL(clFinish(side->queue));
    clattn_plan_destroy(plan);
    for (int n = 0; n < BUFFERS; n++) {
        EXPECT_CL(clReleaseMemObject(buffers[n]));
    }
}

static void check_engines(bool out_of_order, bool features) {
    opencl_side side = opencl_open(out_of_order);
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t device = -1;
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &device), CLATTN_OK, NULL);
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) == 0 && clattn_engine_built(engine)) {
            check_engine(runtime, &side, device, engine, features);
        }
    }
    clattn_runtime_destroy(runtime);
    opencl_close(&side);
}

START_TEST(test_in_order_queue) {
    check_engines(false, true);
    check_engines(false, false);
}
END_TEST

START_TEST(test_out_of_order_queue) {
    check_engines(true, true);
}
END_TEST

/* An event that the call waits for ends in an error: so does the call's own, and the plan serves the next call. */
START_TEST(test_failing_wait) {
    const char *vendors = getenv("OCL_ICD_VENDORS");
    if (vendors && strstr(vendors, "intel-opencl")) {
        return; /* a wait that fails takes Intel's runtime for CPUs down with it */
    }
    opencl_side side = opencl_open(true);
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = make_problem(false);
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    cl_mem buffers[BUFFERS];
    cl_int code;
    compute_wanted(p);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &options.device), CLATTN_OK, NULL);
    p.memory = CLATTN_MEMORY_OPENCL;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    clattn_tensors t = to_device(&side, buffers);
    for (int round = 0; round < 2; round++) {
        cl_event done = NULL, gate = clCreateUserEvent(side.context, &code);
        EXPECT_CL(code);
        EXPECT_STATUS(clattn_enqueue(plan, side.queue, &t, 1, &gate, &done), CLATTN_OK, &report);
        EXPECT_CL(clSetUserEventStatus(gate, -1));
        ck_assert_int_ne(clWaitForEvents(1, &done), CL_SUCCESS);
        EXPECT_CL(clReleaseEvent(gate));
        EXPECT_CL(clReleaseEvent(done));
    }
    enqueue_gated(&side, plan, &t, "the next call");
    opencl_read(&side, buffers[3], host.got, sizeof host.got, LEAD, LEAD);
    compare("the next call", "output", host.got, host.expected, sizeof host.got);
    clattn_plan_destroy(plan);
    for (int n = 0; n < BUFFERS; n++) {
        EXPECT_CL(clReleaseMemObject(buffers[n]));
    }
    clattn_runtime_destroy(runtime);
    opencl_close(&side);
}
END_TEST

START_TEST(test_adopt) {
    opencl_side side = opencl_open(false);
    clattn_runtime *runtime = suite_runtime(NULL);
    int64_t before = clattn_runtime_device_count(runtime), index = -1, again = -1;
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &index), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &again), CLATTN_OK, NULL);
    ck_assert_int_eq(index, before);
    ck_assert_int_eq(again, index);
    ck_assert_int_eq(clattn_runtime_device_count(runtime), before + 1);
    cl_context context;
    cl_device_id device;
    EXPECT_STATUS(clattn_runtime_get_context(runtime, index, &context, &device), CLATTN_OK, NULL);
    ck_assert(context == side.context && device == side.device);
    EXPECT_STATUS(clattn_runtime_get_context(runtime, 0, &context, &device), CLATTN_NO_DEVICE, NULL);
    EXPECT_STATUS(clattn_runtime_get_context(runtime, 99, &context, &device), CLATTN_NO_DEVICE, NULL);
    EXPECT_STATUS(clattn_runtime_get_context(runtime, index, NULL, &device), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(NULL, side.context, side.device, &index), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, NULL, side.device, &index), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, NULL, &index), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_destroy(runtime);
    cl_uint references; /* what was retained is given back */
    EXPECT_CL(clGetContextInfo(side.context, CL_CONTEXT_REFERENCE_COUNT, sizeof references, &references, NULL));
    ck_assert_uint_le(references, 2); /* ours, and the queue's where an implementation counts it */
    opencl_close(&side);
}
END_TEST

START_TEST(test_wrong_use) {
    opencl_side side = opencl_open(false);
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = make_problem(false);
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *host_plan, *device_plan;
    int64_t device;
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &device), CLATTN_OK, NULL);
    options.device = device;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &host_plan, &report), CLATTN_OK, &report);
    p.memory = CLATTN_MEMORY_OPENCL;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &device_plan, &report), CLATTN_OK, &report);
    cl_mem buffers[BUFFERS];
    clattn_tensors t = to_device(&side, buffers);
    cl_event event = NULL;
    EXPECT_STATUS(clattn_enqueue(NULL, side.queue, &t, 0, NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_enqueue(device_plan, NULL, &t, 0, NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_enqueue(device_plan, side.queue, NULL, 0, NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_enqueue(device_plan, side.queue, &t, 1, NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_enqueue(device_plan, side.queue, &t, 0, &event, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_enqueue(host_plan, side.queue, &t, 0, NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_execute(device_plan, &t), CLATTN_INVALID_ARGUMENT, NULL);
    event = (cl_event)(uintptr_t)1; /* an error leaves none */
    EXPECT_STATUS(clattn_enqueue(device_plan, NULL, &t, 0, NULL, &event), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_null(event);
    t.output.data = NULL;
    event = (cl_event)(uintptr_t)1;
    EXPECT_STATUS(clattn_enqueue(device_plan, side.queue, &t, 0, NULL, &event), CLATTN_INVALID_TENSORS, &report);
    ck_assert_ptr_null(event);
    ck_assert_ptr_nonnull(strstr(report.text, "output"));
    clattn_plan_destroy(host_plan);
    clattn_plan_destroy(device_plan);
    for (int n = 0; n < BUFFERS; n++) {
        EXPECT_CL(clReleaseMemObject(buffers[n]));
    }
    clattn_runtime_destroy(runtime);
    opencl_close(&side);
}
END_TEST

/* Query, key, value and output side by side in one buffer, each as a sub-buffer. */
START_TEST(test_sub_buffers) {
    opencl_side side = opencl_open(false);
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = make_problem(false);
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    compute_wanted(p);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &options.device), CLATTN_OK, NULL);
    p.memory = CLATTN_MEMORY_OPENCL;
    p.logsumexp = false;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    const struct {
        void *data;
        size_t bytes;
        clattn_tensor *tensor;
    } parts[] = { { host.query, sizeof host.query, &t.query },
                  { host.key, sizeof host.key, &t.key },
                  { host.value, sizeof host.value, &t.value },
                  { host.got, sizeof host.got, &t.output } };
    enum { STEP = 65536 };
    cl_mem whole = opencl_buffer(&side, NULL, 4 * STEP, 0, 0), subs[4];
    for (int n = 0; n < 4; n++) {
        cl_int code;
        cl_buffer_region region = { (size_t)n * STEP, parts[n].bytes };
        subs[n] = clCreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        EXPECT_CL(code);
        EXPECT_CL(clEnqueueWriteBuffer(side.queue, subs[n], CL_TRUE, 0, parts[n].bytes, parts[n].data, 0, NULL, NULL));
        parts[n].tensor->data = subs[n];
    }
    t.report = &report;
    EXPECT_STATUS(clattn_enqueue(plan, side.queue, &t, 0, NULL, NULL), CLATTN_OK, &report);
    EXPECT_CL(clEnqueueReadBuffer(side.queue, subs[3], CL_TRUE, 0, sizeof host.got, host.got, 0, NULL, NULL));
    compare("sub-buffers", "output", host.got, host.expected, sizeof host.got);
    clattn_plan_destroy(plan);
    for (int n = 0; n < 4; n++) {
        EXPECT_CL(clReleaseMemObject(subs[n]));
    }
    EXPECT_CL(clReleaseMemObject(whole));
    clattn_runtime_destroy(runtime);
    opencl_close(&side);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_adopt, test_wrong_use, test_sub_buffers, test_in_order_queue, test_out_of_order_queue,
                                   test_failing_wait };
    return suite_has_opencl() ? suite_run(SUITE_OF("opencl_api", tests, 60), SUITE_NO_FORK) : suite_without_device();
}
#else
int main(void) {
    return SUITE_SKIPPED; /* a build without OpenCL */
}
#endif
