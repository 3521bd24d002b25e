/*
 * Merging partial results: attention over parts of the keys, merged, is attention over all of them; empty parts, a sink in one
 * part, every type; and what is refused.
 */
#include <math.h>
#include <string.h>

#include "clattn/clattn.h"
#include "support/suite.h"

enum { ROWS = 6, KEYS = 50, DIM = 12 };

static clattn_report report;
static unsigned char query[ROWS * DIM * 8], key[KEYS * DIM * 8], value[KEYS * DIM * 8];

/* Attention over keys first .. first + count by the reference. */
static void attend(clattn_type type, int64_t first, int64_t count, bool sink, void *output, void *logsumexp) {
    static const float sink_value = 0.75F;
    clattn_runtime *runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    clattn_problem p = CLATTN_PROBLEM_INIT;
    clattn_plan_options options = CLATTN_PLAN_OPTIONS_INIT;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    p.type = type, p.query_length = ROWS, p.key_length = count, p.head_dim = DIM, options.engine = "reference";
    p.logsumexp = true;
    p.sinks = sink;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output, t.logsumexp.data = logsumexp;
    t.key.offset = t.value.offset = first * DIM;
    t.sinks.data = (void *)&sink_value;
    EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
    clattn_runtime_destroy(runtime);
}

static void check_type(clattn_type type, double tolerance) {
    static const int64_t cuts[] = { 0, 17, 17, 33, KEYS }; /* the second part has no keys */
    static unsigned char outputs[4][ROWS * DIM * 8], sums[4][ROWS * 8], whole[ROWS * DIM * 8], whole_sum[ROWS * 8],
        merged[ROWS * DIM * 8], merged_sum[ROWS * 8];
    clattn_merge_part parts[4], result = { type, merged, DIM, merged_sum };
    clattn_type wide = type == CLATTN_FP64 ? CLATTN_FP64 : CLATTN_FP32;
    for (int64_t n = 0; n < KEYS * DIM; n++) {
        clattn_set_element(type, key, n, sin((double)n * 0.7) * 2);
        clattn_set_element(type, value, n, cos((double)n * 0.3) * 3);
        clattn_set_element(type, query, n % (ROWS * DIM), sin((double)n * 0.11) * 2);
    }
    for (int k = 0; k < 4; k++) {
        attend(type, cuts[k], cuts[k + 1] - cuts[k], k == 2, outputs[k], sums[k]);
        parts[k] = (clattn_merge_part){ type, outputs[k], DIM, sums[k] };
    }
    memset(outputs[1], 0xff, sizeof outputs[1]); /* not looked at */
    attend(type, 0, KEYS, true, whole, whole_sum);
    EXPECT_STATUS(clattn_merge(parts, 4, ROWS, DIM, &result), CLATTN_OK, NULL);
    for (int64_t n = 0; n < ROWS * DIM; n++) {
        ck_assert_double_eq_tol(clattn_get_element(type, merged, n), clattn_get_element(type, whole, n), tolerance);
    }
    for (int64_t i = 0; i < ROWS; i++) {
        ck_assert_double_eq_tol(clattn_get_element(wide, merged_sum, i), clattn_get_element(wide, whole_sum, i),
                                type == CLATTN_FP64 ? 1e-13 : 2e-6);
    }
}

START_TEST(test_parts_make_the_whole) {
    check_type(CLATTN_FP32, 1e-6);
    check_type(CLATTN_FP64, 1e-13);
    check_type(CLATTN_FP16, 4e-3);
    check_type(CLATTN_BF16, 3e-2);
}
END_TEST

START_TEST(test_nothing_seen) {
    float output[2 * 3] = { NAN, 1, 2, 3, 4, 5 }, empty[2] = { -INFINITY, -INFINITY }, merged[6] = { 9, 9, 9, 9, 9, 9 }, sum[2];
    clattn_merge_part part = { CLATTN_FP32, output, 3, empty }, result = { CLATTN_FP32, merged, 3, sum };
    for (int64_t count = 0; count < 2; count++) {
        EXPECT_STATUS(clattn_merge(&part, count, 2, 3, &result), CLATTN_OK, NULL);
        for (int n = 0; n < 6; n++) {
            ck_assert_float_eq(merged[n], 0);
        }
        ck_assert(sum[0] == -INFINITY && sum[1] == -INFINITY);
    }
}
END_TEST

START_TEST(test_strides_and_in_place) {
    float a[] = { 1, 2, 77, 3, 4, 77 }, b[] = { 5, 6, 7, 8 }, la[] = { 0, 0 }, lb[] = { 0, -INFINITY };
    clattn_merge_part parts[] = { { CLATTN_FP32, a, 3, la }, { CLATTN_FP32, b, 2, lb } };
    clattn_merge_part result = { CLATTN_FP32, a, 3, la };
    EXPECT_STATUS(clattn_merge(parts, 2, 2, 2, &result), CLATTN_OK, NULL);
    static const float expected[] = { 3, 4, 77, 3, 4, 77 }; /* the gap stays */
    for (int n = 0; n < 6; n++) {
        ck_assert_float_eq_tol(a[n], expected[n], 1e-6F);
    }
    ck_assert_float_eq_tol(la[0], (float)log(2), 1e-6F);
    ck_assert_float_eq(la[1], 0);
}
END_TEST

START_TEST(test_far_apart) {
    float a[] = { 1 }, b[] = { 5 }, la[] = { 3e5F }, lb[] = { -3e5F }, out[1];
    clattn_merge_part parts[] = { { CLATTN_FP32, a, 1, la }, { CLATTN_FP32, b, 1, lb } };
    clattn_merge_part result = { CLATTN_FP32, out, 1, NULL };
    EXPECT_STATUS(clattn_merge(parts, 2, 1, 1, &result), CLATTN_OK, NULL);
    ck_assert_float_eq(out[0], 1);
}
END_TEST

START_TEST(test_refusals) {
    float a[4] = { 0 }, l[2] = { 0 }, out[4] = { 8, 8, 8, 8 };
    const clattn_merge_part good = { CLATTN_FP32, a, 2, l }, to = { CLATTN_FP32, out, 2, NULL };
    clattn_merge_part bad[] = { good, good, good, good };
    bad[0].output = NULL;
    bad[1].logsumexp = NULL;
    bad[2].row_stride = 1;
    bad[3].type = (clattn_type)9;
    for (int n = 0; n < 4; n++) {
        EXPECT_STATUS(clattn_merge(&bad[n], 1, 2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    }
    EXPECT_STATUS(clattn_merge(NULL, 1, 2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, 1, 2, 2, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, -1, 2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, 1, -2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, 1, 2, -2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_float_eq(out[0], 8);
    clattn_merge_part wide = good, far = to;
    wide.row_stride = INT64_MAX / 2; /* beyond 63 bits, in a part and in the result */
    far.row_stride = INT64_MAX / 8;
    EXPECT_STATUS(clattn_merge(&wide, 1, 2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, 1, 9, 2, &far), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_merge(&good, 1, INT64_MAX / 4, 0, &to), CLATTN_INVALID_ARGUMENT, NULL);
    wide = good;
    wide.output = (void *)(UINTPTR_MAX - 7); /* round the address space */
    EXPECT_STATUS(clattn_merge(&wide, 1, 2, 2, &to), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert_float_eq(out[0], 8);
}
END_TEST

/* The result may be a part, or lie beside it; a result that overlaps in another way would be read after it was written. */
START_TEST(test_overlap) {
    float a[12] = { 1, 2, 0, 0, 3, 4 }, sums[4] = { 0 };
    const clattn_merge_part part = { CLATTN_FP32, a, 4, sums };
    clattn_merge_part result = { CLATTN_FP32, a + 1, 4, NULL };
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    result.output = a + 3; /* the second column is the next row's first */
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    result = (clattn_merge_part){ CLATTN_FP32, a, 3, NULL };
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    result = (clattn_merge_part){ CLATTN_FP32, sums, 2, NULL };
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    result = (clattn_merge_part){ CLATTN_FP32, a + 6, 2, sums + 1 };
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    result.logsumexp = a + 8; /* inside itself */
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_INVALID_ARGUMENT, NULL);
    ck_assert(a[0] == 1 && a[1] == 2 && a[4] == 3 && a[5] == 4 && sums[0] == 0);
    result = (clattn_merge_part){ CLATTN_FP32, a + 2, 4, NULL }; /* side by side */
    EXPECT_STATUS(clattn_merge(&part, 1, 2, 2, &result), CLATTN_OK, NULL);
    ck_assert(a[2] == 1 && a[3] == 2 && a[6] == 3 && a[7] == 4);
}
END_TEST

START_TEST(test_many_rows_of_nothing) {
    clattn_merge_part nothing = { CLATTN_FP32, NULL, 0, NULL };
    EXPECT_STATUS(clattn_merge(NULL, 0, INT64_C(1) << 60, 0, &nothing), CLATTN_OK, NULL);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_parts_make_the_whole, test_nothing_seen, test_strides_and_in_place, test_far_apart,
                                   test_refusals, test_overlap, test_many_rows_of_nothing };
    return suite_run(SUITE_OF("merge", tests, 20), SUITE_FORK);
}
