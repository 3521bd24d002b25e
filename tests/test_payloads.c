/*
 * NaN of every form: with low bits set, signalling, negative. A kernel that works on the bits of a number meets these where
 * the plain NAN of the C library would pass. One of them in a query, in the last key, in a value or in the bias, on every
 * engine, body and type: the rows that may attend to it must come out NaN, the others finite.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "support/additive_case.h"
#include "support/every_engine.h"

enum { DIM = 24, MOST_ROWS = 20, KEYS = 70, PAYLOADS = 5, MARKED_ROW = 1, MARKED_DIM = 3 };

static const uint64_t payloads[4][PAYLOADS] = {
    [CLATTN_FP32] = { 0x7fc00001, 0x7f800001, 0xffffffff, 0x7fffffff, 0xff800001 },
    [CLATTN_FP16] = { 0x7e01, 0x7c01, 0xffff, 0x7fff, 0xfc01 },
    [CLATTN_BF16] = { 0x7fc1, 0x7f81, 0xffff, 0x7fff, 0xff81 },
    [CLATTN_FP64] = { 0x7ff8000000000001, 0x7ff0000000000001, 0xffffffffffffffff, 0x7fffffffffffffff, 0xfff0000000000001 },
};

/* The memory of a problem, wide enough for fp64. */
static double query[MOST_ROWS * DIM], key[KEYS * DIM], value[KEYS * DIM], bias[MOST_ROWS * KEYS], output[MOST_ROWS * DIM],
    logsumexp[MOST_ROWS];

static void put_bits(clattn_type type, void *data, int64_t index, uint64_t bits) {
    int64_t size = clattn_type_size(type);
    uint32_t word = (uint32_t)bits;
    uint16_t half = (uint16_t)bits;
    const void *from = size == 8 ? (const void *)&bits : size == 4 ? (const void *)&word : (const void *)&half;
    memcpy((char *)data + index * size, from, (size_t)size);
}

static void fill(clattn_type type, void *data, int64_t count, int64_t step) {
    for (int64_t n = 0; n < count; n++) {
        clattn_set_element(type, data, n, (double)(n * step % 31) / 16 - 1);
    }
}

/* The first row that must be NaN, and how many are. */
typedef struct spoilt {
    int64_t first, count;
    bool one_dim; /* only MARKED_DIM is asked for */
} spoilt;

static void expect_spoilt(const char *what, const clattn_problem *p, spoilt rows) {
    for (int64_t i = 0; i < p->query_length; i++) {
        bool nan = i >= rows.first && i < rows.first + rows.count;
        for (int64_t d = 0; d < DIM; d++) {
            double x = clattn_get_element(p->type, output, i * DIM + d);
            if (nan && rows.one_dim && d != MARKED_DIM) {
                continue;
            }
            ck_assert_msg(nan ? isnan(x) : isfinite(x), "%s: output of row %d, dim %d is %g", what, (int)i, (int)d, x);
        }
        double sum = p->type == CLATTN_FP64 ? logsumexp[i] : (double)((const float *)logsumexp)[i];
        bool sum_is_nan = nan && !rows.one_dim;
        ck_assert_msg(sum_is_nan ? isnan(sum) : isfinite(sum), "%s: logsumexp of row %d is %g", what, (int)i, sum);
    }
}

static void run(clattn_plan *plan, const char *what) {
    static clattn_report report;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output, t.bias.data = bias;
    t.logsumexp.data = logsumexp, t.report = &report;
    clattn_status status = clattn_execute(plan, &t);
    ck_assert_msg(status == CLATTN_OK, "%s: %s: %s", what, clattn_status_name(status), report.text);
}

/* One NaN in `data` at `index`, a run, and what stood there before again. */
static void try_place(clattn_plan *plan, const clattn_problem *p, const char *name, const char *place, clattn_type type,
                      void *data, int64_t index, spoilt rows) {
    char what[400];
    double before = clattn_get_element(type, data, index);
    for (int n = 0; n < PAYLOADS; n++) {
        snprintf(what, sizeof what, "%s, %s, %" PRId64 " rows, NaN %llx in %s", name, clattn_type_name(p->type),
                 p->query_length, (unsigned long long)payloads[type][n], place);
        put_bits(type, data, index, payloads[type][n]);
        memset(output, 0, sizeof output);
        run(plan, what);
        expect_spoilt(what, p, rows);
    }
    clattn_set_element(type, data, index, before);
}

static void try_plan(clattn_plan *plan, const clattn_problem *p, const char *name) {
    const int64_t rows = p->query_length;
    fill(p->type, query, rows * DIM, 7);
    fill(p->type, key, KEYS * DIM, 11);
    fill(p->type, value, KEYS * DIM, 13);
    const spoilt all = { 0, rows, false }, last = { rows - 1, 1, false }, one = { MARKED_ROW, 1, false };
    const spoilt all_of_dim = { 0, rows, true }, last_of_dim = { rows - 1, 1, true };
    try_place(plan, p, name, "the query", p->type, query, MARKED_ROW * DIM + MARKED_DIM, one);
    try_place(plan, p, name, "the first key", p->type, key, MARKED_DIM, all);
    try_place(plan, p, name, "the last key", p->type, key, (KEYS - 1) * DIM + MARKED_DIM, p->causal ? last : all);
    try_place(plan, p, name, "the first value", p->type, value, MARKED_DIM, all_of_dim);
    try_place(plan, p, name, "the last value", p->type, value, (KEYS - 1) * DIM + MARKED_DIM,
              p->causal ? last_of_dim : all_of_dim);
    if (p->bias != CLATTN_BIAS_NONE) {
        clattn_type type = p->bias == CLATTN_BIAS_FP32 ? CLATTN_FP32 : p->type;
        fill(type, bias, rows * KEYS, 3);
        try_place(plan, p, name, "the bias", type, bias, MARKED_ROW * KEYS + 2, one);
    }
}

/* Plain; causal, where a NaN must also stay out of the other rows; softcap with both kinds of bias. */
static clattn_problem make_problem(clattn_type type, int64_t rows, int feature) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.type = type, p.query_length = rows, p.key_length = KEYS, p.head_dim = DIM, p.logsumexp = true;
    p.causal = feature == 1;
    p.alignment = CLATTN_ALIGN_BOTTOM_RIGHT;
    p.softcap = feature >= 2 ? 5 : 0;
    p.bias = feature == 2 ? CLATTN_BIAS_FP32 : feature == 3 ? CLATTN_BIAS_STORAGE : CLATTN_BIAS_NONE;
    return p;
}

static int served; /* plans made */

/* GPU-shaped bodies take seconds to build on a CPU, so not each of them with every feature and type. */
static bool is_wanted(const engine_at *at, const char *body, clattn_type type, int feature) {
    if (feature == 3 && type == CLATTN_FP32) {
        return false; /* the same as 2 */
    }
    if (strncmp(at->engine, "opencl", 6) != 0 || !body || strcmp(body, "cpu-shaped") == 0) {
        return true;
    }
    return type != CLATTN_BF16 && (strcmp(body, "gpu-shaped") == 0 ? feature == 0 || feature == 2
                                                                   : strcmp(body, "matrix") == 0 && feature == 1);
}

static void try_body(const engine_at *at, const char *body, clattn_type type, int64_t rows) {
    char name[300];
    snprintf(name, sizeof name, "%s, %s", at->name, body ? body : "chosen");
    for (int feature = 0; feature < 4; feature++) {
        clattn_problem p = make_problem(type, rows, feature);
        const clattn_plan_options options = engine_options(at);
        clattn_plan *plan = NULL;
        if (!is_wanted(at, body, type, feature)) {
            continue;
        }
        if (clattn_plan_create(at->runtime, &p, &options, &plan, NULL) == CLATTN_OK) {
            try_plan(plan, &p, name);
            served++;
        }
        clattn_plan_destroy(plan);
    }
}

static void check_payloads(const engine_at *at) {
    const bool opencl = strncmp(at->engine, "opencl", 6) == 0;
    served = 0;
    for (int type = CLATTN_FP32; type <= CLATTN_FP64; type++) {
        clattn_block_override blocks;
        for (int64_t n = 0; engine_take_body(at, n, &blocks); n++) {
            const char *body = blocks.body;
            engine_at with = *at;
            with.blocks = &blocks;
            if (opencl && type == CLATTN_FP64) {
                continue;
            }
            try_body(&with, body, (clattn_type)type, 3);
            if (strcmp(at->engine, "cpu") == 0) { /* prefill beside decode */
                try_body(&with, body, (clattn_type)type, MOST_ROWS);
            }
        }
    }
    ck_assert_msg(served >= 7, "%s: %d plans", at->name, served);
}

START_TEST(test_attention) {
    for_every_engine(false, check_payloads);
}
END_TEST

static void try_additive(clattn_runtime *runtime, const char *engine, int tensor, int64_t index, int64_t first, int64_t count,
                         bool one_column) {
    enum { QUERIES = 6, COLUMNS = 21 };
    static const char *const names[] = { "query", "key", "v", "value" };
    for (int n = 0; n < PAYLOADS; n++) {
        additive_case c = additive_make(1, QUERIES, 40, 19, COLUMNS);
        c.problem.logsumexp = true;
        put_bits(CLATTN_FP32, c.memory[tensor], index, payloads[CLATTN_FP32][n]);
        additive_run(runtime, &c, engine);
        for (int64_t i = 0; i < QUERIES * COLUMNS; i++) {
            bool nan = i / COLUMNS >= first && i / COLUMNS < first + count;
            bool asked = !one_column || i % COLUMNS == index % COLUMNS;
            double x = (double)c.memory[4][i];
            ck_assert_msg(nan ? !asked || isnan(x) : isfinite(x), "additive, %s: NaN %x in %s: output %d is %g", engine,
                          (unsigned)payloads[CLATTN_FP32][n], names[tensor], (int)i, x);
        }
        additive_free(&c);
    }
}

START_TEST(test_additive) {
    clattn_runtime *runtime = suite_runtime(NULL);
    for (int e = 0; e < ADDITIVE_ENGINES; e++) {
        if (additive_is_here(runtime, e)) {
            try_additive(runtime, additive_engines[e], 0, 2 * 19 + 5, 2, 1, false);
            try_additive(runtime, additive_engines[e], 1, 18, 0, 6, false);
            try_additive(runtime, additive_engines[e], 2, 7, 0, 6, false);
            try_additive(runtime, additive_engines[e], 3, 3 * 21 + 4, 0, 6, true);
        }
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* What merges parts works in double: a NaN of a part is one of the result. */
START_TEST(test_merge) {
    for (int n = 0; n < PAYLOADS; n++) {
        float sums[2] = { 1, 2 }, parts[2] = { 3, 4 }, result = 0, sum = 0;
        clattn_merge_part all[2] = { { CLATTN_FP32, parts, 1, sums }, { CLATTN_FP32, parts + 1, 1, sums + 1 } };
        clattn_merge_part to = { CLATTN_FP32, &result, 1, &sum };
        put_bits(CLATTN_FP32, sums, 1, payloads[CLATTN_FP32][n]);
        EXPECT_STATUS(clattn_merge(all, 2, 1, 1, &to), CLATTN_OK, NULL);
        ck_assert(isnan(result) && isnan(sum));
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_attention, test_additive, test_merge };
    return suite_run(SUITE_OF("payloads", tests, 0), SUITE_NO_FORK);
}
