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

/*
 * ASK(name, parameters, arguments) returns a cl_int and may fail unseen; so may PLAN and MAKE (name, type, parameters,
 * arguments), which makes an object, when the plan's report says so, for another configuration may serve instead; a failure
 * of TELL fails the call.
 */
#define FUNCTIONS(ASK, PLAN, TELL, MAKE, DROP)                                                                                        \
    ASK(clGetPlatformIDs, (cl_uint n, cl_platform_id *p, cl_uint *c), (n, p, c))                                                 \
    ASK(clGetPlatformInfo, (cl_platform_id p, cl_platform_info w, size_t s, void *v, size_t *r), (p, w, s, v, r))               \
    ASK(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *c), (p, t, n, d, c))          \
    ASK(clGetDeviceInfo, (cl_device_id d, cl_device_info w, size_t s, void *v, size_t *r), (d, w, s, v, r))                     \
    ASK(clGetContextInfo, (cl_context x, cl_context_info w, size_t s, void *v, size_t *r), (x, w, s, v, r))                     \
    ASK(clGetCommandQueueInfo, (cl_command_queue q, cl_command_queue_info w, size_t s, void *v, size_t *r), (q, w, s, v, r))    \
    ASK(clGetMemObjectInfo, (cl_mem m, cl_mem_info w, size_t s, void *v, size_t *r), (m, w, s, v, r))                           \
    ASK(clGetKernelWorkGroupInfo, (cl_kernel k, cl_device_id d, cl_kernel_work_group_info w, size_t s, void *v, size_t *r),     \
        (k, d, w, s, v, r))                                                                                                      \
    ASK(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info w, size_t s, void *v, size_t *r),           \
        (p, d, w, s, v, r))                                                                                                      \
    PLAN(clBuildProgram,                                                                                                     \
         (cl_program p, cl_uint n, const cl_device_id *d, const char *o, void(CL_CALLBACK *f)(cl_program, void *), void *u),    \
         (p, n, d, o, f, u))                                                                                                     \
    TELL(clSetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))                                       \
    ASK(clFinish, (cl_command_queue q), (q)) /* at the end of things: there is nobody left to tell */                           \
    TELL(clFlush, (cl_command_queue q), (q))                                                                                     \
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

/* Those that make an event when `e` is not NULL, which is one more object. Failures of CLBlast are negative too. */
#define EVENT_FUNCTIONS(EVENT)                                                                                                   \
    EVENT(clEnqueueNDRangeKernel,                                                                                                \
          (cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l, cl_uint n,            \
           const cl_event *w, cl_event *e),                                                                                      \
          (q, k, d, o, g, l, n, w, e))                                                                                           \
    EVENT(clEnqueueMarkerWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e), (q, n, w, e))           \
    EVENT(clEnqueueBarrierWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e), (q, n, w, e))          \
    EVENT(clEnqueueReadBuffer,                                                                                                   \
          (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint n, const cl_event *w, cl_event *e),    \
          (q, m, b, o, s, p, n, w, e))                                                                                           \
    EVENT(clEnqueueWriteBuffer,                                                                                                  \
          (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint n, const cl_event *w,            \
           cl_event *e),                                                                                                         \
          (q, m, b, o, s, p, n, w, e))                                                                                           \
    EVENT(clEnqueueUnmapMemObject,                                                                                               \
          (cl_command_queue q, cl_mem m, void *p, cl_uint n, const cl_event *w, cl_event *e), (q, m, p, n, w, e))               \
    BLAS_FUNCTIONS(EVENT)

#ifdef CLATTN_HAVE_CLBLAST
#include <clblast_c.h>

#define BLAS_FUNCTIONS(EVENT)                                                                                                    \
    EVENT(CLBlastSgemm,                                                                                                          \
          (CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al, cl_mem a,         \
           size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co, size_t cd,                      \
           cl_command_queue *q, cl_event *e),                                                                                    \
          (y, ta, tb, m, n, k, al, a, ao, ad, b, bo, bd, be, c, co, cd, q, e))                                                  \
    EVENT(CLBlastSgemmWithTempBuffer,                                                                                            \
          (CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al, cl_mem a,         \
           size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co, size_t cd,                      \
           cl_command_queue *q, cl_event *e, cl_mem t),                                                                          \
          (y, ta, tb, m, n, k, al, a, ao, ad, b, bo, bd, be, c, co, cd, q, e, t))                                               \
    EVENT(CLBlastSgemmStridedBatched,                                                                                            \
          (CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al, cl_mem a,         \
           size_t ao, size_t ad, size_t as, cl_mem b, size_t bo, size_t bd, size_t bs, float be, cl_mem c, size_t co,           \
           size_t cd, size_t cs, size_t r, cl_command_queue *q, cl_event *e),                                                    \
          (y, ta, tb, m, n, k, al, a, ao, ad, as, b, bo, bd, bs, be, c, co, cd, cs, r, q, e))
#else
#define BLAS_FUNCTIONS(EVENT)
#endif

#define NOTHING(...)
#define NAME(name, ...) NUMBER_##name,
enum { FUNCTIONS(NAME, NAME, NAME, NAME, NOTHING) EVENT_FUNCTIONS(NAME) NUMBER_clEnqueueMapBuffer, FUNCTION_COUNT };
#undef NAME

static const struct {
    const char *name;
    enum { NOBODY, REPORT, CALLER } told;
} functions[] = {
#define ASK(name, ...) { #name, NOBODY },
#define PLAN(name, ...) { #name, REPORT },
#define TELL(name, ...) { #name, CALLER },
    FUNCTIONS(ASK, PLAN, TELL, PLAN, NOTHING) EVENT_FUNCTIONS(TELL) { "clEnqueueMapBuffer", CALLER },
#undef ASK
#undef PLAN
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
FUNCTIONS(WRAP_CODE, WRAP_CODE, WRAP_CODE, WRAP_MAKE, WRAP_DROP)

/* CLBlast's codes are ints too, negative for OpenCL's own. */
#define WRAP_EVENT(name, parameters, arguments)            \
    cl_int __real_##name parameters;                       \
    cl_int __wrap_##name parameters;                       \
    cl_int __wrap_##name parameters {                      \
        if (fails(NUMBER_##name)) {                        \
            return CL_OUT_OF_RESOURCES;                    \
        }                                                  \
        cl_int code = __real_##name arguments;             \
        injector.live += code == CL_SUCCESS && e != NULL;  \
        return code;                                       \
    }
EVENT_FUNCTIONS(WRAP_EVENT)

cl_int __real_clRetainEvent(cl_event x);
cl_int __wrap_clRetainEvent(cl_event x);
cl_int __wrap_clRetainEvent(cl_event x) {
    injector.live++;
    return __real_clRetainEvent(x);
}

void *__real_clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint n,
                                const cl_event *w, cl_event *e, cl_int *c);
void *__wrap_clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint n,
                                const cl_event *w, cl_event *e, cl_int *c);
void *__wrap_clEnqueueMapBuffer(cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint n,
                                const cl_event *w, cl_event *e, cl_int *c) {
    if (fails(NUMBER_clEnqueueMapBuffer)) {
        *c = CL_OUT_OF_RESOURCES;
        return NULL;
    }
    void *mapped = __real_clEnqueueMapBuffer(q, m, b, f, o, s, n, w, e, c);
    injector.live += *c == CL_SUCCESS && e != NULL;
    return mapped;
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
static bool plan_told; /* the last plan made has something to report */

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
        plan_told = report.length > 0;
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
    int most = functions[function].told == CALLER ? 10 : 4; /* of many calls some, the first among them */
    int step = calls > most ? calls / most : 1;
    for (int nth = 1; nth <= calls; nth += step) {
        clattn_status status = live_with(engine, function, nth);
        const char *name = functions[function].name;
        ck_assert_msg(status != CLATTN_INTERNAL && status != CLATTN_INVALID_ARGUMENT && status != CLATTN_INVALID_PROBLEM &&
                          status != CLATTN_INVALID_TENSORS,
                      "%s, call %d of %s fails: %s: %s", engine, nth, name, clattn_status_name(status), report.text);
        if (status == CLATTN_OK) {
            ck_assert_msg(functions[function].told == NOBODY || (functions[function].told == REPORT && plan_told),
                          "%s: call %d of %s fails and nobody is told", engine, nth, name);
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
