/*
 * Layers and operations when things fail: the host allocator at its first, second, ... request; each OpenCL call that additive
 * attention and linear maps make. Each time a clean status, nothing leaked, no crash. To cover more, add a story.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "clattn/clattn_layers.h"
#include "support/ledger.h"
#include "support/suite.h"

static float x[64 * 64], w[64 * 64], output[64 * 64], scores[64 * 64], weights[64 * 64];
static clattn_report report;
static const char *place; /* engine of the stories */

static clattn_status attention_story(clattn_runtime *runtime) {
    clattn_attention_layer *layer = NULL;
    clattn_attention_layer_options options = clattn_multi_head_attention(6, 16, 4);
    clattn_attention_weights matrices = { .w_query = w, .w_key = w, .w_value = w, .w_output = w, .b_output = w };
    options.scores = true;
    options.attention.weights = CLATTN_WEIGHTS_SOFTMAX;
    options.plan.engine = place;
    clattn_status status = clattn_attention_layer_create(runtime, &options, &layer, &report);
    ck_assert((status == CLATTN_OK) == (layer != NULL));
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    io.input = x, io.output = output, io.scores = scores, io.attention.weights.data = weights;
    status = layer ? clattn_attention_layer_forward(layer, &matrices, &io) : status;
    clattn_attention_layer_destroy(layer);
    return status;
}

static clattn_status additive_story(clattn_runtime *runtime) {
    clattn_additive_layer *layer = NULL;
    clattn_additive_layer_options options = CLATTN_ADDITIVE_LAYER_OPTIONS_INIT;
    options.additive.query_length = 3, options.additive.key_length = 9, options.additive.hidden = 7;
    options.additive.weights = options.additive.logsumexp = options.additive.key_lengths = true;
    options.additive.mask = CLATTN_MASK_BYTES;
    options.plan.engine = place;
    options.query_dim = 5, options.key_dim = 6;
    clattn_status status = clattn_additive_layer_create(runtime, &options, &layer, &report);
    ck_assert((status == CLATTN_OK) == (layer != NULL));
    clattn_additive_layer_io io = CLATTN_ADDITIVE_LAYER_IO_INIT;
    static const int32_t lengths[] = { 8 };
    static uint8_t mask[27];
    memset(mask, 1, sizeof mask);
    io.query = io.key = x, io.context = output;
    io.additive.weights = weights, io.additive.logsumexp = scores, io.additive.mask = mask;
    io.additive.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    status = layer ? clattn_additive_layer_forward(layer, &(clattn_additive_weights){ w, w, w, w }, &io) : status;
    clattn_additive_layer_destroy(layer);
    return status;
}

static clattn_status glimpse_story(clattn_runtime *runtime) {
    clattn_glimpse *glimpse = NULL;
    clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
    options.rows = 4, options.input_dim = 8, options.context_dim = 5, options.output_dim = 3, options.plan.engine = place;
    clattn_status status = clattn_glimpse_create(runtime, &options, &glimpse, &report);
    ck_assert((status == CLATTN_OK) == (glimpse != NULL));
    clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
    io.input = io.context = x, io.output = output;
    status = glimpse ? clattn_glimpse_forward(glimpse, &(clattn_glimpse_weights){ w, w, w, w }, &io) : status;
    clattn_glimpse_destroy(glimpse);
    return status;
}

static clattn_status files_story(clattn_runtime *runtime) {
    static const char *const path = CLATTN_TEST_BINARY_DIR "/layer_failures.tmp";
    clattn_safetensors *file = NULL;
    clattn_word_vectors *vectors = NULL;
    FILE *stream = fopen(path, "wb");
    ck_assert_ptr_nonnull(stream);
    fputs("cat 1 2\nmouse 3 4\n", stream);
    fclose(stream);
    clattn_status status =
        clattn_safetensors_open(runtime, CLATTN_TEST_SOURCE_DIR "/golden/layers.safetensors", &file, &report);
    ck_assert((status == CLATTN_OK) == (file != NULL));
    clattn_safetensors_close(file);
    if (status == CLATTN_OK) {
        status = clattn_word_vectors_read(runtime, path, &vectors, &report);
        ck_assert((status == CLATTN_OK) == (vectors != NULL));
        clattn_word_vectors_destroy(vectors);
    }
    return status;
}

static clattn_status live(clattn_status (*story)(clattn_runtime *), ledger *l, bool opencl) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_runtime *runtime = NULL;
    options.threads = 2;
    options.without_opencl = !opencl;
    options.allocator = ledger_allocator(l);
    clattn_status status = clattn_runtime_create(&options, &runtime);
    if (status != CLATTN_OK) {
        return status;
    }
    status = story(runtime);
    clattn_memory_use use;
    clattn_inspect_memory(runtime, &use);
    if (!opencl) {
        ck_assert_int_eq(use.device, 0);
    }
    clattn_runtime_destroy(runtime);
    return status;
}

static clattn_status (*const stories[])(clattn_runtime *) = { attention_story, additive_story, glimpse_story,
                                                              files_story };
enum { STORIES = sizeof stories / sizeof *stories };

START_TEST(no_memory) {
    static const char *const engines[] = { "cpu", "reference" };
    for (int k = 0; k < 2 * STORIES; k++) {
        ledger all = { 0, 0, 0 };
        place = engines[k / STORIES];
        EXPECT_STATUS(live(stories[k % STORIES], &all, false), CLATTN_OK, &report);
        ck_assert_int_eq(all.live, 0);
        ck_assert_int_gt(all.requests, 4);
        for (int n = 1; n <= all.requests; n++) {
            ledger l = { 0, n, 0 };
            EXPECT_STATUS(live(stories[k % STORIES], &l, false), CLATTN_OUT_OF_MEMORY, &report);
            ck_assert_msg(l.live == 0, "story %d, request %d of %d: %d blocks are left", k, n, all.requests, l.live);
        }
    }
}
END_TEST

#if CLATTN_HAVE_CLBLAST
#include <clblast_c.h>

/* Calls counted, call number `fail_at` fails; objects that live. */
static struct {
    int calls, fail_at, live;
} injector;

static bool fails(void) {
    return injector.fail_at > 0 && ++injector.calls == injector.fail_at;
}

#define WRAP(name, parameters, arguments)                                                   \
    cl_int __real_##name parameters;                                                        \
    cl_int __wrap_##name parameters;                                                        \
    cl_int __wrap_##name parameters { return fails() ? CL_OUT_OF_RESOURCES : __real_##name arguments; }
#define WRAP_MAKE(name, type, parameters, arguments)      \
    type __real_##name parameters;                        \
    type __wrap_##name parameters;                        \
    type __wrap_##name parameters {                       \
        if (fails()) {                                    \
            *code = CL_OUT_OF_HOST_MEMORY;                \
            return NULL;                                  \
        }                                                 \
        type made = __real_##name arguments;              \
        injector.live += made != NULL;                    \
        return made;                                      \
    }
#define WRAP_DROP(name, type)                                          \
    cl_int __real_##name(type object);                                 \
    cl_int __wrap_##name(type object);                                 \
    cl_int __wrap_##name(type object) {                                \
        injector.live--;                                               \
        return __real_##name(object);                                  \
    }

WRAP(clSetKernelArg, (cl_kernel k, cl_uint i, size_t s, const void *v), (k, i, s, v))
WRAP(clEnqueueNDRangeKernel,
     (cl_command_queue q, cl_kernel k, cl_uint d, const size_t *o, const size_t *g, const size_t *l, cl_uint n,
      const cl_event *e, cl_event *v),
     (q, k, d, o, g, l, n, e, v))
WRAP(clEnqueueReadBuffer,
     (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint n, const cl_event *e, cl_event *v),
     (q, m, b, o, s, p, n, e, v))
WRAP(clEnqueueWriteBuffer,
     (cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint n, const cl_event *e,
      cl_event *v),
     (q, m, b, o, s, p, n, e, v))
WRAP(clWaitForEvents, (cl_uint n, const cl_event *e), (n, e))
WRAP(clFlush, (cl_command_queue q), (q))
WRAP_MAKE(clCreateBuffer, cl_mem, (cl_context c, cl_mem_flags f, size_t s, void *h, cl_int *code), (c, f, s, h, code))
WRAP_MAKE(clCreateKernel, cl_kernel, (cl_program p, const char *n, cl_int *code), (p, n, code))
WRAP_DROP(clReleaseMemObject, cl_mem)
WRAP_DROP(clReleaseKernel, cl_kernel)

typedef CLBlastStatusCode code_;
code_ __real_CLBlastSgemm(CLBlastLayout, CLBlastTranspose, CLBlastTranspose, size_t, size_t, size_t, float, cl_mem, size_t,
                          size_t, cl_mem, size_t, size_t, float, cl_mem, size_t, size_t, cl_command_queue *, cl_event *);
code_ __wrap_CLBlastSgemm(CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al,
                          cl_mem a, size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co,
                          size_t cd, cl_command_queue *q, cl_event *e);
code_ __wrap_CLBlastSgemm(CLBlastLayout y, CLBlastTranspose ta, CLBlastTranspose tb, size_t m, size_t n, size_t k, float al,
                          cl_mem a, size_t ao, size_t ad, cl_mem b, size_t bo, size_t bd, float be, cl_mem c, size_t co,
                          size_t cd, cl_command_queue *q, cl_event *e) {
    return fails() ? CLBlastUnexpectedError
                   : __real_CLBlastSgemm(y, ta, tb, m, n, k, al, a, ao, ad, b, bo, bd, be, c, co, cd, q, e);
}

START_TEST(no_device_call) {
    ledger none = { 0, 0, 0 };
    clattn_runtime *runtime = suite_runtime(NULL);
    bool here = suite_opencl_device(runtime) >= 0;
    clattn_runtime_destroy(runtime);
    place = "opencl";
    for (int k = 1; k < 3 && here; k++) { /* additive and glimpse: the attention plan's calls have a suite of their own */
        injector.calls = injector.live = 0, injector.fail_at = 1 << 30;
        EXPECT_STATUS(live(stories[k], &none, true), CLATTN_OK, &report);
        int all = injector.calls;
        ck_assert_int_gt(all, 8);
        ck_assert_int_eq(injector.live, 0);
        for (int n = 1; n <= all; n++) {
            injector.calls = injector.live = 0, injector.fail_at = n;
            clattn_status status = live(stories[k], &none, true);
            ck_assert_msg(status != CLATTN_OK, "story %d: call %d of %d failed unseen", k, n, all);
            ck_assert_msg(injector.live == 0, "story %d, call %d of %d: %d objects are left", k, n, all, injector.live);
            ck_assert_int_eq(none.live, 0);
        }
    }
    injector.fail_at = 0;
}
END_TEST
#endif

int main(void) {
    for (int k = 0; k < 64 * 64; k++) {
        x[k] = sinf((float)k), w[k] = cosf((float)k) / 4;
    }
    const TTest *const tests[] = {
        no_memory,
#if CLATTN_HAVE_CLBLAST
        no_device_call,
#endif
    };
    return suite_run(SUITE_OF("layer_failures", tests, 300), SUITE_NO_FORK);
}
