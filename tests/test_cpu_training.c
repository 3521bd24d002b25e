/*
 * What training asks of the forward, on every body and path of the cpu engine, beside the reference: dropout of a piece that
 * begins anywhere, at the ends of its probability, and of values that are not finite; outputs of a type of their own.
 */
#include <math.h>
#include <stdlib.h>

#include "clattn/clattn_inspect.h"
#include "support/gradient_case.h"

enum { BATCH = 2, HEADS = 4, KEYS = 300, DIM = 2, MOST_ROWS = 40, MOST = BATCH * HEADS * MOST_ROWS * DIM };

static clattn_report report;
static clattn_runtime *runtime;

/** A problem of queries 0, whose weights are alike; its values say which keys are left. All of it is exact in 16 bits. */
typedef struct piece {
    clattn_problem problem;
    clattn_tensors tensors;
    unsigned char query[MOST * 8], key[BATCH * HEADS * KEYS * DIM * 8], value[BATCH * HEADS * KEYS * DIM * 8];
    double output[MOST];
    unsigned char mask[BATCH * HEADS * MOST_ROWS * KEYS];
} piece;

static const int64_t first_keys[BATCH] = { 3, (INT64_C(1) << 40) + 6 };

static void start_piece(piece *x, clattn_type type, int64_t rows, double dropout) {
    memset(x, 0, sizeof *x);
    x->problem = (clattn_problem)CLATTN_PROBLEM_INIT;
    x->tensors = (clattn_tensors)CLATTN_TENSORS_INIT;
    x->problem.type = type;
    x->problem.batch = BATCH, x->problem.query_heads = HEADS, x->problem.kv_heads = HEADS / 2;
    x->problem.query_length = rows, x->problem.key_length = KEYS, x->problem.head_dim = DIM;
    x->problem.dropout = dropout, x->problem.dropout_mask = true;
    for (int64_t n = 0; n < BATCH * HEADS / 2 * KEYS; n++) {
        clattn_set_element(type, x->value, 2 * n, 1);
        clattn_set_element(type, x->value, 2 * n + 1, (double)(n % KEYS % 61));
    }
    x->tensors.query.data = x->query, x->tensors.key.data = x->key, x->tensors.value.data = x->value;
    x->tensors.dropout_mask.data = x->mask;
    x->tensors.dropout_seed = UINT64_C(0xfedcba9876543210);
    x->tensors.first_entry = 7, x->tensors.first_head = 5, x->tensors.first_row = 1000;
    x->tensors.first_keys = (clattn_integers){ first_keys, 0, CLATTN_INT64 };
}

/** Its output, as doubles, by an engine; `bytes` (NULL: not asked for) receives it as it was written. */
static void run_piece(piece *x, const char *engine, const clattn_block_override *blocks, unsigned char *bytes) {
    static unsigned char written[MOST * 8];
    clattn_plan_options options = suite_on(engine, CLATTN_ANY_DEVICE);
    options.blocks = blocks;
    memset(written, 0, sizeof written);
    x->tensors.output.data = written;
    EXPECT_STATUS(clattn_attention(runtime, &x->problem, &options, &x->tensors, &report), CLATTN_OK, &report);
    clattn_type type = x->problem.output_type == CLATTN_RESULT_FP32 ? CLATTN_FP32 : x->problem.type;
    for (int64_t n = 0; n < BATCH * HEADS * x->problem.query_length * DIM; n++) {
        x->output[n] = clattn_get_element(type, written, n);
    }
    if (bytes) {
        memcpy(bytes, written, sizeof written);
    }
}

/** The bodies of the cpu engine that run here. */
static bool take_body(int64_t n, clattn_block_override *blocks) {
    clattn_body_info info;
    for (int64_t index = 0; clattn_inspect_body(runtime, CLATTN_OPERATION_ATTENTION, "cpu", 0, index, &info) == CLATTN_OK;
         index++) {
        if (!info.why_not && n-- == 0) {
            *blocks = (clattn_block_override){ .body = info.name };
            return true;
        }
    }
    return false;
}

static void compare(const piece *got, const piece *expected, double tolerance, const char *body) {
    const clattn_problem *p = &got->problem;
    for (int64_t n = 0; n < BATCH * HEADS * p->query_length * DIM; n++) {
        double x = got->output[n], y = expected->output[n];
        bool same = isfinite(y) ? fabs(x - y) <= tolerance * (1 + fabs(y)) : !isfinite(x);
        ck_assert_msg(same, "%s, %s, %d rows, dropout %g: output %d is %.9g, must be %.9g", body,
                      clattn_type_name(p->type), (int)p->query_length, p->dropout, (int)n, x, y);
    }
    ck_assert_msg(memcmp(got->mask, expected->mask, (size_t)(BATCH * HEADS * p->query_length * KEYS)) == 0,
                  "%s, %d rows, dropout %g: another mask", body, (int)p->query_length, p->dropout);
}

/* Rows in place, packed, tiles of rows; every type. */
static const int64_t rows_of[] = { 1, 3, 5, MOST_ROWS };

typedef void (*change)(piece *x);

/** Every body, type and number of rows against the reference. A change makes something else of the problem. */
static void compare_all(double dropout, change change_piece) {
    static piece expected, got;
    clattn_block_override blocks;
    for (int type = CLATTN_FP32; type <= CLATTN_FP64; type++) {
        for (size_t r = 0; r < sizeof rows_of / sizeof *rows_of; r++) {
            start_piece(&expected, (clattn_type)type, rows_of[r], dropout);
            expected.problem.output_type = type == CLATTN_FP64 ? CLATTN_RESULT_STORAGE : CLATTN_RESULT_FP32;
            if (change_piece) {
                change_piece(&expected);
            }
            got = expected;
            got.tensors.query.data = got.query, got.tensors.key.data = got.key, got.tensors.value.data = got.value;
            got.tensors.dropout_mask.data = got.mask;
            run_piece(&expected, "reference", NULL, NULL);
            for (int64_t n = 0; take_body(n, &blocks); n++) {
                memset(got.mask, 7, sizeof got.mask);
                run_piece(&got, "cpu", &blocks, NULL);
                compare(&got, &expected, 2e-6, blocks.body);
            }
        }
    }
}

START_TEST(test_pieces) {
    compare_all(0.3, NULL);
    compare_all(0.75, NULL);
}
END_TEST

static void use_window(piece *x) {
    x->problem.window_left = 9, x->problem.window_right = 70, x->problem.prefix = 70;
    x->problem.alignment = CLATTN_ALIGN_OFFSET, x->problem.offset = 150;
}

/* Both ranges of a row's keys. */
START_TEST(test_pieces_with_prefix) {
    compare_all(0.5, use_window);
}
END_TEST

/* The threshold does not overflow, and what is below its unit keeps all. */
START_TEST(test_ends) {
    static piece x;
    const double ends[] = { 1 - 0x1p-53, 1 - 0x1p-24, 0x1p-40 };
    for (int n = 0; n < 3; n++) {
        compare_all(ends[n], NULL);
    }
    start_piece(&x, CLATTN_FP32, MOST_ROWS, 0x1p-40);
    run_piece(&x, "cpu", NULL, NULL);
    for (size_t n = 0; n < sizeof x.mask; n++) {
        ck_assert_int_eq(x.mask[n], 1);
    }
}
END_TEST

/* An infinite value reaches the rows that keep its key, and no other. */
static void spoil_value(piece *x) {
    for (int64_t n = 0; n < BATCH * HEADS / 2; n++) {
        clattn_set_element(x->problem.type, x->value, 2 * (n * KEYS + 17 + 40 * n), (double)INFINITY);
    }
}

START_TEST(test_dropped_infinity) {
    compare_all(0.5, spoil_value);
}
END_TEST

/* Without dropout the seed changes nothing, and the mask is full. */
START_TEST(test_no_dropout) {
    static piece x;
    static unsigned char bytes[2][MOST * 8];
    clattn_block_override blocks;
    for (int64_t n = 0; take_body(n, &blocks); n++) {
        for (int with = 0; with < 2; with++) {
            start_piece(&x, CLATTN_FP16, MOST_ROWS, 0);
            gradient_fill(CLATTN_FP16, x.query, MOST, 1, 1);
            gradient_fill(CLATTN_FP16, x.key, BATCH * HEADS / 2 * KEYS * DIM, 1, 2);
            x.problem.dropout_mask = with == 1;
            x.tensors.dropout_seed += (uint64_t)with;
            run_piece(&x, "cpu", &blocks, bytes[with]);
        }
        ck_assert(memcmp(bytes[0], bytes[1], sizeof bytes[0]) == 0);
        for (size_t byte = 0; byte < sizeof x.mask; byte++) {
            ck_assert_int_eq(x.mask[byte], 1);
        }
    }
}
END_TEST

/* 16-bit outputs are the fp32 ones, rounded. */
START_TEST(test_output_type) {
    static piece narrow, wide;
    static unsigned char bytes[MOST * 8], rounded[MOST * 8];
    clattn_block_override blocks;
    for (int64_t n = 0; take_body(n, &blocks); n++) {
        for (int k = 0; k < 8; k++) {
            clattn_type type = k % 2 ? CLATTN_BF16 : CLATTN_FP16;
            start_piece(&narrow, type, rows_of[k / 2], k % 3 ? 0.25 : 0);
            gradient_fill(type, narrow.query, MOST, 1, 1);
            gradient_fill(type, narrow.key, BATCH * HEADS / 2 * KEYS * DIM, 1, 2);
            gradient_fill(type, narrow.value, BATCH * HEADS / 2 * KEYS * DIM, 1, 3);
            run_piece(&narrow, "cpu", &blocks, bytes);
            wide = narrow;
            wide.problem.output_type = CLATTN_RESULT_FP32;
            run_piece(&wide, "cpu", &blocks, NULL);
            memset(rounded, 0, sizeof rounded);
            for (int64_t e = 0; e < BATCH * HEADS * rows_of[k / 2] * DIM; e++) {
                clattn_set_element(type, rounded, e, wide.output[e]);
            }
            ck_assert_msg(memcmp(bytes, rounded, sizeof bytes) == 0, "%s, %s", blocks.body, clattn_type_name(type));
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_pieces,           test_pieces_with_prefix, test_ends,
                                   test_dropped_infinity, test_no_dropout,         test_output_type };
    const clattn_runtime_options without_opencl = { sizeof without_opencl, 2, true, { 0 } };
    if (clattn_runtime_create(&without_opencl, &runtime) != CLATTN_OK) {
        return EXIT_FAILURE;
    }
    int status = suite_run(SUITE_OF("cpu_training", tests, 60), SUITE_NO_FORK);
    clattn_runtime_destroy(runtime);
    return status;
}
