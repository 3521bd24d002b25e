/*
 * The judge judged: a plain evaluation in double passes the gate, and the same evaluation with one deliberate mistake does
 * not. The mistakes are the ones that engines make. To add one, add it to the list and to evaluate_row().
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_inspect.h"
#include "gate/gate.h"
#include "verify/must_serve.h"
#include "support/suite.h"

typedef enum mistake {
    NONE,
    LAST_KEY_DROPPED,
    SCALE_TWICE,
    CAUSAL_STRICT,
    CAUSAL_ONE_MORE,
    KEY_BEYOND_LENGTH,
    HALF_SUMS,
    MASK_AFTER_SOFTMAX,
    MASK_INVERTED,
    SOFTCAP_AFTER_BIAS,
    SOFTCAP_DROPPED,
    BIAS_SCALED,
    HEADS_INTERLEAVED,
    TOP_LEFT_FOR_BOTTOM_RIGHT,
    EMPTY_ROWS_AVERAGED,
    EMPTY_ROWS_NAN,
    ONE_ELEMENT_NAN,
    OUTPUT_TRUNCATED,
    DRIFT,
    SINGLE_WRONG_ELEMENT,
    LOGSUMEXP_BASE_TWO,
    LOGSUMEXP_FINITE_WHEN_EMPTY,
    MISTAKES
} mistake;

static const char *const names[MISTAKES] = {
    "none", "the last key dropped", "scale twice", "causal with < for <=", "causal with one key too many", "a key beyond the length",
    "sums in fp16", "mask after softmax", "mask inverted", "softcap after bias", "softcap dropped", "bias scaled",
    "head h to h mod kv_heads", "top left for bottom right", "empty rows averaged", "empty rows NaN", "one element NaN",
    "output truncated, not rounded", "a small drift", "a single wrong element", "logsumexp to base two",
    "logsumexp finite when empty",
};

static attn_error error;
static attn_case_data data;
static clattn_plan_info claimed; /* what the judged plan says of itself */
static int operand_bits;         /* significant bits of the operands of products, TF32's are 11; 0 = all */
static bool operands_cut;        /* cut off instead of rounded */

static double operand(double x) {
    int exponent = 0;
    double part = ldexp(frexp(x, &exponent), operand_bits);
    return operand_bits == 0 ? x : ldexp(operands_cut ? trunc(part) : rint(part), exponent - operand_bits);
}

static double element(const attn_rows *rows, const attn_guarded *memory, int64_t b, int64_t h, int64_t i, int64_t d) {
    return operand(clattn_get_element(data.problem.type, memory->data, attn_rows_at(rows, b, h, i) + d));
}

/* What the rules say, with the mistake. The problem is the one of problem_lines below. */
static bool allowed(mistake m, int64_t b, int64_t i, int64_t j) {
    const clattn_problem *p = &data.problem;
    int64_t used = attn_case_data_key_length(&data, b), offset = m == TOP_LEFT_FOR_BOTTOM_RIGHT ? 0 : used - p->query_length;
    if (m == LAST_KEY_DROPPED && j == used - 1) {
        return false;
    }
    if (j >= used) {
        return m == KEY_BEYOND_LENGTH && j == used;
    }
    return !p->causal || j <= i + offset + (m == CAUSAL_ONE_MORE) - (m == CAUSAL_STRICT);
}

static bool mask_of(int64_t b, int64_t i, int64_t j) {
    const clattn_problem *p = &data.problem;
    return p->mask == CLATTN_MASK_NONE ||
           ((const uint8_t *)data.mask.data)[(b * p->query_length + i) * p->key_length + j] != 0;
}

static double score_of(mistake m, int64_t b, int64_t h, int64_t i, int64_t j) {
    const clattn_problem *p = &data.problem;
    int64_t g = m == HEADS_INTERLEAVED ? h % p->kv_heads : h / (p->query_heads / p->kv_heads);
    double s = 0, bias = 0;
    for (int64_t d = 0; d < p->head_dim; d++) {
        s += element(&data.query_rows, &data.query, b, h, i, d) * element(&data.key_rows, &data.key, b, g, j, d);
    }
    s *= m == SCALE_TWICE ? p->scale * p->scale : p->scale;
    if (p->bias != CLATTN_BIAS_NONE) {
        bias = (double)((const float *)data.bias.data)[i * p->key_length + j] * (m == BIAS_SCALED ? p->scale : 1);
    }
    if (m == SOFTCAP_AFTER_BIAS) {
        return p->softcap * tanh((s + bias) / p->softcap);
    }
    return (p->softcap > 0 && m != SOFTCAP_DROPPED ? p->softcap * tanh(s / p->softcap) : s) + bias;
}

static double through_half(double x) {
    uint16_t place;
    clattn_set_element(CLATTN_FP16, &place, 0, x);
    return clattn_get_element(CLATTN_FP16, &place, 0);
}

/* Rounded towards zero instead of to nearest. */
static void store(mistake m, void *output, int64_t at, double x) {
    clattn_type type = data.problem.type;
    clattn_set_element(type, output, at, x);
    if (m == OUTPUT_TRUNCATED && fabs(clattn_get_element(type, output, at)) > fabs(x)) {
        uint16_t *bits = output;
        bits[at]--; /* one step towards zero */
    }
}

static void evaluate_row(mistake m, void *output, float *logsumexp, int64_t b, int64_t h, int64_t i) {
    const clattn_problem *p = &data.problem;
    int64_t g = m == HEADS_INTERLEAVED ? h % p->kv_heads : h / (p->query_heads / p->kv_heads), count = 0;
    double *weights = calloc((size_t)p->key_length, sizeof *weights), maximum = -INFINITY, sum = 0;
    for (int64_t j = 0; j < p->key_length; j++) {
        bool in = allowed(m, b, i, j) && (m == MASK_AFTER_SOFTMAX || mask_of(b, i, j) != (m == MASK_INVERTED));
        weights[j] = in ? score_of(m, b, h, i, j) : -INFINITY;
        maximum = fmax(maximum, weights[j]);
        count += in;
    }
    for (int64_t j = 0; j < p->key_length; j++) {
        weights[j] = count > 0 ? exp(weights[j] - maximum) : m == EMPTY_ROWS_AVERAGED ? 1 : 0;
        sum += weights[j];
        weights[j] = m == MASK_AFTER_SOFTMAX && !mask_of(b, i, j) ? 0 : weights[j];
    }
    int64_t row = (b * p->query_heads + h) * p->query_length + i;
    double lse = sum > 0 && count > 0 ? maximum + log(sum) : m == LOGSUMEXP_FINITE_WHEN_EMPTY ? -3e38 : -INFINITY;
    logsumexp[row] = (float)(m == LOGSUMEXP_BASE_TWO ? lse / log(2) : lse);
    for (int64_t d = 0; d < p->value_dim; d++) {
        double x = 0;
        for (int64_t j = 0; j < p->key_length && sum > 0; j++) {
            double part = weights[j] > 0 ? operand(weights[j] / sum) * element(&data.value_rows, &data.value, b, g, j, d) : 0;
            x = m == HALF_SUMS ? through_half(x + part) : x + part;
        }
        x = m == EMPTY_ROWS_NAN && count == 0 ? (double)NAN : x;
        x = m == ONE_ELEMENT_NAN && row == 7 && d == 3 ? (double)NAN : x;
        x = m == SINGLE_WRONG_ELEMENT && row == 11 && d == 5 ? x + 1e-3 * (1 + fabs(x)) : x;
        x += m == DRIFT && count > 0 ? 2e-6 : 0;
        store(m, output, attn_rows_at(&data.output_rows, b, h, i) + d, x);
    }
    free(weights);
}

static attn_gate_result judge(mistake m) {
    const clattn_problem *p = &data.problem;
    attn_gate_result result = { .passed = false, .info = claimed };
    attn_case_data_fill_outputs(&data, 0xff);
    void *output = data.output.data;
    float *logsumexp = data.logsumexp.data;
    for (int64_t n = 0; n < p->batch * p->query_heads * p->query_length; n++) {
        evaluate_row(m, output, logsumexp, n / p->query_length / p->query_heads, n / p->query_length % p->query_heads,
                     n % p->query_length);
    }
    attn_gate_subject subject = { output, logsumexp, NULL, &result };
    ck_assert_int_eq(attn_gate_check(&data, NULL, &subject, 1, &error), ATTN_DONE);
    return result;
}

/* Everything on: lengths that leave empty rows, a mask over [batch, 1, rows, keys], a bias over [rows, keys]. */
static const char *const problem_lines[] = {
    "batch=2 query_heads=4 kv_heads=2 query_length=90 key_length=120 head_dim=24 causal=yes align=bottom_right "
    "key_lengths=119,70 mask=b,1,q,k bias=q,k softcap=4 seed=5",
    "batch=2 query_heads=4 kv_heads=2 query_length=90 key_length=120 head_dim=24 causal=yes align=bottom_right "
    "key_lengths=119,70 mask=b,1,q,k bias=q,k softcap=4 seed=5 type=fp16",
    "batch=2 query_heads=4 kv_heads=2 query_length=90 key_length=120 head_dim=24 causal=yes align=bottom_right "
    "key_lengths=119,70 mask=b,1,q,k bias=q,k softcap=4 seed=5 allow_tf32=yes",
};

static void make_data(const char *line) {
    attn_cases cases = { 0 };
    ck_assert_msg(attn_cases_line(&cases, line, &error) == ATTN_DONE, "%s", error.text);
    ck_assert_msg(attn_case_data_create(&data, &cases.items[0], true, &error) == ATTN_DONE, "%s", error.text);
    attn_cases_free(&cases);
}

/* Below what fp16 resolves, and what rounding to TF32 hides; only 16-bit steps are made here. */
static bool is_hidden(mistake m, bool half) {
    return (m == OUTPUT_TRUNCATED && !half) || (m == DRIFT && (half || claimed.products_tf32)) ||
           (m == SINGLE_WRONG_ELEMENT && claimed.products_tf32);
}

static void check_mistakes(const char *line, bool half) {
    make_data(line);
    attn_gate_result good = judge(NONE);
    ck_assert_msg(good.passed, "a right result is refused: %s", good.failure);
    ck_assert_int_ge(good.pooled, 4096);
    ck_assert_double_le(good.worst, 1);
    for (mistake m = LAST_KEY_DROPPED; m < MISTAKES; m++) {
        if (is_hidden(m, half)) {
            continue;
        }
        attn_gate_result result = judge(m);
        ck_assert_msg(!result.passed && result.failures > 0 && result.failure[0] != '\0', "not caught: %s", names[m]);
    }
    attn_case_data_free(&data);
}

START_TEST(test_mistakes_in_fp32) {
    check_mistakes(problem_lines[0], false);
}
END_TEST

START_TEST(test_mistakes_in_fp16) {
    check_mistakes(problem_lines[1], true);
}
END_TEST

START_TEST(test_mistakes_in_tf32) {
    claimed.products_tf32 = true;
    operand_bits = 11;
    check_mistakes(problem_lines[2], false);
}
END_TEST

/* Plain TF32 has bounds of its own: others fail it, and it fails those of fp32. */
START_TEST(test_class_of_tf32) {
    static const struct {
        int bits;
        bool cut, told, right;
    } forms[] = { { 11, false, true, true }, { 0, false, true, true },  { 11, false, false, false },
                  { 11, true, true, false }, { 10, false, true, false }, { 8, false, true, false } };
    for (size_t n = 0; n < sizeof forms / sizeof *forms; n++) {
        make_data("query_heads=2 query_length=70 key_length=120 head_dim=32 allow_tf32=yes seed=5");
        operand_bits = forms[n].bits;
        operands_cut = forms[n].cut;
        claimed.products_tf32 = forms[n].told;
        attn_gate_result result = judge(NONE);
        ck_assert_msg(result.passed == forms[n].right, "%d bits%s: %s", forms[n].bits, forms[n].cut ? ", cut off" : "", result.failure);
        ck_assert_int_ge(result.pooled, 4096);
        attn_case_data_free(&data);
    }
    make_data("query_heads=2 query_length=70 key_length=120 head_dim=32 seed=5"); /* claimed, but not allowed */
    operand_bits = 0;
    claimed.products_tf32 = true;
    attn_gate_result result = judge(NONE);
    ck_assert_ptr_nonnull(strstr(result.failure, "nobody allowed"));
    attn_case_data_free(&data);
}
END_TEST

/* Writes outside the output are seen, wherever they are. */
START_TEST(test_guards) {
    make_data("batch=2 query_heads=2 query_length=5 key_length=9 head_dim=7 strides=random seed=3");
    attn_case_data_fill_outputs(&data, 0x5a);
    ck_assert_ptr_null(attn_case_data_check_guards(&data, 0x5a));
    for (int64_t at = -8; at < data.output.bytes + 8; at++) {
        attn_case_data_fill_outputs(&data, 0x5a);
        unsigned char *byte = (unsigned char *)data.output.data + at;
        *byte = 0x11;
        bool inside = false;
        for (int64_t row = 0; row < 2 * 2 * 5; row++) {
            int64_t start = attn_rows_at(&data.output_rows, row / 10, row / 5 % 2, row % 5) * 4;
            inside = inside || (at >= start && at < start + 7 * 4);
        }
        ck_assert_msg((!attn_case_data_check_guards(&data, 0x5a)) == inside, "byte %" PRId64, at);
    }
    attn_case_data_free(&data);
}
END_TEST

/* The engines that must serve do; what they are not asked to is not counted against them. */
START_TEST(test_table) {
    clattn_problem p = CLATTN_PROBLEM_INIT, full;
    p.query_length = 3;
    p.head_dim = 8;
    ck_assert_int_eq(clattn_problem_resolve(&p, &full, NULL), CLATTN_OK);
    ck_assert(attn_must_serve("reference", &full) && attn_must_serve("cpu", &full) && attn_must_serve("opencl-unfused", &full));
    ck_assert(!attn_must_serve("no such engine", &full));
    full.type = CLATTN_FP64;
    ck_assert(attn_must_serve("cpu", &full) && !attn_must_serve("opencl-unfused", &full) && !attn_must_serve("opencl-fused", &full));
}
END_TEST

/* The same line draws the same data; another seed other data. */
START_TEST(test_data_are_drawn_from_the_line) {
    static float first[2 * 5 * 7];
    make_data("query_heads=2 query_length=5 key_length=9 head_dim=7 seed=3");
    memcpy(first, data.query.data, sizeof first);
    attn_case_data_free(&data);
    make_data("query_heads=2 query_length=5 key_length=9 head_dim=7 seed=3");
    ck_assert(memcmp(first, data.query.data, sizeof first) == 0);
    attn_case_data_free(&data);
    make_data("query_heads=2 query_length=5 key_length=9 head_dim=7 seed=4");
    ck_assert(memcmp(first, data.query.data, sizeof first) != 0);
    attn_case_data_free(&data);
    double sum = 0, square = 0;
    for (uint64_t n = 0; n < 100000; n++) {
        double x = attn_draw_normal(1, 2, n);
        sum += x;
        square += x * x;
    }
    ck_assert_double_le(fabs(sum / 100000), 0.02);
    ck_assert_double_le(fabs(square / 100000 - 1), 0.03);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_mistakes_in_fp32, test_mistakes_in_fp16, test_mistakes_in_tf32, test_class_of_tf32,
                                   test_guards, test_table, test_data_are_drawn_from_the_line };
    return suite_run(SUITE_OF("gate", tests, 60), SUITE_FORK);
}
