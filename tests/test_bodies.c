/*
 * Bodies of engines by name. Each body of each engine computes some small problems on each device where it can run, judged by the
 * gate of docs/numerics.md; where it cannot, and in engines that have none of that name, it is refused by name. The list is the
 * library's: a body that is added needs nothing here. Bodies of GPUs take seconds to build on a CPU, so the problems are few.
 */
#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "gate/gate.h"
#include "support/every_engine.h"

static clattn_report report;
static attn_error error;
static int bodies, away, served;

/* One of each type that engines differ in. */
static char *const problems[] = {
    "query_heads=2 kv_heads=1 query_length=20 key_length=37 head_dim=16 type=fp32 causal=yes align=bottom_right",
    "query_heads=2 kv_heads=1 query_length=20 key_length=37 head_dim=16 type=fp16 causal=yes align=bottom_right",
    "query_heads=2 query_length=20 key_length=37 head_dim=16 type=bf16 mask=1,1,q,k",
};

/* The engine's refusal of the plainest problem holds the text. */
static void expect_refusal(const engine_at *at, const char *body, const char *text) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    const clattn_plan_options options = engine_options(at);
    clattn_plan *plan = NULL;
    p.query_length = 4, p.head_dim = 16;
    clattn_status status = clattn_engine_supports(at->runtime, &p, &options, &report);
    ck_assert_msg(status == CLATTN_UNSUPPORTED && strstr(report.text, "body: ") && strstr(report.text, text),
                  "%s, %s: %s: %s", at->name, body, clattn_status_name(status), report.text);
    EXPECT_STATUS(clattn_plan_create(at->runtime, &p, &options, &plan, &report), CLATTN_UNSUPPORTED, &report);
    ck_assert_msg(strstr(report.text, "body: ") && strstr(report.text, text), "%s, %s: %s", at->name, body, report.text);
    clattn_plan_destroy(plan);
}

/* Judged by the gate. An engine may refuse a type, never all of them. */
static int judge(const engine_at *at, const char *body, const attn_case *c) {
    static attn_case_data data;
    attn_gate_result result;
    const attn_gate_options options = { 0 };
    ck_assert_msg(attn_case_data_create(&data, c, true, &error) == ATTN_DONE, "%s: %s", c->text, error.text);
    data.options.blocks = at->blocks;
    int status = attn_gate_engine(at->runtime, at->engine, at->device, &data, &options, &result, &error);
    attn_case_data_free(&data);
    ck_assert_msg(status == ATTN_DONE, "%s, %s: %s: %s", at->name, body, c->text, error.text);
    ck_assert_msg(result.refused || result.passed, "%s, %s: %s: %s", at->name, body, c->text, result.failure);
    ck_assert_msg(!result.refused || !strstr(result.failure, "body: "), "%s, %s: %s", at->name, body, result.failure);
    return !result.refused;
}

static void check_body(const engine_at *at, const clattn_body_info *body) {
    attn_cases cases = { 0 };
    int count = 0;
    bodies++;
    if (body->why_not) {
        away++;
        expect_refusal(at, body->name, body->why_not);
        return;
    }
    for (size_t n = 0; n < sizeof problems / sizeof *problems; n++) {
        ck_assert_int_eq(attn_cases_line(&cases, problems[n], &error), ATTN_DONE);
    }
    for (int64_t n = 0; n < cases.count; n++) {
        count += judge(at, body->name, &cases.items[n]);
    }
    attn_cases_free(&cases);
    ck_assert_msg(count > 0, "%s, %s: serves nothing", at->name, body->name);
    served += count;
}

/* Names are listed once, in lines for people; past the last one there is nothing. */
static void check_engine(const engine_at *at) {
    clattn_body_info body, other;
    clattn_block_override blocks;
    for (int64_t n = 0; engine_take_body(at, n, &blocks); n++) {
        const char *name = blocks.body;
        engine_at with = *at;
        with.blocks = &blocks;
        if (!name) {
            continue;
        }
        EXPECT_STATUS(clattn_inspect_body(at->runtime, CLATTN_OPERATION_ATTENTION, at->engine, at->device, n - 1, &body), CLATTN_OK, NULL);
        ck_assert_str_eq(body.name, name);
        ck_assert(body.what[0] != '\0' && !strchr(body.what, '\n') && (!body.why_not || body.why_not[0] != '\0'));
        for (int64_t m = 0; m < n - 1; m++) {
            EXPECT_STATUS(clattn_inspect_body(at->runtime, CLATTN_OPERATION_ATTENTION, at->engine, at->device, m, &other), CLATTN_OK, NULL);
            ck_assert_str_ne(other.name, name);
        }
        check_body(&with, &body);
    }
}

START_TEST(test_every_body) {
    for_every_engine(false, check_engine);
    printf("%d bodies, %d cannot run here, %d problems served\n", bodies, away, served);
    ck_assert_int_ge(bodies, 7);
    ck_assert_int_ge(served, 3 * 3); /* of the cpu engine, those in portable C at least */
}
END_TEST

/* A body of another engine: refused by name, with the names that there are. */
static void check_strangers(const engine_at *at) {
    const bool opencl = strncmp(at->engine, "opencl", 6) == 0;
    const char *name = opencl || strcmp(at->engine, "reference") == 0 ? "portable-tiles" : "cpu-shaped";
    const clattn_block_override blocks = { .body = name };
    char text[128];
    engine_at with = *at;
    with.blocks = &blocks;
    if (strcmp(name, "cpu-shaped") == 0 && !clattn_engine_built("opencl-fused")) {
        return; /* no engine has it */
    }
    snprintf(text, sizeof text, "%s has no %s, it has ", at->engine, name);
    expect_refusal(&with, name, text);
    ck_assert(strcmp(at->engine, "cpu") != 0 || strstr(report.text, "generic, avx2, avx512, portable-tiles, amx"));
    ck_assert(!opencl || strstr(report.text, "cpu-shaped, gpu-shaped"));
}

START_TEST(test_bodies_of_other_engines) {
    for_every_engine(false, check_strangers);
}
END_TEST

/* A name that no engine has is no option; a name that is taken is not kept. */
START_TEST(test_override) {
    clattn_runtime *runtime = suite_runtime(NULL);
    char name[] = "generic";
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan *plan = NULL;
    clattn_plan_info info = { 0 };
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    options.blocks = &(clattn_block_override){ .body = name };
    p.query_length = 20, p.head_dim = 16;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report); /* by the one engine that has it */
    memset(name, 'x', sizeof name - 1);
    clattn_plan *none = NULL;
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &none, &report), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_str_eq(report.text, "body: no engine of this build has \"xxxxxxx\"\n");
    EXPECT_STATUS(clattn_plan_get_info(plan, &info), CLATTN_OK, NULL);
    ck_assert_msg(strcmp(info.engine, "cpu") == 0 && strstr(info.kernel, "generic"), "%s: %s", info.engine, info.kernel);
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_the_list) {
    clattn_runtime *runtime = suite_runtime(NULL);
    clattn_body_info body;
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 0, 0, &body), CLATTN_OK, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 0, -1, &body), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 0, 1000, &body), CLATTN_UNSUPPORTED, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 1000, 0, &body), CLATTN_NO_DEVICE, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "reference", 0, 0, &body), CLATTN_UNSUPPORTED, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "nobody", 0, 0, &body), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, NULL, 0, 0, &body), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 0, 0, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_inspect_body(NULL, CLATTN_OPERATION_ATTENTION, "cpu", 0, 0, &body), CLATTN_INVALID_ARGUMENT, NULL);
    if (clattn_engine_built("opencl-fused")) { /* the CPU itself is no device for it */
        EXPECT_STATUS(clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "opencl-fused", 0, 0, &body), CLATTN_OK, NULL);
        ck_assert_ptr_nonnull(body.why_not);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_every_body, test_bodies_of_other_engines, test_override, test_the_list };
    return suite_run(SUITE_OF("bodies", tests, 0), SUITE_NO_FORK);
}
