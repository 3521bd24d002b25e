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

static void ask(clattn_runtime *runtime, clattn_block_override blocks) {
    EXPECT_STATUS(clattn_inspect_override_blocks(runtime, &blocks, &report), CLATTN_OK, &report);
}

/* Plans a linear map and computes it; the status of the plan. */
static clattn_status run_linear(clattn_runtime *runtime, const char *engine, clattn_operation_info *info) {
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
    clattn_linear_plan *plan = NULL;
    p.rows = ROWS, p.in_dim = IN, p.out_dim = OUT, p.engine = engine;
    clattn_status status = clattn_linear_plan_create(runtime, &p, &plan, &report);
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
    c.problem.engine = engine;
    clattn_status status = clattn_additive_plan_create(runtime, &c.problem, &plan, &report);
    if (status == CLATTN_OK) {
        EXPECT_STATUS(clattn_additive_plan_get_info(plan, info), CLATTN_OK, NULL);
        clattn_additive_plan_destroy(plan);
        additive_run(runtime, &c, engine ? engine : info->engine);
        additive_case judge = additive_make(2, 3, 70, 20, 9);
        EXPECT_STATUS(clattn_inspect_override_blocks(runtime, NULL, NULL), CLATTN_OK, NULL);
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
        ask(runtime, (clattn_block_override){ .body = "generic" });
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_OK, &report);
        ck_assert_str_eq(info.kernel, "generic");
        ask(runtime, (clattn_block_override){ .body = "portable-tiles" }); /* of attention */
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "body: cpu has no portable-tiles, it has generic, avx2, avx512"));
        ask(runtime, (clattn_block_override){ .block_query = 4 });
        EXPECT_STATUS(operations[n](runtime, "cpu", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "block override: only body"));
        ask(runtime, (clattn_block_override){ 0 });
        EXPECT_STATUS(operations[n](runtime, NULL, &info), CLATTN_OK, &report);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* ---- the next candidate */

static size_t forbidden; /* sizes from here on are refused; 0 = none */

static void *allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    return forbidden > 0 && size >= forbidden ? NULL : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
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
    for (int n = 0; n < 2; n++) {
        clattn_operation_info best, next;
        forbidden = 0;
        EXPECT_STATUS(operations[n](runtime, NULL, &best), CLATTN_OK, &report);
        if (strcmp(best.engine, "cpu") == 0 && additive_is_here(runtime, 2)) {
            forbidden = 2048; /* less than the scratch of two threads, more than anything OpenCL's engines take */
            clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
            clattn_additive_problem a = CLATTN_ADDITIVE_PROBLEM_INIT;
            clattn_linear_plan *linear = NULL;
            clattn_additive_plan *additive = NULL;
            p.rows = ROWS, p.in_dim = IN, p.out_dim = OUT;
            a.key_length = 1000, a.hidden = a.value_dim = 16;
            if (n == 0) {
                EXPECT_STATUS(clattn_linear_plan_create(runtime, &p, &linear, &report), CLATTN_OK, &report);
                EXPECT_STATUS(clattn_linear_plan_get_info(linear, &next), CLATTN_OK, NULL);
            } else {
                EXPECT_STATUS(clattn_additive_plan_create(runtime, &a, &additive, &report), CLATTN_OK, &report);
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
             "[additive_cpu]\nvendor,architecture,device,type,head_dim_max,block_key,vector,note\n*,*,*,*,64,%s,mine\n", sizes);
    EXPECT_STATUS(clattn_inspect_tuning(runtime, text, true, &report), CLATTN_OK, &report);
}

START_TEST(rows_of_the_user) {
    clattn_runtime *runtime = make_runtime(false);
    clattn_operation_info info;
    if (additive_is_here(runtime, 2)) {
        const clattn_block_override shaped = { .body = "cpu-shaped" };
        ask(runtime, shaped);
        load(runtime, "24,8");
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
        ck_assert_ptr_nonnull(strstr(info.kernel, "a group of 1 a row, keys in blocks of 24"));
        ask(runtime, shaped);
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

START_TEST(blocks_by_override) {
    clattn_runtime *runtime = make_runtime(false);
    clattn_operation_info info;
    if (additive_is_here(runtime, 2)) {
        ask(runtime, (clattn_block_override){ .block_key = 10, .body = "gpu-shaped" });
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_OK, &report);
        ck_assert_ptr_nonnull(strstr(info.kernel, "a group of 64 a row, keys in blocks of 10"));
        ask(runtime, (clattn_block_override){ .block_key = 1 << 20 });
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "block_key: 1048576 is not a multiple of 1 from 1 to 4096"));
        ask(runtime, (clattn_block_override){ .splits = 2 });
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "block override: only block_key and body"));
        ask(runtime, (clattn_block_override){ .body = "matrix" });
        EXPECT_STATUS(run_additive(runtime, "opencl", &info), CLATTN_UNSUPPORTED, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "body: opencl has no matrix, it has cpu-shaped, gpu-shaped"));
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { bodies_by_name, next_candidate, rows_of_the_user, blocks_by_override };
    return suite_run(SUITE_OF("operation_plans", tests, 0), SUITE_NO_FORK);
}
