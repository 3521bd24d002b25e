/*
 * A decode loop: keys and values are appended to a cache, each new token attends to all before it. One plan serves every
 * step, because a plan holds the largest lengths and each call says its own. The last step is checked against one call that
 * computes all rows at once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clattn/clattn.h"

enum { QUERY_HEADS = 8, KV_HEADS = 2, DIM = 64, STEPS = 48 };

static float query[QUERY_HEADS * STEPS * DIM];  /* [heads, length, dim] */
static float key_cache[KV_HEADS * STEPS * DIM]; /* grows along its length */
static float value_cache[KV_HEADS * STEPS * DIM];
static float stepwise[QUERY_HEADS * DIM], whole[QUERY_HEADS * STEPS * DIM];

static void check(clattn_status status, const clattn_report *report) {
    if (status != CLATTN_OK) {
        fprintf(stderr, "%s: %s\n", clattn_status_message(status), report->text);
        exit(1);
    }
}

/* What a model's projections would have made. */
static void draw(float *x, int count, unsigned seed) {
    for (int n = 0; n < count; n++) {
        seed = seed * 1664525u + 1013904223u;
        x[n] = (float)(seed >> 8) / 8388608.0F - 1;
    }
}

static clattn_problem make_problem(int64_t query_length) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_heads = QUERY_HEADS;
    p.kv_heads = KV_HEADS;
    p.query_length = query_length;
    p.key_length = STEPS; /* the largest a call may have */
    p.head_dim = DIM;
    p.causal = true;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT; /* the last query stands at the last key */
    return p;
}

int main(void) {
    static clattn_report report;
    clattn_runtime *runtime;
    clattn_plan *plan;
    draw(query, QUERY_HEADS * STEPS * DIM, 1);
    draw(key_cache, KV_HEADS * STEPS * DIM, 2);
    draw(value_cache, KV_HEADS * STEPS * DIM, 3);
    check(clattn_runtime_create(NULL, &runtime), &report);

    clattn_problem one = make_problem(1);
    check(clattn_plan_create(runtime, &one, NULL, &plan, &report), &report);
    for (int64_t step = 0; step < STEPS; step++) {
        clattn_tensors t = CLATTN_TENSORS_INIT;
        t.query =
            (clattn_tensor){ query, step * DIM, CLATTN_STRIDED, 0, STEPS * DIM, DIM }; /* row `step` of every head */
        t.key.data = key_cache;
        t.value.data = value_cache;
        t.output.data = stepwise;
        t.key_length = step + 1; /* what is in the cache by now; behind it may stand anything */
        t.report = &report;
        check(clattn_execute(plan, &t), &report);
    }
    clattn_plan_info info;
    check(clattn_plan_get_info(plan, &info), &report);
    printf("%d steps by %s: %s\n", STEPS, info.engine, info.kernel);
    clattn_plan_destroy(plan);

    clattn_problem all = make_problem(STEPS);
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key_cache, t.value.data = value_cache, t.output.data = whole;
    check(clattn_attention(runtime, &all, NULL, &t, &report), &report);
    float worst = 0;
    for (int h = 0; h < QUERY_HEADS; h++) {
        for (int d = 0; d < DIM; d++) {
            worst = fmaxf(worst, fabsf(stepwise[h * DIM + d] - whole[(h * STEPS + STEPS - 1) * DIM + d]));
        }
    }
    printf("largest difference to one call over all rows: %g\n", (double)worst);
    clattn_runtime_destroy(runtime);
    return worst > 1e-5F;
}
