/*
 * The caller's floating-point environment: every call has the bits of the default one whatever is set, in the calling
 * thread and in threads that began under it, and leaves what is set and the exception flags as they were.
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifdef CLATTN_HAVE_LAYERS
#include "clattn/clattn_layers.h"
#endif
#include "support/guest_work.h"
#include "support/suite.h"

static unsigned char expected[GUEST_BYTES], got[GUEST_BYTES];

/** What a test compares: the environment as registers. */
typedef struct registers {
    unsigned sse;
    unsigned short control, status;
    int rounding, flags;
} registers;

static registers read_registers(void) {
    registers r = { .rounding = fegetround(), .flags = fetestexcept(FE_ALL_EXCEPT) };
#ifdef __SSE2__
    r.sse = _mm_getcsr();
    __asm__ volatile("fnstcw %0\n\tfnstsw %1" : "=m"(r.control), "=m"(r.status));
    r.status &= 0x7f;
#endif
    return r;
}

static void up(void) {
    fesetround(FE_UPWARD);
}

static void down(void) {
    fesetround(FE_DOWNWARD);
    feraiseexcept(FE_DIVBYZERO);
}

static void toward_zero(void) {
    fesetround(FE_TOWARDZERO);
}

static void flushing(void) {
#ifdef __SSE2__
    _mm_setcsr(_mm_getcsr() | 0x8040u); /* denormal results and inputs are 0 */
#endif
}

static void trapping(void) {
#ifdef __GLIBC__
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT);
#endif
}

static void short_x87(void) { /* of 24 bits, as Direct3D once set it */
#ifdef __SSE2__
    unsigned short control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    control &= (unsigned short)~0x300u;
    __asm__ volatile("fldcw %0" : : "m"(control));
#endif
}

static const struct {
    const char *name;
    void (*set)(void);
} environments[] = { { "upward", up },         { "downward", down },     { "toward zero", toward_zero },
                     { "flushing", flushing }, { "trapping", trapping }, { "a short x87", short_x87 } };
enum { ENVIRONMENTS = sizeof environments / sizeof *environments };

static void expect_same(const registers *before, const char *environment, const char *name) {
    registers after = read_registers();
    ck_assert_msg(
        memcmp(before, &after, sizeof after) == 0,
        "%s, %s: the caller finds another environment: mxcsr %x, was %x; x87 %x %x, was %x %x; flags %x, were %x", name,
        environment, after.sse, before->sse, (unsigned)after.control, (unsigned)after.status, (unsigned)before->control,
        (unsigned)before->status, (unsigned)after.flags, (unsigned)before->flags);
}

/* The plan is made under it, too: its scale is computed. */
static void check(const guest_work *work, clattn_runtime *runtime, int environment, const char *where) {
    memset(got, 0, sizeof got);
    environments[environment].set();
    registers before = read_registers();
    clattn_status status = work->run(runtime, got);
    registers after = read_registers();
    fesetenv(FE_DFL_ENV);
    EXPECT_STATUS(status, CLATTN_OK, NULL);
    ck_assert_msg(memcmp(&before, &after, sizeof after) == 0,
                  "%s, %s: the caller finds another environment: mxcsr %x, was %x; x87 %x %x, was %x %x", work->name,
                  environments[environment].name, after.sse, before.sse, (unsigned)after.control,
                  (unsigned)after.status, (unsigned)before.control, (unsigned)before.status);
    ck_assert_msg(memcmp(got, expected, sizeof got) == 0, "%s, %s%s: other bits", work->name,
                  environments[environment].name, where);
}

/* The inputs are the caller's to make: clattn_set_element() has a test of its own. */
static void check_all(const guest_work *works, int count) {
    clattn_runtime *calm = guest_runtime(3);
    for (int k = 0; k < count; k++) {
        guest_run(&works[k], calm, expected);
        for (int e = 0; e < ENVIRONMENTS; e++) {
            check(&works[k], calm, e, "");
            environments[e].set();
            clattn_runtime *born = guest_runtime(3); /* its threads begin under it, in the call */
            check(&works[k], born, e, ", threads begun under it");
            clattn_runtime_destroy(born);
        }
    }
    clattn_runtime_destroy(calm);
}

START_TEST(test_engines) {
    check_all(guest_works, guest_work_count);
}
END_TEST

START_TEST(test_elements) {
    static const double numbers[] = { 0.1, -0.1, 1e-40, 3.0e38 + 1e30, 1.0 / 3, -7e-46, 65519.9 };
    enum { COUNT = sizeof numbers / sizeof *numbers };
    for (int type = CLATTN_FP32; type <= CLATTN_FP64; type++) {
        unsigned char calm[COUNT * 8] = { 0 }, set[COUNT * 8] = { 0 };
        double read[COUNT];
        for (int n = 0; n < COUNT; n++) {
            clattn_set_element((clattn_type)type, calm, n, numbers[n]);
            read[n] = clattn_get_element((clattn_type)type, calm, n);
        }
        for (int e = 0; e < ENVIRONMENTS; e++) {
            double under[COUNT];
            environments[e].set();
            registers before = read_registers();
            for (int n = 0; n < COUNT; n++) {
                clattn_set_element((clattn_type)type, set, n, numbers[n]);
                under[n] = clattn_get_element((clattn_type)type, calm, n);
            }
            registers after = read_registers();
            fesetenv(FE_DFL_ENV);
            ck_assert_msg(memcmp(calm, set, sizeof set) == 0, "%s, written %s", clattn_type_name((clattn_type)type),
                          environments[e].name);
            ck_assert_msg(memcmp(read, under, sizeof under) == 0, "%s, read %s", clattn_type_name((clattn_type)type),
                          environments[e].name);
            ck_assert_int_eq(memcmp(&before, &after, sizeof after), 0);
        }
    }
}
END_TEST

/* An exception flag that was clear stays clear, and one that was set stays set. */
START_TEST(test_flags) {
    clattn_runtime *runtime = guest_runtime(2);
    for (int k = 0; k < guest_work_count; k++) {
        guest_run(&guest_works[k], runtime, got); /* fills the inputs */
        feclearexcept(FE_ALL_EXCEPT);
        registers before = read_registers();
        EXPECT_STATUS(guest_works[k].run(runtime, got), CLATTN_OK, NULL);
        expect_same(&before, "no flags", guest_works[k].name);
        feraiseexcept(FE_OVERFLOW);
        before = read_registers();
        EXPECT_STATUS(guest_works[k].run(runtime, got), CLATTN_OK, NULL);
        expect_same(&before, "overflow", guest_works[k].name);
    }
    feclearexcept(FE_ALL_EXCEPT);
    clattn_runtime_destroy(runtime);
}
END_TEST

#ifdef CLATTN_HAVE_LAYERS
enum { ROWS = 5, DIM = 48 };

static float numbers[ROWS * DIM];

static clattn_status norm(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_layer_norm(NULL, ROWS, DIM, 1e-5, NULL, NULL, numbers, (float *)(void *)out);
}

static clattn_status gelu(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_gelu(NULL, ROWS * DIM, numbers, (float *)(void *)out);
}

static clattn_status softmax(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_softmax(NULL, ROWS, DIM, numbers, (float *)(void *)out);
}

static clattn_status positions(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_positional_encoding(3, ROWS, DIM, 10000, false, (float *)(void *)out);
}

static clattn_status he(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_fill(CLATTN_FILL_HE, 5, ROWS, DIM, (float *)(void *)out);
}

static clattn_status xavier(clattn_runtime *runtime, unsigned char *out) {
    (void)runtime;
    return clattn_fill(CLATTN_FILL_XAVIER, 5, ROWS, DIM, (float *)(void *)out);
}

static clattn_status product(clattn_runtime *runtime, const char *engine, float *out) {
    clattn_linear_problem problem = CLATTN_LINEAR_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_linear_tensors tensors = CLATTN_LINEAR_TENSORS_INIT;
    clattn_linear_plan *plan = NULL;
    problem.rows = ROWS, problem.in_dim = DIM / 2, problem.out_dim = 9, options.engine = engine;
    tensors.input = numbers, tensors.w = numbers, tensors.b = numbers, tensors.output = out;
    clattn_status status = clattn_linear_plan_create(runtime, &problem, &options, &plan, NULL);
    status = status == CLATTN_OK ? clattn_linear_execute(plan, &tensors) : status;
    clattn_linear_plan_destroy(plan);
    return status;
}

static clattn_status linear_reference(clattn_runtime *runtime, unsigned char *out) {
    return product(runtime, "reference", (float *)(void *)out);
}

static clattn_status linear_cpu(clattn_runtime *runtime, unsigned char *out) {
    return product(runtime, "cpu", (float *)(void *)out);
}

static clattn_status layer(clattn_runtime *runtime, unsigned char *out) { /* without matrices; adds the input */
    clattn_attention_layer_options options = clattn_simplified_self_attention(ROWS, DIM);
    clattn_attention_layer_io io = CLATTN_ATTENTION_LAYER_IO_INIT;
    clattn_attention_layer *made = NULL;
    static float scores[ROWS * ROWS], weights[ROWS * ROWS];
    options.residual = true;
    options.plan.engine = "cpu";
    io.input = numbers, io.output = (float *)(void *)out, io.scores = scores, io.attention.weights.data = weights;
    clattn_status status = clattn_attention_layer_create(runtime, &options, &made, NULL);
    status = status == CLATTN_OK ? clattn_attention_layer_forward(made, NULL, &io) : status;
    clattn_attention_layer_destroy(made);
    return status;
}

static clattn_status glimpse(clattn_runtime *runtime, unsigned char *out) {
    clattn_glimpse_options options = CLATTN_GLIMPSE_OPTIONS_INIT;
    clattn_glimpse_io io = CLATTN_GLIMPSE_IO_INIT;
    clattn_glimpse *made = NULL;
    const clattn_glimpse_weights weights = { numbers, numbers + 1, numbers + 2, numbers + 3 };
    options.rows = 2, options.context_dim = 4, options.input_dim = 6, options.output_dim = 5;
    options.softmax = true;
    options.plan.engine = "reference";
    io.context = numbers, io.input = numbers + 7, io.output = (float *)(void *)out;
    clattn_status status = clattn_glimpse_create(runtime, &options, &made, NULL);
    status = status == CLATTN_OK ? clattn_glimpse_forward(made, &weights, &io) : status;
    clattn_glimpse_destroy(made);
    return status;
}

static clattn_status words(clattn_runtime *runtime, unsigned char *out) {
    clattn_word_vectors *vectors = NULL;
    clattn_status status = clattn_word_vectors_read(runtime, CLATTN_TEST_BINARY_DIR "/environment.txt", &vectors, NULL);
    if (status == CLATTN_OK) {
        memcpy(out, clattn_word_vectors_table(vectors), 6 * sizeof(float));
    }
    clattn_word_vectors_destroy(vectors);
    return status;
}

START_TEST(test_layers) {
    static const guest_work works[] = { { "layer norm", norm, false },
                                        { "GELU", gelu, false },
                                        { "softmax", softmax, false },
                                        { "positions", positions, false },
                                        { "He", he, false },
                                        { "Xavier", xavier, false },
                                        { "linear, reference", linear_reference, false },
                                        { "linear, cpu", linear_cpu, false },
                                        { "a layer", layer, false },
                                        { "glimpse", glimpse, false },
                                        { "word vectors", words, false } };
    FILE *text = fopen(CLATTN_TEST_BINARY_DIR "/environment.txt", "wb");
    ck_assert_ptr_nonnull(text);
    ck_assert_int_ge(fputs("one 0.1 0.7 -0.3\ntwo 1e-41 3.3 -0.7\n", text), 0);
    ck_assert_int_eq(fclose(text), 0);
    for (int n = 0; n < ROWS * DIM; n++) {
        numbers[n] = n % 9 == 2 ? 1e-40f * (float)n : sinf((float)n);
    }
    check_all(works, sizeof works / sizeof *works);
}
END_TEST
#endif

int main(void) {
    const TTest *const tests[] = {
        test_engines,
        test_elements,
        test_flags,
#ifdef CLATTN_HAVE_LAYERS
        test_layers,
#endif
    };
    guest_begin();
    return suite_run(SUITE_OF("environment", tests, 120), SUITE_FORK);
}
