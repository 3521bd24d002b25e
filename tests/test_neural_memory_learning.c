/*
 * The derivative of neural memory: NumPy's numbers (tests/golden/make_memory_golden.py); central differences in double
 * of the definition (support/memory_case.c), whose own steps are not differentiated anywhere; sequences in two calls;
 * gradients left out; what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_memory.h"
#include "support/layers_golden.h"
#include "support/memory_case.h"
#include "support/suite.h"

static clattn_report report;

/* A case with the arrays that backward writes, and the numbers that make a loss of output and state. */
typedef struct learner {
    memory_case *c;
    clattn_neural_memory *memory;
    clattn_neural_memory_gradients g;
    float *with_output, *with_state;
} learner;

static float *room(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x + 1);
    for (int64_t k = 0; k < count; k++) {
        x[k] = NAN;
    }
    return x;
}

static bool begin(learner *l, clattn_runtime *runtime, const clattn_neural_memory_options *options, const char *engine,
                  uint64_t seed) {
    clattn_neural_memory_options o = *options;
    *l = (learner){ .g = CLATTN_NEURAL_MEMORY_GRADIENTS_INIT };
    o.plan.engine = engine;
    if (clattn_neural_memory_create(runtime, &o, &l->memory, &report) == CLATTN_UNSUPPORTED) {
        return false;
    }
    EXPECT_STATUS(clattn_neural_memory_learn(l->memory, &report), CLATTN_OK, &report);
    memory_case *c = l->c = memory_case_create(options, seed);
    l->with_output = layers_draw(seed + 7, c->values, 1), l->with_state = layers_draw(seed + 8, c->states, 1);
    l->g.grad_output = l->with_output, l->g.grad_state_out = l->with_state;
    l->g.grad_key = room(c->keys), l->g.grad_query = room(c->keys), l->g.grad_value = room(c->values);
    l->g.grad_alpha = room(c->gates), l->g.grad_theta = room(c->gates), l->g.grad_eta = room(c->gates);
    l->g.grad_state_in = room(c->states);
    const clattn_neural_memory_io io = memory_case_io(c);
    EXPECT_STATUS(clattn_neural_memory_forward(l->memory, &io), CLATTN_OK, &report);
    return true;
}

static void backward(learner *l) {
    clattn_neural_memory_io io = memory_case_io(l->c);
    io.report = &report;
    EXPECT_STATUS(clattn_neural_memory_backward(l->memory, &io, &l->g), CLATTN_OK, &report);
}

static void end(learner *l) {
    float *const arrays[] = { l->with_output,  l->with_state,   l->g.grad_key, l->g.grad_query,   l->g.grad_value,
                              l->g.grad_alpha, l->g.grad_theta, l->g.grad_eta, l->g.grad_state_in };
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
        free(arrays[k]);
    }
    memory_case_destroy(l->c);
    clattn_neural_memory_destroy(l->memory);
}

static double loss(const learner *l, const float *array, int64_t k, double step) {
    const memory_nudge nudge = { array, k, step };
    memory_truth truth = memory_truth_nudged(l->c, &nudge);
    double sum = 0;
    for (int64_t n = 0; l->g.grad_output && n < l->c->values; n++) {
        sum += truth.output[n] * (double)l->g.grad_output[n];
    }
    for (int64_t n = 0; l->g.grad_state_out && n < l->c->states; n++) {
        sum += truth.state_out[n] * (double)l->g.grad_state_out[n];
    }
    memory_truth_release(&truth);
    return sum;
}

/* For up to 40 of the array's `count` numbers from `first` on, spread over them. */
static void check_part(const learner *l, const char *name, const char *engine, const float *array,
                       const float *gradient, int64_t first, int64_t count) {
    const double step = 1e-5;
    double most = 0;
    for (int64_t k = first; k < first + count; k++) {
        most = fmax(most, fabs((double)gradient[k]));
    }
    for (int64_t k = first; k < first + count; k += 1 + count / 40) {
        double slope = (loss(l, array, k, step) - loss(l, array, k, -step)) / (2 * step);
        ck_assert_msg(fabs((double)gradient[k] - slope) <= 2e-5 * most + 1e-7,
                      "%s on %s, element %d: gradient %.9g, differences say %.9g", name, engine, (int)k,
                      (double)gradient[k], slope);
    }
}

static void check(const learner *l, const char *name, const char *engine, const float *array, const float *gradient,
                  int64_t count) {
    check_part(l, name, engine, array, gradient, 0, count);
}

static void check_all(const learner *l, const char *engine) {
    const memory_case *c = l->c;
    check(l, "key", engine, c->key, l->g.grad_key, c->keys);
    check(l, "value", engine, c->value, l->g.grad_value, c->values);
    check(l, "query", engine, c->query, l->g.grad_query, c->keys);
    check(l, "alpha", engine, c->alpha, l->g.grad_alpha, c->gates);
    check(l, "theta", engine, c->theta, l->g.grad_theta, c->gates);
    check(l, "eta", engine, c->eta, l->g.grad_eta, c->gates);
    check(l, "state_in", engine, c->state_in, l->g.grad_state_in, c->states);
}

static const clattn_neural_memory_options shapes[] = {
#define SHAPE(batch, heads, length, chunk, key, value, depth, bend, hidden, before)                                    \
    {                                                                                                                  \
        sizeof(clattn_neural_memory_options), batch, heads, length, chunk, key, value, depth, bend, hidden, before,    \
            CLATTN_PLAN_OPTIONS_INIT                                                                                   \
    }
    SHAPE(1, 1, 7, 1, 5, 3, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
    SHAPE(1, 1, 6, 1, 4, 4, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
    SHAPE(2, 3, 22, 7, 5, 9, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false),
    SHAPE(1, 2, 21, 10, 13, 6, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
    SHAPE(1, 1, 5, 1, 4, 3, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, 6, false),
    SHAPE(2, 2, 13, 6, 5, 3, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_GELU, 7, false),
    SHAPE(1, 2, 11, 4, 3, 6, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, CLATTN_SAME, true),
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(differences) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner l;
            if (begin(&l, runtime, &shapes[n], *engine, 1500 + 10 * (uint64_t)n)) {
                backward(&l);
                check_all(&l, *engine);
                end(&l);
            }
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Output, state and every gradient by NumPy and complex steps. */
START_TEST(goldens) {
    static const struct {
        const char *name;
        uint64_t seed;
        clattn_neural_memory_options options;
    } all[] = {
        { "token", 3100, SHAPE(1, 1, 7, 1, 5, 3, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false) },
        { "chunk", 3120, SHAPE(1, 1, 13, 5, 4, 6, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, false) },
        { "before", 3140, SHAPE(1, 1, 11, 4, 6, 3, CLATTN_MEMORY_LINEAR, CLATTN_MEMORY_SILU, CLATTN_SAME, true) },
        { "layers", 3160, SHAPE(1, 1, 11, 4, 4, 3, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, 6, false) },
        { "layers_token", 3180, SHAPE(1, 1, 5, 1, 3, 4, CLATTN_MEMORY_TWO_LAYERS, CLATTN_MEMORY_SILU, 5, true) },
    };
    clattn_runtime *runtime = suite_runtime(NULL);
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner l;
            if (!begin(&l, runtime, &all[n].options, *engine, all[n].seed)) {
                continue;
            }
            backward(&l);
            const memory_case *c = l.c;
            const struct {
                const char *name;
                const float *got;
                int64_t count;
            } arrays[] = { { "output", c->output, c->values },
                           { "state_out", c->state_out, c->states },
                           { "key", l.g.grad_key, c->keys },
                           { "value", l.g.grad_value, c->values },
                           { "query", l.g.grad_query, c->keys },
                           { "alpha", l.g.grad_alpha, c->gates },
                           { "theta", l.g.grad_theta, c->gates },
                           { "eta", l.g.grad_eta, c->gates },
                           { "state_in", l.g.grad_state_in, c->states } };
            for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) {
                char name[64];
                (void)snprintf(name, sizeof name, "memory_%s_%s", all[n].name, arrays[k].name);
                layers_compare(name, *engine, arrays[k].got, arrays[k].count);
            }
            end(&l);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* At alpha = 1, eta = 0 and theta = 0 the factors are 0 and their slopes are not. */
START_TEST(gates_at_their_ends) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        learner l;
        ck_assert(begin(&l, runtime, &shapes[n], "cpu", 1600 + 10 * (uint64_t)n));
        for (int64_t k = 0; k < l.c->gates; k++) {
            l.c->alpha[k] = k % 3 == 0 ? 1 : l.c->alpha[k];
            l.c->theta[k] = k % 4 == 0 ? 0 : l.c->theta[k];
            l.c->eta[k] = k % 5 == 0 ? 0 : l.c->eta[k];
        }
        const clattn_neural_memory_io io = memory_case_io(l.c);
        EXPECT_STATUS(clattn_neural_memory_forward(l.memory, &io), CLATTN_OK, &report);
        backward(&l);
        check_all(&l, "cpu, gates at their ends");
        end(&l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A loss of the output alone, and of the state alone; then the gradient of queries is 0. */
START_TEST(halves_of_a_loss) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        learner l;
        ck_assert(begin(&l, runtime, &shapes[n], "cpu", 1700 + 10 * (uint64_t)n));
        l.g.grad_state_out = NULL;
        backward(&l);
        check_all(&l, "cpu, output");
        l.g.grad_state_out = l.with_state, l.g.grad_output = NULL;
        backward(&l);
        check_all(&l, "cpu, state");
        for (int64_t k = 0; k < l.c->keys; k++) {
            ck_assert_float_eq(l.g.grad_query[k], 0);
        }
        end(&l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Two calls that meet at a bound of chunks, from the last to the first, hand the state's gradient on in place. */
START_TEST(two_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        learner l;
        ck_assert(begin(&l, runtime, &shapes[n], "cpu", 1800 + 10 * (uint64_t)n));
        const clattn_neural_memory_options *o = &l.c->options;
        if (o->batch != 1 || o->heads != 1) {
            end(&l);
            continue;
        }
        backward(&l);
        float *state = l.with_state, *key = room(l.c->keys), *alpha = room(l.c->gates);
        for (int64_t first = o->chunk, length = o->length - o->chunk; first >= 0; length = first, first -= o->chunk) {
            clattn_neural_memory_io io = memory_case_io(l.c);
            clattn_neural_memory_gradients g = CLATTN_NEURAL_MEMORY_GRADIENTS_INIT;
            io.length = first == 0 ? o->chunk : length;
            io.key += first * o->key_dim, io.query += first * o->key_dim, io.value += first * o->value_dim;
            io.alpha += first, io.theta += first, io.eta += first;
            io.kept += first / o->chunk * l.c->state_size;
            g.grad_output = l.with_output + first * o->value_dim, g.grad_state_out = g.grad_state_in = state;
            g.grad_key = key + first * o->key_dim, g.grad_alpha = alpha + first;
            EXPECT_STATUS(clattn_neural_memory_backward(l.memory, &io, &g), CLATTN_OK, &report);
        }
        ck_assert_mem_eq(state, l.g.grad_state_in, (size_t)l.c->states * sizeof(float));
        ck_assert_mem_eq(key, l.g.grad_key, (size_t)l.c->keys * sizeof(float));
        ck_assert_mem_eq(alpha, l.g.grad_alpha, (size_t)l.c->gates * sizeof(float));
        free(key);
        free(alpha);
        end(&l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Reading alone is a call that learns nothing; its gradient of the state is added to what is there. */
START_TEST(reading) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        for (const char *const *engine = layers_engines(runtime); *engine; engine++) {
            learner l;
            if (!begin(&l, runtime, &shapes[n], *engine, 1750 + 10 * (uint64_t)n)) {
                continue;
            }
            memory_case *c = l.c;
            int64_t half = c->state_size / 2;
            memset(c->alpha, 0, (size_t)c->gates * sizeof(float)),
                memset(c->theta, 0, (size_t)c->gates * sizeof(float));
            for (int64_t k = 0; k < c->states; k++) {
                c->state_in[k] = k / half % 2 == 1 ? 0 : c->state_in[k];
                l.g.grad_state_in[k] = 3;
            }
            l.g.grad_state_out = NULL;
            EXPECT_STATUS(clattn_neural_memory_read_backward(l.memory, c->options.length, c->state_in, c->query,
                                                             l.g.grad_output, l.g.grad_query, l.g.grad_state_in,
                                                             &report),
                          CLATTN_OK, &report);
            for (int64_t k = 0; k < c->states; k++) {
                ck_assert(k / half % 2 == 0 || l.g.grad_state_in[k] == 3); /* the momenta are not read */
                l.g.grad_state_in[k] -= 3;
            }
            check(&l, "query", *engine, c->query, l.g.grad_query, c->keys);
            for (int64_t k = 0; k < c->states; k += c->state_size) {
                check_part(&l, "state", *engine, c->state_in, l.g.grad_state_in, k, half);
            }
            end(&l);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* A call full of NaN leaves nothing behind for the next one, which is shorter than a chunk. */
START_TEST(calls_leave_nothing) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int n = 0; n < SHAPES; n++) {
        learner l;
        clattn_neural_memory_options o = shapes[n];
        o.chunk = o.length;
        ck_assert(begin(&l, runtime, &o, "cpu", 1850 + 10 * (uint64_t)n));
        memory_case *c = l.c;
        clattn_neural_memory_io io = memory_case_io(c), bad = io;
        float *all = room(c->keys + c->values), *kept = room(c->states), *state = room(c->states);
        bad.key = bad.value = bad.query = all, bad.kept = kept;
        io.length = o.length / 2;
        EXPECT_STATUS(clattn_neural_memory_backward(l.memory, &io, &l.g), CLATTN_OK, &report);
        memcpy(state, l.g.grad_state_in, (size_t)c->states * sizeof(float));
        EXPECT_STATUS(clattn_neural_memory_backward(l.memory, &bad, &l.g), CLATTN_OK, &report);
        ck_assert(isnan(l.g.grad_state_in[0]));
        EXPECT_STATUS(clattn_neural_memory_backward(l.memory, &io, &l.g), CLATTN_OK, &report);
        ck_assert(isfinite(state[0]));
        ck_assert_mem_eq(state, l.g.grad_state_in, (size_t)c->states * sizeof(float));
        free(all);
        free(kept);
        free(state);
        end(&l);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(refuses) {
    clattn_runtime *runtime = suite_runtime(NULL);
    learner l;
    ck_assert(begin(&l, runtime, &shapes[2], "cpu", 1900));
    const memory_case *c = l.c;
#define WRONG(status, word, ...)                                                                                       \
    do {                                                                                                               \
        clattn_neural_memory_io io = memory_case_io(c);                                                                \
        clattn_neural_memory_gradients g = l.g;                                                                        \
        io.report = &report;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        clattn_status got = clattn_neural_memory_backward(l.memory, &io, &g);                                          \
        ck_assert_msg(got == status && strstr(report.text, word), "line %d: %s: %s", __LINE__,                         \
                      clattn_status_name(got), report.text);                                                           \
        ck_assert(isnan(l.g.grad_key[0]) && isnan(l.g.grad_state_in[0]) && isnan(l.g.grad_eta[0]));                    \
    } while (0)
    WRONG(CLATTN_INVALID_TENSORS, "kept: missing", io.kept = NULL);
    WRONG(CLATTN_INVALID_TENSORS, "query: missing", io.query = NULL);
    WRONG(CLATTN_INVALID_TENSORS, "key: missing", io.key = NULL);
    WRONG(CLATTN_INVALID_TENSORS, "value: missing", io.value = NULL);
    WRONG(CLATTN_INVALID_TENSORS, "theta: missing", io.theta = NULL);
    WRONG(CLATTN_INVALID_TENSORS, "length: 23", io.length = 23);
    WRONG(CLATTN_INVALID_TENSORS, "grad_key: overlaps grad_value", g.grad_value = g.grad_key + 1);
    WRONG(CLATTN_INVALID_TENSORS, "grad_state_in: overlaps grad_state_out", g.grad_state_out = g.grad_state_in + 1);
    WRONG(CLATTN_INVALID_TENSORS, "grad_alpha: overlaps kept", g.grad_alpha = c->kept);
    clattn_neural_memory *other = NULL;
    EXPECT_STATUS(clattn_neural_memory_create(runtime, &shapes[2], &other, &report), CLATTN_OK, &report);
    clattn_neural_memory *learns = l.memory;
    l.memory = other;
    WRONG(CLATTN_INVALID_ARGUMENT, "clattn_neural_memory_learn()", (void)g);
    EXPECT_STATUS(
        clattn_neural_memory_read_backward(other, 2, c->state_in, c->query, l.with_output, NULL, NULL, &report),
        CLATTN_INVALID_ARGUMENT, NULL);
    l.memory = learns;
#define WRONG_READ(status, word, ...)                                                                                  \
    do {                                                                                                               \
        clattn_status got = clattn_neural_memory_read_backward(l.memory, __VA_ARGS__, &report);                        \
        ck_assert_msg(got == status && strstr(report.text, word), "line %d: %s: %s", __LINE__,                         \
                      clattn_status_name(got), report.text);                                                           \
    } while (0)
    float *grad = l.g.grad_query;
    WRONG_READ(CLATTN_INVALID_ARGUMENT, "rows: NULL, -1", -1, c->state_in, c->query, l.with_output, grad, NULL);
    WRONG_READ(CLATTN_INVALID_TENSORS, "state: missing", 2, NULL, c->query, l.with_output, grad, NULL);
    WRONG_READ(CLATTN_INVALID_TENSORS, "query: missing", 2, c->state_in, NULL, l.with_output, grad, NULL);
    WRONG_READ(CLATTN_INVALID_TENSORS, "grad_output: missing", 2, c->state_in, c->query, NULL, grad, NULL);
    WRONG_READ(CLATTN_INVALID_TENSORS, "grad_query: overlaps grad_state", 2, c->state_in, c->query, l.with_output, grad,
               grad);
    clattn_neural_memory_destroy(other);
    EXPECT_STATUS(clattn_neural_memory_learn(NULL, &report), CLATTN_INVALID_ARGUMENT, NULL);
    end(&l);
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { goldens,          differences, gates_at_their_ends,
                                   halves_of_a_loss, two_calls,   calls_leave_nothing,
                                   reading,          refuses };
    return suite_run(SUITE_OF("neural_memory_learning", tests, 120), SUITE_NO_FORK);
}
