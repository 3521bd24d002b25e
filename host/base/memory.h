/* Host memory through the caller's allocator, counted; and sizes that cannot overflow unseen. */
#ifndef ATTN_BASE_MEMORY_H
#define ATTN_BASE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clattn/clattn.h"

#define ATTN_ALIGNMENT 64 /* of every allocation: a cache line, and the widest vector */

/** An allocator and what was taken from it. Device memory is counted here too, so that one number tells the whole. */
typedef struct attn_memory {
    clattn_allocator allocator;
    atomic_int_least64_t host, host_peak, device, device_peak, peak;
} attn_memory;

void attn_memory_init(attn_memory *memory, const clattn_allocator *allocator);

/** Uninitialised memory at a multiple of 64 (4096 from 64 KiB on), or NULL. size 0 gives a valid pointer. Any thread. */
void *attn_allocate(attn_memory *memory, int64_t size);

/** The same, zeroed. */
void *attn_allocate_zeroed(attn_memory *memory, int64_t size);

/** Gives back what attn_allocate returned; NULL does nothing. */
void attn_release(attn_memory *memory, void *block);

/** Counts device memory: positive when allocated, negative when released. */
void attn_memory_count_device(attn_memory *memory, int64_t bytes);

/** *result = a * b or a + b; false when a factor is negative or the result does not fit. */
bool attn_multiply(int64_t a, int64_t b, int64_t *result);
bool attn_add(int64_t a, int64_t b, int64_t *result);

/** Whether `bytes` bytes from an address on lie within the address space; false for negative ones too. */
bool attn_fits_address(const void *address, int64_t bytes);

/** Whether two ranges of bytes have one in common. Empty ranges and NULL have none. */
bool attn_ranges_meet(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes);

/**
 * Starts a public structure of the caller's: a copy of `from`, which has `known` bytes. Where the caller's has another size it is
 * of no version, and gets zeros: a struct_size of 0, which every call refuses.
 */
void attn_init_structure(void *structure, size_t size, const void *from, size_t known);

/** x / step (> 0), rounded up. Of every x: nothing overflows. */
static inline int64_t attn_divide_up(int64_t x, int64_t step) {
    return x / step + (x % step > 0);
}

/** Rounds up to a multiple of step (> 0). The caller knows that it fits. */
static inline int64_t attn_round_up(int64_t x, int64_t step) {
    return attn_divide_up(x, step) * step;
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

#endif
