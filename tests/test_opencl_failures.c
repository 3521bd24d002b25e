/*
 * Every OpenCL call of the library made to fail, one at a time: its first call, its second, ... (the linker's --wrap puts
 * the functions below in between). Each time: a clean status with a reason, no crash, nothing leaked; or, where the
 * call only asks something, the right numbers all the same. To cover a new function, add it to FUNCTIONS here and to the
 * list in CMakeLists.txt.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/opencl.h"
#include "support/suite.h"

#ifdef CLATTN_HAVE_OPENCL

/* Which call of which function fails; how often each was called; how many objects live. */
static struct {
    int function, nth, calls[64];
    int live;
} injector;

static bool fails(int function) {
    return ++injector.calls[function] == injector.nth && function == injector.function;
}

/* ASK(name, parameters, arguments): returns a cl_int. The ones under TELL must be told to the caller when they fail. */
#define FUNCTIONS(ASK, TELL, MAKE, DROP)                                                                                        \
    ASK(clGetPlatformIDs, (cl_uint n, cl_platform_id *p, cl_uint *c), (n, p, c))                                                 \
    ASK(clGetPlatformInfo, (cl_platform_id p, cl_platform_info w, size_t s, void *v, size_t *r), (p, w, s, v, r))               \
    ASK(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *c), (p, t, n, d, c))          \
    ASK(clGetDeviceInfo, (cl_device_id d, cl_device_info w, size_t s, void *v, size_t *r), (d, w, s, v, r))                     \
    ASK(clGetKernelWorkGroupInfo, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info w, size_t s, void *v, size_t *r),     \
        (k, d, w, s, v, r))                                                                                                      \
    ASK(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info w, size_t s, void *v, size_t *r),           \
        (p, d, w, s, v, r))                                                                                                      \
    TELL(clBuildProgram,                                                                                                         \
         (cl_program p, cl_uint n, const cl_device_id *d, const char *o, void(CL_CALLBACK *f)(cl_program, void *), void *u),    \
         (p, n, d, o, f, u))                                                                                                     \
    TELL(clSetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))                                       \
    TELL(clEnqueueBarrierWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e), (q, n, w, e))           \
    TELL(clFinish, (cl_command_queue q), (q))                                                                                    \
    TELL(clWaitForEvents, (cl_uint n, const cl_event *e), (n, e))                                                                \
    MAKE(clCreateContext, cl_context,                                                                                            \
         (const cl_context_properties *p, cl_uint n, const cl_device_id *d,                                                     \
          void(CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *c),                                \
         (p, n, d, f, u, c))                                                                                                     \
    MAKE(clCreateCommandQueue, cl_command_queue, (cl_context x, cl_device_id d, cl_command_queue_properties p, cl_int *c),      \
         (x, d, p, c))                                                                                                           \
    MAKE(clCreateBuffer, cl_mem, (cl_context x, cl_mem_flags f, size_t s, void *h, cl_int *c), (x, f, s, h, c))                 \
    MAKE(clCreateProgramWithSource, cl_program, (cl_context x, cl_uint n, const char **t, const size_t *l, cl_int *c),          \
         (x, n, t, l, c))                                                                                                        \
    MAKE(clCreateKernel, cl_kernel, (cl_program p, const char *n, cl_int *c), (p, n, c))                                        \
    DROP(clReleaseContext, cl_context)                                                                                           \
    DROP(clReleaseCommandQueue, cl_command_queue)                                                                                \
    DROP(clReleaseMemObject, cl_mem)                                                                                             \
    DROP(clReleaseProgram, cl_program)                                                                                           \
    DROP(clReleaseKernel, cl_kernel)                                                                                             \
    DROP(clReleaseEvent, cl_event)

/* Those that make an event: written out below, since an event is one more object. */
#define EVENT_FUNCTIONS(X) X(clEnqueueNDRangeKernel) X(clEnqueueMarkerWithWaitList)

#define NOTHING(...)
#define NAME(name, ...) NUMBER_##name,
enum { FUNCTIONS(NAME, NAME, NAME, NOTHING) EVENT_FUNCTIONS(NAME) FUNCTION_COUNT };
#undef NAME

static const struct {
    const char *name;
    bool must_tell;
} functions[] = {
#define ASK(name, ...) { #name, false },
#define TELL(name, ...) { #name, true },
    FUNCTIONS(ASK, TELL, TELL, NOTHING) EVENT_FUNCTIONS(TELL)
#undef ASK
#undef TELL
};

#define WRAP_CODE(name, parameters, arguments)                                     \
    cl_int __real_##name parameters;                                               \
    cl_int __wrap_##name parameters;                                               \
    cl_int __wrap_##name parameters {                                              \
        return fails(NUMBER_##name) ? CL_OUT_OF_RESOURCES : __real_##name arguments; \
    }
#define WRAP_MAKE(name, type, parameters, arguments) \
    type __real_##name parameters;                   \
    type __wrap_##name parameters;                   \
    type __wrap_##name parameters {                  \
        if (fails(NUMBER_##name)) {                  \
            if (c != NULL) {                         \
                *c = CL_OUT_OF_RESOURCES;            \
            }                                        \
            return NULL;                             \
        }                                            \
        type made = __real_##name arguments;         \
        injector.live += made != NULL;               \
        return made;                                 \
    }
#define WRAP_DROP(name, type)          \
    cl_int __real_##name(type x);      \
    cl_int __wrap_##name(type x);      \
    cl_int __wrap_##name(type x) {     \
        injector.live--;               \
        return __real_##name(x);       \
    }
FUNCTIONS(WRAP_CODE, WRAP_CODE, WRAP_MAKE, WRAP_DROP)

cl_int __real_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l,
                                     cl_uint n, const cl_event *w, cl_event *e);
cl_int __wrap_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l,
                                     cl_uint n, const cl_event *w, cl_event *e);
cl_int __wrap_clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l,
                                     cl_uint n, const cl_event *w, cl_event *e) {
    if (fails(NUMBER_clEnqueueNDRangeKernel)) {
        return CL_OUT_OF_RESOURCES;
    }
    cl_int code = __real_clEnqueueNDRangeKernel(q, k, d, o, g, l, n, w, e);
    injector.live += code == CL_SUCCESS && e != NULL;
    return code;
}

cl_int __real_clEnqueueMarkerWithWaitList(cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e);
cl_int __wrap_clEnqueueMarkerWithWaitList(cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e);
cl_int __wrap_clEnqueueMarkerWithWaitList(cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e) {
    if (fails(NUMBER_clEnqueueMarkerWithWaitList)) {
        return CL_OUT_OF_RESOURCES;
    }
    cl_int code = __real_clEnqueueMarkerWithWaitList(q, n, w, e);
    injector.live += code == CL_SUCCESS && e != NULL;
    return code;
}

cl_int __real_clRetainContext(cl_context x);
cl_int __wrap_clRetainContext(cl_context x);
cl_int __wrap_clRetainContext(cl_context x) {
    injector.live++;
    return __real_clRetainContext(x);
}

enum { ROWS = 7, KEYS = 19, DIM = 16, HEADS = 2 };

static float query[HEADS * ROWS * DIM], key[HEADS * KEYS * DIM], value[HEADS * KEYS * DIM], output[HEADS * ROWS * DIM],
    expected[HEADS * ROWS * DIM];
static clattn_report report;

/* Runtime, plan, two calls, and the end of all. */
static clattn_status live(const char *engine) {
    clattn_runtime *runtime = NULL;
    clattn_plan *plan = NULL;
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.query_heads = HEADS, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM;
    p.engine = engine;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output;
    t.report = &report;
    report.length = 0;
    report.text[0] = '\0';
    clattn_status status = clattn_runtime_create(NULL, &runtime);
    if (status == CLATTN_OK) {
        status = clattn_plan_create(runtime, &p, &plan, &report);
        ck_assert_msg(status == CLATTN_OK || report.length > 0, "a plan refused without a reason: %s", clattn_status_name(status));
    }
    for (int n = 0; n < 2 && status == CLATTN_OK; n++) {
        memset(output, 0xff, sizeof output);
        status = clattn_execute(plan, &t);
        ck_assert_msg(status == CLATTN_OK || report.length > 0, "a call fails without a reason: %s", clattn_status_name(status));
    }
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
    return status;
}

static clattn_status live_with(const char *engine, int function, int nth) {
    memset(&injector, 0, sizeof injector);
    injector.function = function;
    injector.nth = nth;
    clattn_status status = live(engine);
    ck_assert_msg(injector.live == 0, "%s, call %d of %s fails: %d objects leak", engine, nth,
                  function < 0 ? "nothing" : functions[function].name, injector.live);
    return status;
}

static void fail_function(const char *engine, int function, int calls) {
    for (int nth = 1; nth <= calls && nth <= 48; nth++) {
        clattn_status status = live_with(engine, function, nth);
        const char *name = functions[function].name;
        ck_assert_msg(status != CLATTN_INTERNAL && status != CLATTN_INVALID_ARGUMENT && status != CLATTN_INVALID_PROBLEM &&
                          status != CLATTN_INVALID_TENSORS,
                      "%s, call %d of %s fails: %s: %s", engine, nth, name, clattn_status_name(status), report.text);
        if (status == CLATTN_OK) {
            ck_assert_msg(!functions[function].must_tell, "%s: call %d of %s fails and nobody is told", engine, nth, name);
            for (int n = 0; n < HEADS * ROWS * DIM; n++) { /* perhaps other block sizes, but the same numbers */
                ck_assert_msg(fabsf(output[n] - expected[n]) < 1e-5F, "%s, call %d of %s: wrong numbers", engine, nth, name);
            }
        }
    }
}

START_TEST(test_each_call) {
    for (int64_t e = 0; e < clattn_engine_count(); e++) {
        const char *engine = clattn_engine_name(e);
        if (strncmp(engine, "opencl", 6) != 0 || !clattn_engine_built(engine)) {
            continue;
        }
        int calls[FUNCTION_COUNT], sum = 0;
        EXPECT_STATUS(live_with(engine, -1, 0), CLATTN_OK, &report);
        memcpy(calls, injector.calls, sizeof calls);
        memcpy(expected, output, sizeof expected);
        for (int function = 0; function < FUNCTION_COUNT; function++) {
            fail_function(engine, function, calls[function]);
            sum += calls[function];
        }
        ck_assert_msg(sum > 50 && calls[NUMBER_clSetKernelArg] > 5, "the calls are not wrapped: %d counted", sum);
        EXPECT_STATUS(live_with(engine, -1, 0), CLATTN_OK, &report); /* and all is well again */
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_each_call };
    for (int n = 0; n < HEADS * KEYS * DIM; n++) {
        key[n] = (float)(n % 17) / 16 - 0.5F;
        value[n] = (float)(n % 13) / 8 - 0.7F;
        query[n % (HEADS * ROWS * DIM)] = (float)(n % 19) / 12 - 0.6F;
    }
    return suite_has_opencl() ? suite_run(SUITE_OF("opencl_failures", tests, 0), SUITE_NO_FORK) : suite_without_device();
}
#else
int main(void) {
    return SUITE_SKIPPED; /* a build without OpenCL */
}
#endif
