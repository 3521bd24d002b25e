/*
 * What the judge of gradients sees of an engine's calls beside the numbers: writes outside, other bits the second time,
 * inputs that change. The engine is the reference with something done after each call.
 */
#include <string.h>

#include "gate/gate.h"
#include "gate_gradient_case.h"
#include "support/suite.h"

static clattn_runtime *runtime;
static attn_case_data data;
static attn_gradient_gold *gold;

clattn_status __real_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors);
clattn_status __wrap_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors);

static void (*mischief)(const clattn_tensors *tensors); /* what the engine does beside its work, after each call */
static int calls, victim;                               /* since the run began; which gradient */

clattn_status __wrap_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors) {
    clattn_status status = __real_clattn_execute(plan, tensors);
    calls++;
    if (mischief) {
        mischief(tensors);
    }
    return status;
}

static attn_gate_result run_gate(void (*mischievous)(const clattn_tensors *tensors)) {
    attn_gate_result result;
    attn_error error = { 0 };
    mischief = mischievous;
    calls = 0;
    ck_assert_int_eq(attn_gate_gradients_engine(runtime, "reference", CLATTN_ANY_DEVICE, &data, gold, &result, &error),
                     0);
    mischief = NULL;
    return result;
}

static void write_behind(const clattn_tensors *tensors) {
    (void)tensors;
    const attn_guarded *memory = &data.gradients[victim].memory;
    ((unsigned char *)memory->data)[memory->bytes] ^= 1;
}

static void write_before(const clattn_tensors *tensors) {
    (void)tensors;
    ((unsigned char *)data.gradients[victim].memory.data)[-1] ^= 1;
}

/* The first element that belongs to no row; none where rows lie without gaps. */
static int64_t find_gap(int which) {
    const attn_case_gradient *g = &data.gradients[which];
    int64_t elements = g->memory.bytes / clattn_type_size(g->type);
    for (int64_t e = 0; e < elements; e++) {
        bool inside = false;
        for (int64_t n = 0; n < g->rows.sizes[0] * g->rows.sizes[1] * g->rows.sizes[2]; n++) {
            int64_t at = attn_rows_at(&g->rows, n / g->rows.sizes[2] / g->rows.sizes[1],
                                      n / g->rows.sizes[2] % g->rows.sizes[1], n % g->rows.sizes[2]);
            inside = inside || (e >= at && e < at + g->rows.dim);
        }
        if (!inside) {
            return e;
        }
    }
    return -1;
}

static void write_gap(const clattn_tensors *tensors) {
    (void)tensors;
    const attn_case_gradient *g = &data.gradients[victim];
    clattn_set_element(g->type, g->memory.data, find_gap(victim), 0);
}

static void write_behind_workspace(const clattn_tensors *tensors) {
    ((unsigned char *)tensors->workspace)[tensors->workspace_size] ^= 1;
}

/* The last bit of a gradient, in the second call alone: far within the bound. */
static void differ(const clattn_tensors *tensors) {
    (void)tensors;
    const attn_case_gradient *g = &data.gradients[victim];
    if (calls == 2) {
        unsigned char *element =
            (unsigned char *)g->memory.data + attn_rows_at(&g->rows, 0, 0, 0) * clattn_type_size(g->type);
        *element ^= 1;
    }
}

static void change_input(const clattn_tensors *tensors) {
    (void)tensors;
    if (calls == 2) { /* a second time would undo it */
        ((unsigned char *)data.grad_output.data)[attn_rows_at(&data.grad_output_rows, 0, 0, 0)] ^= 1;
    }
}

static void notices(void (*mischievous)(const clattn_tensors *tensors), const char *what) {
    attn_gate_result result = run_gate(mischievous);
    ck_assert_msg(!result.passed && strstr(result.failure, what), "%s: %s: %s", data.gradients[victim].name, what,
                  result.failure);
}

/* What an engine does beside its gradients: writes outside, of each of them and of its workspace, other bits, changed inputs. */
START_TEST(test_runs) {
    int gaps = 0;
    gate_gradient_begin("batch=2 query_heads=4 kv_heads=2 query_length=5 key_length=9 head_dim=4 bias=h,q,k alibi=yes "
                        "sinks=yes align=0 strides=random add=yes direction=backward seed=3",
                        &runtime, &data, &gold);
    ck_assert_msg(run_gate(NULL).passed && calls == 2, "%s", run_gate(NULL).failure);
    for (victim = 0; victim < ATTN_GRADIENTS; victim++) {
        notices(write_behind, data.gradients[victim].name);
        notices(write_before, "guard zones");
        notices(differ, data.gradients[victim].name);
        if (find_gap(victim) >= 0) {
            notices(write_gap, "guard zones");
            gaps++;
        }
    }
    victim = 0;
    ck_assert_int_ge(gaps, 2);
    notices(differ, "rule 7");
    notices(write_behind_workspace, "guard zones: something is written outside: the workspace");
    notices(change_input, "an input has changed");
    gate_gradient_end(runtime, &data, gold);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_runs };
    return suite_run(SUITE_OF("gate_gradient_runs", tests, 60), SUITE_FORK);
}
