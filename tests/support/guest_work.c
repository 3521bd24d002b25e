/* The works of guest_work.h: one problem of attention in many ways, additive attention, merging. */
#define _POSIX_C_SOURCE 200809L
#include "support/guest_work.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clattn/clattn_additive.h"
#include "support/suite.h"

enum { HEADS = 3, ROWS = 48, KEYS = 200, DIM = 32, LONG_KEYS = 3000, MOST = HEADS * LONG_KEYS * DIM };

static double numbers[MOST];
static double query[MOST], key[MOST], value[MOST]; /* of any type: at most 8 bytes an element */

void guest_begin(void) {
    uint32_t seed = 7;
    for (int n = 0; n < MOST; n++) {
        seed = seed * 1664525u + 1013904223u;
        double x = (double)(seed >> 8) * 0x1p-23 - 1;
        numbers[n] = n % 11 == 5 ? x * 0x1p-128 : x; /* denormal in fp32 */
    }
}

static void fill(clattn_type type, double *memory, int shift, int64_t count) {
    for (int64_t n = 0; n < count; n++) {
        clattn_set_element(type, memory, n, numbers[(n + shift) % MOST]);
    }
}

static clattn_status attend_on(clattn_runtime *runtime, const char *engine, clattn_problem p, unsigned char *out) {
    const clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    clattn_tensors t = CLATTN_TENSORS_INIT;
    size_t outputs = (size_t)(p.query_heads * p.query_length * p.head_dim) * (size_t)clattn_type_size(p.type);
    fill(p.type, query, 1, p.query_heads * p.query_length * p.head_dim);
    fill(p.type, key, 22, p.query_heads * p.key_length * p.head_dim);
    fill(p.type, value, 333, p.query_heads * p.key_length * p.head_dim);
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = out;
    t.logsumexp.data = out + outputs;
    t.weights.data = out + outputs + (size_t)(p.query_heads * p.query_length) * sizeof(double);
    return clattn_attention(runtime, &p, &options, &t, NULL);
}

static clattn_status attend(clattn_runtime *runtime, clattn_problem p, unsigned char *out) {
    return attend_on(runtime, "cpu", p, out);
}

static clattn_problem problem_of(clattn_type type, int64_t rows, int64_t keys) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = type;
    p.query_heads = HEADS;
    p.query_length = rows;
    p.key_length = keys;
    p.head_dim = DIM;
    p.logsumexp = true;
    return p;
}

static clattn_status run_prefill(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_FP32, ROWS, KEYS), out);
}

static clattn_status run_small(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_FP32, 3, 5), out);
}

static clattn_status run_softcap(clattn_runtime *runtime, unsigned char *out) {
    clattn_problem p = problem_of(CLATTN_FP32, ROWS, KEYS);
    p.softcap = 3;
    return attend(runtime, p, out);
}

static clattn_status run_half(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_FP16, ROWS, KEYS), out);
}

static clattn_status run_bf16(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_BF16, ROWS, KEYS), out);
}

static clattn_status run_decode(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_FP32, 1, LONG_KEYS), out);
}

static clattn_status run_decode_bf16(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_BF16, 2, LONG_KEYS), out);
}

static clattn_status run_weights(clattn_runtime *runtime, unsigned char *out) {
    clattn_problem p = problem_of(CLATTN_FP32, ROWS / 2, KEYS);
    p.weights = CLATTN_WEIGHTS_SOFTMAX;
    return attend(runtime, p, out);
}

static clattn_status run_doubles(clattn_runtime *runtime, unsigned char *out) {
    return attend(runtime, problem_of(CLATTN_FP64, ROWS, KEYS), out);
}

static clattn_status run_careful(clattn_runtime *runtime, unsigned char *out) { /* rows in double */
    clattn_problem p = problem_of(CLATTN_FP32, ROWS, KEYS);
    p.has_scale = true;
    p.scale = 1e30;
    return attend(runtime, p, out);
}

static clattn_status run_reference(clattn_runtime *runtime, unsigned char *out) {
    clattn_problem p = problem_of(CLATTN_FP32, 8, 40);
    return attend_on(runtime, "reference", p, out);
}

static clattn_status run_reference_double(clattn_runtime *runtime, unsigned char *out) { /* in long double */
    clattn_problem p = problem_of(CLATTN_FP64, 8, 40);
    return attend_on(runtime, "reference", p, out);
}

static clattn_status add(clattn_runtime *runtime, const char *engine, int64_t rows, unsigned char *out) {
    clattn_additive_problem p = CLATTN_ADDITIVE_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_additive_tensors t = CLATTN_ADDITIVE_TENSORS_INIT;
    clattn_additive_plan *plan = NULL;
    p.query_length = rows;
    p.key_length = KEYS;
    p.hidden = p.value_dim = DIM;
    options.engine = engine;
    fill(CLATTN_FP32, query, 4, (rows + 1) * DIM);
    fill(CLATTN_FP32, key, 55, KEYS * DIM);
    fill(CLATTN_FP32, value, 666, KEYS * DIM);
    const float *q = (const float *)(const void *)query;
    t.query = q, t.v = q + rows * DIM;
    t.key = (const float *)(const void *)key, t.value = (const float *)(const void *)value;
    t.output = (float *)(void *)out;
    clattn_status status = clattn_additive_plan_create(runtime, &p, &options, &plan, NULL);
    if (status == CLATTN_OK) {
        status = clattn_additive_execute(plan, &t);
    }
    clattn_additive_plan_destroy(plan);
    return status;
}

static clattn_status run_additive(clattn_runtime *runtime, unsigned char *out) {
    return add(runtime, "cpu", ROWS, out);
}

static clattn_status run_additive_reference(clattn_runtime *runtime, unsigned char *out) {
    return add(runtime, "reference", 4, out);
}

static clattn_status run_merge(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    fill(CLATTN_FP32, key, 8, ROWS * (DIM + 1));
    fill(CLATTN_FP32, value, 99, ROWS * (DIM + 1));
    float *a = (float *)(void *)key, *b = (float *)(void *)value;
    const clattn_merge_part parts[2] = { { CLATTN_FP32, a, DIM, a + ROWS * DIM },
                                         { CLATTN_FP32, b, DIM, b + ROWS * DIM } };
    const clattn_merge_part result = { CLATTN_FP32, out, DIM, out + ROWS * DIM * sizeof(float) };
    return clattn_merge(parts, 2, ROWS, DIM, &result);
}

const guest_work guest_works[] = {
    { "prefill", run_prefill, true },
    { "a small call", run_small, false },
    { "softcap", run_softcap, true },
    { "fp16", run_half, true },
    { "bf16", run_bf16, true },
    { "decode", run_decode, true },
    { "decode, bf16", run_decode_bf16, true },
    { "weights", run_weights, true },
    { "fp64", run_doubles, true },
    { "careful rows", run_careful, true },
    { "reference", run_reference, true },
    { "reference, fp64", run_reference_double, true },
    { "additive", run_additive, true },
    { "additive, reference", run_additive_reference, false },
    { "merge", run_merge, false },
};
const int guest_work_count = sizeof guest_works / sizeof *guest_works;

void guest_run(const guest_work *work, clattn_runtime *runtime, unsigned char out[GUEST_BYTES]) {
    memset(out, 0, GUEST_BYTES);
    clattn_status status = work->run(runtime, out);
    if (status != CLATTN_OK) {
        ck_abort_msg("%s: %s", work->name, clattn_status_name(status));
    }
}

clattn_runtime *guest_runtime(int64_t threads) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.threads = threads;
    options.without_opencl = true;
    return suite_runtime(&options);
}

int guest_in_child(int (*body)(void *user), void *user) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        signal(SIGALRM, SIG_DFL); /* not Check's, which ends the parent too */
        alarm(30);
        _exit(body(user));
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
