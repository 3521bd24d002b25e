/* Neural memory used wrongly: options, calls and readings, each refused by name before anything is written. */
#include <math.h>
#include <string.h>

#include "clattn/clattn_memory.h"
#include "support/memory_case.h"
#include "support/suite.h"

static clattn_report report;

/* Two layers, two heads. */
static clattn_neural_memory_options deep(void) {
    clattn_neural_memory_options o = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;
    o.heads = 2, o.length = 17, o.chunk = 8, o.key_dim = 6, o.value_dim = 5, o.hidden = 11;
    o.depth = CLATTN_MEMORY_TWO_LAYERS;
    return o;
}

static void said(clattn_status got, clattn_status expected, const char *word, int line) {
    ck_assert_msg(got == expected && strstr(report.text, word), "line %d: %s: %s", line, clattn_status_name(got),
                  report.text);
}

START_TEST(refuses_options) {
    clattn_runtime *runtime = suite_runtime(NULL);
#define WRONG(status, word, ...)                                                                                       \
    do {                                                                                                               \
        clattn_neural_memory_options o = CLATTN_NEURAL_MEMORY_OPTIONS_INIT;                                            \
        clattn_neural_memory *memory = (clattn_neural_memory *)&report;                                                \
        o.length = 4, o.chunk = 2, o.key_dim = 3, o.value_dim = 5;                                                     \
        __VA_ARGS__;                                                                                                   \
        said(clattn_neural_memory_create(runtime, &o, &memory, &report), status, word, __LINE__);                      \
        ck_assert_ptr_null(memory);                                                                                    \
    } while (0)
    WRONG(CLATTN_INVALID_ARGUMENT, "struct_size", o.struct_size = 8);
WRONG(CLATTN_INVALID_PROBLEM, "chunk: 0", o.chunk = 0);
WRONG(CLATTN_INVALID_PROBLEM, "chunk: 65537", o.chunk = 65537);
WRONG(CLATTN_INVALID_PROBLEM, "batch", o.batch = -1);
WRONG(CLATTN_INVALID_PROBLEM, "heads", o.heads = 0);
WRONG(CLATTN_INVALID_PROBLEM, "length", o.length = -3);
WRONG(CLATTN_INVALID_PROBLEM, "key_dim", o.key_dim = 0);
WRONG(CLATTN_INVALID_PROBLEM, "value_dim", o.value_dim = INT64_MAX);
WRONG(CLATTN_INVALID_PROBLEM, "depth: 2", o.depth = (clattn_memory_depth)2);
WRONG(CLATTN_INVALID_PROBLEM, "bend: 7", o.bend = (clattn_memory_bend)7);
WRONG(CLATTN_INVALID_PROBLEM, "hidden: 0", o.depth = CLATTN_MEMORY_TWO_LAYERS, o.hidden = 0);
WRONG(CLATTN_OVERFLOW, "batch", o.batch = INT64_MAX / 4);
WRONG(CLATTN_OVERFLOW, "length", o.length = INT64_MAX / 8);
WRONG(CLATTN_OVERFLOW, "hidden", o.depth = CLATTN_MEMORY_TWO_LAYERS, o.hidden = o.key_dim = o.value_dim = INT32_MAX);
WRONG(CLATTN_OVERFLOW, "key_dim", o.key_dim = o.value_dim = INT32_MAX);
WRONG(CLATTN_INVALID_ARGUMENT, "engine", o.plan.engine = "abacus");
#undef WRONG
clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(refuses_calls) {
    clattn_runtime *runtime = suite_runtime(NULL);
    const clattn_neural_memory_options options = deep();
    memory_case *c = memory_case_create(&options, 1400);
    clattn_neural_memory *memory = NULL;
    EXPECT_STATUS(clattn_neural_memory_create(runtime, &options, &memory, &report), CLATTN_OK, &report);
#define WRONG(word, ...)                                                                                               \
    do {                                                                                                               \
        clattn_neural_memory_io io = memory_case_io(c);                                                                \
        io.report = &report;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        said(clattn_neural_memory_forward(memory, &io), CLATTN_INVALID_TENSORS, word, __LINE__);                       \
        ck_assert(isnan(c->output[0]) && isnan(c->state_out[0]) && isnan(c->kept[0]));                                 \
    } while (0)
    WRONG("length: 18", io.length = 18);
    WRONG("length: -2", io.length = -2);
    WRONG("key: missing", io.key = NULL);
    WRONG("value: missing", io.value = NULL);
    WRONG("query: missing", io.query = NULL);
    WRONG("output: missing", io.output = NULL);
    WRONG("alpha: missing", io.alpha = NULL);
    WRONG("theta: missing", io.theta = NULL);
    WRONG("eta: missing", io.eta = NULL);
    WRONG("state_in: missing", io.state_in = NULL);
    WRONG("output: overlaps value", io.value = c->output + 1);
    WRONG("output: overlaps state_out", io.state_out = c->output);
    WRONG("state_out: overlaps state_in", io.state_out = c->state_in + 1);
    WRONG("kept: overlaps eta", io.eta = c->kept + 3);
#undef WRONG
    clattn_neural_memory_io io = memory_case_io(c);
    io.struct_size = 1;
    EXPECT_STATUS(clattn_neural_memory_forward(memory, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_neural_memory_forward(NULL, &io), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_neural_memory_start(memory, 1, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    said(clattn_neural_memory_read(memory, -1, c->state_in, c->query, c->output, &report), CLATTN_INVALID_ARGUMENT,
         "rows", __LINE__);
    said(clattn_neural_memory_read(memory, INT64_MAX, c->state_in, c->query, c->output, &report), CLATTN_OVERFLOW,
         "rows", __LINE__);
    said(clattn_neural_memory_read(memory, 2, NULL, c->query, c->output, &report), CLATTN_INVALID_TENSORS,
         "state: missing", __LINE__);
    said(clattn_neural_memory_read(memory, 2, c->state_in, c->query, c->query, &report), CLATTN_INVALID_TENSORS,
         "output: overlaps query", __LINE__);
    clattn_neural_memory_destroy(memory);
    memory_case_destroy(c);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(starts) {
    EXPECT_START(clattn_neural_memory_options, CLATTN_NEURAL_MEMORY_OPTIONS_INIT, clattn_neural_memory_options_init);
    EXPECT_START(clattn_neural_memory_io, CLATTN_NEURAL_MEMORY_IO_INIT, clattn_neural_memory_io_init);
    EXPECT_START(clattn_neural_memory_gradients, CLATTN_NEURAL_MEMORY_GRADIENTS_INIT,
                 clattn_neural_memory_gradients_init);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { starts, refuses_options, refuses_calls };
    return suite_run(SUITE_OF("neural_memory_calls", tests, 120), SUITE_NO_FORK);
}
