/*
 * Every OpenCL call of the library made to fail, one at a time, on every engine and every shape of kernel. Each time: a clean
 * status with a reason, nothing leaked, nothing under way any more when the call returns, and the same plan serves the next
 * call; where the failing call only asks something, the right numbers all the same. With the word `all` every call of the
 * life of a runtime fails in turn; without it some of each function do. To cover more: a story.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "clattn/clattn_additive.h"
#include "clattn/clattn_inspect.h"
#include "clattn/clattn_linear.h"
#include "faults/opencl_faults.h"
#include "faults/opencl_stories.h"

#ifdef CLATTN_HAVE_OPENCL

static struct {
    float query[4 * OUTPUT], key[4 * HEADS * KEYS * DIM], value[4 * HEADS * KEYS * DIM], output[4 * OUTPUT];
    float given[4 * OUTPUT], forward[4 * OUTPUT]; /* of backward: grad_output, output */
    float grad_key[4 * HEADS * KEYS * DIM], grad_value[4 * HEADS * KEYS * DIM], grad_bias[ROWS * KEYS];
    float logsumexp[HEADS * ROWS], bias[ROWS * KEYS], weights[HEADS * ROWS * KEYS];
    uint8_t mask[ROWS * KEYS];
    int32_t lengths[1];
} host;

static float expected[4 * OUTPUT];
static clattn_report report;
static bool plan_told, everything; /* the last plan made has something to report; the word `all` */

/* What is made for one story, in this order. */
static struct {
    const story *story;
    clattn_runtime *runtime;
    void *plan;
    opencl_side side;
    cl_mem memory[16];
    int memory_count;
    clattn_tensors tensors;
} stage;

static void draw(clattn_type type) {
    for (int n = 0; n < 4 * HEADS * KEYS * DIM; n++) {
        attn_store_float(type, host.key, n, (float)(n % 17) / 16 - 0.5F);
        attn_store_float(type, host.value, n, (float)(n % 13) / 8 - 0.7F);
        attn_store_float(type, host.query, n % (4 * OUTPUT), (float)(n % 19) / 12 - 0.6F);
        attn_store_float(type, host.given, n % (4 * OUTPUT), (float)(n % 11) / 8 - 0.6F);
        attn_store_float(type, host.forward, n % (4 * OUTPUT), (float)(n % 7) / 8 - 0.4F);
    }
}

static void begin_faults(const story *s, int function, int nth) {
    static const cl_device_type gpu = CL_DEVICE_TYPE_GPU;
    faults_reset();
    faults.function = function;
    faults.nth = nth;
    if (s->gpu) {
        faults.answers[0] = (faults_answer){ CL_DEVICE_TYPE, &gpu, sizeof gpu };
    }
}

static void *place(void *data, size_t bytes) {
    if (!stage.story->enqueue) {
        return data;
    }
    cl_mem memory = opencl_buffer(&stage.side, data, bytes, 0, 0);
    stage.memory[stage.memory_count++] = memory;
    return memory;
}

static void set_tensors(const story *s) {
    clattn_tensors *t = &stage.tensors;
    *t = (clattn_tensors)CLATTN_TENSORS_INIT;
    t->query.data = place(host.query, sizeof host.query), t->key.data = place(host.key, sizeof host.key);
    t->value.data = place(host.value, sizeof host.value), t->output.data = place(host.output, sizeof host.output);
    t->report = &report;
    if (s->backward) {
        t->grad_query = t->output, t->output.data = place(host.forward, sizeof host.forward);
        t->grad_output.data = place(host.given, sizeof host.given);
        t->grad_key.data = place(host.grad_key, sizeof host.grad_key);
        t->grad_value.data = place(host.grad_value, sizeof host.grad_value);
        t->grad_bias.data = place(host.grad_bias, sizeof host.grad_bias);
    }
    if (s->rich) {
        clattn_tensor *const strided[] = { &t->key, &t->value }; /* rows with gaps between them */
        for (int k = 0; k < 2; k++) {
            strided[k]->layout = CLATTN_STRIDED, strided[k]->length_stride = DIM + 4;
            strided[k]->head_stride = strided[k]->batch_stride = KEYS * (DIM + 4);
        }
        t->query.offset = 1; /* not at a cache line */
        t->mask.data = place(host.mask, sizeof host.mask), t->bias.data = place(host.bias, sizeof host.bias);
        t->logsumexp.data = place(host.logsumexp, sizeof host.logsumexp);
        t->key_lengths = (clattn_integers){ place(host.lengths, sizeof host.lengths), 0, CLATTN_INT32 };
    }
}

static clattn_status make_attention(const story *s, int64_t device) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    const clattn_block_override blocks = { .body = s->body };
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    options.blocks = &blocks;
    p.query_heads = HEADS, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM;
    options.engine = s->engine, p.type = s->type, options.device = device;
    p.memory = s->enqueue ? CLATTN_MEMORY_OPENCL : CLATTN_MEMORY_HOST;
    if (s->rich) {
        p.causal = p.logsumexp = p.key_lengths = true;
        p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
        p.mask = CLATTN_MASK_BYTES, p.bias = CLATTN_BIAS_FP32;
        p.mask_shape[0] = p.mask_shape[1] = p.bias_shape[0] = p.bias_shape[1] = 1;
    }
    if (s->backward) {
        p.direction = CLATTN_BACKWARD, p.dropout = 0.25;
        p.gradients |= CLATTN_GRADIENT_BIAS;
    }
    clattn_plan *plan = NULL;
    clattn_status status = clattn_plan_create(stage.runtime, &p, &options, &plan, &report);
    stage.plan = plan;
    return status;
}

static clattn_status make_plan(const story *s, int64_t device) {
    clattn_status status = CLATTN_OK;
    if (s->kind == ATTENTION) {
        return make_attention(s, device);
    }
    if (s->kind == ADDITIVE) {
        clattn_additive_problem p = CLATTN_ADDITIVE_PROBLEM_INIT;
        clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
        clattn_additive_plan *plan = NULL;
        p.query_length = ROWS, p.key_length = KEYS, p.hidden = p.value_dim = DIM;
        options.engine = s->engine, p.weights = p.logsumexp = p.key_lengths = true, p.mask = CLATTN_MASK_BYTES;
        status = clattn_additive_plan_create(stage.runtime, &p, &options, &plan, &report);
        stage.plan = plan;
        return status;
    }
    clattn_linear_problem p = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_plan *plan = NULL;
    p.rows = ROWS, p.in_dim = p.out_dim = DIM, options.engine = s->engine;
    status = clattn_linear_plan_create(stage.runtime, &p, &options, &plan, &report);
    stage.plan = plan;
    return status;
}

static clattn_status open_stage(const story *s) {
    int64_t device = CLATTN_ANY_DEVICE;
    report.length = 0, report.text[0] = '\0';
    memset(&stage, 0, sizeof stage);
    stage.story = s;
    clattn_status status = clattn_runtime_create(NULL, &stage.runtime);
    if (status == CLATTN_OK && s->enqueue) {
        const int nth = faults.nth;
        faults.nth = 0; /* the caller's own calls do not fail */
        stage.side = opencl_open(true);
        faults.nth = nth;
        status = clattn_runtime_adopt_opencl(stage.runtime, stage.side.context, stage.side.device, &device);
        if (status != CLATTN_OK) {
            EXPECT_STATUS(clattn_runtime_get_left_out(stage.runtime, &report), CLATTN_OK, NULL);
        }
    }
    if (status == CLATTN_OK) {
        status = make_plan(s, device);
        plan_told = report.length > 0;
        ck_assert_msg(status == CLATTN_OK || report.length > 0, "%s: a plan refused without a reason: %s", s->name,
                      clattn_status_name(status));
    }
    return status;
}

static void close_stage(void) {
    const story *s = stage.story;
    faults.nth = 0;
    if (s->kind == ATTENTION) {
        clattn_plan_destroy(stage.plan);
    } else if (s->kind == ADDITIVE) {
        clattn_additive_plan_destroy(stage.plan);
    } else {
        clattn_linear_plan_destroy(stage.plan);
    }
    while (stage.memory_count > 0) {
        EXPECT_CL(clReleaseMemObject(stage.memory[--stage.memory_count]));
    }
    clattn_runtime_destroy(stage.runtime);
    if (stage.side.context) {
        opencl_close(&stage.side);
    }
    faults_forget();
}

/* One call; of an enqueued one the event is waited for and must cover everything that was submitted. */
static clattn_status run(void) {
    const story *s = stage.story;
    if (s->kind == LINEAR) {
        clattn_linear_tensors t = CLATTN_LINEAR_TENSORS_INIT;
        t.input = host.query, t.w = host.key, t.b = host.bias, t.output = host.output, t.report = &report;
        return clattn_linear_execute(stage.plan, &t);
    }
    if (s->kind == ADDITIVE) {
        clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
        t.query = host.query, t.key = host.key, t.v = host.bias, t.value = host.value, t.output = host.output;
        t.mask = host.mask, t.logsumexp = host.logsumexp, t.weights = host.weights, t.report = &report;
        t.key_lengths = (clattn_integers){ host.lengths, 0, CLATTN_INT32 };
        return clattn_additive_execute(stage.plan, &t);
    }
    if (!s->enqueue) {
        return clattn_execute(stage.plan, &stage.tensors);
    }
    cl_event event = (cl_event)(uintptr_t)1;
    clattn_status status = clattn_enqueue(stage.plan, stage.side.queue, &stage.tensors, 0, NULL, &event);
    ck_assert_msg((status == CLATTN_OK) == (event != NULL), "%s: %s and %s event", s->name, clattn_status_name(status),
                  event ? "an" : "no");
    const int failed = faults.failed, nth = faults.nth;
    faults.nth = 0;
    if (status == CLATTN_OK) {
        EXPECT_CL(clWaitForEvents(1, &event));
        ck_assert_msg(faults_under_way() == 0, "%s: the event came before the end of the call", s->name);
        EXPECT_CL(clReleaseEvent(event));
        cl_mem result = s->backward ? stage.tensors.grad_query.data : stage.tensors.output.data;
        EXPECT_CL(clEnqueueReadBuffer(stage.side.queue, result, CL_TRUE, 0, sizeof host.output, host.output, 0, NULL,
                                      NULL));
    }
    faults.nth = nth, faults.failed = failed;
    return status;
}

static int output_count(const story *s) {
    return s->kind == ATTENTION ? OUTPUT : ROWS * DIM;
}

static void compare(const story *s, const char *what) {
    const float bound = s->type == CLATTN_FP32 ? 1e-5F : 2e-3F; /* perhaps other block sizes, but the same numbers */
    for (int n = 0; n < output_count(s); n++) {
        const float got = attn_load_float(s->type, host.output, n);
        ck_assert_msg(fabsf(got - expected[n]) <= bound, "%s, %s: output %d is %g, not %g", s->name, what, n, (double)got,
                      (double)expected[n]);
    }
}

static void expect_clean(const story *s, clattn_status status, const char *name, int nth) {
    ck_assert_msg(status != CLATTN_INTERNAL && status != CLATTN_INVALID_ARGUMENT && status != CLATTN_INVALID_PROBLEM,
                  "%s, call %d (%s) fails: %s: %s", s->name, nth, name, clattn_status_name(status), report.text);
    ck_assert_msg(status == CLATTN_OK || report.length > 0, "%s, call %d (%s) fails without a reason: %s", s->name, nth, name,
                  clattn_status_name(status));
    ck_assert_msg(faults_under_way() == 0, "%s, call %d (%s) fails: commands run on after the return", s->name, nth, name);
}

static void remember_expected(const story *s) {
    for (int n = 0; n < output_count(s); n++) {
        expected[n] = attn_load_float(s->type, host.output, n);
    }
    ck_assert_msg(faults_under_way() == 0, "%s: commands run on after the return", s->name);
}

/* A plan is made in peace; then every call of an execution fails in turn, and each time the next execution is right. */
static void fail_executions(const story *s) {
    draw(s->type);
    begin_faults(s, -1, 0);
    EXPECT_STATUS(open_stage(s), CLATTN_OK, &report);
    set_tensors(s);
    EXPECT_STATUS(run(), CLATTN_OK, &report);
    remember_expected(s);
    const int live = faults.live;
    int failures = 0;
    for (int nth = 1;; nth++) {
        begin_faults(s, -1, nth);
        faults.slow = faults.late = true;
        report.length = 0, report.text[0] = '\0';
        clattn_status status = run();
        const int failed = faults.failed;
        if (failed < 0) { /* there are fewer calls than that */
            EXPECT_STATUS(status, CLATTN_OK, &report);
            break;
        }
        failures++;
        expect_clean(s, status, faults_name(failed), nth);
        ck_assert_msg(status != CLATTN_OK || faults_who_is_told(failed) == FAULTS_NOBODY,
                      "%s, call %d (%s) fails and nobody is told", s->name, nth, faults_name(failed));
        faults_forget();
        begin_faults(s, -1, 0);
        EXPECT_STATUS(run(), CLATTN_OK, &report);
        compare(s, faults_name(failed));
        faults_forget();
        const int more = faults.live - live; /* an enqueued call leaves its event with the slot */
        ck_assert_msg(more == 0, "%s, call %d (%s) fails: %d objects leak", s->name, nth, faults_name(failed), more);
    }
    ck_assert_msg(failures >= 5, "%s: the calls are not wrapped: %d failed", s->name, failures);
    close_stage();
    ck_assert_int_eq(faults.live, 0);
}

/* The whole life: runtime, plan, call, and the end of all. */
static clattn_status live_with(const story *s, int function, int nth) {
    begin_faults(s, function, nth);
    clattn_status status = open_stage(s);
    if (status == CLATTN_OK) {
        memset(host.output, 0xff, sizeof host.output);
        const int wanted = faults.nth;
        faults.nth = 0; /* the caller's own calls do not fail */
        set_tensors(s);
        faults.nth = wanted;
        status = run();
    }
    expect_clean(s, status, faults_name(faults.failed), nth);
    const int failed = faults.failed, count = faults.count;
    close_stage();
    ck_assert_msg(faults.live == 0, "%s, call %d (%s) fails: %d objects leak", s->name, nth, faults_name(failed), faults.live);
    faults.failed = failed, faults.count = count;
    return status;
}

static void fail_once(const story *s, int function, int nth) {
    clattn_status status = live_with(s, function, nth);
    const int failed = faults.failed;
    if (failed >= 0 && status == CLATTN_OK) {
        const faults_told told = faults_who_is_told(failed);
        ck_assert_msg(told == FAULTS_NOBODY || (told == FAULTS_REPORT && plan_told),
                      "%s: call %d (%s) fails and nobody is told", s->name, nth, faults_name(failed));
        compare(s, faults_name(failed));
    }
}

static void fail_lives(const story *s) {
    int calls[FAULTS_MOST_FUNCTIONS];
    draw(s->type);
    EXPECT_STATUS(live_with(s, -1, 0), CLATTN_OK, &report);
    const int all = faults.count;
    memcpy(calls, faults.calls, sizeof calls);
    remember_expected(s);
    for (int nth = 1; everything && nth <= all; nth++) {
        fail_once(s, -1, nth);
    }
    for (int function = 0; !everything && function < faults_function_count(); function++) {
        const int step = calls[function] > 4 ? calls[function] / 4 : 1; /* of many calls some, the first among them */
        for (int nth = 1; nth <= calls[function]; nth += step) {
            fail_once(s, function, nth);
        }
    }
    EXPECT_STATUS(live_with(s, -1, 0), CLATTN_OK, &report); /* and all is well again */
}

static bool is_here(const story *s) {
#ifdef CLATTN_HAVE_CLBLAST
    (void)s;
    return true;
#else
    return s->kind != LINEAR && strcmp(s->engine, "opencl-unfused") != 0;
#endif
}

START_TEST(test_executions) {
    for (int k = 0; k < STORIES; k++) {
        if (is_here(&stories[k])) {
            fail_executions(&stories[k]);
        }
    }
}
END_TEST

START_TEST(test_lives) {
    for (int k = 0; k < (everything ? STORIES : 5); k++) {
        if (is_here(&stories[k])) {
            fail_lives(&stories[k]);
        }
    }
}
END_TEST

int main(int argc, char **argv) {
    const TTest *const tests[] = { test_executions, test_lives };
    everything = argc > 1 && strcmp(argv[1], "all") == 0;
    memset(host.mask, 1, sizeof host.mask);
    host.lengths[0] = KEYS - 2;
    return suite_has_opencl() ? suite_run(SUITE_OF("opencl_failures", tests, 0), SUITE_NO_FORK) : suite_without_device();
}
#else
int main(void) {
    return SUITE_SKIPPED; /* a build without OpenCL */
}
#endif
