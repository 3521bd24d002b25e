/*
 * See additive_case.h. Knows the public interface and Check.
 */
#include "support/additive_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

const char *const additive_engines[ADDITIVE_ENGINES] = { "reference", "cpu", "opencl" };

bool additive_is_here(clattn_runtime *runtime, int engine) {
    return engine < 2 || suite_opencl_device(runtime) >= 0;
}

float *additive_guarded(int64_t count) {
    float *x = malloc((size_t)(count + 8) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int64_t k = 0; k < count + 8; k++) {
        x[k] = NAN;
    }
    return x;
}

float *additive_draw(uint64_t seed, int64_t count, float size) {
    float *x = malloc((size_t)count * sizeof *x + 1);
    ck_assert_ptr_nonnull(x);
    for (int64_t k = 0; k < count; k++) { /* clattn_fill's numbers, restated: this suite also runs without the layers */
        uint64_t z = seed + (uint64_t)(k + 1) * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        x[k] = (2 * (float)((double)((z ^ (z >> 31)) >> 11) * 0x1p-53) - 1) * size;
    }
    return x;
}

additive_case additive_make(int64_t batch, int64_t queries, int64_t keys, int64_t hidden, int64_t dim) {
    additive_case c = { .problem = CLATTN_ADDITIVE_PROBLEM_INIT, .tensors = CLATTN_ADDITIVE_TENSORS_INIT };
    clattn_additive_problem *p = &c.problem;
    p->batch = batch, p->query_length = queries, p->key_length = keys, p->hidden = hidden, p->value_dim = dim;
    p->logsumexp = p->weights = true;
    c.rows = batch * queries, c.outputs = c.rows * dim, c.weights = c.rows * keys;
    c.tensors.query = c.memory[0] = additive_draw(61, c.rows * hidden, 3);
    c.tensors.key = c.memory[1] = additive_draw(62, batch * keys * hidden, 3);
    c.tensors.v = c.memory[2] = additive_draw(63, hidden, 2);
    c.tensors.value = c.memory[3] = additive_draw(64, batch * keys * dim, 2);
    c.tensors.output = c.memory[4] = additive_guarded(c.outputs);
    c.tensors.weights = c.memory[5] = additive_guarded(c.weights);
    c.tensors.logsumexp = c.memory[6] = additive_guarded(c.rows);
    return c;
}

void additive_free(additive_case *c) {
    for (int k = 0; k < 7; k++) {
        free(c->memory[k]);
    }
}

static void check_guards(const additive_case *c) {
    for (int k = 0; k < 8; k++) {
        ck_assert_msg(isnan(c->tensors.output[c->outputs + k]), "output: written beyond its end");
        ck_assert_msg(isnan(c->tensors.weights[c->weights + k]), "weights: written beyond their end");
        ck_assert_msg(isnan(c->tensors.logsumexp[c->rows + k]), "logsumexp: written beyond its end");
    }
}

void additive_run(clattn_runtime *runtime, additive_case *c, const char *engine) {
    clattn_report report;
    clattn_additive_plan *plan = NULL;
    const clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    c->tensors.report = &report;
    EXPECT_STATUS(clattn_additive_plan_create(runtime, &c->problem, &options, &plan, &report), CLATTN_OK, &report);
    clattn_operation_info info;
    EXPECT_STATUS(clattn_additive_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_str_eq(info.engine, engine);
    ck_assert_int_gt((int)strlen(info.kernel), 0);
    EXPECT_STATUS(clattn_additive_execute(plan, &c->tensors), CLATTN_OK, &report);
    c->tensors.report = NULL; /* it ends with this function */
    check_guards(c);
    clattn_additive_plan_destroy(plan);
}
