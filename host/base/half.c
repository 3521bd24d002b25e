/*
 * fp16 and bf16 as bits. Both formats are "sign, exponent, mantissa" cuts of a double, so one routine rounds to either:
 * once, to nearest, ties to even. Rounding through float first would round twice.
 */
#include "base/half.h"

#include <math.h>

#include "base/visit.h"

float attn_half_to_float(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu;
    uint32_t mantissa = bits & 0x3ffu;
    uint32_t wide;
    float x;
    if (exponent == 0) {
        x = (float)mantissa * 0x1p-24f; /* exact: subnormal or zero */
        return sign ? -x : x;
    }
    if (exponent == 31) {
        wide = sign | 0x7f800000u | mantissa << 13;
    } else {
        wide = sign | (exponent + 112) << 23 | mantissa << 13;
    }
    memcpy(&x, &wide, sizeof x);
    return x;
}

/** Rounds to a format of `fraction` mantissa bits whose smallest normal exponent is `lowest` and largest `highest`. */
static uint16_t round_to(double x, int fraction, int lowest, int highest) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)((bits >> 48) & 0x8000u);
    uint16_t infinity = (uint16_t)((uint32_t)(highest - lowest + 2) << fraction);
    if (isnan(x)) {
        return (uint16_t)(sign | infinity | 1u << (fraction - 1));
    }
    int exponent = (int)((bits >> 52) & 0x7ff) - 1023;
    if (exponent > highest) {
        return (uint16_t)(sign | infinity);
    }
    /* Subnormal results lose further bits; everything below half the smallest one is zero. */
    int drop = 52 - fraction + (exponent < lowest ? lowest - exponent : 0);
    if (drop > 53) {
        return sign;
    }
    uint64_t mantissa = (bits & 0xfffffffffffffull) | 1ull << 52;
    uint64_t kept = mantissa >> drop;
    uint64_t rest = mantissa & ((1ull << drop) - 1);
    uint64_t half = 1ull << (drop - 1);
    kept += rest > half || (rest == half && (kept & 1));
    /* A carry runs into the exponent by itself, to infinity too. The implicit bit counts as one exponent step. */
    uint64_t base = exponent < lowest ? 0 : (uint64_t)(exponent - lowest) << fraction;
    return (uint16_t)(sign | (uint16_t)(base + kept));
}

uint16_t attn_half_from_double(double x) {
    return round_to(x, 10, -14, 15);
}

uint16_t attn_bf16_from_double(double x) {
    return round_to(x, 7, -126, 127);
}

int64_t clattn_type_size(clattn_type type) {
    return type == CLATTN_FP64 ? 8 : type == CLATTN_FP32 ? 4 : 2;
}

const char *clattn_type_name(clattn_type type) {
    static const char *const names[] = { "fp32", "fp16", "bf16", "fp64" };
    return (unsigned)type < 4 ? names[type] : "unknown";
}

ATTN_NOT_INLINED double attn_get_element(clattn_type type, const void *data, int64_t index) {
    return type == CLATTN_FP64 ? ((const double *)data)[index] : (double)attn_load_float(type, data, index);
}

ATTN_NOT_INLINED void attn_set_element(clattn_type type, void *data, int64_t index, double x) {
    switch (type) {
        case CLATTN_FP32: ((float *)data)[index] = (float)x; break;
        case CLATTN_FP16: ((uint16_t *)data)[index] = attn_half_from_double(x); break;
        case CLATTN_BF16: ((uint16_t *)data)[index] = attn_bf16_from_double(x); break;
        default: ((double *)data)[index] = x; break;
    }
}

/* Rounding to fp32, and reading a denormal number, depend on the caller's environment. */
double clattn_get_element(clattn_type type, const void *data, int64_t index) {
    attn_floats before = attn_floats_begin();
    double x = attn_get_element(type, data, index);
    attn_floats_end(&before);
    return x;
}

void clattn_set_element(clattn_type type, void *data, int64_t index, double x) {
    attn_floats before = attn_floats_begin();
    attn_set_element(type, data, index, x);
    attn_floats_end(&before);
}
