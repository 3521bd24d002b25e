/*
 * fp16 and bf16 bit by bit: every one of the 65,536 patterns, and every rounding boundary between neighbours, against the
 * meaning of the bits written out here with ldexp.
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "support/suite.h"

typedef struct format {
    int fraction, bias, highest; /* mantissa bits, exponent bias, exponent field of Inf and NaN */
} format;

static const format half_format = { 10, 15, 31 }, bf16_format = { 7, 127, 255 };

/* What the bits mean, by definition. */
static double meaning(const format *f, uint32_t bits) {
    int exponent = (int)(bits >> f->fraction) & f->highest;
    double fraction = bits & ((1u << f->fraction) - 1), sign = bits >> 15 ? -1 : 1;
    if (exponent == f->highest) {
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    }
    if (exponent == 0) {
        return sign * ldexp(fraction, 1 - f->bias - f->fraction);
    }
    return sign * ldexp(1 + ldexp(fraction, -f->fraction), exponent - f->bias);
}

static void check_round_trip(const format *f, float (*to_float)(uint16_t), uint16_t (*from_double)(double)) {
    for (uint32_t bits = 0; bits < 65536; bits++) {
        double x = meaning(f, bits), got = (double)to_float((uint16_t)bits);
        if (isnan(x)) {
            ck_assert_msg(isnan(got), "%04x is not NaN", bits);
            uint16_t again = from_double(x);
            ck_assert_msg(isnan(meaning(f, again)), "NaN becomes %04x", again);
            continue;
        }
        ck_assert_msg(got == x && signbit(got) == signbit(x), "%04x is %g, not %g", bits, got, x);
        ck_assert_msg(from_double(x) == bits, "%g becomes %04x, not %04x", x, from_double(x), bits);
    }
}

/* Between neighbours: below the middle rounds down, above up, the middle itself to the even one. */
static void check_boundaries(const format *f, uint16_t (*from_double)(double)) {
    uint32_t infinity = (uint32_t)f->highest << f->fraction;
    for (uint32_t bits = 0; bits < infinity; bits++) {
        double low = meaning(f, bits), step = low - (bits > 0 ? meaning(f, bits - 1) : -meaning(f, 1));
        double high = bits + 1 == infinity ? low + step : meaning(f, bits + 1);
        double middle = low + (high - low) / 2;
        uint16_t even = (uint16_t)(bits & 1 ? bits + 1 : bits);
        ck_assert_msg(from_double(middle) == even, "tie at %g: %04x, not %04x", middle, from_double(middle), even);
        ck_assert_uint_eq(from_double(nextafter(middle, 0)), bits);
        ck_assert_uint_eq(from_double(nextafter(middle, INFINITY)), bits + 1);
        ck_assert_uint_eq(from_double(-nextafter(middle, INFINITY)), (bits + 1) | 0x8000u);
    }
}

static float bf16_to_float(uint16_t bits) {
    return attn_bf16_to_float(bits);
}

START_TEST(test_half_round_trip) {
    check_round_trip(&half_format, attn_half_to_float, attn_half_from_double);
}
END_TEST

START_TEST(test_bf16_round_trip) {
    check_round_trip(&bf16_format, bf16_to_float, attn_bf16_from_double);
}
END_TEST

START_TEST(test_half_boundaries) {
    check_boundaries(&half_format, attn_half_from_double);
}
END_TEST

START_TEST(test_bf16_boundaries) {
    check_boundaries(&bf16_format, attn_bf16_from_double);
}
END_TEST

START_TEST(test_extremes) {
    ck_assert_uint_eq(attn_half_from_double(1e300), 0x7c00);
    ck_assert_uint_eq(attn_half_from_double(-1e300), 0xfc00);
    ck_assert_uint_eq(attn_half_from_double(65519.999), 0x7bff);
    ck_assert_uint_eq(attn_half_from_double(65520), 0x7c00);
    ck_assert_uint_eq(attn_half_from_double(1e-300), 0);
    ck_assert_uint_eq(attn_half_from_double(-1e-300), 0x8000);
    ck_assert_uint_eq(attn_half_from_double(0x1p-25), 0);
    ck_assert_uint_eq(attn_bf16_from_double(3.4e38), 0x7f80);
    ck_assert_uint_eq(attn_bf16_from_double(0x1p-134), 0);
    ck_assert_uint_eq(attn_bf16_from_double(0x1.8p-134), 1);
}
END_TEST

START_TEST(test_one_rounding_not_two) {
    /* Through float these would first become a tie, then round to even. */
    double x = 1 + 0x1p-11 + 0x1p-40, y = 1 + 0x1p-8 + 0x1p-40;
    ck_assert_uint_eq(attn_half_from_double(x), 0x3c01);
    ck_assert_uint_eq(attn_bf16_from_double(y), 0x3f81);
}
END_TEST

START_TEST(test_bf16_from_float) {
    for (uint64_t n = 0; n < UINT64_C(1) << 32; n += 4093) { /* a prime step visits all kinds of bits */
        uint32_t bits = (uint32_t)n;
        float x;
        memcpy(&x, &bits, sizeof x);
        uint16_t got = attn_bf16_from_float(x);
        if (isnan(x)) {
            ck_assert(isnan(attn_bf16_to_float(got)));
        } else {
            ck_assert_uint_eq(got, attn_bf16_from_double((double)x));
        }
    }
}
END_TEST

/* A NaN all of whose payload lies in bits that rounding takes away is still no infinity. */
START_TEST(test_nan_payloads) {
    static const uint64_t doubles[] = { 0x7ff0000000000001, 0xfff0000000000001, 0x7ff8000000000001, 0x7fffffffffffffff };
    static const uint32_t floats[] = { 0x7f800001, 0xff800001, 0x7fc00001, 0x7fffffff, 0xffffffff };
    for (size_t n = 0; n < sizeof doubles / sizeof *doubles; n++) {
        double x;
        memcpy(&x, &doubles[n], sizeof x);
        ck_assert(isnan(meaning(&half_format, attn_half_from_double(x))));
        ck_assert(isnan(meaning(&bf16_format, attn_bf16_from_double(x))));
    }
    for (size_t n = 0; n < sizeof floats / sizeof *floats; n++) {
        float x;
        memcpy(&x, &floats[n], sizeof x);
        ck_assert(isnan(meaning(&half_format, attn_half_from_float(x))));
        ck_assert(isnan(meaning(&bf16_format, attn_bf16_from_float(x))));
    }
}
END_TEST

START_TEST(test_elements) {
    unsigned char place[16];
    for (int type = 0; type < 4; type++) {
        clattn_set_element((clattn_type)type, place, 1, -1.5);
        ck_assert_double_eq(clattn_get_element((clattn_type)type, place, 1), -1.5);
    }
    clattn_set_element(CLATTN_FP64, place, 0, 0.1);
    ck_assert_double_eq(clattn_get_element(CLATTN_FP64, place, 0), 0.1);
    clattn_set_element(CLATTN_FP32, place, 0, 0.1);
    ck_assert_double_eq(clattn_get_element(CLATTN_FP32, place, 0), (double)0.1F);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_half_round_trip, test_bf16_round_trip,      test_half_boundaries, test_bf16_boundaries,
                                   test_extremes,        test_one_rounding_not_two, test_bf16_from_float, test_nan_payloads,
                                   test_elements };
    return suite_run(SUITE_OF("half", tests, 20), SUITE_FORK);
}
