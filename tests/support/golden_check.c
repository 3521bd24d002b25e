/*
 * Golden numbers against an engine. The expected numbers are exact to 1e-14 or so; what is allowed beside the rounding of
 * the output is a small absolute error, fit for these small problems (scores below 12, values below 5).
 */
#include "support/golden_check.h"

#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

typedef struct tolerance {
    double relative, absolute;
} tolerance;

static double unit(clattn_type type) {
    return type == CLATTN_FP32 ? 0x1p-24 : type == CLATTN_FP16 ? 0x1p-11 : type == CLATTN_BF16 ? 0x1p-8 : 0x1p-53;
}

/* The reference sums in a wider type than it stores; fp32 engines err by some 2^-24 times values and scores. */
static tolerance tolerance_of(const golden *g, clattn_type stored, const clattn_plan_info *info) {
    tolerance t = { unit(stored) * 1.001, 3e-6 };
    if (g->problem.type == CLATTN_FP64) {
        t.absolute = 2e-14;
    } else if (strcmp(info->engine, "reference") == 0) {
        t.absolute = 1e-12;
    } else if (info->weights_rounded) {
        t.absolute += 4 * unit(g->problem.type);
    }
    if (stored == CLATTN_FP16) {
        t.absolute += 0x1p-25;
    }
    return t;
}

static void compare(const golden *g, const char *engine, const char *what, const test_array *expected, clattn_type type,
                    const void *got, tolerance allowed) {
    for (int64_t n = 0; n < expected->count; n++) {
        double wanted = test_array_get(expected, n), x = clattn_get_element(type, got, n);
        bool right = isfinite(wanted) ? fabs(x - wanted) <= allowed.relative * fabs(wanted) + allowed.absolute : x == wanted;
        if (!right) {
            ck_abort_msg("golden %s on %s: %s[%" PRId64 "] is %.9g, not %.9g", g->name, engine, what, n, x, wanted);
        }
    }
}

static clattn_type wide(clattn_type type) {
    return type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
}

static void *poisoned(int64_t count) {
    size_t bytes = (size_t)count * 8 + 8;
    void *memory = malloc(bytes);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xff, bytes); /* NaN in every type */
    return memory;
}

static void execute_and_compare(clattn_plan *plan, golden *g, clattn_report *report) {
    clattn_plan_info info;
    const clattn_problem *p = &g->problem;
    clattn_type weights_type = p->weights == CLATTN_WEIGHTS_SOFTMAX ? p->type : wide(p->type);
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    void *output = g->tensors.output.data = poisoned(g->output.count);
    void *logsumexp = g->tensors.logsumexp.data = poisoned(g->logsumexp.count);
    void *weights = g->tensors.weights.data = poisoned(g->weights.count);
    g->tensors.report = report;
    EXPECT_STATUS(clattn_execute(plan, &g->tensors), CLATTN_OK, report);
    compare(g, info.engine, "output", &g->output, p->type, output, tolerance_of(g, p->type, &info));
    compare(g, info.engine, "logsumexp", &g->logsumexp, wide(p->type), logsumexp, tolerance_of(g, wide(p->type), &info));
    compare(g, info.engine, "weights", &g->weights, weights_type, weights, tolerance_of(g, weights_type, &info));
    free(output);
    free(logsumexp);
    free(weights);
}

clattn_status golden_check(clattn_runtime *runtime, golden *g, const char *engine, int64_t device, clattn_report *report) {
    clattn_plan *plan;
    const clattn_plan_options options = suite_on(engine, device);
    clattn_status status = clattn_plan_create(runtime, &g->problem, &options, &plan, report);
    if (status == CLATTN_UNSUPPORTED) {
        return status;
    }
    EXPECT_STATUS(status, CLATTN_OK, report);
    execute_and_compare(plan, g, report);
    clattn_plan_destroy(plan);
    return CLATTN_OK;
}
