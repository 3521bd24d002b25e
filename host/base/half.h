/* fp16 and bf16 as bits: conversion to and from float and double, to nearest, ties to even; NaN stays NaN. */
#ifndef ATTN_BASE_HALF_H
#define ATTN_BASE_HALF_H

#include <stdint.h>
#include <string.h>

#include "clattn/clattn.h"

float attn_half_to_float(uint16_t bits);
uint16_t attn_half_from_double(double x); /* one rounding, not two */

static inline float attn_bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

uint16_t attn_bf16_from_double(double x); /* one rounding, not two */

static inline uint16_t attn_half_from_float(float x) {
    return attn_half_from_double((double)x);
}

static inline uint16_t attn_bf16_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)((bits >> 16) | 0x0040u);
    }
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/** As clattn_get_element() and clattn_set_element(), inside a call, whose environment is right already. */
double attn_get_element(clattn_type type, const void *data, int64_t index);
void attn_set_element(clattn_type type, void *data, int64_t index, double x);

/** Element `index` of an array of any storage type as float (fp64 is rounded). */
static inline float attn_load_float(clattn_type type, const void *data, int64_t index) {
    switch (type) {
        case CLATTN_FP32: return ((const float *)data)[index];
        case CLATTN_FP16: return attn_half_to_float(((const uint16_t *)data)[index]);
        case CLATTN_BF16: return attn_bf16_to_float(((const uint16_t *)data)[index]);
        default: return (float)((const double *)data)[index];
    }
}

/** Rounds x to the storage type and stores it. */
static inline void attn_store_float(clattn_type type, void *data, int64_t index, float x) {
    switch (type) {
        case CLATTN_FP32: ((float *)data)[index] = x; break;
        case CLATTN_FP16: ((uint16_t *)data)[index] = attn_half_from_float(x); break;
        case CLATTN_BF16: ((uint16_t *)data)[index] = attn_bf16_from_float(x); break;
        default: ((double *)data)[index] = (double)x; break;
    }
}

#endif
