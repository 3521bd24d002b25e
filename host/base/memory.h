/* Host memory through the caller's allocator, counted. */
#ifndef ATTN_BASE_MEMORY_H
#define ATTN_BASE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sizes.h"
#include "clattn/clattn.h"

#define ATTN_ALIGNMENT 64 /* of every allocation: a cache line, and the widest vector */

/** An allocator and what was taken from it. Device memory is counted here too, so that one number is the sum. */
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

#endif
