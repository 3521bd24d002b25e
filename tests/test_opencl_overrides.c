/*
 * What OpenCL engines refuse by name before anything is built: block sizes that were asked for and cannot be, workspaces that
 * no number of bytes describes. To cover another refusal: a row in cases[].
 */
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/opencl.h"

#ifdef CLATTN_HAVE_OPENCL

static clattn_report report;

START_TEST(test_overrides) {
    static const struct {
        const char *engine;
        clattn_type type;
        clattn_block_override blocks; /* block_query, block_key, splits, body */
        const char *reason;
    } cases[] = { { "opencl-unfused", CLATTN_FP32, { .block_key = 8 }, "blocks.block_key: only block_query" },
                  { "opencl-unfused", CLATTN_FP32, { .splits = 2 }, "blocks.splits: only block_query" },
                  { "opencl-fused", CLATTN_FP32, { .block_query = 3, .body = "cpu-shaped" }, "block_query: 3 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_query = -8, .body = "cpu-shaped" }, "block_query: -8 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_query = 1 << 20, .body = "cpu-shaped" }, "block_query: 1048576 is not" },
                  { "opencl-fused", CLATTN_FP32, { .block_key = 5, .body = "cpu-shaped" }, "block_key: 5 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_key = 1 << 20, .body = "cpu-shaped" }, "block_key: 1048576 is not" },
                  { "opencl-fused", CLATTN_FP32, { .block_query = 3, .body = "gpu-shaped" }, "block_query: 3 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_key = 5, .body = "gpu-shaped" }, "block_key: 5 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_query = 3, .body = "matrix" }, "block_query: 3 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .block_key = 5, .body = "matrix" }, "block_key: 5 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP16, { .block_query = 3, .body = "matrix" }, "block_query: 3 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP16, { .block_key = 5, .body = "matrix" }, "block_key: 5 is not a multiple of" },
                  { "opencl-fused", CLATTN_FP32, { .body = "emulated-mfma" }, "type: fp32 has no matrix tile" },
                  { "opencl-fused", CLATTN_FP32, { .body = "generic" }, "body: opencl-fused has no generic, it has cpu-shaped, gpu-shaped, matrix, emulated-mfma" },
                  { "opencl-decode", CLATTN_FP32, { .block_query = 4 }, "opencl-decode takes splits only" },
                  { "opencl-decode", CLATTN_FP32, { .block_key = 4 }, "opencl-decode takes splits only" },
                  { "opencl-decode", CLATTN_FP32, { .splits = 129 }, "splits: 129 is not in 0..128" },
                  { "opencl-decode", CLATTN_FP32, { .splits = -1 }, "splits: -1 is not in 0..128" },
                  { "opencl-decode", CLATTN_FP32, { .body = "matrix" }, "body: opencl-decode has no matrix, it has cpu-shaped, gpu-shaped" } };
    clattn_runtime *runtime = suite_runtime(NULL);
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        clattn_problem p = CLATTN_PROBLEM_INIT;
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_plan *plan;
        p.query_length = 19, p.head_dim = 16, options.engine = cases[k].engine, p.type = cases[k].type;
        options.blocks = &cases[k].blocks;
        if (clattn_engine_built(options.engine)) {
            EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_UNSUPPORTED, &report);
            ck_assert_msg(strstr(report.text, cases[k].reason) != NULL, "%s: %.1000s", cases[k].reason, report.text);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Tensors that fit 63 bits, and workspaces that do not. */
START_TEST(test_workspace_overflow) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_plan *plan;
    p.type = CLATTN_FP16, options.engine = "opencl-fused";
    options.blocks = &(clattn_block_override){ .body = "cpu-shaped" };
    p.batch = (int64_t)1 << 31, p.query_heads = p.kv_heads = 1 << 10, p.query_length = 1, p.key_length = 1 << 18;
    p.head_dim = p.value_dim = 1;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OVERFLOW, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "workspace: the packed keys and values do not fit 63 bits"));
    options.blocks = &(clattn_block_override){ .splits = 128, .body = "cpu-shaped" };
    options.engine = "opencl-decode", p.query_length = 1 << 18;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OVERFLOW, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "workspace: the parts of the output do not fit 63 bits"));
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_overrides, test_workspace_overflow };
    return suite_has_opencl() ? suite_run(SUITE_OF("opencl_overrides", tests, 0), SUITE_NO_FORK) : suite_without_device();
}
#else
int main(void) {
    return SUITE_SKIPPED; /* a build without OpenCL */
}
#endif
