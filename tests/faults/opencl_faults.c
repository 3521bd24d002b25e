/*
 * The functions that --wrap puts in between: see opencl_faults.h. To cover a function: a line in FUNCTIONS or COMMANDS, and
 * its name in the list of CMakeLists.txt. A function that may fail without anybody being told is ASK; PLAN and MAKE fail a
 * plan, or leave it to another configuration; TELL fails the call.
 */
#define _POSIX_C_SOURCE 200809L
#include "faults/opencl_faults.h"

#ifdef CLATTN_HAVE_OPENCL
#include <pthread.h>
#include <string.h>
#include <time.h>

faults_state faults = { .failed = -1 };

enum { MOST_EVENTS = 4096, MOST_WAITS = 8, DELAY = 1500000 /* nanoseconds */ };

static cl_event events[MOST_EVENTS];
static int event_count;

#define FUNCTIONS(ASK, PLAN, TELL, MAKE, DROP)                                                                               \
    ASK(clGetPlatformIDs, (cl_uint n, cl_platform_id *p, cl_uint *c), (n, p, c))                                             \
    ASK(clGetPlatformInfo, (cl_platform_id p, cl_platform_info w, size_t s, void *v, size_t *r), (p, w, s, v, r))            \
    ASK(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *c), (p, t, n, d, c))       \
    ASK(clGetContextInfo, (cl_context x, cl_context_info w, size_t s, void *v, size_t *r), (x, w, s, v, r))                  \
    ASK(clGetCommandQueueInfo, (cl_command_queue q, cl_command_queue_info w, size_t s, void *v, size_t *r), (q, w, s, v, r)) \
    ASK(clGetMemObjectInfo, (cl_mem m, cl_mem_info w, size_t s, void *v, size_t *r), (m, w, s, v, r))                        \
    ASK(clGetEventInfo, (cl_event e, cl_event_info w, size_t s, void *v, size_t *r), (e, w, s, v, r))                        \
    ASK(clGetProgramBuildInfo, (cl_program p, cl_device_id d, cl_program_build_info w, size_t s, void *v, size_t *r),        \
        (p, d, w, s, v, r))                                                                                                  \
    PLAN(clBuildProgram,                                                                                                     \
         (cl_program p, cl_uint n, const cl_device_id *d, const char *o, void(CL_CALLBACK *f)(cl_program, void *), void *u), \
         (p, n, d, o, f, u))                                                                                                 \
    TELL(clSetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))                                    \
    ASK(clFinish, (cl_command_queue q), (q)) /* at the end of things there is nobody left to report to */                         \
    TELL(clFlush, (cl_command_queue q), (q))                                                                                 \
    TELL(clWaitForEvents, (cl_uint n, const cl_event *e), (n, e))                                                            \
    MAKE(clCreateContext, cl_context,                                                                                        \
         (const cl_context_properties *p, cl_uint n, const cl_device_id *d,                                                  \
          void(CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *c),                             \
         (p, n, d, f, u, c))                                                                                                 \
    MAKE(clCreateCommandQueue, cl_command_queue, (cl_context x, cl_device_id d, cl_command_queue_properties p, cl_int *c),   \
         (x, d, p, c))                                                                                                       \
    MAKE(clCreateKernel, cl_kernel, (cl_program p, const char *n, cl_int *c), (p, n, c))                                     \
    DROP(clReleaseContext, cl_context)                                                                                       \
    DROP(clReleaseCommandQueue, cl_command_queue)                                                                            \
    DROP(clReleaseMemObject, cl_mem)                                                                                         \
    DROP(clReleaseProgram, cl_program)                                                                                       \
    DROP(clReleaseKernel, cl_kernel)                                                                                         \
    DROP(clReleaseEvent, cl_event)

/* COMMAND(name, parameters, arguments): with a wait list of n events w and an event e. BLAS(...): e alone. */
#define COMMANDS(COMMAND, BLAS)                                                                                              \
    COMMAND(clEnqueueNDRangeKernel,                                                                                          \
            (cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l, cl_uint n,       \
             const cl_event *w, cl_event *e),                                                                                \
            (q, k, d, o, g, l, n, w, e))                                                                                     \
    COMMAND(clEnqueueMarkerWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e), (q, n, w, e))      \
    COMMAND(clEnqueueBarrierWithWaitList, (cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e), (q, n, w, e))     \
    COMMAND(clEnqueueReadBuffer,                                                                                             \
            (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint n, const cl_event *w,             \
             cl_event *e),                                                                                                   \
            (q, m, b, o, s, p, n, w, e))                                                                                     \
    COMMAND(clEnqueueWriteBuffer,                                                                                            \
            (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint n, const cl_event *w,       \
             cl_event *e),                                                                                                   \
            (q, m, b, o, s, p, n, w, e))                                                                                     \
    COMMAND(clEnqueueUnmapMemObject, (cl_command_queue q, cl_mem m, void *p, cl_uint n, const cl_event *w, cl_event *e),     \
            (q, m, p, n, w, e))                                                                                              \
    BLAS_FUNCTIONS(BLAS)

#ifdef CLATTN_HAVE_CLBLAST
#include <clblast_c.h>

#define MATRICES                                                                                                          \
    CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al
#define BLAS_FUNCTIONS(BLAS)                                                                                              \
    BLAS(CLBlastSgemm,                                                                                                    \
         (MATRICES, cl_mem a, size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co,        \
          size_t cd, cl_command_queue *q, cl_event *e),                                                                   \
         (y, ta, tb, m, n, k, al, a, ao, ad, b, bo, bd, be, c, co, cd, q, e))                                             \
    BLAS(CLBlastSgemmWithTempBuffer,                                                                                      \
         (MATRICES, cl_mem a, size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co,        \
          size_t cd, cl_command_queue *q, cl_event *e, cl_mem t),                                                         \
         (y, ta, tb, m, n, k, al, a, ao, ad, b, bo, bd, be, c, co, cd, q, e, t))                                          \
    BLAS(CLBlastSgemmStridedBatched,                                                                                      \
         (MATRICES, cl_mem a, size_t ao, size_t ad, size_t as, cl_mem b, size_t bo, size_t bd, size_t bs, float be,       \
          cl_mem c, size_t co, size_t cd, size_t cs, size_t r, cl_command_queue *q, cl_event *e),                         \
         (y, ta, tb, m, n, k, al, a, ao, ad, as, b, bo, bd, bs, be, c, co, cd, cs, r, q, e))
#else
#define BLAS_FUNCTIONS(BLAS)
#endif

#define NOTHING(...)
#define NUMBER(name, ...) NUMBER_##name,
enum {
    FUNCTIONS(NUMBER, NUMBER, NUMBER, NUMBER, NOTHING) COMMANDS(NUMBER, NUMBER) NUMBER_clGetDeviceInfo,
    NUMBER_clGetKernelWorkGroupInfo,
    NUMBER_clCreateBuffer,
    NUMBER_clCreateProgramWithSource,
    NUMBER_clEnqueueMapBuffer,
    NUMBER_clRetainContext,
    FUNCTION_COUNT
};

static const struct {
    const char *name;
    faults_told told;
} functions[] = {
#define ASK(name, ...) { #name, FAULTS_NOBODY },
#define PLAN(name, ...) { #name, FAULTS_REPORT },
#define TELL(name, ...) { #name, FAULTS_CALLER },
    FUNCTIONS(ASK, PLAN, TELL, PLAN, NOTHING) COMMANDS(TELL, TELL) { "clGetDeviceInfo", FAULTS_NOBODY },
    { "clGetKernelWorkGroupInfo", FAULTS_NOBODY },
    { "clCreateBuffer", FAULTS_REPORT },
    { "clCreateProgramWithSource", FAULTS_REPORT },
    { "clEnqueueMapBuffer", FAULTS_CALLER },
    { "clRetainContext", FAULTS_CALLER },
};

_Static_assert((int)FUNCTION_COUNT <= (int)FAULTS_MOST_FUNCTIONS, "room for every function");

int faults_function_count(void) {
    return FUNCTION_COUNT;
}

const char *faults_name(int function) {
    return function < 0 ? "nothing" : functions[function].name;
}

faults_told faults_who_is_told(int function) {
    return functions[function].told;
}

void faults_reset(void) {
    const int live = faults.live;
    faults = (faults_state){ .live = live, .failed = -1 };
}

static bool fails(int function) {
    const int now = faults.function < 0 ? ++faults.count : (faults.count++, faults.calls[function] + 1);
    faults.calls[function]++;
    if (faults.nth == 0 || now != faults.nth || (faults.function >= 0 && faults.function != function)) {
        return false;
    }
    faults.failed = function;
    return true;
}

/* ---- commands: remembered by an event each, the first one delayed */

cl_int __real_clGetCommandQueueInfo(cl_command_queue q, cl_command_queue_info w, size_t s, void *v, size_t *r);
cl_int __real_clReleaseEvent(cl_event e);
cl_int __real_clGetEventInfo(cl_event e, cl_event_info w, size_t s, void *v, size_t *r);
cl_int __real_clRetainEvent(cl_event e);
cl_int __real_clEnqueueBarrierWithWaitList(cl_command_queue q, cl_uint n, const cl_event *w, cl_event *e);

static void *open_gate(void *gate) {
    const struct timespec delay = { 0, DELAY };
    nanosleep(&delay, NULL);
    (void)clSetUserEventStatus(gate, CL_COMPLETE);
    (void)__real_clReleaseEvent(gate);
    return NULL;
}

/* A user event that a thread of its own sets soon; the caller releases it. */
static cl_event new_gate(cl_command_queue queue) {
    cl_context context = NULL;
    cl_int code;
    pthread_t thread;
    EXPECT_CL(__real_clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL));
    cl_event gate = clCreateUserEvent(context, &code);
    EXPECT_CL(code);
    EXPECT_CL(__real_clRetainEvent(gate));
    ck_assert_int_eq(pthread_create(&thread, NULL, open_gate, gate), 0);
    pthread_detach(thread);
    return gate;
}

static cl_uint add_gate(cl_command_queue queue, cl_uint n, const cl_event *w, cl_event with_gate[MOST_WAITS],
                        cl_event *gate) {
    *gate = NULL;
    ck_assert_uint_lt(n, MOST_WAITS);
    for (cl_uint k = 0; k < n; k++) {
        with_gate[k] = w[k];
    }
    if (!faults.slow) {
        return n;
    }
    faults.slow = false;
    *gate = with_gate[n] = new_gate(queue);
    return n + 1;
}

#ifdef CLATTN_HAVE_CLBLAST
/* What CLBlast submits to the queue, which runs in order, starts later. */
static void delay_queue(cl_command_queue queue) {
    cl_event gate;
    if (faults.slow) {
        faults.slow = false;
        gate = new_gate(queue);
        EXPECT_CL(__real_clEnqueueBarrierWithWaitList(queue, 1, &gate, NULL));
        EXPECT_CL(__real_clReleaseEvent(gate));
    }
}
#endif

/* The command's event: the watcher has a reference of its own. */
static void remember(cl_event event, bool expected) {
    ck_assert_int_lt(event_count, MOST_EVENTS);
    events[event_count++] = event;
    if (expected) {
        EXPECT_CL(__real_clRetainEvent(event));
        faults.live++;
    }
}

int faults_under_way(void) {
    int count = 0;
    for (int k = 0; k < event_count; k++) {
        cl_int state = CL_QUEUED;
        EXPECT_CL(__real_clGetEventInfo(events[k], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL));
        count += state > CL_COMPLETE;
    }
    return count;
}

void faults_forget(void) {
    while (event_count > 0) {
        EXPECT_CL(__real_clReleaseEvent(events[--event_count]));
    }
}

#define WRAP_COMMAND(name, parameters, arguments)                    \
    cl_int __real_##name parameters;                                 \
    cl_int __wrap_##name parameters;                                 \
    cl_int __wrap_##name parameters {                                \
        if (fails(NUMBER_##name)) {                                  \
            return CL_OUT_OF_RESOURCES;                              \
        }                                                            \
        cl_event waits[MOST_WAITS], gate, own = NULL, *const to = e; \
        n = add_gate(q, n, w, waits, &gate);                         \
        w = n > 0 ? waits : NULL;                                    \
        e = &own;                                                    \
        const cl_int code = __real_##name arguments;                 \
        if (gate) {                                          \
            (void)__real_clReleaseEvent(gate);                       \
        }                                                            \
        if (code == CL_SUCCESS) {                                    \
            remember(own, to);                               \
        }                                                            \
        if (to) {                                            \
            *to = own;                                               \
        }                                                            \
        return code;                                                 \
    }

/* CLBlast's codes are ints too, negative for OpenCL's own. */
#define WRAP_BLAS(name, parameters, arguments)       \
    cl_int __real_##name parameters;                 \
    cl_int __wrap_##name parameters;                 \
    cl_int __wrap_##name parameters {                \
        const bool failing = fails(NUMBER_##name);   \
        if (failing && !faults.late) {               \
            return CL_OUT_OF_RESOURCES;              \
        }                                            \
        cl_event own = NULL, *const to = e;          \
        delay_queue(*q);                             \
        e = &own;                                    \
        const cl_int code = __real_##name arguments; \
        if (code == 0 && own) {              \
            remember(own, to && !failing);   \
        }                                            \
        if (to && !failing) {                \
            *to = own;                               \
        }                                            \
        return failing ? CL_OUT_OF_RESOURCES : code; \
    }

#define WRAP_CODE(name, parameters, arguments) \
    cl_int __real_##name parameters;           \
    cl_int __wrap_##name parameters;           \
    cl_int __wrap_##name parameters { return fails(NUMBER_##name) ? CL_OUT_OF_RESOURCES : __real_##name arguments; }
#define WRAP_MAKE(name, type, parameters, arguments) \
    type __real_##name parameters;                   \
    type __wrap_##name parameters;                   \
    type __wrap_##name parameters {                  \
        if (fails(NUMBER_##name)) {                  \
            if (c) {                         \
                *c = CL_OUT_OF_RESOURCES;            \
            }                                        \
            return NULL;                             \
        }                                            \
        type made = __real_##name arguments;         \
        faults.live += made != NULL;                 \
        return made;                                 \
    }
#define WRAP_DROP(name, type)     \
    cl_int __real_##name(type x); \
    cl_int __wrap_##name(type x); \
    cl_int __wrap_##name(type x) { return faults.live--, __real_##name(x); }
FUNCTIONS(WRAP_CODE, WRAP_CODE, WRAP_CODE, WRAP_MAKE, WRAP_DROP)
COMMANDS(WRAP_COMMAND, WRAP_BLAS)

/* ---- those with something of their own */

#define WRAP(type, name, parameters) \
    type __real_##name parameters;   \
    type __wrap_##name parameters;   \
    type __wrap_##name parameters

WRAP(cl_int, clGetDeviceInfo, (cl_device_id d, cl_device_info w, size_t s, void *v, size_t *r)) {
    if (fails(NUMBER_clGetDeviceInfo)) {
        return CL_OUT_OF_RESOURCES;
    }
    for (int k = 0; k < FAULTS_MOST_ANSWERS; k++) {
        const faults_answer *answer = &faults.answers[k];
        if (answer->question != w || w == 0) {
            continue;
        }
        if (!answer->data || (v && s < answer->size)) {
            return CL_OUT_OF_HOST_MEMORY;
        }
        if (v) {
            memcpy(v, answer->data, answer->size);
        }
        if (r) {
            *r = answer->size;
        }
        return CL_SUCCESS;
    }
    return __real_clGetDeviceInfo(d, w, s, v, r);
}

WRAP(cl_int, clGetKernelWorkGroupInfo,
     (cl_kernel k, cl_device_id d, cl_kernel_work_group_info w, size_t s, void *v, size_t *r)) {
    if (fails(NUMBER_clGetKernelWorkGroupInfo)) {
        return CL_OUT_OF_RESOURCES;
    }
    const cl_int code = __real_clGetKernelWorkGroupInfo(k, d, w, s, v, r);
    if (code == CL_SUCCESS && w == CL_KERNEL_WORK_GROUP_SIZE && faults.kernel_group != 0) {
        memcpy(v, &faults.kernel_group, sizeof faults.kernel_group);
    }
    return code;
}

WRAP(cl_mem, clCreateBuffer, (cl_context x, cl_mem_flags f, size_t s, void *h, cl_int *c)) {
    if (fails(NUMBER_clCreateBuffer)) {
        *c = CL_OUT_OF_RESOURCES;
        return NULL;
    }
    cl_mem made = __real_clCreateBuffer(x, f, s, h, c);
    faults.live += made != NULL;
    if (made && (f & CL_MEM_USE_HOST_PTR) != 0 && faults.region_count < FAULTS_MOST_REGIONS) {
        faults.regions[faults.region_count].begin = h;
        faults.regions[faults.region_count++].end = (unsigned char *)h + s;
    }
    return made;
}

WRAP(cl_program, clCreateProgramWithSource, (cl_context x, cl_uint n, const char **t, const size_t *l, cl_int *c)) {
    const char *text[] = { "#error this_is_no_program\n" };
    if (fails(NUMBER_clCreateProgramWithSource)) {
        *c = CL_OUT_OF_RESOURCES;
        return NULL;
    }
    cl_program made = faults.no_programs ? __real_clCreateProgramWithSource(x, 1, text, NULL, c)
                                         : __real_clCreateProgramWithSource(x, n, t, l, c);
    faults.live += made != NULL;
    return made;
}

WRAP(void *, clEnqueueMapBuffer,
     (cl_command_queue q, cl_mem m, cl_bool b, cl_map_flags f, size_t o, size_t s, cl_uint n, const cl_event *w, cl_event *e,
      cl_int *c)) {
    if (fails(NUMBER_clEnqueueMapBuffer)) {
        *c = CL_OUT_OF_RESOURCES;
        return NULL;
    }
    void *mapped = __real_clEnqueueMapBuffer(q, m, b, f, o, s, n, w, e, c);
    faults.live += *c == CL_SUCCESS && e;
    return mapped;
}

cl_int __wrap_clRetainEvent(cl_event x);
cl_int __wrap_clRetainEvent(cl_event x) {
    faults.live++;
    return __real_clRetainEvent(x);
}

WRAP(cl_int, clRetainContext, (cl_context x)) {
    if (fails(NUMBER_clRetainContext)) {
        return CL_OUT_OF_RESOURCES;
    }
    faults.live++;
    return __real_clRetainContext(x);
}
#else
typedef int opencl_faults_are_not_here;
#endif
