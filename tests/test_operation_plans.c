/*
 * Plans of additive attention and of linear maps choose as those of attention do: bodies and block sizes that were asked for,
 * the user's rows of the tuning tables, and the next candidate when the best one cannot be made ready.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "clattn/clattn_linear.h"
#include "support/additive_case.h"
#include "support/suite.h"

enum { ROWS = 50, IN = 24, OUT = 40 };

static clattn_report report;
static float input[ROWS * IN], w[OUT * IN], output[ROWS * OUT];

static clattn_runtime *make_runtime(bool without_opencl) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = 2;
    options.without_opencl = without_opencl;
    return suite_runtime(&options);
}

static clattn_block_override asked; /* of the next plans */

static clattn_plan_options options_on(const char *engine) {
    clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    options.blocks = &asked;
    return options;
}

/* Plans a linear map and computes it; the status of the plan. */
static clattn_status run_linear(clattn_runtime *runtime, const char *engine, clattn_operation_info *info) {
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
    clattn_linear_plan *plan = NULL;
    p.rows = ROWS, p.in_dim = IN, p.out_dim = OUT;
    const clattn_plan_options options = options_on(engine);
    clattn_status status = clattn_linear_plan_create(runtime, &p, &options, &plan, &report);
    if (status != CLATTN_OK) {
        return status;
    }
    for (int k = 0; k < ROWS * IN; k++) {
        input[k] = (float)(k % 13) / 13 - 0.5f;
    }
    for (int k = 0; k < OUT * IN; k++) {
        w[k] = (float)(k % 17) / 17 - 0.5f;
    }
    t.input = input, t.w = w, t.output = output;
    EXPECT_STATUS(clattn_linear_plan_get_info(plan, info), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_linear_execute(plan, &t), CLATTN_OK, NULL);
    for (int k = 0; k < ROWS * OUT; k++) {
        double sum = 0;
        for (int n = 0; n < IN; n++) {
            sum += (double)input[k / OUT * IN + n] * (double)w[k % OUT * IN + n];
        }
        ck_assert_msg(fabs(sum - (double)output[k]) < 1e-5, "output %d: %g, expected %g", k, (double)output[k], sum);
    }
    clattn_linear_plan_destroy(plan);
    return CLATTN_OK;
}

/* The same for additive attention, compared with the reference. */
static clattn_status run_additive(clattn_runtime *runtime, const char *engine, clattn_operation_info *info) {
    clattn_additive_plan *plan = NULL;
    additive_case c = additive_make(2, 3, 70, 20, 9);
    const clattn_plan_options options = options_on(engine);
    clattn_status status = clattn_additive_plan_create(runtime, &c.problem, &options, &plan, &report);
    if (status == CLATTN_OK) {
        EXPECT_STATUS(clattn_additive_plan_get_info(plan, info), CLATTN_OK, NULL);
        EXPECT_STATUS(clattn_additive_execute(plan, &c.tensors), CLATTN_OK, NULL);
        clattn_additive_plan_destroy(plan);
        additive_case judge = additive_make(2, 3, 70, 20, 9);
        additive_run(runtime, &judge, "reference");
        for (int64_t k = 0; k < c.outputs; k++) {
            ck_assert_msg(fabsf(c.tensors.output[k] - judge.tensors.output[k]) < 1e-5f, "output %d: %g, expected %g", (int)k,
                          (double)c.tensors.output[k], (double)judge.tensors.output[k]);
        }
        additive_free(&judge);
    }
    additive_free(&c);
    return status;
}

typedef clattn_status (*operation)(clattn_runtime *runtime, const char *engine, clattn_operation_info *info);
static const operation operations[] = { run_linear, run_additive };

START_TEST(bodies_by_name) {
    clattn_runtime *runtime = make_runtime(true);
    for (int n = 0; n < 2; n++) {
        clattn_operation_info info;
        asked = (clattn_block_override){ .body = "generic" };
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_OK, &report);
        ck_assert_str_eq(info.kernel, "generic");
        asked = (clattn_block_override){ .body = "portable-tiles" }; /* of attention */
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "body: cpu has no portable-tiles, it has generic, avx2, avx512"));
        asked = (clattn_block_override){ .block_query = 4 };
        EXPECT_STATUS(operations[n](runtime, "cpu", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "this engine has no such size"));
        asked = (clattn_block_override){ 0 };
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_OK, &report);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ---- the next candidate */

static size_t forbidden; /* sizes from here on are refused; 0 = none */

static void *allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    size_t whole = (size + alignment - 1) / alignment * alignment;
    return forbidden > 0 && size >= forbidden ? NULL : aligned_alloc(alignment, whole);
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

/* The best engine finds no scratch: another serves, and the report says why not the best. */
START_TEST(next_candidate) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.allocator = (clattn_allocator){ allocate, release, NULL };
    options.threads = 2;
    clattn_runtime *runtime = suite_runtime(&options);
    const bool skips = suite_skips("next_candidate", additive_is_here(runtime, 2));
    for (int n = 0; n < 2 && !skips; n++) {
        clattn_operation_info best, next;
        forbidden = 0;
        EXPECT_STATUS(operations[n](runtime, NULL, &best), CLATTN_OK, &report);
        if (strcmp(best.engine, "cpu") == 0) {
            forbidden = 2048; /* less than the scratch of two threads, more than anything OpenCL's engines take */
            clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
            clattn_additive_problem a = CLATTN_ADDITIVE_PROBLEM_INIT;
            clattn_linear_plan *linear = NULL;
            clattn_additive_plan *additive = NULL;
            p.rows = ROWS, p.in_dim = IN, p.out_dim = OUT;
            a.key_length = 1000, a.hidden = a.value_dim = 16;
            if (n == 0) {
                EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, NULL, &linear, &report), CLATTN_OK, &report);
                EXPECT_STATUS(clattn_linear_plan_get_info(linear, &next), CLATTN_OK, NULL);
            } else {
                EXPECT_STATUS(clattn_additive_plan_create(runtime, &a, NULL, &additive, &report), CLATTN_OK, &report);
                EXPECT_STATUS(clattn_additive_plan_get_info(additive, &next), CLATTN_OK, NULL);
            }
            ck_assert_str_eq(next.engine, "opencl");
            ck_assert_ptr_nonnull(strstr(report.text, "cpu on device 0: out of host memory"));
            clattn_linear_plan_destroy(linear);
            clattn_additive_plan_destroy(additive);
        }
    }
    forbidden = 0;
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ---- block sizes of additive attention on OpenCL devices */

static void load(clattn_runtime *runtime, const char *sizes) {
    char text[400];
    snprintf(text, sizeof text,
             "[additive_cpu]\nvendor,architecture,device,type,head_dim_max,block_key,vector,note\n*,*,*,*,64,%s,mine\n",
             sizes);
    EXPECT_STATUS(clattn_inspect_tuning(runtime, text, true, &report), CLATTN_OK, &report);
}

START_TEST(rows_of_the_user) {
    clattn_runtime *runtime = make_runtime(false);
    clattn_operation_info info;
    if (!suite_skips("rows_of_the_user", additive_is_here(runtime, 2))) {
        const clattn_block_override shaped = { .body = "cpu-shaped" };
        asked = shaped;
        load(runtime, "24,8");
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
        ck_assert_ptr_nonnull(strstr(info.kernel, "a group of 1 a row, keys in blocks of 24"));
        asked = shaped;
        load(runtime, "24,12");
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "additive_cpu: vector: 12 is not a power of two from 4 to 16"));
        load(runtime, "5000,8");
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "additive_cpu: block_key: 5000 is not a multiple of 1 from 1 to 4096"));
        EXPECT_STATUS(clattn_inspect_tuning(runtime, "", true, NULL), CLATTN_OK, NULL);
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "additive_cpu: no row of the table is for this device"));
        EXPECT_STATUS(clattn_inspect_tuning(runtime, NULL, false, NULL), CLATTN_OK, NULL);
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
        ck_assert_ptr_nonnull(strstr(info.kernel, "keys in blocks of 64"));
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Each column of additive_gpu with numbers that make no sense, or that the device may not have: named, and the next row serves. */
START_TEST(wrong_rows_of_gpu) {
    static const struct {
        const char *sizes, *column; /* column NULL: the device may take it */
    } rows[] = { { "5000,24,8", "threads" }, { "64,5000,8", "block_key" }, { "64,24,2", "vector" }, { "64,24,12", "vector" },
                 { "64,24,32", "vector" },   { "1024,24,8", NULL },        { "3,24,8", NULL } };
    static const char *const header =
        "[additive_gpu]\nvendor,architecture,device,type,head_dim_max,threads,block_key,vector,note\n";
    clattn_runtime *runtime = make_runtime(false);
    clattn_operation_info info;
    const bool skips = suite_skips("wrong_rows_of_gpu", additive_is_here(runtime, 2));
    for (size_t n = 0; n < sizeof rows / sizeof *rows && !skips; n++) {
        char text[400];
        asked = (clattn_block_override){ .body = "gpu-shaped" };
        snprintf(text, sizeof text, "%s*,*,*,*,64,%s,mine\n", header, rows[n].sizes);
        EXPECT_STATUS(clattn_inspect_tuning(runtime, text, true, &report), CLATTN_OK, &report);
        clattn_status status = run_additive(runtime, "opencl", &info);
        ck_assert_msg(status == CLATTN_UNSUPPORTED || (status == CLATTN_OK && !rows[n].column), "%s: %s, %s", rows[n].sizes,
                      clattn_status_name(status), report.text);
        ck_assert_msg(!rows[n].column || strstr(report.text, rows[n].column), "%s: %s", rows[n].sizes, report.text);
        EXPECT_STATUS(clattn_inspect_tuning(runtime, text, false, &report), CLATTN_OK, &report);
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
    }
    asked = (clattn_block_override){ 0 };
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(blocks_by_override) {
    clattn_runtime *runtime = make_runtime(false);
    clattn_operation_info info;
    if (!suite_skips("blocks_by_override", additive_is_here(runtime, 2))) {
        asked = (clattn_block_override){ .block_key = 10, .body = "gpu-shaped" };
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
        ck_assert_ptr_nonnull(strstr(info.kernel, "a group of 64 a row, keys in blocks of 10"));
        asked = (clattn_block_override){ .block_key = 1 << 20 };
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "block_key: 1048576 is not a multiple of 1 from 1 to 4096"));
        asked = (clattn_block_override){ .splits = 2 };
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "only block_key and body mean something here"));
        asked = (clattn_block_override){ .body = "matrix" };
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "body: opencl has no matrix, it has cpu-shaped, gpu-shaped"));
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ---- several calls at once */

static struct {
    clattn_linear_plan *plan;
    clattn_linear_tensors tensors;
    clattn_status status; /* of the call from inside */
    bool inside;
} nested;

/* A pool of one thread that executes the plan whose call it serves. */
static void call_again(void *user, int64_t count, void (*body)(void *share, int64_t index), void *share) {
    (void)user;
    if (!nested.inside) {
        nested.inside = true;
        nested.status = clattn_linear_execute(nested.plan, &nested.tensors);
    }
    for (int64_t n = 0; n < count; n++) {
        body(share, n);
    }
}

START_TEST(calls_at_once) {
    clattn_runtime_options own = CLATTN_RUNTIME_OPTIONS_INIT;
    own.threads = 2, own.without_opencl = true, own.parallel_for = call_again;
    clattn_runtime *runtime = suite_runtime(&own);
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
    static float large[512 * 512], other[512 * 512], out[512 * 512], out_inside[512 * 512];
    p.rows = p.in_dim = p.out_dim = 512;
    for (int n = 0; n < 512 * 512; n++) {
        large[n] = (float)(n % 19) / 19, other[n] = (float)(n % 23) / 23;
    }
    t.input = large, t.w = other, t.output = out, t.report = &report;
    for (int64_t concurrency = 1; concurrency <= 2; concurrency++) {
        clattn_plan_options options = suite_on("cpu", CLATTN_ANY_DEVICE);
        options.concurrency = concurrency;
        EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, &options, &nested.plan, &report), CLATTN_OK, &report);
        nested.tensors = t, nested.tensors.output = out_inside, nested.inside = false;
        EXPECT_STATUS(clattn_linear_execute(nested.plan, &t), CLATTN_OK, &report);
        ck_assert(nested.inside);
        EXPECT_STATUS(nested.status, concurrency == 1 ? CLATTN_DEADLOCK : CLATTN_OK, NULL);
        clattn_linear_plan_destroy(nested.plan);
    }
    ck_assert_int_eq(memcmp(out, out_inside, sizeof out), 0);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(options_that_mean_nothing_here) {
    clattn_runtime *runtime = make_runtime(true);
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_plan *plan = NULL;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    p.in_dim = p.out_dim = 3;
    options.caller_workspace = true;
    EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, &options, &plan, &report), CLATTN_UNSUPPORTED, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "caller_workspace:"));
    options = suite_on(NULL, CLATTN_ANY_DEVICE), options.batch_invariant = true;
    EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, &options, &plan, &report), CLATTN_UNSUPPORTED, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "batch_invariant:"));
    options = suite_on("nobody", CLATTN_ANY_DEVICE);
    EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, &options, &plan, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "\"nobody\" is not known"));
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The list of bodies is what the override takes. */
START_TEST(list_of_bodies) {
    static const clattn_operation kinds[] = { CLATTN_OPERATION_LINEAR, CLATTN_OPERATION_ADDITIVE };
    clattn_runtime *runtime = make_runtime(true);
    for (int n = 0; n < 2; n++) {
        clattn_body_info body;
        clattn_operation_info info;
        int64_t count = 0;
        for (; clattn_inspect_body(runtime, kinds[n], "cpu", 0, count, &body) == CLATTN_OK; count++) {
            asked = (clattn_block_override){ .body = body.name };
            EXPECT_STATUS(operations[n](runtime, "cpu", &info), body.why_not ? CLATTN_UNSUPPORTED : CLATTN_OK, &report);
            ck_assert(body.why_not ? strstr(report.text, body.why_not) != NULL : strcmp(info.kernel, body.name) == 0);
        }
        ck_assert_int_eq(count, 3);
    }
    asked = (clattn_block_override){ 0 };
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        bodies_by_name, calls_at_once,    options_that_mean_nothing_here, list_of_bodies,
        next_candidate, rows_of_the_user, wrong_rows_of_gpu,              blocks_by_override,
    };
    return suite_run(SUITE_OF("operation_plans", tests, 0), SUITE_NO_FORK);
}
