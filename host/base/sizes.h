/*
 * Sizes in 64 bits that cannot overflow unseen, and structures that carry their size. Inline functions of numbers alone,
 * so that the layers use them too.
 */
#ifndef ATTN_BASE_SIZES_H
#define ATTN_BASE_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** *result = a * b or a + b; false when one is negative or the result does not fit. */
static inline bool attn_multiply(int64_t a, int64_t b, int64_t *result) {
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, result);
}

static inline bool attn_add(int64_t a, int64_t b, int64_t *result) {
    return a >= 0 && b >= 0 && !__builtin_add_overflow(a, b, result);
}

static inline int64_t attn_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t attn_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/** x within low and high; low where high lies below it. */
static inline int64_t attn_clamp(int64_t x, int64_t low, int64_t high) {
    return attn_max(low, attn_min(x, high));
}

/** x / step (> 0), rounded up. Of every x: nothing overflows. */
static inline int64_t attn_divide_up(int64_t x, int64_t step) {
    return x / step + (x % step > 0);
}

/** Rounds up to a multiple of step (> 0). The caller knows that it fits. */
static inline int64_t attn_round_up(int64_t x, int64_t step) {
    return attn_divide_up(x, step) * step;
}

/** Whether `bytes` bytes from an address on lie within the address space; false for negative ones too. */
static inline bool attn_fits_address(const void *address, int64_t bytes) {
    return bytes >= 0 && (uint64_t)bytes <= UINTPTR_MAX - (uintptr_t)address;
}

/** Whether two ranges of bytes have one in common. Empty ranges and NULL have none. */
static inline bool attn_ranges_meet(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes) {
    uintptr_t from = (uintptr_t)a, other = (uintptr_t)b;
    if (!a || !b || a_bytes <= 0 || b_bytes <= 0) {
        return false;
    }
    return from <= other ? other - from < (uint64_t)a_bytes : from - other < (uint64_t)b_bytes;
}

/**
 * Starts a public structure of the caller's: a copy of `from`, which has `known` bytes. Where the caller's has another size it is
 * of no version, and gets zeros: a struct_size of 0, which every call refuses.
 */
static inline void attn_init_structure(void *structure, size_t size, const void *from, size_t known) {
    if (structure) {
        memset(structure, 0, size);
        memcpy(structure, from, size == known ? known : 0);
    }
}

#endif
