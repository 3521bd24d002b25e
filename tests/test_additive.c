/*
 * Additive attention on every engine: PyTorch's numbers, the reference on awkward sizes, tanh, what may not be read.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_additive.h"
#include "cpu/cpu_features.h"
#include "engines/additive/additive_cpu.h"
#include "support/additive_case.h"
#include "support/layers_golden.h"
#include "support/suite.h"

/* Bound 1 of docs/numerics.md in this operation's terms: 16 roundings of |v|, those of the sums, the maximum's and the
 * score's. */
static void compare(const additive_case *gold, const additive_case *c, const char *engine) {
    const clattn_additive_problem *p = &c->problem;
    double size = 0, u = 0x1p-24;
    for (int64_t h = 0; h < p->hidden; h++) {
        size += fabs((double)c->tensors.v[h]);
    }
    double relative = u * (16 + (double)p->key_length / 128 + 8 * size + 16 * size);
    for (int64_t row = 0; row < c->rows; row++) {
        float expected = gold->tensors.logsumexp[row], got = c->tensors.logsumexp[row];
        ck_assert_msg(expected == got || fabs((double)expected - (double)got) <= relative,
                      "%s: logsumexp of row %" PRId64 ": %g, not %g", engine, row, (double)got, (double)expected);
        double allowed = 0;
        const float *value = c->tensors.value + row / p->query_length * p->key_length * p->value_dim;
        for (int64_t j = 0; j < p->key_length; j++) {
            double w = (double)gold->tensors.weights[row * p->key_length + j];
            double error = fabs((double)c->tensors.weights[row * p->key_length + j] - w);
            ck_assert_msg(error <= relative * w + 0x1p-126, "%s: weight %" PRId64 " of row %" PRId64 " is off by %g", engine,
                          j, row, error);
            for (int64_t d = 0; w > 0 && d < p->value_dim; d++) {
                allowed = fmax(allowed, fabs((double)value[j * p->value_dim + d]));
            }
        }
        for (int64_t d = 0; d < p->value_dim; d++) {
            int64_t at = row * p->value_dim + d;
            double error = fabs((double)c->tensors.output[at] - (double)gold->tensors.output[at]);
            ck_assert_msg(error <= 2 * relative * allowed, "%s: output %" PRId64 " of row %" PRId64 " is off by %g", engine,
                          d, row, error);
        }
    }
}

#if CLATTN_HAVE_LAYERS
static void mask_case(additive_case *c, uint8_t *mask, const int32_t *query_lengths, const int64_t *key_lengths) {
    float *drawn = additive_draw(65, c->weights, 1);
    for (int64_t k = 0; k < c->weights; k++) {
        mask[k] = (drawn[k] + 1) / 2 < 0.6f;
    }
    free(drawn);
    memset(mask + (5 + 2) * 70, 0, 70);
    c->problem.mask = CLATTN_MASK_BYTES;
    c->problem.query_lengths = c->problem.key_lengths = true;
    c->tensors.mask = mask;
    c->tensors.query_lengths = (clattn_integers){ query_lengths, 0, CLATTN_INT32 };
    c->tensors.key_lengths = (clattn_integers){ key_lengths, 0, CLATTN_INT64 };
}

START_TEST(numbers_of_pytorch) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        if (!additive_is_here(runtime, e)) {
            continue;
        }
        additive_case c = additive_make(3, 5, 70, 19, 37);
        additive_run(runtime, &c, additive_engines[e]);
        layers_compare("additive_output", additive_engines[e], c.tensors.output, c.outputs);
        layers_compare("additive_weights", additive_engines[e], c.tensors.weights, c.weights);
        layers_compare("additive_logsumexp", additive_engines[e], c.tensors.logsumexp, c.rows);
        uint8_t mask[3 * 5 * 70];
        static const int32_t query_lengths[] = { 5, 4, 5 };
        static const int64_t key_lengths[] = { 70, 33, 0 };
        mask_case(&c, mask, query_lengths, key_lengths);
        for (int64_t k = 33 * 19; k < 70 * 19; k++) { /* beyond the used keys: never read */
            c.memory[1][70 * 19 + k] = NAN;
        }
        for (int64_t k = 33 * 37; k < 70 * 37; k++) {
            c.memory[3][70 * 37 + k] = INFINITY;
        }
        additive_run(runtime, &c, additive_engines[e]);
        layers_compare("additive_masked_output", additive_engines[e], c.tensors.output, c.outputs);
        layers_compare("additive_masked_weights", additive_engines[e], c.tensors.weights, c.weights);
        layers_compare("additive_masked_logsumexp", additive_engines[e], c.tensors.logsumexp, c.rows);
        additive_free(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST
#endif

START_TEST(awkward_sizes_match_the_reference) {
    static const int64_t sizes[][5] = { { 1, 1, 1, 1, 1 },     { 1, 1, 513, 33, 65 }, { 2, 3, 31, 16, 64 },
                                        { 1, 4, 64, 17, 15 },  { 3, 9, 129, 64, 3 },  { 1, 2, 4097, 7, 16 },
                                        { 1, 1, 70000, 5, 4 }, { 2, 5, 255, 100, 80 } };
    clattn_runtime *runtime = suite_runtime(NULL);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int64_t *s = sizes[k];
        additive_case gold = additive_make(s[0], s[1], s[2], s[3], s[4]);
        additive_run(runtime, &gold, "reference");
        for (int e = 1; e < ADDITIVE_ENGINES; e++) {
            if (additive_is_here(runtime, e)) {
                additive_case c = additive_make(s[0], s[1], s[2], s[3], s[4]);
                additive_run(runtime, &c, additive_engines[e]);
                compare(&gold, &c, additive_engines[e]);
                additive_free(&c);
            }
        }
        additive_free(&gold);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The kernels of every instruction set that this processor has, not only the best one's. */
START_TEST(every_instruction_set) {
    const attn_additive_kernel *const kernels[] = { attn_additive_kernel_generic(), attn_additive_kernel_avx2(),
                                                    attn_additive_kernel_avx512() };
    clattn_runtime *runtime = suite_runtime(NULL);
    additive_case gold = additive_make(2, 6, 77, 41, 39);
    additive_run(runtime, &gold, "reference");
    for (int isa = 0; isa <= (int)attn_cpu_best_isa(); isa++) {
        if (!kernels[isa]) {
            continue;
        }
        additive_case c = additive_make(2, 6, 77, 41, 39);
        attn_additive_call call = {
            .query_length = 6, .key_length = 77, .query = c.tensors.query, .key = c.tensors.key
        };
        call.v = c.tensors.v, call.value = c.tensors.value;
        call.output = c.tensors.output, call.weights = c.tensors.weights, call.logsumexp = c.tensors.logsumexp;
        attn_additive_job job = {
            .problem = &c.problem, .call = &call, .blocks = 2, .hidden_pitch = 48, .score_pitch = 80
        };
        float *scratch = additive_guarded(5 * 48 + 4 * 80);
        for (int64_t item = 0; item < 4; item++) {
            kernels[isa]->item(&job, item, scratch);
        }
        ck_assert_msg(isnan(scratch[5 * 48 + 4 * 80]), "%s: written beyond the scratch", kernels[isa]->name);
        compare(&gold, &c, kernels[isa]->name);
        free(scratch);
        additive_free(&c);
    }
    additive_free(&gold);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* tanh itself, over all its range: one hidden unit, v = 1, one key at 0: logsumexp is the score. */
START_TEST(tanh_is_as_exact_as_told) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 1; e < ADDITIVE_ENGINES; e++) {
        if (!additive_is_here(runtime, e)) {
            continue;
        }
        additive_case c = additive_make(1, 20000, 1, 1, 1);
        c.memory[2][0] = 1;
        c.memory[1][0] = 0;
        for (int64_t i = 0; i < c.rows; i++) {
            c.memory[0][i] = ((float)i - 10000) / 800 * ((float)i - 10000) / 10000 * (i < 10000 ? -1.0f : 1.0f);
        }
        additive_run(runtime, &c, additive_engines[e]);
        for (int64_t i = 0; i < c.rows; i++) {
            double exact = tanh((double)c.memory[0][i]), got = (double)c.tensors.logsumexp[i];
            ck_assert_msg(fabs(got - exact) <= 5e-7, "%s: tanh(%.9g) is %.9g, not %.9g", additive_engines[e],
                          (double)c.memory[0][i], got, exact);
        }
        additive_free(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* What is masked may hold anything; a NaN that is attended to reaches its row and no other. */
START_TEST(masked_values_and_nan) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        if (!additive_is_here(runtime, e)) {
            continue;
        }
        additive_case c = additive_make(1, 5, 40, 8, 20);
        uint8_t mask[5 * 40];
        memset(mask, 1, sizeof mask);
        for (int64_t i = 0; i < 5; i++) {
            mask[i * 40 + 7] = i == 3; /* key 7 is row 3's alone */
            mask[i * 40 + 9] = 0;
        }
        c.problem.mask = CLATTN_MASK_BYTES;
        c.tensors.mask = mask;
        c.memory[1][9 * 8] = NAN;
        c.memory[3][7 * 20] = c.memory[3][9 * 20] = NAN;
        additive_run(runtime, &c, additive_engines[e]);
        for (int64_t k = 0; k < c.outputs; k++) {
            ck_assert_msg(!isnan(c.tensors.output[k]) == (k != 3 * 20), "%s: output %" PRId64, additive_engines[e],
                          k);
        }
        c.memory[0][8] = NAN; /* of row 1's query */
        additive_run(runtime, &c, additive_engines[e]);
        ck_assert(isnan(c.tensors.output[20]) && isnan(c.tensors.logsumexp[1]) && !isnan(c.tensors.output[0]));
        additive_free(&c);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
#if CLATTN_HAVE_LAYERS
        numbers_of_pytorch,
#endif
        awkward_sizes_match_the_reference,
        every_instruction_set,
        tanh_is_as_exact_as_told,
        masked_values_and_nan,
    };
    return suite_run(SUITE_OF("additive", tests, 120), SUITE_NO_FORK);
}
