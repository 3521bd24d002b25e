/*
 * Devices that are smaller than those at hand, or report less: their answers are replaced (tests/faults). Whatever the limits,
 * a device is used, left out with a reason, or an engine refuses by name and another one serves; numbers are judged by the
 * reference. To cover another limit: an answer in small_devices[], or a question in questions[].
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "clattn/clattn_inspect.h"
#include "clattn/clattn_linear.h"
#include "faults/opencl_faults.h"

#ifdef CLATTN_HAVE_OPENCL

enum { ROWS = 7, KEYS = 19, DIM = 16, HEADS = 2, WIDE = 3 * HEADS * DIM };

static float packed[KEYS * WIDE + 16], output[HEADS * KEYS * DIM], expected[HEADS * KEYS * DIM];
static clattn_report report;
static const cl_device_type gpu = CL_DEVICE_TYPE_GPU;

static void answer(int place, cl_device_info question, const void *data, size_t size) {
    faults.answers[place] = (faults_answer){ question, data, size };
}

static clattn_problem small_problem(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_heads = HEADS, p.query_length = p.key_length = KEYS, p.head_dim = DIM;
    return p;
}

/* Query, key and value side by side, as a layer packs them: ranges of host memory that overlap. */
static clattn_tensors packed_tensors(float *memory) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    clattn_tensor *const parts[] = { &t.query, &t.key, &t.value };
    for (int k = 0; k < 3; k++) {
        *parts[k] = (clattn_tensor){ memory, k * HEADS * DIM, CLATTN_STRIDED, KEYS * WIDE, DIM, WIDE };
    }
    t.output.data = output;
    t.report = &report;
    return t;
}

static void expect_right(const char *what) {
    for (int n = 0; n < HEADS * KEYS * DIM; n++) {
        ck_assert_msg(fabsf(output[n] - expected[n]) < 1e-5F, "%s: output %d is %g, not %g", what, n, (double)output[n],
                      (double)expected[n]);
    }
}

static clattn_status attend_with(clattn_runtime *runtime, const char *engine, const clattn_block_override *blocks) {
    clattn_problem p = small_problem();
    clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    options.blocks = blocks;
    clattn_tensors t = packed_tensors(packed);
    memset(output, 0xff, sizeof output);
    return clattn_attention(runtime, &p, &options, &t, &report);
}

static clattn_status attend(clattn_runtime *runtime, const char *engine) {
    return attend_with(runtime, engine, NULL);
}

static void compute_expected(void) {
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    for (int n = 0; n < KEYS * WIDE; n++) {
        packed[n] = (float)(n * 7 % 31) / 16 - 1;
    }
    EXPECT_STATUS(attend(runtime, "reference"), CLATTN_OK, &report);
    memcpy(expected, output, sizeof expected);
    clattn_runtime_destroy(runtime);
}

/* ---- what a device does not report */

static int64_t devices_now(clattn_report *left_out) {
    clattn_runtime *runtime = suite_runtime(NULL);
    const int64_t count = clattn_runtime_device_count(runtime);
    EXPECT_STATUS(clattn_runtime_get_left_out(runtime, left_out), CLATTN_OK, NULL);
    clattn_runtime_destroy(runtime);
    return count;
}

START_TEST(test_silent_devices) {
    static const struct {
        cl_device_info question;
        const char *name;
    } questions[] = { { CL_DEVICE_NAME, "CL_DEVICE_NAME" },
                      { CL_DEVICE_VERSION, "CL_DEVICE_VERSION" },
                      { CL_DEVICE_EXTENSIONS, "CL_DEVICE_EXTENSIONS" },
                      { CL_DEVICE_PLATFORM, "CL_DEVICE_PLATFORM" },
                      { CL_DEVICE_AVAILABLE, "CL_DEVICE_AVAILABLE" },
                      { CL_DEVICE_TYPE, "CL_DEVICE_TYPE" },
                      { CL_DEVICE_MAX_COMPUTE_UNITS, "CL_DEVICE_MAX_COMPUTE_UNITS" },
                      { CL_DEVICE_GLOBAL_MEM_SIZE, "CL_DEVICE_GLOBAL_MEM_SIZE" },
                      { CL_DEVICE_MAX_MEM_ALLOC_SIZE, "CL_DEVICE_MAX_MEM_ALLOC_SIZE" },
                      { CL_DEVICE_LOCAL_MEM_SIZE, "CL_DEVICE_LOCAL_MEM_SIZE" },
                      { CL_DEVICE_MAX_WORK_GROUP_SIZE, "CL_DEVICE_MAX_WORK_GROUP_SIZE" },
                      { CL_DEVICE_MAX_WORK_ITEM_SIZES, "CL_DEVICE_MAX_WORK_ITEM_SIZES" } };
    faults_reset();
    ck_assert_int_ge(devices_now(&report), 2);
    ck_assert_str_eq(report.text, "");
    for (size_t k = 0; k < sizeof questions / sizeof questions[0]; k++) {
        answer(0, questions[k].question, NULL, 0);
        ck_assert_msg(devices_now(&report) == 1, "%s is not known and the device is listed", questions[k].name);
        ck_assert_msg(strstr(report.text, questions[k].name) && strstr(report.text, "left out"), "%s: %.400s", questions[k].name,
                      report.text);
    }
    answer(0, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, NULL, 0); /* there is a number to go on with */
    ck_assert_int_ge(devices_now(&report), 2);
    faults_reset();
}
END_TEST

START_TEST(test_impossible_devices) {
    static const cl_bool no = CL_FALSE;
    static const cl_ulong nothing = 0;
    static const struct {
        faults_answer answer;
        const char *reason;
    } cases[] = { { { CL_DEVICE_AVAILABLE, &no, sizeof no }, "is not available" },
                  { { CL_DEVICE_COMPILER_AVAILABLE, &no, sizeof no }, "has no compiler" },
                  { { CL_DEVICE_VERSION, "OpenCL 1.1 old", 15 }, "\"OpenCL 1.1 old\" is below OpenCL 1.2" },
                  { { CL_DEVICE_VERSION, "strange", 8 }, "\"strange\" is below OpenCL 1.2" },
                  { { CL_DEVICE_MAX_MEM_ALLOC_SIZE, &nothing, sizeof nothing }, "reports 0" } };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        faults_reset();
        faults.answers[0] = cases[k].answer;
        ck_assert_int_eq(devices_now(&report), 1);
        ck_assert_msg(strstr(report.text, cases[k].reason), "%s: %.400s", cases[k].reason, report.text);
    }
    clattn_runtime *runtime = suite_runtime(NULL); /* a plan that wanted the device names the reason too */
    EXPECT_STATUS(attend(runtime, "opencl-fused"), CLATTN_UNSUPPORTED, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "reports 0"));
    EXPECT_STATUS(clattn_runtime_get_left_out(runtime, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_runtime_get_left_out(NULL, &report), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_destroy(runtime);
    faults_reset();
    opencl_side side = opencl_open(false);
    int64_t index;
    runtime = suite_runtime(NULL);
    answer(0, CL_DEVICE_AVAILABLE, &no, sizeof no);
    EXPECT_STATUS(clattn_runtime_adopt_opencl(runtime, side.context, side.device, &index), CLATTN_OPENCL_ERROR, NULL);
    EXPECT_STATUS(clattn_runtime_get_left_out(runtime, &report), CLATTN_OK, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "is not available"));
    clattn_runtime_destroy(runtime);
    opencl_close(&side);
    faults_reset();
}
END_TEST

/* ---- small work-groups and local memories */

static void attend_everywhere(const char *what) {
    clattn_runtime *runtime = suite_runtime(NULL);
    static const char *const bodies[] = { NULL, "cpu-shaped", "gpu-shaped", "matrix" };
    for (size_t n = 0; n < sizeof bodies / sizeof *bodies; n++) {
        const clattn_block_override blocks = { .body = bodies[n] };
        for (int64_t e = 0; e < clattn_engine_count(); e++) {
            const char *engine = clattn_engine_name(e);
            if (strncmp(engine, "opencl", 6) != 0 || !clattn_engine_built(engine)) {
                continue;
            }
            clattn_status status = attend_with(runtime, engine, &blocks);
            if (status == CLATTN_OK) {
                expect_right(engine);
                continue;
            }
            ck_assert_msg(status == CLATTN_UNSUPPORTED && (strstr(report.text, "work-group") || strstr(report.text, "local memory") ||
                                                           strstr(report.text, "body")),
                          "%s, %s, body %s: %s: %.1500s", what, engine, bodies[n] ? bodies[n] : "chosen", clattn_status_name(status), report.text);
        }
    }
    EXPECT_STATUS(attend(runtime, NULL), CLATTN_OK, &report); /* somebody serves */
    expect_right(what);
    EXPECT_STATUS(attend(runtime, "opencl"), CLATTN_OK, &report);
    expect_right(what);
    clattn_runtime_destroy(runtime);
}

/* Sizes follow from what the device reports; CLBlast is not even asked. */
static void expect_small(size_t group) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_device_info info;
    EXPECT_STATUS(clattn_runtime_get_device(runtime, 1, &info), CLATTN_OK, NULL);
    ck_assert_int_eq(info.max_work_group, (int64_t)group);
    if (group < 64 && clattn_engine_built("opencl-unfused")) {
        EXPECT_STATUS(attend(runtime, "opencl-unfused"), CLATTN_UNSUPPORTED, &report);
        ck_assert_ptr_nonnull(strstr(report.text, "CLBlast needs work-groups of 64"));
    }
    clattn_runtime_destroy(runtime);
}

static clattn_status add_and_map(const char *engine, clattn_status *linear) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_additive_problem a = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_plan_options how_a = CLATTN_PLAN_OPTIONS_INIT;
    clattn_additive_plan *additive = NULL;
    clattn_linear_problem l = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options how_l = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *map = NULL;
    a.query_length = ROWS, a.key_length = KEYS, a.hidden = a.value_dim = DIM, how_a.engine = engine, a.weights = true;
    l.rows = ROWS, l.in_dim = l.out_dim = DIM, how_l.engine = engine;
    clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
    static float weights[ROWS * KEYS];
    t.query = packed, t.key = packed + 1, t.v = packed + 5, t.value = packed + 9, t.output = output, t.weights = weights;
    t.report = &report;
    clattn_status status = clattn_additive_plan_create(runtime, &a, &how_a, &additive, &report);
    status = status == CLATTN_OK ? clattn_additive_execute(additive, &t) : status;
    clattn_additive_plan_destroy(additive);
    clattn_linear_tensors m = CLATTN_LINEAR_TENSORS_INIT;
    static float mapped[ROWS * DIM];
    m.input = packed, m.w = packed + 40, m.output = mapped, m.report = &report;
    *linear = clattn_linear_plan_create(runtime, &l, &how_l, &map, &report);
    *linear = *linear == CLATTN_OK ? clattn_linear_execute(map, &m) : *linear;
    clattn_linear_plan_destroy(map);
    clattn_runtime_destroy(runtime);
    return status;
}

START_TEST(test_small_devices) {
    static const size_t groups[] = { 1, 8, 32, 64 };
    static const cl_ulong local = 1024;
    compute_expected();
    for (int k = 0; k < 4; k++) {
        clattn_status linear;
        const size_t items[3] = { groups[k], groups[k], groups[k] };
        faults_reset();
        answer(0, k % 2 == 0 ? CL_DEVICE_MAX_WORK_GROUP_SIZE : CL_DEVICE_MAX_WORK_ITEM_SIZES,
               k % 2 == 0 ? &groups[k] : items, k % 2 == 0 ? sizeof groups[k] : sizeof items);
        attend_everywhere("small work-groups");
        expect_small(groups[k]);
        EXPECT_STATUS(add_and_map("opencl", &linear), CLATTN_OK, &report);
        ck_assert_msg(linear == CLATTN_OK || (groups[k] < 64 && strstr(report.text, "work-groups of 64")), "%s: %.400s",
                      clattn_status_name(linear), report.text);
        EXPECT_STATUS(add_and_map(NULL, &linear), CLATTN_OK, &report);
        EXPECT_STATUS(linear, CLATTN_OK, &report);
    }
    faults_reset();
    faults.kernel_group = 16; /* the device allows more than its kernels do */
    answer(0, CL_DEVICE_TYPE, &gpu, sizeof gpu);
    attend_everywhere("small work-groups of kernels");
    clattn_status linear;
    EXPECT_STATUS(add_and_map("opencl", &linear), CLATTN_OK, &report);
    faults_reset();
    answer(0, CL_DEVICE_LOCAL_MEM_SIZE, &local, sizeof local);
    attend_everywhere("little local memory");
    faults_reset();
}
END_TEST

/* ---- host memory: largest buffers, joined ranges */

static void expect_region(const float *first, const float *end) {
    for (int k = 0; k < faults.region_count; k++) {
        if (faults.regions[k].begin <= (const unsigned char *)first && faults.regions[k].end >= (const unsigned char *)end) {
            return;
        }
    }
    ck_abort_msg("no buffer holds all of a tensor");
}

START_TEST(test_joined_ranges) {
    float *memory = aligned_alloc(64, sizeof packed + 64);
    compute_expected();
    memcpy(memory, packed, sizeof packed);
    faults_reset();
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = small_problem();
    const clattn_plan_options on = suite_on("opencl-fused", CLATTN_ANY_DEVICE);
    clattn_plan *plan;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &on, &plan, &report), CLATTN_OK, &report);
    for (int order = 0; order < 3; order++) { /* which of the three begins first */
        clattn_tensors t = packed_tensors(memory);
        clattn_tensor *const parts[] = { &t.query, &t.key, &t.value };
        for (int k = 0; k < 3; k++) {
            parts[k]->offset = (k + order) % 3 * HEADS * DIM;
        }
        faults_reset();
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
        for (int k = 0; k < 3 && faults.region_count > 0; k++) {
            const float *first = memory + parts[k]->offset;
            expect_region(first, first + (KEYS - 1) * WIDE + HEADS * DIM);
        }
        if (order == 0) {
            expect_right("packed");
        }
    }
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
    free(memory);
}
END_TEST

enum { GAPPED = DIM + 4 };

/* The output's rows from memory with gaps, which nobody may have touched. */
static void close_gaps(const float *gapped) {
    for (int n = 0; n < HEADS * KEYS * GAPPED; n++) {
        if (n % GAPPED < DIM) {
            output[n / GAPPED * DIM + n % GAPPED] = gapped[n];
        } else {
            ck_assert_msg(gapped[n] == 77, "the gap behind row %d of the output is written", n / GAPPED);
        }
    }
}

/* Rows further apart than the device's largest buffer allows in place, at a cache line and beside one. */
START_TEST(test_wide_tensors) {
    static const cl_ulong most = 14080; /* bytes: a tensor of small steps has 13952, three side by side 14208 */
    enum { STEP = 512 }; /* of 19 rows: 38 KB */
    float *memory = aligned_alloc(64, (KEYS * STEP + 64) * sizeof(float));
    static float gapped[HEADS * KEYS * GAPPED + 16];
    compute_expected();
    for (int wide = 0; wide < 2; wide++) {
        for (int shift = 0; shift < 2; shift++) {
            faults_reset();
            answer(0, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &most, sizeof most);
            clattn_runtime *runtime = suite_runtime(NULL);
            clattn_problem p = small_problem();
    const clattn_plan_options on = suite_on("opencl-fused", CLATTN_ANY_DEVICE);
            const int64_t step = wide ? STEP : 2 * WIDE; /* each range fits; joined they do not */
            clattn_tensors t = packed_tensors(memory + shift);
            clattn_tensor *const parts[] = { &t.query, &t.key, &t.value };
            for (int k = 0; k < 3; k++) {
                parts[k]->length_stride = step, parts[k]->batch_stride = KEYS * step;
                for (int i = 0; i < KEYS; i++) {
                    memcpy(memory + shift + parts[k]->offset + i * step, packed + i * WIDE + k * HEADS * DIM,
                           HEADS * DIM * sizeof(float));
                }
            }
            for (int n = 0; n < HEADS * KEYS * GAPPED + 16; n++) {
                gapped[n] = 77;
            }
            t.output = (clattn_tensor){ gapped + shift, 0, CLATTN_STRIDED, HEADS * KEYS * GAPPED, KEYS * GAPPED, GAPPED };
            EXPECT_STATUS(clattn_attention(runtime, &p, &on, &t, &report), CLATTN_OK, &report);
            close_gaps(gapped + shift);
            expect_right(wide ? "wide" : "joined");
            clattn_runtime_destroy(runtime);
        }
    }
    free(memory);
    faults_reset();
}
END_TEST

/* ---- programs that do not build */

START_TEST(test_no_programs) {
    faults_reset();
    faults.no_programs = true;
    answer(0, CL_DEVICE_TYPE, &gpu, sizeof gpu); /* the first choice */
    compute_expected();
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_problem p = small_problem();
    const clattn_plan_options on = suite_on(NULL, CLATTN_ANY_DEVICE);
    clattn_plan *plan;
    clattn_plan_info info;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &on, &plan, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, "cpu");
    ck_assert_ptr_nonnull(strstr(report.text, "does not build on"));
    ck_assert_msg(strstr(report.text, "this_is_no_program"), "the compiler's log is not reported: %.400s", report.text);
    clattn_plan_destroy(plan);
    EXPECT_STATUS(attend(runtime, "opencl-fused"), CLATTN_BUILD_FAILED, NULL);
    ck_assert_ptr_nonnull(strstr(report.text, "this_is_no_program"));
    clattn_additive_problem a = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_additive_plan *additive;
    clattn_operation_info chosen;
    a.query_length = ROWS, a.key_length = KEYS, a.hidden = a.value_dim = DIM;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &a, &options, &additive, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_additive_plan_get_info(additive, &chosen), CLATTN_OK, NULL);
    ck_assert_str_eq(chosen.engine, "cpu");
    ck_assert_ptr_nonnull(strstr(report.text, "opencl on device 1: a device program did not build"));
    clattn_additive_plan_destroy(additive);
    options.engine = "opencl";
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &a, &options, &additive, &report), CLATTN_BUILD_FAILED, NULL);
    clattn_runtime_destroy(runtime);
    faults_reset();
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_silent_devices, test_impossible_devices, test_small_devices, test_joined_ranges,
                                   test_wide_tensors,   test_no_programs };
    return suite_has_opencl() ? suite_run(SUITE_OF("opencl_limits", tests, 0), SUITE_NO_FORK) : suite_without_device();
}
#else
int main(void) {
    return SUITE_SKIPPED; /* a build without OpenCL */
}
#endif
