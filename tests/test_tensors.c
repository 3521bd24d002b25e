/*
 * Tensors of a call: what the problem asks for and is missing, what does not fit, what overlaps; each refused by name
 * before anything is written. And the views that the library makes of layouts and strides.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "problem/call.h"
#include "problem/mask.h"
#include "problem/problem.h"
#include "support/suite.h"

enum { BATCH = 2, HEADS = 4, KV_HEADS = 2, ROWS = 5, KEYS = 7, DIM = 8, VALUE_DIM = 6 };

static clattn_report report;
/* Each array with room behind it, so that what starts inside one array ends before the next. */
enum { GAP = 4096, SCORES = BATCH * HEADS * ROWS * KEYS };
static float query[BATCH * HEADS * ROWS * DIM + GAP], key[BATCH * KV_HEADS * KEYS * DIM + GAP],
    value[BATCH * KV_HEADS * KEYS * VALUE_DIM + GAP], output[BATCH * HEADS * ROWS * VALUE_DIM + GAP], bias[SCORES + GAP],
    slopes[HEADS + GAP], sinks[HEADS + GAP], logsumexp[BATCH * HEADS * ROWS + GAP], weights[SCORES + GAP];
static uint8_t mask[SCORES + 4 * GAP];
static int32_t lengths[BATCH + GAP];
static int64_t offsets[BATCH + GAP];

/* Everything is on. */
static clattn_problem everything(void) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.batch = BATCH, p.query_heads = HEADS, p.kv_heads = KV_HEADS;
    p.query_length = ROWS, p.key_length = KEYS, p.head_dim = DIM, p.value_dim = VALUE_DIM;
    p.causal = p.alibi = p.sinks = p.query_lengths = p.key_lengths = p.logsumexp = true;
    p.alignment = CLATTN_ALIGN_OFFSETS;
    p.mask = CLATTN_MASK_BYTES;
    p.bias = CLATTN_BIAS_FP32;
    p.weights = CLATTN_WEIGHTS_SOFTMAX;
    return p;
}

static clattn_tensors all_tensors(void) {
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output;
    t.mask.data = mask, t.bias.data = bias, t.alibi_slopes.data = slopes, t.sinks.data = sinks;
    t.logsumexp.data = logsumexp, t.weights.data = weights;
    t.query_lengths = t.key_lengths = (clattn_integers){ lengths, 0, CLATTN_INT32 };
    t.offsets = (clattn_integers){ offsets, 0, CLATTN_INT64 };
    t.report = &report;
    lengths[0] = lengths[1] = 3;
    return t;
}

/* Refused by the check, and by execute too, which writes nothing. */
static void refused(clattn_plan *plan, const clattn_tensors *t, clattn_status status, const char *text, int line) {
    memset(output, 0x5a, sizeof output);
    report.text[0] = '\0';
    clattn_status got = clattn_execute(plan, t);
    ck_assert_msg(got == status, "line %d: %s: %s", line, clattn_status_name(got), report.text);
    ck_assert_msg(strncmp(report.text, text, strlen(text)) == 0, "line %d: wanted %s, got %s", line, text, report.text);
    size_t written = 0;
    for (size_t n = 0; n < sizeof output; n++) {
        written += ((unsigned char *)output)[n] != 0x5a;
    }
    ck_assert_msg(written == 0, "line %d: written though refused", line);
    clattn_problem p = everything();
    ck_assert_int_eq(clattn_tensors_check(&p, t, &report), status);
}

static clattn_runtime *runtime;
static clattn_plan *plan;

static void make_plan(void) {
    clattn_problem p = everything();
    const clattn_plan_options options = suite_on("cpu", CLATTN_ANY_DEVICE);
    runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    EXPECT_STATUS(clattn_plan_create(runtime, &p, &options, &plan, &report), CLATTN_OK, &report);
}

static void end_plan(void) {
    clattn_plan_destroy(plan);
    clattn_runtime_destroy(runtime);
}

#define REFUSED(expected, text, ...)                                 \
    do {                                                             \
        clattn_tensors t = all_tensors();                            \
        __VA_ARGS__;                                                 \
        refused(plan, &t, expected, text, __LINE__);                 \
    } while (0)

#define WRONG(text, ...) REFUSED(CLATTN_INVALID_TENSORS, text, __VA_ARGS__)

START_TEST(test_all_right) {
    make_plan();
    clattn_problem p = everything();
    clattn_tensors t = all_tensors();
    EXPECT_STATUS(clattn_tensors_check(&p, &t, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
    end_plan();
}
END_TEST

START_TEST(test_missing) {
    make_plan();
    WRONG("query:", t.query.data = NULL);
    WRONG("key:", t.key.data = NULL);
    WRONG("value:", t.value.data = NULL);
    WRONG("output:", t.output.data = NULL);
    WRONG("mask:", t.mask.data = NULL);
    WRONG("bias:", t.bias.data = NULL);
    WRONG("alibi_slopes:", t.alibi_slopes.data = NULL);
    WRONG("sinks:", t.sinks.data = NULL);
    WRONG("logsumexp:", t.logsumexp.data = NULL);
    WRONG("weights:", t.weights.data = NULL);
    WRONG("query_lengths:", t.query_lengths.data = NULL);
    WRONG("key_lengths:", t.key_lengths.data = NULL);
    WRONG("offsets:", t.offsets.data = NULL);
    end_plan();
}
END_TEST

START_TEST(test_lengths) {
    make_plan();
    WRONG("query_length:", t.query_length = ROWS + 1);
    WRONG("query_length:", t.query_length = -2);
    WRONG("key_length:", t.key_length = KEYS + 1);
    WRONG("key_length:", t.key_length = INT64_MIN);
    WRONG("past_length:", t.past_length = KEYS + 1);
    WRONG("past_length:", t.past_length = -2);
    WRONG("query_lengths[1]:", lengths[1] = ROWS + 1);
    WRONG("query_lengths[0]:", lengths[0] = -1);
    WRONG("query_lengths[1]:", t.query_length = 2, lengths[0] = 2, lengths[1] = 3); /* beyond this call's */
    int32_t keys[BATCH] = { KEYS, KEYS + 1 };
    WRONG("key_lengths[1]:", t.key_lengths.data = keys);
    int64_t far[BATCH] = { 0, INT64_MAX };
    WRONG("offsets[1]:", t.offsets.data = far);
    end_plan();
}
END_TEST

START_TEST(test_layouts_and_strides) {
    make_plan();
    WRONG("query:", t.query.layout = (clattn_layout)9);
    WRONG("key:", t.key.offset = -1);
    WRONG("value:", t.value.layout = CLATTN_STRIDED, t.value.length_stride = -6);
    WRONG("mask:", t.mask.offset = -1);
    WRONG("bias:", t.bias.strided = true, t.bias.strides[3] = -1);
    WRONG("sinks:", t.sinks.offset = -1);
    WRONG("query_lengths:", t.query_lengths.offset = -1);
    WRONG("query_lengths:", t.query_lengths.type = (clattn_int_type)7);
    REFUSED(CLATTN_OVERFLOW, "query:", t.query.offset = INT64_MAX - 4);
    REFUSED(CLATTN_OVERFLOW, "key:", t.key.layout = CLATTN_STRIDED, t.key.batch_stride = INT64_MAX);
    REFUSED(CLATTN_OVERFLOW, "value:", t.value.layout = CLATTN_STRIDED, t.value.batch_stride = t.value.head_stride = INT64_MAX / 2);
    REFUSED(CLATTN_OVERFLOW, "bias:", t.bias.offset = INT64_MAX / 2);
    end_plan();
}
END_TEST

/* An offset that leads beyond 63 bits, or round the address space to before the array. */
START_TEST(test_offsets) {
    make_plan();
    const int64_t far[] = { INT64_MAX, INT64_MAX / 2, INT64_MAX / 4 };
    for (int n = 0; n < 3; n++) {
        REFUSED(CLATTN_OVERFLOW, "logsumexp:", t.logsumexp.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "weights:", t.weights.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "alibi_slopes:", t.alibi_slopes.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "sinks:", t.sinks.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "query_lengths:", t.query_lengths.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "key_lengths:", t.key_lengths.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "offsets:", t.offsets.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "query:", t.query.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "output:", t.output.offset = far[n]);
        REFUSED(CLATTN_OVERFLOW, "bias:", t.bias.offset = far[n]);
    }
    REFUSED(CLATTN_OVERFLOW, "mask:", t.mask.offset = INT64_MAX);
    void *end = (void *)(UINTPTR_MAX - 63);
    REFUSED(CLATTN_OVERFLOW, "key:", t.key.data = end);
    REFUSED(CLATTN_OVERFLOW, "mask:", t.mask.data = end);
    REFUSED(CLATTN_OVERFLOW, "weights:", t.weights.data = end);
    REFUSED(CLATTN_OVERFLOW, "offsets:", t.offsets = ((clattn_integers){ end, 7, CLATTN_INT64 }));
    end_plan();
}
END_TEST

/* Strides of dimensions of one are never stepped, and tensors without elements have no place at all. */
START_TEST(test_strides_nobody_steps) {
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_length = p.key_length = 1;
    p.head_dim = 4;
    p.mask = CLATTN_MASK_BYTES;
    p.bias = CLATTN_BIAS_FP32;
    const clattn_tensor wild = { query, 0, CLATTN_STRIDED, INT64_MAX, INT64_MAX / 2, INT64_MAX };
    const clattn_broadcast wild_mask = { mask, 0, true, { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } };
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query = t.key = t.value = t.output = wild;
    t.key.data = key, t.value.data = value, t.output.data = output;
    t.mask = t.bias = wild_mask;
    t.bias.data = bias;
    memset(mask, 1, 1);
    value[0] = 3, value[3] = 5;
    runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    for (int n = 0; n < 4; n++) {
        const clattn_plan_options options = suite_on(n % 2 == 0 ? "cpu" : "reference", CLATTN_ANY_DEVICE);
        p.type = n < 2 ? CLATTN_FP32 : CLATTN_FP16;
        memset(output, 0x5a, sizeof output);
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        ck_assert_msg(n >= 2 || (fabsf(output[0] - 3) < 1e-5F && fabsf(output[3] - 5) < 1e-5F), "%s: %g, %g", options.engine, (double)output[0], (double)output[3]);
        t.query_length = t.key_length = 0;
        t.output.offset = t.query.offset = t.value.offset = INT64_MAX;
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        t.query_length = t.key_length = CLATTN_SAME;
        t.output.offset = t.query.offset = t.value.offset = 0;
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The last stride of a mask of bits means nothing: eight keys share a byte. */
START_TEST(test_last_stride_of_bits) {
    static float wanted[ROWS * DIM];
    static const int64_t last[] = { 1, 0, -1, 3, INT64_MAX };
    clattn_problem p = CLATTN_PROBLEM_INIT;
    p.query_length = ROWS, p.key_length = 19, p.head_dim = DIM;
    p.mask = CLATTN_MASK_BITS;
    clattn_tensors t = CLATTN_TENSORS_INIT;
    t.query.data = query, t.key.data = key, t.value.data = value, t.output.data = output, t.mask.data = mask;
    for (int n = 0; n < 19 * DIM; n++) {
        query[n % (ROWS * DIM)] = key[n] = (float)(n % 7) / 4, value[n] = (float)n;
    }
    for (int n = 0; n < ROWS * 3; n++) {
        mask[n] = (uint8_t)(0x35 + 41 * n);
    }
    runtime = suite_runtime(&(clattn_runtime_options){ sizeof(clattn_runtime_options), 1, true, { 0 } });
    for (int n = 0; n < 10; n++) {
        const clattn_plan_options options = suite_on(n < 5 ? "cpu" : "reference", CLATTN_ANY_DEVICE);
        t.mask.strided = n % 5 > 0;
        t.mask.strides[2] = 3;
        t.mask.strides[3] = last[n % 5];
        t.report = &report;
        EXPECT_STATUS(clattn_attention(runtime, &p, &options, &t, &report), CLATTN_OK, &report);
        if (n % 5 == 0) {
            memcpy(wanted, output, sizeof wanted);
        }
        ck_assert_msg(memcmp(wanted, output, sizeof wanted) == 0, "strides[3] = %" PRId64 " is used", last[n % 5]);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(test_overlap) {
    clattn_tensors t;
    make_plan();
    WRONG("output: overlaps query", t.output.data = query);
    WRONG("output: overlaps key", t.output.data = key + 3);
    WRONG("output: overlaps value", t.output.data = value);
    WRONG("output: overlaps weights", t.output.data = weights);
    WRONG("logsumexp: overlaps weights", t.logsumexp.data = weights + 1);
    WRONG("logsumexp: overlaps sinks", t.logsumexp.data = sinks);
    WRONG("weights: overlaps bias", t.weights.data = bias + SCORES - 1);
    WRONG("weights: overlaps mask", t.weights.data = mask);
    WRONG("logsumexp: overlaps query_lengths", t.logsumexp.data = lengths);
    WRONG("output: overlaps offsets", t.output.data = offsets, t.output.layout = CLATTN_BHSD);
    /* Rows of 8 and of 6, both 16 apart, in one buffer: side by side is right, round the end into the next row is not. */
    t = all_tensors();
    t.query = (clattn_tensor){ query, 0, CLATTN_STRIDED, HEADS * ROWS * 16, ROWS * 16, 16 };
    t.output = (clattn_tensor){ query, 10, CLATTN_STRIDED, HEADS * ROWS * 16, ROWS * 16, 16 };
    clattn_problem p = everything();
    EXPECT_STATUS(clattn_tensors_check(&p, &t, &report), CLATTN_OK, &report);
    for (int64_t column = 11; column < 16; column++) {
        t.output.offset = column;
        EXPECT_STATUS(clattn_tensors_check(&p, &t, &report), CLATTN_INVALID_TENSORS, &report);
        ck_assert_msg(strncmp(report.text, "output: overlaps query", 22) == 0, "column %d: %s", (int)column, report.text);
    }
    t.output.offset = 16 + 7; /* the last column of the row before */
    EXPECT_STATUS(clattn_tensors_check(&p, &t, &report), CLATTN_INVALID_TENSORS, &report);
    WRONG("output: its strides", t.output.layout = CLATTN_STRIDED);
    WRONG("output: its strides", t.output = ((clattn_tensor){ output, 0, CLATTN_STRIDED, 120, 30, 5 }));
    end_plan();
}
END_TEST

START_TEST(test_inputs_may_overlap_and_repeat) {
    make_plan();
    clattn_tensors t = all_tensors();
    t.key.data = t.query.data;
    t.value.data = t.query.data;
    t.key.layout = t.value.layout = CLATTN_STRIDED; /* strides 0: one row for all */
    EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_OK, &report);
    end_plan();
}
END_TEST

START_TEST(test_structure_size) {
    make_plan();
    clattn_tensors t = all_tensors();
    clattn_problem p = everything();
    for (size_t size = 0; size < sizeof t + 9; size++) { /* half a pointer to the report would be written to */
        t.struct_size = size == sizeof t ? 0 : size;
        EXPECT_STATUS(clattn_execute(plan, &t), CLATTN_INVALID_ARGUMENT, NULL);
        EXPECT_STATUS(clattn_tensors_check(&p, &t, &report), CLATTN_INVALID_ARGUMENT, NULL);
        ck_assert_ptr_nonnull(strstr(report.text, "struct_size"));
    }
    EXPECT_STATUS(clattn_execute(plan, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_execute(NULL, &t), CLATTN_INVALID_ARGUMENT, NULL);
    end_plan();
}
END_TEST

START_TEST(test_views) {
    clattn_problem p = everything(), full;
    EXPECT_STATUS(clattn_problem_resolve(&p, &full, &report), CLATTN_OK, &report);
    clattn_tensors t = all_tensors();
    attn_call call;
    t.query.layout = CLATTN_BSHD;
    EXPECT_STATUS(attn_call_resolve(&full, &t, false, &call), CLATTN_OK, &report);
    ck_assert_int_eq(attn_view_row(&call.query, 1, 2, 3), (1 * ROWS + 3) * HEADS * DIM + 2 * DIM);
    ck_assert_int_eq(attn_view_row(&call.key, 1, 1, 3), ((1 * KV_HEADS + 1) * KEYS + 3) * DIM);
    ck_assert_int_eq(attn_view_row(&call.mask, 1, 3, 4), ((1 * HEADS + 3) * ROWS + 4) * KEYS);
    ck_assert_int_eq(call.bias.stride[3], 1);
    full.mask_shape[0] = full.mask_shape[2] = 1;
    EXPECT_STATUS(attn_call_resolve(&full, &t, false, &call), CLATTN_OK, &report);
    ck_assert_int_eq(attn_view_row(&call.mask, 1, 3, 4), 3 * KEYS);
}
END_TEST

START_TEST(test_packed_query_key_value) {
    float packed[2 * 3 * 3 * 2 * 4]; /* batch 2, length 3, parts 3, heads 2, dim 4 */
    for (int64_t part = 0; part < 3; part++) {
        clattn_tensor t = clattn_packed_qkv(packed, part, 3, 2, 4);
        ck_assert_ptr_eq(t.data, packed);
        int64_t at = t.offset + 1 * t.batch_stride + 1 * t.head_stride + 2 * t.length_stride;
        ck_assert_int_eq(at, (((1 * 3 + 2) * 3 + part) * 2 + 1) * 4);
    }
    const int64_t big = INT64_C(1) << 62, bad[][4] = { { 3, 3, 2, 4 },   { -1, 3, 2, 4 },  { 0, -3, 2, 4 },
                                                       { 0, 3, -2, 4 },  { 0, 3, 2, -4 },  { 2, 0, big, 1 },
                                                       { 1, 1, 4, big }, { 1, big, 1, 1 }, { 2, 3, INT64_MAX, INT64_MAX } };
    make_plan();
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        WRONG("query: offset", t.query = clattn_packed_qkv(query, bad[n][0], bad[n][1], bad[n][2], bad[n][3]));
    }
    end_plan();
}
END_TEST

/* The interval of allowed keys, against the rule itself; and that it never falls from row to row. */
START_TEST(test_key_ranges) {
    int32_t used_query[] = { 3, 5 }, used_key[] = { 0, 6 };
    for (int n = 0; n < 3000; n++) {
        clattn_problem p = everything(), full;
        p.alignment = (clattn_alignment)(1 + n % 4);
        p.offset = n % 13 - 6;
        p.causal = n % 3 == 0;
        p.window_left = n % 7 - 1;
        p.window_right = n % 5 - 1;
        EXPECT_STATUS(clattn_problem_resolve(&p, &full, &report), CLATTN_OK, &report);
        clattn_tensors t = all_tensors();
        t.query_lengths.data = used_query;
        t.key_lengths.data = used_key;
        attn_call call;
        EXPECT_STATUS(attn_call_resolve(&full, &t, false, &call), CLATTN_OK, &report);
        for (int64_t b = 0; b < BATCH; b++) {
            int64_t offset = p.alignment == CLATTN_ALIGN_BOTTOM_RIGHT ? used_key[b] - used_query[b]
                             : p.alignment == CLATTN_ALIGN_OFFSET    ? p.offset
                                                                     : 0;
            bool places = p.causal || p.window_left >= 0 || p.window_right >= 0 || p.alibi;
            ck_assert(!places || attn_call_offset(&full, &call, b) == offset);
            for (int64_t i = 0; i < ROWS; i++) {
                attn_key_range range = attn_row_keys(&full, &call, b, i);
                for (int64_t j = 0; j < KEYS; j++) {
                    bool in = i < used_query[b] && j < used_key[b] && (!p.causal || j <= i + offset) &&
                              (p.window_left < 0 || j >= i + offset - p.window_left) &&
                              (p.window_right < 0 || j <= i + offset + p.window_right);
                    ck_assert_msg(in == (j >= range.begin && j < range.end), "case %d, b %d, i %d, j %d", n, (int)b, (int)i, (int)j);
                }
                attn_key_range rows = attn_rows_keys(&full, &call, b, 0, i + 1);
                ck_assert(range.begin >= range.end || (rows.begin <= range.begin && rows.end >= range.end));
            }
        }
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_all_right,
                                   test_missing,
                                   test_lengths,
                                   test_layouts_and_strides,
                                   test_offsets,
                                   test_strides_nobody_steps,
                                   test_last_stride_of_bits,
                                   test_overlap,
                                   test_inputs_may_overlap_and_repeat,
                                   test_structure_size,
                                   test_views,
                                   test_packed_query_key_value,
                                   test_key_ranges };
    return suite_run(SUITE_OF("tensors", tests, 20), SUITE_FORK);
}
