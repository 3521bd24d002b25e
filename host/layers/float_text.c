/*
 * Text to float by whole numbers alone, so neither the locale nor the rounding mode matters. The text is digits times a
 * power of ten. Short numbers take one division of 64 bits, all others a long division of big numbers. Both give a
 * quotient of many bits and whether something is left over, which is all that rounding needs.
 */
#include "layers/float_text.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* KEPT digits distinguish every float, and every middle between two floats, from its neighbours; LIMBS hold all that comes. */
enum { KEPT = 128, LIMBS = 24, QUOTIENT_BITS = 40, SHORT_POWER = 11 };

/* What the text says: the digits from first to end, point left out, times 10^power. No leading zeros; none for 0. */
typedef struct decimal {
    const char *first, *end;
    int64_t count, power;
    bool negative;
} decimal;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* "e-12" at the end of the text, or nothing. A power too large to matter is cut. */
static bool read_power(const char *at, int64_t *power) {
    int64_t value = 0;
    if (*at == '\0') {
        return true;
    }
    if (*at != 'e' && *at != 'E') {
        return false;
    }
    bool negative = *++at == '-';
    at += *at == '-' || *at == '+';
    if (!is_digit(*at)) {
        return false;
    }
    for (; is_digit(*at); at++) {
        value = value > INT64_MAX / 100 ? value : 10 * value + (*at - '0');
    }
    *power += negative ? -value : value;
    return *at == '\0';
}

static bool read_decimal(const char *text, decimal *d) {
    bool point = false, any = false;
    *d = (decimal){ .negative = *text == '-' };
    text += *text == '-' || *text == '+';
    for (; is_digit(*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        any = true;
        d->power -= point;
        if (d->count > 0 || *text != '0') {
            d->first = d->count == 0 ? text : d->first;
            d->count++;
        }
    }
    d->end = text;
    return any && read_power(text, &d->power);
}

static int bits_of(uint64_t x) {
    int bits = 0;
    for (int step = 32; step > 0; step /= 2) {
        if (x >> step != 0) {
            x >>= step;
            bits += step;
        }
    }
    return bits + (x != 0);
}

/* (quotient and, where more is set, a little more) times 2^power. The quotient has 26 to 63 bits. */
static float round_off(uint64_t quotient, bool more, int64_t power) {
    int64_t highest = bits_of(quotient) - 1 + power, lowest = (highest < -126 ? -126 : highest) - 23;
    int64_t drop = lowest - power;
    if (highest > 127) {
        return INFINITY;
    }
    if (drop > 63) {
        return 0;
    }
    uint64_t kept = quotient >> drop, rest = quotient - (kept << drop), half = UINT64_C(1) << (drop - 1);
    kept += rest > half || (rest == half && (more || (kept & 1) != 0));
    return ldexpf((float)kept, (int)lowest);
}

/* At most 18 digits, and a power of ten that 64 bits can hold beside them. */
static bool convert_short(const decimal *d, float *number) {
    uint64_t value = 0, five = 1;
    if (d->count > 18 || d->power < -SHORT_POWER || d->power > SHORT_POWER) {
        return false;
    }
    for (const char *at = d->first; at < d->end; at++) {
        value = *at == '.' ? value : 10 * value + (uint64_t)(*at - '0');
    }
    for (int64_t k = d->power < 0 ? -d->power : d->power; k > 0; k--) {
        five *= 5;
    }
    if (d->power > 0 && value > (uint64_t)INT64_MAX / five) {
        return false;
    }
    value = d->power > 0 ? value * five : value;
    five = d->power > 0 ? 1 : five;
    int shift = 63 - bits_of(value);
    value <<= shift;
    *number = round_off(value / five, value % five != 0, d->power - shift);
    return true;
}

/* ------------------------------------------------------------------------------------------------ big numbers */

/* Base 2^32, the lowest limb first. */
typedef struct big {
    uint32_t limb[LIMBS];
    int count; /* the highest limb in use is not 0 */
} big;

static void multiply_add(big *x, uint32_t factor, uint32_t carry) {
    uint64_t sum = carry;
    for (int k = 0; k < x->count; k++, sum >>= 32) {
        sum += (uint64_t)x->limb[k] * factor;
        x->limb[k] = (uint32_t)sum;
    }
    if (sum != 0) {
        x->limb[x->count++] = (uint32_t)sum;
    }
}

static int64_t big_bits(const big *x) {
    return x->count == 0 ? 0 : 32 * (int64_t)(x->count - 1) + bits_of(x->limb[x->count - 1]);
}

static void shift_left(big *x, int64_t bits) {
    int limbs = (int)(bits / 32);
    memmove(x->limb + limbs, x->limb, (size_t)x->count * sizeof *x->limb);
    memset(x->limb, 0, (size_t)limbs * sizeof *x->limb);
    x->count += limbs;
    multiply_add(x, UINT32_C(1) << bits % 32, 0);
}

static bool is_less(const big *x, const big *y) {
    if (x->count != y->count) {
        return x->count < y->count;
    }
    for (int k = x->count - 1; k >= 0; k--) {
        if (x->limb[k] != y->limb[k]) {
            return x->limb[k] < y->limb[k];
        }
    }
    return false;
}

static void subtract(big *x, const big *y) {
    uint64_t borrow = 0;
    for (int k = 0; k < x->count; k++) {
        uint64_t taken = borrow + (k < y->count ? y->limb[k] : 0);
        borrow = x->limb[k] < taken;
        x->limb[k] = (uint32_t)(x->limb[k] - taken);
    }
    while (x->count > 0 && x->limb[x->count - 1] == 0) {
        x->count--;
    }
}

/* The quotient of x by y, which is below 2^(QUOTIENT_BITS + 2); leaves the rest in x. */
static uint64_t divide(big *x, const big *y) {
    uint64_t quotient = 0;
    for (int bit = QUOTIENT_BITS + 1; bit >= 0; bit--) {
        big shifted = *y;
        shift_left(&shifted, bit);
        if (!is_less(x, &shifted)) {
            subtract(x, &shifted);
            quotient |= UINT64_C(1) << bit;
        }
    }
    return quotient;
}

static float convert_long(const decimal *d) {
    big above = { .count = 0 }, below = { .limb = { 1 }, .count = 1 };
    int64_t kept = 0, power = d->power;
    bool dropped = false;
    if (d->count + d->power > 40) {
        return INFINITY;
    }
    if (d->count + d->power < -50) {
        return 0;
    }
    for (const char *at = d->first; at < d->end; at++) {
        if (*at != '.' && kept < KEPT) {
            multiply_add(&above, 10, (uint32_t)(*at - '0'));
            kept++;
        } else if (*at != '.') {
            power++;
            dropped = dropped || *at != '0';
        }
    }
    for (int64_t k = power; k > 0; k--) {
        multiply_add(&above, 5, 0);
    }
    for (int64_t k = power; k < 0; k++) {
        multiply_add(&below, 5, 0);
    }
    int64_t shift = QUOTIENT_BITS + 1 - (big_bits(&above) - big_bits(&below));
    shift_left(shift > 0 ? &above : &below, shift > 0 ? shift : -shift);
    uint64_t quotient = divide(&above, &below);
    return round_off(quotient, above.count > 0 || dropped, power - shift);
}

bool attn_layer_float(const char *text, float *number) {
    decimal d;
    if (!read_decimal(text, &d)) {
        return false;
    }
    *number = 0;
    if (d.count > 0 && !convert_short(&d, number)) {
        *number = convert_long(&d);
    }
    *number = d.negative ? -*number : *number;
    return isfinite(*number);
}
