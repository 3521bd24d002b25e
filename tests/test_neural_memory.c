/*
 * Neural memory forward: known answers, the definition in double (support/memory_case.c) on every engine, laws, states
 * that go in and out, reading alone. The derivative and what is refused have suites of their own.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_memory.h"
#include "support/layers_golden.h"
#include "support/memory_case.h"
#include "support/suite.h"

static clattn_report report;

static clattn_neural_memory_options options_of(int64_t length, int64_t chunk, int64_t key_dim, int64_t value_dim) {
    clattn_neural_memory_options o = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    o.length = length, o.chunk = chunk, o.key_dim = key_dim, o.value_dim = value_dim;
    return o;
}

static clattn_neural_memory *made(clattn_runtime *runtime, const clattn_neural_memory_options *options) {
    clattn_neural_memory *memory = NULL;
    EXPECT_STATUS(clattn_neural_memory_create(runtime, options, &memory, &report), CLATTN_OK, &report);
    return memory;
}

static void forward(clattn_neural_memory *memory, const clattn_neural_memory_io *io) {
    EXPECT_STATUS(clattn_neural_memory_forward(memory, io), CLATTN_OK, io->report);
}

/* Four tokens of dim 1 that are all 1: M after each, which is also what each reads. */
START_TEST(known_answers) {
    static const struct {
        int64_t chunk;
        float m[4], s;
    } known[] = { { 1, { 0.5f, 0.95f, 1.13f, 1.0895f }, 0.0725f },
                  { 2, { 0.5f, 1.2f, 1.355f, 1.257f }, 0.0375f },
                  { 4, { 0.5f, 1.2f, 1.955f, 2.697f }, 0.9375f } };
    static const float one[4] = { 1, 1, 1, 1 };
    static const float alpha[4] = { 0.1f, 0.1f, 0.1f, 0.1f }, theta[4] = { 0.25f, 0.25f, 0.25f, 0.25f };
    static const float eta[4] = { 0.5f, 0.5f, 0.5f, 0.5f };
    clattn_runtime *runtime = suite_runtime(NULL);
    for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
        for (int n = 0; n < 6; n++) {
            clattn_neural_memory_options o = options_of(4, known[n % 3].chunk, 1, CLATTN_SAME);
            o.plan.engine = *engine, o.read_before = n >= 3;
            clattn_neural_memory *memory = NULL;
            if (clattn_neural_memory_create(runtime, &o, &memory, &report) == CLATTN_UNSUPPORTED) {
                break;
            }
            float output[4], state[2];
            clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
            io.key = io.value = io.query = one, io.alpha = alpha, io.theta = theta, io.eta = eta;
            io.output = output, io.state_out = state, io.report = &report;
            ck_assert_int_eq(clattn_neural_memory_get_state_size(memory), 2);
            forward(memory, &io);
            for (int t = 0; t < 4; t++) {
                float expected = n < 3 ? known[n].m[t] : t > 0 ? known[n - 3].m[t - 1] : 0;
                ck_assert_float_eq_tol(output[t], expected, 1e-6f);
            }
            ck_assert_float_eq_tol(state[0], known[n % 3].m[3], 1e-6f);
            ck_assert_float_eq_tol(state[1], known[n % 3].s, 1e-6f);
            clattn_neural_memory_destroy(memory);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void compare(const char *what, const char *engine, const float *got, const double *expected, int64_t count) {
    double most = 0;
    for (int64_t k = 0; k < count; k++) {
        most = fmax(most, fabs(expected[k]));
    }
    for (int64_t k = 0; k < count; k++) {
        ck_assert_msg(fabs((double)got[k] - expected[k]) <= 1e-5 * most, "%s on %s, element %d: %.9g, not %.9g", what,
                      engine, (int)k, (double)got[k], expected[k]);
    }
}

/* Shapes in which every dim is another, chunks end early, and one token is left. */
static const clattn_neural_memory_options shapes[] = {
#define SHAPE(batch, heads, length, chunk, key, value, depth, bend, hidden, before)                                    \
    {                                                                                                                  \
        sizeof(clattn_neural_memory_options), batch, heads, length, chunk, key, value, depth, bend, hidden, before,    \
            CLATTN_PLAN_OPTIONS_INIT                                                                                   \
    }
    SHAPE(1, 1, 12, 1, 5, 3, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
    SHAPE(2, 3, 29, 7, 5, 9, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
    SHAPE(2, 2, 21, 10, 33, 17, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
    SHAPE(1, 1, 9, 64, 4, 6, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
    SHAPE(1, 1, 130, 64, 64, 64, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
    SHAPE(2, 1, 7, 1, 6, 5, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, 11, false),
    SHAPE(1, 2, 17, 8, 6, 5, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_GELU, 11, false),
    SHAPE(2, 2, 16, 5, 7, 4, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
    SHAPE(1, 1, 70, 32, 20, 20, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(definition) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 700 + 10 * (uint64_t)n);
        memory_truth truth = memory_truth_of(c);
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            clattn_neural_memory_options o = shapes[n];
            clattn_neural_memory *memory = NULL;
            o.plan.engine = *engine;
            if (clattn_neural_memory_create(runtime, &o, &memory, &report) == CLATTN_UNSUPPORTED) {
                continue;
            }
            ck_assert_int_eq(clattn_neural_memory_get_state_size(memory), c->state_size);
            ck_assert_int_eq(clattn_neural_memory_get_kept(memory), c->all_kept);
            const clattn_neural_memory_io io = memory_case_io(c);
            forward(memory, &io);
            compare("output", *engine, c->output, truth.output, c->values);
            compare("state", *engine, c->state_out, truth.state_out, c->states);
            clattn_neural_memory_destroy(memory);
        }
        memory_truth_release(&truth);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* One call, and two that meet at a bound of chunks: the same bits. The state may lie where it lay before. */
START_TEST(split_at_chunks) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 800 + 10 * (uint64_t)n);
        const clattn_neural_memory_options *o = &c->options;
        if (o->batch != 1 || o->length <= o->chunk) {
            memory_case_destroy(c);
            continue;
        }
        clattn_neural_memory *memory = made(runtime, &shapes[n]);
        clattn_neural_memory_io io = memory_case_io(c);
        forward(memory, &io);
        float *output = malloc((size_t)c->values * sizeof(float)), *state = malloc((size_t)c->states * sizeof(float));
        memcpy(state, c->state_in, (size_t)c->states * sizeof(float));
        io.kept = NULL, io.state_in = io.state_out = state;
        for (int64_t first = 0; first < o->length; first += io.length) {
            clattn_neural_memory_io part = io;
            int64_t row = first * o->heads;
            part.length = io.length = first == 0 ? o->chunk : o->length - o->chunk;
            part.key += row * o->key_dim, part.query += row * o->key_dim, part.value += row * o->value_dim;
            part.alpha += row, part.theta += row, part.eta += row;
            part.output = output + row * o->value_dim;
            forward(memory, &part);
        }
        ck_assert_mem_eq(output, c->output, (size_t)c->values * sizeof(float));
        ck_assert_mem_eq(state, c->state_out, (size_t)c->states * sizeof(float));
        free(output);
        free(state);
        clattn_neural_memory_destroy(memory);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

static void fill(float *x, int64_t count, float with) {
    for (int64_t k = 0; k < count; k++) {
        x[k] = with;
    }
}

/* theta = 0 learns nothing: the momentum dies out or stays 0, and the memory only decays. */
START_TEST(no_step_learns_nothing) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 900 + 10 * (uint64_t)n);
        int64_t size = c->state_size / 2;
        fill(c->theta, c->gates, 0), fill(c->alpha, c->gates, 0);
        for (int64_t k = 0; k < c->states; k++) {
            c->state_in[k] = k / size % 2 == 1 ? 0 : c->state_in[k];
        }
        clattn_neural_memory *memory = made(runtime, &shapes[n]);
        const clattn_neural_memory_io io = memory_case_io(c);
        forward(memory, &io);
        for (int64_t k = 0; k < c->states; k++) {
            ck_assert_float_eq(c->state_out[k], c->state_in[k]);
        }
        clattn_neural_memory_destroy(memory);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* alpha = 1 at a token forgets all that was: after it M = S, and without momentum nothing of the state is left. */
START_TEST(alpha_one_forgets) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 1000 + 10 * (uint64_t)n);
        int64_t size = c->state_size / 2;
        fill(c->alpha + c->gates - c->options.heads, c->options.heads, 1); /* the last token of the last entry */
        clattn_neural_memory *memory = made(runtime, &shapes[n]);
        const clattn_neural_memory_io io = memory_case_io(c);
        forward(memory, &io);
        const float *last = c->state_out + c->states - c->state_size;
        double most = 0, apart = 0;
        for (int64_t k = 0; k < size; k++) {
            most = fmax(most, fabs((double)last[size + k]));
            apart = fmax(apart, fabs((double)last[k] - (double)last[size + k]));
        }
        ck_assert_msg(most > 1e-3 && apart <= 1e-5 * most, "shape %d: M - S is %g of %g", n, apart, most);
        fill(c->alpha, c->gates, 1), fill(c->eta, c->gates, 0), fill(c->theta, c->gates, 0);
        forward(memory, &io);
        for (int64_t k = 0; k < c->states; k++) {
            ck_assert_float_eq(c->state_out[k], 0);
        }
        clattn_neural_memory_destroy(memory);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* eta = alpha = 0, theta = 1/2 and a key of length 1: the value is known after one token. */
START_TEST(one_step_is_exact) {
    static const float key[2] = { 0.6f, 0.8f }, value[3] = { 3, -1, 0.5f }, zero = 0, half = 0.5f;
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_neural_memory_options o = options_of(1, 1, 2, 3);
    clattn_neural_memory *memory = made(runtime, &o);
    float output[3];
    clattn_neural_memory_io io = CLATTN_NEURAL_MEMORY_IO_INIT;
    io.key = io.query = key, io.value = value, io.alpha = io.eta = &zero, io.theta = &half, io.output = output;
    forward(memory, &io);
    for (int k = 0; k < 3; k++) {
        ck_assert_float_eq_tol(output[k], value[k], 1e-6f);
    }
    clattn_neural_memory_destroy(memory);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Reading alone gives what a token reads that learns nothing, for more rows than the length. */
START_TEST(reads) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 1100 + 10 * (uint64_t)n);
        clattn_neural_memory_options o = shapes[n];
        o.length = 0;
        fill(c->theta, c->gates, 0), fill(c->alpha, c->gates, 0);
        for (int64_t k = 0, size = c->state_size / 2; k < c->states; k++) {
            c->state_in[k] = k / size % 2 == 1 ? 0 : c->state_in[k];
        }
        memory_truth truth = memory_truth_of(c);
        clattn_neural_memory *memory = made(runtime, &o);
        EXPECT_STATUS(clattn_neural_memory_read(memory, c->options.length, c->state_in, c->query, c->output, &report),
                      CLATTN_OK, &report);
        compare("read", "cpu", c->output, truth.output, c->values);
        memory_truth_release(&truth);
        clattn_neural_memory_destroy(memory);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Calls that leave something out: no query, no state, no tokens. */
START_TEST(parts) {
    clattn_runtime *runtime = suite_runtime(NULL);
    memory_case *c = memory_case_create(&shapes[1], 1200);
    clattn_neural_memory *memory = made(runtime, &shapes[1]);
    clattn_neural_memory_io io = memory_case_io(c);
    forward(memory, &io);
    float *state = malloc((size_t)c->states * sizeof(float)), *output = malloc((size_t)c->values * sizeof(float));
    size_t bytes = (size_t)c->states * sizeof(float);
    memcpy(state, c->state_out, bytes);
    io.query = NULL, io.output = NULL, io.kept = NULL;
    forward(memory, &io);
    ck_assert_mem_eq(state, c->state_out, bytes);
    ck_assert_mem_eq(c->kept, c->state_in, (size_t)c->state_size * sizeof(float)); /* where the first chunk begins */
    io = memory_case_io(c);
    fill(c->state_in, c->states, 0);
    forward(memory, &io);
    memcpy(state, c->state_out, bytes), memcpy(output, c->output, (size_t)c->values * sizeof(float));
    io.state_in = NULL;
    forward(memory, &io);
    ck_assert_mem_eq(state, c->state_out, bytes);
    ck_assert_mem_eq(output, c->output, (size_t)c->values * sizeof(float));
    io.state_in = state, io.length = 0;
    fill(c->state_out, c->states, 7);
    forward(memory, &io);
    ck_assert_mem_eq(state, c->state_out, bytes);
    free(state);
    free(output);
    clattn_neural_memory_destroy(memory);
    memory_case_destroy(c);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* What is not finite in one head of one entry leaves the others as they were. */
START_TEST(nan_stays_in_its_head) {
    clattn_runtime *runtime = suite_runtime(NULL);
    memory_case *c = memory_case_create(&shapes[1], 1300);
    clattn_neural_memory *memory = made(runtime, &shapes[1]);
    clattn_neural_memory_io io = memory_case_io(c);
    forward(memory, &io);
    float *state = malloc((size_t)c->states * sizeof(float)), *output = malloc((size_t)c->values * sizeof(float));
    memcpy(state, c->state_out, (size_t)c->states * sizeof(float));
    memcpy(output, c->output, (size_t)c->values * sizeof(float));
    int64_t heads = c->options.heads, dim = c->options.value_dim;
    c->key[(4 * heads + 1) * c->options.key_dim] = NAN; /* entry 0, token 4, head 1 */
    forward(memory, &io);
    for (int64_t n = 0; n < 2 * heads; n++) {
        float *one = c->state_out + n * c->state_size;
        bool same = memcmp(one, state + n * c->state_size, (size_t)c->state_size * sizeof(float)) == 0;
        ck_assert_int_eq(same, n != 1);
    }
    for (int64_t k = 0; k < c->values; k++) {
        ck_assert(k / dim % heads == 1 || c->output[k] == output[k]);
    }
    free(state);
    free(output);
    clattn_neural_memory_destroy(memory);
    memory_case_destroy(c);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A call full of NaN leaves nothing behind for the next one, which is shorter than a chunk. */
START_TEST(calls_leave_nothing) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        memory_case *c = memory_case_create(&shapes[n], 1350 + 10 * (uint64_t)n);
        clattn_neural_memory_options o = shapes[n];
        o.chunk = o.length;
        clattn_neural_memory *memory = made(runtime, &o), *fresh = made(runtime, &o);
        clattn_neural_memory_io io = memory_case_io(c), first = io;
        float *bad = malloc((size_t)(c->keys + c->values) * sizeof(float)),
              *state = malloc((size_t)c->states * sizeof(float));
        fill(bad, c->keys + c->values, NAN);
        first.key = first.value = first.query = bad, first.kept = io.kept = NULL;
        io.length = o.length / 2;
        forward(fresh, &io);
        memcpy(state, c->state_out, (size_t)c->states * sizeof(float));
        forward(memory, &first);
        ck_assert(isnan(c->state_out[0]));
        forward(memory, &io);
        ck_assert_mem_eq(state, c->state_out, (size_t)c->states * sizeof(float));
        free(bad);
        free(state);
        clattn_neural_memory_destroy(memory);
        clattn_neural_memory_destroy(fresh);
        memory_case_destroy(c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(begins) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_neural_memory_options o = shapes[6];
    o.batch = 2;
    clattn_neural_memory *memory = made(runtime, &o);
    int64_t size = clattn_neural_memory_get_state_size(memory), half = size / 2;
    float *state = malloc((size_t)(4 * size) * sizeof(float));
    EXPECT_STATUS(clattn_neural_memory_start(memory, 5, state), CLATTN_OK, NULL);
    for (int64_t k = 0; k < 4 * half; k++) {
        float m = state[k / half * size + k % half], s = state[k / half * size + half + k % half];
        ck_assert(m != 0 && s == 0);
    }
    ck_assert_mem_eq(state, state + 2 * size,
                     (size_t)(2 * size) * sizeof(float)); /* entries begin alike, heads do not */
    ck_assert(memcmp(state, state + size, (size_t)half * sizeof(float)) != 0);
    free(state);
    clattn_neural_memory_destroy(memory);
    ck_assert_int_eq(clattn_neural_memory_get_state_size(NULL), 0);
    ck_assert_int_eq(clattn_neural_memory_get_kept(NULL), 0);
    clattn_neural_memory_destroy(NULL);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        known_answers,     definition, split_at_chunks,       parts,  no_step_learns_nothing, alpha_one_forgets,
        one_step_is_exact, reads,      nan_stays_in_its_head, begins, calls_leave_nothing
    };
    return suite_run(SUITE_OF("neural_memory", tests, 120), SUITE_NO_FORK);
}
