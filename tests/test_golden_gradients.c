/*
 * Gradients of the reference and of the cpu engine against those of PyTorch's automatic differentiation in float64 (tests/golden/gradients, written
 * by make_backward_golden.py, which holds the same list of problems).
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/array.h"
#include "support/suite.h"

enum { FILES = 32 };

typedef struct golden_gradient {
    const char *name;
    bool causal, mask, bias, alibi, sinks, grad_logsumexp;
    int64_t offset;
    double softcap, scale;
} golden_gradient;

static const golden_gradient goldens[] = {
    { .name = "plain" },
    { .name = "causal", .causal = true, .offset = 3, .grad_logsumexp = true },
    { .name = "groups", .grad_logsumexp = true },
    { .name = "one_group" },
    { .name = "softcap", .softcap = 0.75, .scale = 0.9, .grad_logsumexp = true },
    { .name = "bias", .bias = true },
    { .name = "alibi", .alibi = true, .causal = true, .offset = 3, .grad_logsumexp = true },
    { .name = "sinks", .sinks = true, .grad_logsumexp = true },
    { .name = "mask_sinks", .mask = true, .sinks = true, .grad_logsumexp = true },
    { .name = "away", .scale = 1, .grad_logsumexp = true },
};

static test_array files[FILES];
static int file_count;

static const test_array *read_part(const golden_gradient *g, const char *part) {
    char path[512];
    snprintf(path, sizeof path, CLATTN_TEST_SOURCE_DIR "/golden/gradients/%s_%s.npy", g->name, part);
    ck_assert_int_lt(file_count, FILES);
    files[file_count] = test_array_read(path);
    return &files[file_count++];
}

static void close_files(void) {
    while (file_count > 0) {
        test_array_free(&files[--file_count]);
    }
}

static void set_shape(int64_t shape[4], const test_array *array) {
    for (int d = 0; d < 4; d++) {
        int from = d - (4 - array->dimensions);
        shape[d] = from < 0 ? 1 : array->shape[from];
    }
}

/* The problem and its inputs. */
static void set_inputs(const golden_gradient *g, clattn_problem *p, clattn_tensors *t) {
    const test_array *query = read_part(g, "query"), *key = read_part(g, "key"), *value = read_part(g, "value");
    p->type = CLATTN_FP64;
    p->batch = query->shape[0], p->query_heads = query->shape[1], p->kv_heads = key->shape[1];
    p->query_length = query->shape[2], p->key_length = key->shape[2], p->head_dim = query->shape[3],
    p->value_dim = value->shape[3];
    p->has_scale = g->scale != 0, p->scale = g->scale, p->softcap = g->softcap;
    p->causal = g->causal, p->alibi = g->alibi, p->sinks = g->sinks, p->grad_logsumexp = g->grad_logsumexp;
    p->alignment = CLATTN_ALIGN_OFFSET, p->offset = g->offset, p->logsumexp = true;
    t->query.data = query->data, t->key.data = key->data, t->value.data = value->data;
    t->grad_output.data = read_part(g, "grad_output")->data;
    if (g->mask) {
        const test_array *mask = read_part(g, "mask");
        p->mask = CLATTN_MASK_BYTES, t->mask.data = mask->data;
        set_shape(p->mask_shape, mask);
    }
    if (g->bias) {
        const test_array *bias = read_part(g, "bias");
        p->bias = CLATTN_BIAS_STORAGE, t->bias.data = bias->data, p->gradients |= CLATTN_GRADIENT_BIAS;
        set_shape(p->bias_shape, bias);
    }
    if (g->alibi) {
        t->alibi_slopes.data = read_part(g, "slopes")->data, p->gradients |= CLATTN_GRADIENT_ALIBI_SLOPES;
    }
    if (g->sinks) {
        t->sinks.data = read_part(g, "sinks")->data, p->gradients |= CLATTN_GRADIENT_SINKS;
    }
    if (g->grad_logsumexp) {
        t->grad_logsumexp.data = read_part(g, "grad_logsumexp")->data;
    }
}

static void compare(const golden_gradient *g, const char *part, const void *data) {
    const test_array *expected = read_part(g, part);
    for (int64_t n = 0; n < expected->count; n++) {
        double x = test_array_get(expected, n), got = ((const double *)data)[n];
        ck_assert_msg(fabs(got - x) <= 1e-12 * (1 + fabs(x)), "%s: %s[%" PRId64 "] is %.17g, golden %.17g", g->name,
                      part, n, got, x);
    }
}

START_TEST(test_autograd) {
    static double grads[6][4096], output[4096], logsumexp[512];
    static const char *const parts[6] = { "grad_query", "grad_key",    "grad_value",
                                          "grad_bias",  "grad_slopes", "grad_sinks" };
    clattn_runtime *runtime =
        suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    const size_t count = sizeof goldens / sizeof *goldens;
    for (size_t n = 0; n < 2 * count; n++) {
        const golden_gradient *g = &goldens[n % count];
        const bool there[6] = { true, true, true, g->bias, g->alibi, g->sinks };
        clattn_problem p = CLATTN_PROBLEM_INIT;
        clattn_tensors t = CLATTN_TENSORS_INIT;
        clattn_report report;
        set_inputs(g, &p, &t);
        const clattn_plan_options options = suite_on(n < count ? "reference" : "cpu", CLATTN_ANY_DEVICE);
        t.output.data = output, t.logsumexp.data = logsumexp;
        t.grad_query.data = grads[0], t.grad_key.data = grads[1], t.grad_value.data = grads[2],
        t.grad_bias.data = grads[3];
        t.grad_alibi_slopes.data = grads[4], t.grad_sinks.data = grads[5];
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        p.direction = CLATTN_BACKWARD;
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        compare(g, "output", output);
        for (int k = 0; k < 6; k++) {
            if (there[k]) {
                compare(g, parts[k], grads[k]);
            }
        }
        close_files();
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_autograd };
    return suite_run(SUITE_OF("golden_gradients", tests, 20), SUITE_FORK);
}
