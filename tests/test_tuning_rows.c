/*
 * Rows of a user's tuning file whose numbers make no sense, for every column of every table: a plan names the column, or what
 * the row makes is right. Nothing else will do: sizes become build options, and no compiler sees a block too short.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/suite.h"

enum { MOST_COLUMNS = 8, MOST_VALUES = 12, ROWS = 9, KEYS = 150, DIM = 40, FIRST_SIZE = 4 };

/* A table, the body that reads it, a row that works here; and for each column numbers to put there instead. */
typedef struct table_case {
    const char *name, *engine;
    const char *body;
    clattn_type type;
    int64_t sizes[MOST_COLUMNS];
    int64_t values[MOST_COLUMNS][MOST_VALUES]; /* 0 ends them */
} table_case;

#define FAR 999999999
#define DECODE_CPU 2

static const table_case cases[] = {
    { "attention_backward_cpu",
      "opencl-fused",
      "cpu-shaped",
      CLATTN_FP32,
      { 64, 6, 2, 6, 2, 128, 4 },
      { { 41, 72, 48, 577, FAR },
        { 1, 5, 33, 100, FAR },
        { 1, 9, 100, FAR },
        { 1, 4, 7, 100, FAR },
        { 1, 3, 9, FAR },
        { 1, 10, 48, 2048, FAR },
        { 3, 1000, 65536, FAR } } },
    { "attention_backward_gpu",
      "opencl-fused",
      "gpu-shaped",
      CLATTN_FP32,
      { 64, 32, 32, 16, 8, 8, 16, 1 },
      { { 577, FAR },
        { 1, 12, 128, FAR },
        { 1, 12, 128, FAR },
        { 1, 12, 128, FAR },
        { 1, 2, 6, 12, 2048, FAR },
        { 1, 3, 2048, FAR },
        { 1, 4, 12, 1024, FAR },
        { 5, 100, FAR } } },
    { "attention_decode_cpu",
      "opencl-decode",
      "cpu-shaped",
      CLATTN_FP32,
      { 64, 2, 2, 64 },
      { { 41, 72, 48, 577, 592, FAR }, /* head_dim_max, multiples of the vector only */
        { 1, 3, 4, 5, 6, 100, FAR },
        { 1, 3, 8, 17, 100, FAR },
        { 1, 2, 10, 16, 63, 96, 1056, FAR } } },
    { "attention_decode_gpu",
      "opencl-decode",
      "gpu-shaped",
      CLATTN_FP32,
      { 64, 64, 8, 2, 4, 0 },
      { { 577, FAR },
        { 1, 2, 4, 12, 96, 2048, FAR },
        { 1, 2, 3, 12, 64, FAR },
        { 3, 5, 32, 100, FAR },
        { 17, 100, FAR },
        { 1, 2, 100, FAR } } },
    { "attention_fused_cpu",
      "opencl-fused",
      "cpu-shaped",
      CLATTN_FP32,
      { 64, 6, 2, 6, 2, 256, 4 },
      { { 41, 72, 48, 577, FAR },
        { 1, 5, 33, 100, FAR },
        { 1, 3, 4, FAR },
        { 1, 4, 7, 100, FAR },
        { 1, 3, 9, FAR },
        { 1, 10, 48, 2048, FAR },
        { 3, 1000, 65536, FAR } } },
    { "attention_fused_gpu",
      "opencl-fused",
      "gpu-shaped",
      CLATTN_FP32,
      { 64, 32, 32, 8, 8, 16, 0, 1 },
      { { 577, FAR },
        { 1, 12, 128, FAR },
        { 1, 12, 128, FAR },
        { 1, 2, 6, 12, 2048, FAR },
        { 1, 3, 2048, FAR },
        { 1, 4, 12, 1024, FAR },
        { 2, 100, FAR },
        { 5, 100, FAR } } },
    { "attention_fused_mma",
      "opencl-fused",
      "matrix",
      CLATTN_FP16,
      { 64, 32, 32, 2, 2, 1, 0, 0 },
      { { 41, 48, 80, 288, FAR },
        { 1, 16, 48, 128, FAR },
        { 1, 8, 24, 144, FAR },
        { 5, 3, 33, 100, FAR },
        { 4, 100, FAR },
        { 2, 100, FAR },
        { 2, 100, FAR },
        { 256, FAR } } },
    { "attention_fused_tf32",
      "opencl-fused",
      "matrix",
      CLATTN_FP32,
      { 64, 32, 16, 2, 1, 1, 1 },
      { { 41, 48, 80, 288, FAR },
        { 1, 16, 48, 128, FAR },
        { 1, 4, 12, 40, 136, FAR },
        { 3, 5, 33, 100, FAR },
        { 4, 100, FAR },
        { 2, 100, FAR },
        { 3, 100, FAR } } },
};

enum { NUMBERS = (ROWS + 2 * KEYS) * DIM }; /* of results: outputs, or gradients of query, key and value */
static double query[ROWS * DIM], key[KEYS * DIM], value[KEYS * DIM], expected[NUMBERS], output[NUMBERS];
static double given[ROWS * DIM], sums[ROWS]; /* backward: output and logsumexp */

static bool is_backward(const table_case *c) {
    return strncmp(c->name, "attention_backward", 18) == 0;
}

static clattn_problem make_problem(clattn_type type, bool backward) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.direction = backward ? CLATTN_BACKWARD : CLATTN_FORWARD;
    p.type = type, p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM;
    p.causal = true, p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    return p;
}

/* `type` of the results, which lie one behind the other. The loss is the sum of the outputs times the values' first ones. */
static clattn_tensors tensors(double *out, clattn_type type, bool backward, clattn_report *report) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    const size_t size = (size_t)clattn_type_size(type);
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = out, t.report = report;
    t.logsumexp.data = sums;
    if (backward) {
        t.output.data = given, t.grad_output.data = value, t.grad_query.data = out;
        t.grad_key.data = (char *)out + ROWS * DIM * size, t.grad_value.data = (char *)out + (ROWS + KEYS) * DIM * size;
    }
    return t;
}

static void make_inputs(clattn_runtime *runtime, clattn_type type, bool backward) {
    clattn_report report;
    for (int64_t n = 0; n < KEYS * DIM; n++) {
        clattn_set_element(type, query, n % (ROWS * DIM), (double)(n * 7 % 37) / 12 - 1.5);
        clattn_set_element(type, key, n, (double)(n * 11 % 41) / 20 - 1);
        clattn_set_element(type, value, n, (double)(n * 13 % 43) / 21 - 1);
    }
    clattn_problem p = make_problem(type, false);
    const clattn_plan_options options = suite_on("reference", 0);
    clattn_tensors t = tensors(backward ? given : expected, type, false, &report);
    p.logsumexp = backward;
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    if (backward) {
        p = make_problem(type, true);
        t = tensors(expected, type, true, &report);
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    }
}

static const char *table_text(const char *name) {
    const char *text = NULL, *at;
    for (int64_t k = 0; (at = clattn_inspect_tuning_table(k, &text)); k++) {
        if (strcmp(at, name) == 0) {
            return text;
        }
    }
    ck_abort_msg("no table %s", name);
    return NULL;
}

/* The name of size column k, 0 being head_dim_max; "" for the note. */
static void column_name(const char *text, int k, char *name, size_t size) {
    for (int commas = 0; commas < FIRST_SIZE + k; commas += *text++ == ',') {
    }
    snprintf(name, size, "%.*s", (int)strcspn(text, ","), text);
    name[strcspn(name, "\n")] = '\0';
}

static void load_row(clattn_runtime *runtime, const table_case *c, int column, int64_t size, int columns) {
    char text[1000];
    clattn_report report;
    const char *header = table_text(c->name);
    int n = snprintf(text, sizeof text, "[%s]\n%.*s\n*,*,*,*", c->name, (int)strcspn(header, "\n"), header);
    for (int k = 0; k < columns; k++) {
        n += snprintf(text + n, sizeof text - (size_t)n, ",%" PRId64, k == column ? size : c->sizes[k]);
    }
    snprintf(text + n, sizeof text - (size_t)n, ",tested\n");
    EXPECT_STATUS(clattn_inspect_tuning(runtime, text, true, &report), CLATTN_OK, &report);
}

/* Whether the plan was made; then its result is right. */
static bool is_served(clattn_runtime *runtime, const table_case *c, int64_t device, const char *what, const char *column) {
    static clattn_report report;
    const clattn_block_override blocks = { .body = c->body };
    clattn_problem p = make_problem(c->type, is_backward(c));
    clattn_plan_options options = suite_on(c->engine, device);
    options.blocks = &blocks;
    clattn_plan *plan = NULL;
    clattn_status status = clattn_plan_create(runtime, &p, &options, &plan, &report);
    if (status != CLATTN_OK) {
        ck_assert_msg(status == CLATTN_UNSUPPORTED, "%s: %s: %s", what, clattn_status_name(status), report.text);
        ck_assert_msg(strstr(report.text, column), "%s: refused without naming it: %s", what, report.text);
        return false;
    }
    clattn_plan_info info;
    ck_assert_int_eq(clattn_plan_get_info(plan, &info), CLATTN_OK);
    ck_assert_msg(info.program && strcmp(info.program, c->name) == 0, "%s: built %s", what, info.program);
    clattn_tensors t = tensors(output, c->type, is_backward(c), &report);
    memset(output, 0xff, sizeof output);
    status = clattn_execute(plan, &t);
    clattn_plan_destroy(plan);
    ck_assert_msg(status == CLATTN_OK, "%s: %s: %s", what, clattn_status_name(status), report.text);
    for (int64_t n = 0; n < (is_backward(c) ? NUMBERS : ROWS * DIM); n++) {
        double x = clattn_get_element(c->type, output, n), wanted = clattn_get_element(c->type, expected, n);
        ck_assert_msg(fabs(x - wanted) < (c->type == CLATTN_FP32 ? 1e-5 : 4e-3), "%s: output %d is %g, not %g", what, (int)n, x,
                      wanted);
    }
    return true;
}

static void try_table(clattn_runtime *runtime, const table_case *c) {
    const int64_t device = suite_opencl_device(runtime);
    char name[64], what[200];
    int columns = 0, refused = 0;
    make_inputs(runtime, c->type, is_backward(c));
    for (; column_name(table_text(c->name), columns, name, sizeof name), strcmp(name, "note") != 0; columns++) {
        ck_assert_msg(columns < MOST_COLUMNS && c->values[columns][0] != 0, "%s: column %s has no test", c->name, name);
    }
    load_row(runtime, c, -1, 0, columns);
    ck_assert_msg(is_served(runtime, c, device, c->name, ""), "%s: the row that works does not", c->name);
    for (int k = 0; k < columns; k++) {
        column_name(table_text(c->name), k, name, sizeof name);
        for (int n = 0; n < MOST_VALUES && c->values[k][n] != 0; n++) {
            snprintf(what, sizeof what, "%s: %s = %" PRId64, c->name, name, c->values[k][n]);
            load_row(runtime, c, k, c->values[k][n], columns);
            refused += !is_served(runtime, c, device, what, name);
        }
    }
    ck_assert_int_ge(refused, 2 * columns);
}

START_TEST(test_bad_rows) {
    clattn_runtime *runtime = suite_runtime(NULL);
    try_table(runtime, &cases[_i]);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Tables of additive attention are tried in test_operation_plans.c. */
START_TEST(test_every_table_is_tried) {
    const char *text;
    for (int64_t n = 0; clattn_inspect_tuning_table(n, &text); n++) {
        const char *name = clattn_inspect_tuning_table(n, &text);
        bool tried = strncmp(name, "additive_", 9) == 0;
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            tried = tried || strcmp(cases[c].name, name) == 0;
        }
        ck_assert_msg(tried, "table %s has no test", name);
    }
}
END_TEST

/* A row that is refused is passed over: the library's own serves, and the report says why the user's did not. */
START_TEST(test_the_next_row_serves) {
    static clattn_report report;
    clattn_runtime *runtime = suite_runtime(NULL);
    const char *text = "[attention_decode_cpu]\n"
                       "vendor,architecture,device,type,head_dim_max,tile_vectors,tile_step,block_key,note\n"
                       "*,*,*,*,64,3,2,10,bad\n";
    make_inputs(runtime, CLATTN_FP32, false);
    EXPECT_STATUS(clattn_inspect_tuning(runtime, text, false, &report), CLATTN_OK, &report);
    ck_assert(is_served(runtime, &cases[DECODE_CPU], suite_opencl_device(runtime), "the library's row", ""));
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tuning_rows");
    TCase *tables = tcase_create("tables");
    if (!suite_has_opencl()) {
        return suite_without_device();
    }
    tcase_set_timeout(tables, 0);
    tcase_add_loop_test(tables, test_bad_rows, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tables, test_the_next_row_serves);
    tcase_add_test(tables, test_every_table_is_tried);
    suite_add_tcase(suite, tables);
    return suite_run(suite, SUITE_NO_FORK);
}
