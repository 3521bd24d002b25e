/*
 * The interface used wrongly: NULL arguments, foreign structure sizes, unknown engines and devices, and what each call
 * leaves behind. And the small promises of the header: destroy(NULL), one-call form, progress, cancel, plan numbers.
 */
#include <math.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "clattn/clattn_inspect.h"
#include "support/suite.h"

static clattn_report report;
static float query[4 * 8], key[6 * 8], value[6 * 8], output[4 * 8];

static clattn_runtime *cpu_only(void) {
    return suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 2, true, { 0 } });
}

static clattn_problem small(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_length = 4;
    p.key_length = 6;
    p.head_dim = 8;
    return p;
}

static clattn_tensors tensors(void) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output;
    t.report = &report;
    return t;
}

START_TEST(test_destroy_nothing) {
    clattn_runtime_destroy(NULL);
    clattn_plan_destroy(NULL);
}
END_TEST

static void release_nothing(void *user, void *memory) {
    (void)user;
    (void)memory;
}

START_TEST(test_runtime_arguments) {
    clattn_runtime *runtime = (clattn_runtime *)&report;
    EXPECT_STATUS(clattn_runtime_create(NULL, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = -1;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_null(runtime);
    options = (clattn_runtime_options)CLATTN_RUNTIME_OPTIONS_INIT;
    const size_t without_report = offsetof(clattn_runtime_options, report); /* as the structure first was */
    for (size_t size = 0; size < sizeof options + 9; size++) { /* no version had another: half a pointer is no pointer */
        options.struct_size = size == sizeof options || size == without_report ? 0 : size;
        EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, NULL);
    }
    options = (clattn_runtime_options)CLATTN_RUNTIME_OPTIONS_INIT;
    options.allocator.user = &options; /* half an allocator */
    options.allocator.release = release_nothing;
    EXPECT_STATUS(clattn_runtime_create(&options, &runtime), CLATTN_INVALID_ARGUMENT, NULL);
}
END_TEST

START_TEST(test_devices) {
    clattn_runtime *runtime = cpu_only();
    clattn_device_info info;
    ck_assert_int_eq(clattn_runtime_device_count(runtime), 1);
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.kind, CLATTN_DEVICE_CPU);
    ck_assert_int_eq(info.compute_units, 2);
    ck_assert(strlen(info.name) > 0);
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 1, &info), CLATTN_NO_DEVICE, NULL);
    EXPECT_STATUS(clattn_runtime_get_device(runtime, -1, &info), CLATTN_NO_DEVICE, NULL);
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 0, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_get_device(NULL, 0, &info), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_plan_arguments) {
    clattn_runtime *runtime = cpu_only();
    clattn_problem p = small();
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan = (clattn_plan *)&report;
    EXPECT_STATUS(clattn_plan_create(NULL, &p, &options, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_plan_create(runtime, NULL, NULL, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_null(plan);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, NULL, &report), CLATTN_INVALID_ARGUMENT, NULL);
    p.head_dim = 0;
    plan = (clattn_plan *)&report;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_INVALID_PROBLEM, NULL);
    ck_assert_ptr_null(plan);
    ck_assert_ptr_nonnull(strstr(report.text, "head_dim"));
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, NULL), CLATTN_INVALID_PROBLEM, NULL);
    p = small();
    options.concurrency = INT64_MAX;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "concurrency"));
    options.concurrency = 0;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "concurrency"));
    options = (clattn_plan_options){ 0 };
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_msg(strncmp(report.text, "struct_size:", 12) == 0, "%s", report.text);
    clattn_plan_info info;
    EXPECT_STATUS(clattn_plan_get_info(NULL, &info), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void refused(clattn_runtime *runtime, clattn_problem p, const clattn_plan_options *options, clattn_status status,
                    const char *word) {
    clattn_plan *plan = (clattn_plan *)&report;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, options, &plan, &report), status, &report);
    ck_assert_ptr_null(plan);
    ck_assert_msg(strstr(report.text, word), "%s is not named: %s", word, report.text);
}

START_TEST(test_who_may_serve) {
    clattn_runtime *runtime = cpu_only();
    clattn_problem p = small();
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    options.engine = "no-such-engine";
    refused(runtime, p, &options, CLATTN_INVALID_ARGUMENT, "no-such-engine");
    options = suite_on(NULL, 7);
    refused(runtime, p, &options, CLATTN_NO_DEVICE, "7");
    p = small();
    p.memory = CLATTN_MEMORY_OPENCL;
    refused(runtime, p, NULL, CLATTN_UNSUPPORTED, "memory");
    p = small();
    options = suite_on("opencl", CLATTN_ANY_DEVICE);
    clattn_plan *plan;
    clattn_status status = clattn_plan_create(runtime, &p, &options, &plan, &report);
    ck_assert_msg(status == CLATTN_UNSUPPORTED || status == CLATTN_NO_DEVICE, "%s", clattn_status_name(status));
    ck_assert_msg(report.length > 0, "a refusal without a reason");
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_plan_numbers) {
    clattn_runtime *runtime = cpu_only();
    clattn_problem p = small();
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    clattn_plan_info info;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, "cpu");
    ck_assert_str_eq(info.accumulate, "fp32");
    ck_assert_int_eq(info.device, 0);
    ck_assert_double_eq(info.flops, 4.0 * 8 * 4 * 6);
    ck_assert_double_eq(info.bytes, 4.0 * (4 * 8 + 6 * 8 + 6 * 8 + 4 * 8));
    EXPECT_STATUS(clattn_plan_get_info(plan, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_plan_destroy(plan);
    options.engine = "reference";
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, "reference");
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* What an engine that serves says of the others is no reason for anything. */
START_TEST(test_report_after_success) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = small();
    clattn_plan *plan;
    memset(&report, 'x', sizeof report);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_OK, &report);
    ck_assert_msg(report.length == 0 && report.text[0] == '\0' && !report.truncated, "%s", report.text);
    clattn_plan_destroy(plan);
    p.causal = true; /* 4 rows, 6 keys */
    EXPECT_STATUS(clattn_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_INVALID_PROBLEM, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "CLATTN_ALIGN_UNSET"));
    ck_assert_ptr_null(strstr(report.text, "top_left"));
    p = small();
    p.memory = CLATTN_MEMORY_OPENCL; /* not for the cpu engine; fp64 not for OpenCL: one line an engine and device */
    p.type = CLATTN_FP64;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_UNSUPPORTED, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "cpu on device 0: memory"));
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_starts) {
    EXPECT_START(clattn_runtime_options, CLATTN_RUNTIME_OPTIONS_INIT, clattn_runtime_options_init);
    EXPECT_START(clattn_problem, CLATTN_PROBLEM_INIT, clattn_problem_init);
    EXPECT_START(clattn_tensors, CLATTN_TENSORS_INIT, clattn_tensors_init);
    EXPECT_START(clattn_additive_problem, CLATTN_ADDITIVE_PROBLEM_INIT, clattn_additive_problem_init);
    EXPECT_START(clattn_additive_tensors, CLATTN_ADDITIVE_TENSORS_INIT, clattn_additive_tensors_init);
    /* The macro's own words: what the structure's comments call the default. */
    clattn_problem p = CLATTN_PROBLEM_INIT;
    ck_assert(p.batch == 1 && p.query_heads == 1 && p.kv_heads == CLATTN_SAME && p.key_length == CLATTN_SAME);
    ck_assert(p.value_dim == CLATTN_SAME && p.window_left == CLATTN_OPEN && p.window_right == CLATTN_OPEN);
    ck_assert(p.mask_shape[3] == CLATTN_SAME && p.bias_shape[0] == CLATTN_SAME && p.weights_heads == CLATTN_SAME);
    ck_assert(p.weights_rows == CLATTN_SAME);
    clattn_plan_options o;
    clattn_plan_options_init(&o, sizeof o);
    ck_assert(o.device == CLATTN_ANY_DEVICE && o.concurrency == 1 && !o.engine && !o.blocks);
    clattn_tensors t = CLATTN_TENSORS_INIT;
    ck_assert(t.query_length == CLATTN_SAME && t.key_length == CLATTN_SAME && t.past_length == CLATTN_SAME && !t.workspace);
}
END_TEST

/* However many entries there are: where none has a row or a key, a call has nothing to do. */
START_TEST(test_many_empty_entries) {
    static const char *const engines[] = { "reference", "cpu" };
    clattn_runtime *runtime = cpu_only();
    for (int n = 0; n < 8; n++) {
        clattn_problem p = small();
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_tensors t = tensors();
        options.engine = engines[n % 2];
        p.type = n / 2 % 2 == 0 ? CLATTN_FP64 : CLATTN_FP32;
        p.has_scale = true; /* such that fp32 is computed row by row too: no workspace grows with the entries */
        p.scale = 1e-20;
        p.batch = INT64_C(1) << 40;
        p.query_length = 1;
        p.key_length = n / 4 == 0 ? 0 : 6;
        p.head_dim = 1;
        p.weights = CLATTN_WEIGHTS_SOFTMAX;
        p.logsumexp = true;
        t.query_length = 0;
        t.weights.data = (void *)(uintptr_t)(UINT64_C(1) << 60); /* no memory at all, for rows of which there are none */
        t.logsumexp.data = (void *)(uintptr_t)(UINT64_C(1) << 61);
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_one_call) {
    clattn_runtime *runtime = cpu_only();
    clattn_problem p = small();
    clattn_tensors t = tensors();
    for (int n = 0; n < 48; n++) {
        value[n] = 2.5F;
    }
    EXPECT_STATUS(clattn_attention(runtime, &p, NULL, &t, &report), CLATTN_OK, &report);
    for (int n = 0; n < 32; n++) {
        ck_assert_float_eq_tol(output[n], 2.5F, 1e-6F);
    }
    EXPECT_STATUS(clattn_attention(NULL, &p, NULL, &t, &report), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_attention(runtime, NULL, NULL, &t, &report), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_attention(runtime, &p, NULL, NULL, &report), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_attention(runtime, &p, NULL, &t, NULL), CLATTN_OK, NULL);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_empty_problems) {
    static const char *const engines[] = { "reference", "cpu" };
    clattn_runtime *runtime = cpu_only();
    for (int n = 0; n < 6; n++) {
        clattn_problem p = small();
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_tensors t = tensors();
        options.engine = engines[n % 2];
        p.batch = n / 2 == 0 ? 0 : 1;
        p.query_length = n / 2 == 1 ? 0 : 4;
        p.key_length = n / 2 == 2 ? 0 : 6;
        memset(output, 0x5a, sizeof output);
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        for (int d = 0; d < 32; d++) {
            ck_assert_msg(n / 2 != 2 || output[d] == 0, "no keys: the output is 0, not %g", (double)output[d]);
            ck_assert_msg(n / 2 == 2 || ((unsigned char *)output)[d] == 0x5a, "nothing to write, but written");
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

typedef struct watcher {
    double last;
    int calls, stop_at;
} watcher;

static bool watch(void *user, double done) {
    watcher *w = user;
    ck_assert_msg(done >= w->last && done <= 1, "%g after %g", done, w->last);
    w->last = done;
    return ++w->calls != w->stop_at;
}

START_TEST(test_progress_and_cancel) {
    static float big[8 * 512 * 64], result[8 * 512 * 64];
    static const char *const engines[] = { "reference", "cpu" };
    /* one thread: with more, the caller's may come too late for any item, and then nothing is reported */
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    for (int n = 0; n < 2; n++) {
        clattn_problem p = CLATTN_PROBLEM_INIT;
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_tensors t = CLATTN_TENSORS_INIT;
        watcher w = { 0, 0, -1 };
        options.engine = engines[n];
        p.query_heads = n == 0 ? 1 : 8;
        p.query_length = n == 0 ? 64 : 512;
        p.head_dim = n == 0 ? 8 : 64;
        t.query.data = t.key.data = t.value.data = big;
        t.output.data = result;
        t.progress = watch;
        t.progress_user = &w;
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        ck_assert_msg(w.calls > 0, "%s reports no progress", engines[n]);
        w = (watcher){ 0, 0, 1 };
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_CANCELLED, &report);
        ck_assert_int_eq(w.calls, 1);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_callers_workspace) {
    static const char *const engines[] = { "reference", "cpu" };
    static _Alignas(64) unsigned char workspace[1 << 20];
    clattn_runtime *runtime = cpu_only();
    for (int n = 0; n < 2; n++) {
        clattn_problem p = small();
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_tensors t = tensors();
        clattn_plan *plan;
        clattn_plan_info info;
        options.engine = engines[n];
        options.caller_workspace = true;
        EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
        EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
        ck_assert_int_lt(info.workspace_size, (int64_t)sizeof workspace - 64);
        memset(workspace, 0xff, sizeof workspace);
        t.workspace = workspace;
        t.workspace_size = info.workspace_size;
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
        for (int64_t at = info.workspace_size; at < (int64_t)sizeof workspace; at++) {
            ck_assert_msg(workspace[at] == 0xff, "%s writes beyond its workspace", engines[n]);
        }
        if (info.workspace_size > 0) {
            t.workspace_size--;
            EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_INVALID_TENSORS, &report);
            ck_assert_ptr_nonnull(strstr(report.text, "workspace"));
            t.workspace = NULL;
            EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_INVALID_TENSORS, &report);
        }
        clattn_plan_destroy(plan);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_memory_use) {
    clattn_runtime *runtime = cpu_only();
    clattn_memory_use before, during, after;
    clattn_problem p = small();
    clattn_plan *plan;
    clattn_inspect_memory(runtime, &before);
    EXPECT_STATUS(clattn_plan_create(runtime, &p, NULL, &plan, &report), CLATTN_OK, &report);
    clattn_inspect_memory(runtime, &during);
    ck_assert_int_gt(during.host, before.host);
    clattn_plan_destroy(plan);
    clattn_inspect_memory(runtime, &after);
    ck_assert_int_ge(after.host_peak, during.host);
    ck_assert_int_le(after.host, during.host);
    clattn_inspect_memory_reset(runtime);
    clattn_inspect_memory(runtime, &after);
    ck_assert_int_eq(after.host_peak, after.host);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_engine_questions) {
    clattn_runtime *runtime = cpu_only();
    clattn_problem p = small();
    EXPECT_STATUS(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "cpu", 0, 1, false, false, false, NULL }, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "reference", 0, 1, false, false, false, NULL }, NULL), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "cpu", 3, 1, false, false, false, NULL }, &report), CLATTN_NO_DEVICE, NULL);
    p.head_dim = -4;
    EXPECT_STATUS(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "cpu", 0, 1, false, false, false, NULL }, &report), CLATTN_INVALID_PROBLEM, NULL);
    p = small();
    ck_assert_int_ne(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "nothing", 0, 1, false, false, false, NULL }, &report), CLATTN_OK);
    ck_assert_int_ne(clattn_engine_supports(runtime, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), NULL, 0, 1, false, false, false, NULL }, &report), CLATTN_OK);
    ck_assert_int_ne(clattn_engine_supports(NULL, &p, &(clattn_plan_options){ sizeof(clattn_plan_options), "cpu", 0, 1, false, false, false, NULL }, &report), CLATTN_OK);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_destroy_nothing,   test_runtime_arguments, test_devices,
                                   test_plan_arguments,    test_who_may_serve,     test_plan_numbers,
                                   test_one_call,          test_empty_problems,    test_progress_and_cancel,
                                   test_callers_workspace, test_memory_use,        test_engine_questions,
                                   test_starts,            test_many_empty_entries, test_report_after_success };
    return suite_run(SUITE_OF("api", tests, 30), SUITE_FORK);
}
