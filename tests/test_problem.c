/*
 * Problems: every field's impossible values are refused with the field's name, defaults are filled in, sizes that do not
 * fit 63 bits are found before any engine is asked.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "problem/problem.h"
#include "support/suite.h"

static clattn_report report;
static clattn_problem resolved;

static clattn_problem usual(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.batch = 2;
    p.query_heads = 4;
    p.kv_heads = 2;
    p.query_length = 5;
    p.key_length = 7;
    p.head_dim = 8;
    return p;
}

/* The whole word, at the start of a line: "batch: -1 ...". */
static bool names(const char *text, const char *field) {
    size_t length = strlen(field);
    return strncmp(text, field, length) == 0 && (text[length] == ':' || text[length] == '[');
}

static void refused(const clattn_problem *p, clattn_status status, const char *field, int line) {
    memset(&resolved, 0x5a, sizeof resolved);
    clattn_problem before = resolved;
    clattn_status got = clattn_problem_resolve(p, &resolved, &report);
    ck_assert_msg(got == status, "line %d: %s is %s: %s", line, field, clattn_status_name(got), report.text);
    ck_assert_msg(names(report.text, field), "line %d: %s is not named first: %s", line, field, report.text);
    ck_assert_msg(memcmp(&before, &resolved, sizeof before) == 0, "line %d: written though refused", line);
}

#define REFUSED(field_name, ...)                                      \
    do {                                                              \
        clattn_problem p = usual();                                   \
        __VA_ARGS__;                                                  \
        refused(&p, CLATTN_INVALID_PROBLEM, field_name, __LINE__);    \
    } while (0)

START_TEST(test_enums) {
    static const int bad[] = { -1, 99, 2147483647 };
    for (int i = 0; i < 3; i++) {
        REFUSED("type", p.type = (clattn_type)bad[i]);
        REFUSED("direction", p.direction = (clattn_direction)bad[i]);
        REFUSED("memory", p.memory = (clattn_memory)bad[i]);
        REFUSED("alignment", p.alignment = (clattn_alignment)bad[i]);
        REFUSED("mask", p.mask = (clattn_mask_kind)bad[i]);
        REFUSED("bias", p.bias = (clattn_bias_kind)bad[i]);
        REFUSED("weights", p.weights = (clattn_weights_stage)bad[i]);
    }
}
END_TEST

START_TEST(test_sizes) {
    static const int64_t bad[] = { -2, -1000, INT64_MIN };
    for (int i = 0; i < 3; i++) {
        REFUSED("batch", p.batch = bad[i]);
        REFUSED("query_heads", p.query_heads = bad[i]);
        REFUSED("kv_heads", p.kv_heads = bad[i]);
        REFUSED("query_length", p.query_length = bad[i]);
        REFUSED("key_length", p.key_length = bad[i]);
        REFUSED("head_dim", p.head_dim = bad[i]);
        REFUSED("value_dim", p.value_dim = bad[i]);
        REFUSED("past_length", p.past_length = bad[i]);
    }
    REFUSED("query_heads", p.query_heads = 0);
    REFUSED("kv_heads", p.kv_heads = 0);
    REFUSED("head_dim", p.head_dim = 0);
    REFUSED("value_dim", p.value_dim = 0);
    REFUSED("batch", p.batch = -1);
    REFUSED("query_length", p.query_length = -1);
    REFUSED("head_dim", p.head_dim = -1);
}
END_TEST

START_TEST(test_relations) {
    REFUSED("query_heads", p.query_heads = 5);
    REFUSED("query_heads", p.query_heads = 1);
    REFUSED("past_length", p.past_length = 8);
    REFUSED("alignment", p.causal = true);
    REFUSED("alignment", p.window_left = 3);
    REFUSED("alignment", p.window_right = 0);
    REFUSED("alignment", p.alibi = true);
    REFUSED("alignment", p.causal = true, p.key_length = 5, p.past_length = 1);
    REFUSED("alignment", p.causal = true, p.key_length = 5, p.key_lengths = true);
    REFUSED("alignment", p.causal = true, p.key_length = 5, p.query_lengths = true);
}
END_TEST

START_TEST(test_numbers) {
    static const double bad[] = { (double)INFINITY, -(double)INFINITY, (double)NAN };
    for (int i = 0; i < 3; i++) {
        REFUSED("scale", p.has_scale = true, p.scale = bad[i]);
        REFUSED("softcap", p.softcap = bad[i]);
    }
    REFUSED("softcap", p.softcap = -1);
    REFUSED("window_left", p.window_left = -2);
    REFUSED("window_right", p.window_right = INT64_MIN);
    REFUSED("offset", p.offset = INT64_MAX, p.alignment = CLATTN_ALIGN_OFFSET);
    REFUSED("offset", p.offset = INT64_MIN, p.alignment = CLATTN_ALIGN_OFFSET);
}
END_TEST

START_TEST(test_shapes) {
    for (int k = 0; k < 4; k++) {
        char mask[16], bias[16];
        snprintf(mask, sizeof mask, "mask_shape[%d]", k);
        snprintf(bias, sizeof bias, "bias_shape[%d]", k);
        static const int64_t bad[] = { 0, 3, -2, INT64_MIN, INT64_MAX };
        for (int i = 0; i < 5; i++) {
            REFUSED("mask_shape", p.mask = CLATTN_MASK_BYTES, p.mask_shape[k] = bad[i]);
            ck_assert_ptr_nonnull(strstr(report.text, mask));
            REFUSED("bias_shape", p.bias = CLATTN_BIAS_FP32, p.bias_shape[k] = bad[i]);
            ck_assert_ptr_nonnull(strstr(report.text, bias));
        }
    }
    clattn_problem p = usual(); /* a shape of something that is not there does not matter */
    p.mask_shape[0] = 77;
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
}
END_TEST

START_TEST(test_weights_ranges) {
    static const int64_t bad[] = { -1, -2, 100, INT64_MIN, INT64_MAX };
    for (int i = 0; i < 5; i++) {
        REFUSED("weights_first_head", p.weights = CLATTN_WEIGHTS_RAW, p.weights_first_head = bad[i]);
        REFUSED("weights_first_row", p.weights = CLATTN_WEIGHTS_RAW, p.weights_first_row = bad[i]);
        if (bad[i] != CLATTN_SAME) {
            REFUSED("weights_heads", p.weights = CLATTN_WEIGHTS_RAW, p.weights_heads = bad[i]);
            REFUSED("weights_rows", p.weights = CLATTN_WEIGHTS_RAW, p.weights_rows = bad[i]);
        }
    }
    REFUSED("weights_heads", p.weights = CLATTN_WEIGHTS_RAW, p.weights_first_head = 3, p.weights_heads = 2);
    REFUSED("weights_rows", p.weights = CLATTN_WEIGHTS_RAW, p.weights_first_row = 5, p.weights_rows = 1);
}
END_TEST

START_TEST(test_overflow) {
#define OVERFLOWS(field_name, ...)                              \
    do {                                                        \
        clattn_problem p = usual();                             \
        __VA_ARGS__;                                            \
        refused(&p, CLATTN_OVERFLOW, field_name, __LINE__);     \
    } while (0)
    const int64_t big = INT64_C(1) << 58;
    OVERFLOWS("query", p.batch = big);
    OVERFLOWS("query", p.query_length = big);
    OVERFLOWS("key", p.key_length = big);
    OVERFLOWS("query", p.head_dim = big);
    OVERFLOWS("value", p.value_dim = big);
    OVERFLOWS("query", p.query_heads = p.kv_heads = INT64_MAX);
    OVERFLOWS("query", p.batch = 0, p.head_dim = INT64_MAX); /* a zero elsewhere hides nothing */
    OVERFLOWS("mask", p.query_length = p.key_length = INT64_C(1) << 31, p.mask = CLATTN_MASK_BYTES);
    OVERFLOWS("bias", p.query_length = p.key_length = INT64_C(1) << 29, p.bias = CLATTN_BIAS_FP32);
    OVERFLOWS("weights", p.query_length = p.key_length = INT64_C(1) << 29, p.weights = CLATTN_WEIGHTS_RAW);
}
END_TEST

START_TEST(test_defaults) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_length = 6;
    p.head_dim = 16;
    p.mask = CLATTN_MASK_BYTES;
    p.mask_shape[1] = 1;
    p.weights = CLATTN_WEIGHTS_SOFTMAX;
    p.weights_first_row = 2;
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
    ck_assert_int_eq(resolved.batch, 1);
    ck_assert_int_eq(resolved.kv_heads, 1);
    ck_assert_int_eq(resolved.key_length, 6);
    ck_assert_int_eq(resolved.value_dim, 16);
    ck_assert(resolved.has_scale && resolved.scale == 0.25);
    ck_assert_int_eq(resolved.mask_shape[3], 6);
    ck_assert_int_eq(resolved.weights_heads, 1);
    ck_assert_int_eq(resolved.weights_rows, 4);
    ck_assert_uint_eq(report.length, 0);
}
END_TEST

/* Fields of what is not asked for may hold anything: they are not checked, and nobody multiplies by them. */
START_TEST(test_fields_not_asked_for) {
    clattn_problem p = usual();
    for (int k = 0; k < 4; k++) {
        p.mask_shape[k] = p.bias_shape[k] = INT64_MAX - k;
    }
    p.weights_first_head = p.weights_first_row = INT64_MIN;
    p.weights_heads = p.weights_rows = INT64_MAX;
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
    ck_assert(resolved.mask_shape[0] == 0 && resolved.bias_shape[3] == 0);
    ck_assert(resolved.weights_heads == 0 && resolved.weights_rows == 0 && resolved.weights_first_row == 0);
}
END_TEST

START_TEST(test_legal_extremes) {
    clattn_problem p = usual();
    p.batch = p.query_length = p.key_length = 0;
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
    p = usual();
    p.has_scale = true;
    p.scale = -2;
    p.causal = true;
    p.alignment = CLATTN_ALIGN_OFFSET;
    p.offset = -1000;
    p.window_left = INT64_MAX; /* as good as open */
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
    ck_assert_int_eq(resolved.window_left, CLATTN_OPEN);
    p = usual(); /* equal lengths: the alignment does not matter */
    p.causal = true;
    p.key_length = p.query_length;
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
}
END_TEST

START_TEST(test_structure_versions) {
    clattn_problem p = usual();
    for (size_t size = 0; size <= sizeof p + 8; size++) { /* neither half a pointer nor a newer structure */
        p.struct_size = size;
        clattn_status status = clattn_problem_resolve(&p, &resolved, &report);
        ck_assert_int_eq(status, size == sizeof p ? CLATTN_OK : CLATTN_INVALID_ARGUMENT);
        ck_assert(status == CLATTN_OK || strncmp(report.text, "struct_size:", 12) == 0);
    }
    p.struct_size = sizeof p;
    EXPECT_STATUS(clattn_problem_resolve(NULL, &resolved, &report), CLATTN_INVALID_ARGUMENT, &report);
    EXPECT_STATUS(clattn_problem_resolve(&p, NULL, &report), CLATTN_INVALID_ARGUMENT, &report);
    EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, NULL), CLATTN_OK, NULL);
}
END_TEST

/* The closed form that FLOPs are counted by, against counting. */
START_TEST(test_score_count) {
    for (int n = 0; n < 2000; n++) {
        clattn_problem p = usual();
        p.query_length = n % 7;
        p.key_length = n / 7 % 6;
        p.alignment = CLATTN_ALIGN_OFFSET;
        p.offset = n % 11 - 5;
        p.causal = n % 3 == 0;
        p.window_left = n % 5 - 1;
        p.window_right = n % 4 - 1;
        int64_t count = 0;
        EXPECT_STATUS(clattn_problem_resolve(&p, &resolved, &report), CLATTN_OK, &report);
        for (int64_t i = 0; i < p.query_length; i++) {
            for (int64_t j = 0; j < p.key_length; j++) {
                int64_t at = i + p.offset;
                bool in = (!p.causal || j <= at) && (p.window_left < 0 || j >= at - p.window_left) &&
                          (p.window_right < 0 || j <= at + p.window_right);
                count += in;
            }
        }
        ck_assert_double_eq(attn_problem_scores(&resolved), (double)(count * p.batch * p.query_heads));
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_enums,          test_sizes,    test_relations, test_numbers,
                                   test_shapes,         test_weights_ranges, test_overflow,  test_defaults,
                                   test_legal_extremes, test_fields_not_asked_for, test_structure_versions, test_score_count };
    return suite_run(SUITE_OF("problem", tests, 10), SUITE_FORK);
}
