/*
 * Text to float, by whole numbers. The C library's strtof() is the judge: it rounds to nearest here, and the suite never
 * leaves the C locale.
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers/float_text.h"
#include "support/suite.h"

static void same_as_strtof(const char *text) {
    char *end;
    float got = 0, expected = strtof(text, &end);
    ck_assert_msg(*end == '\0', "%s", text);
    bool finite = expected - expected == 0;
    ck_assert_msg(attn_layer_float(text, &got) == finite, "%.200s", text);
    ck_assert_msg(!finite || memcmp(&got, &expected, sizeof got) == 0, "%.200s: %a, not %a", text, (double)got,
                  (double)expected);
}

START_TEST(edges) {
    static const char *const texts[] = {
        "0", "-0", "0.0", ".5", "5.", "+1", "1e0", "1E+5", "1e-5", "00012.500e1", "0.418", "16777217", "16777219",
        "33554434.5", "3.4028235e38", "3.4028235677973366e38", "3.402823567797337e38", "1e39", "1e99999", "-1e400",
        "1.1754944e-38", "1.17549435e-38", "1.1754943e-38", "1e-45", "1.4e-45", "7e-46", "7.006492321624085e-46",
        "7.006492321624086e-46", "1e-46", "1e-99999", "0e99999999999999999999", "1e-99999999999999999999",
        "123456789012345678", "1234567890123456789", "12345678901234567890123456789", "9999999999999999999",
        "0.00000000000000000000000000000000000000000000000000001e53", "100000000000000000000000000000000000000e-38",
        /* the middle between 1 and the next float, as it is, and with a little more or less far behind */
        "1.000000059604644775390625", "1.00000005960464477539062500000000000000000000000000000000000000000001",
        "1.00000005960464477539062499999999999999999999999999999999999999999999",
        /* and between the next two, which rounds up */
        "1.000000178813934326171875"
    };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        same_as_strtof(texts[k]);
    }
}
END_TEST

START_TEST(no_numbers) {
    static const char *const texts[] = { "",     "-",   ".",   "e5",  "1e",  "1e+", "1.2.3", "1,5",   " 1", "1 ",
                                         "0x10", "inf", "nan", "NaN", "--1", "+-1", "1f",    "1e5.0", "-.", ".e1" };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        float x;
        ck_assert_msg(!attn_layer_float(texts[k], &x), "taken: \"%s\"", texts[k]);
    }
}
END_TEST

static uint64_t draw(void) {
    static uint64_t state = 1;
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Digits at random, floats of every size written short and long, and middles between two floats with all their digits. */
START_TEST(drawn) {
    for (int k = 0; k < 200000; k++) {
        char text[512];
        uint32_t bits = (uint32_t)draw() & 0x7f7fffff;
        float x;
        memcpy(&x, &bits, sizeof x);
        int digits = (int)(draw() % 20) + 1;
        double middle = 0.5 * ((double)x + (double)nextafterf(x, 1e38f));
        switch (k % 4) {
            case 0: snprintf(text, sizeof text, "%.*e", digits, (double)x); break;
            case 1: snprintf(text, sizeof text, "%.*f", digits, (double)(int32_t)draw() / 1e6); break;
            case 2: snprintf(text, sizeof text, "%.120e", middle); break;
            default:
                snprintf(text, sizeof text, "%llu.%llue%d", (unsigned long long)draw(), (unsigned long long)draw(),
                         (int)(draw() % 120) - 80);
        }
        same_as_strtof(text);
    }
}
END_TEST

/* More digits than are kept: what is dropped still decides on which side of a middle the number is. */
START_TEST(very_long) {
    char text[4096];
    static const char *const ends[] = { "", "1", "0" };
    for (int k = 0; k < 3; k++) {
        snprintf(text, sizeof text, "1.000000059604644775390625%01000d%s", 0, ends[k]);
        same_as_strtof(text);
        snprintf(text, sizeof text, "%01000d%s.5e-3", 0, ends[k]);
        same_as_strtof(text);
        snprintf(text, sizeof text, "0.%02000d1%se2001", 0, ends[k]);
        same_as_strtof(text);
    }
}
END_TEST

START_TEST(rounding_modes) {
    static const int modes[] = { FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    for (int k = 0; k < 3; k++) {
        float a, b;
        fesetround(modes[k]);
        bool read = attn_layer_float("0.1", &a) && attn_layer_float("0.1234567890123456789012", &b);
        fesetround(FE_TONEAREST);
        ck_assert(read && a == 0.1f && b == 0.1234567890123456789012f);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = { edges, no_numbers, drawn, very_long, rounding_modes };
    return suite_run(SUITE_OF("float_text", tests, 60), SUITE_FORK);
}
