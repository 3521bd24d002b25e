/*
 * Host memory through the caller's allocator, counted. Each block carries its size in a header of one cache line, so that
 * what is released is subtracted without a table.
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, PAGE = 4096, PAGE_FROM = 65536 };

static void *default_allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    size_t rounded = (size + alignment - 1) / alignment * alignment;
    return rounded < size ? NULL : aligned_alloc(alignment, rounded);
}

static void default_release(void *user, void *block) {
    (void)user;
    free(block);
}

void attn_memory_init(attn_memory *memory, const clattn_allocator *allocator) {
    memset(memory, 0, sizeof *memory);
    memory->allocator = *allocator;
    if (!allocator->allocate) {
        memory->allocator = (clattn_allocator){ default_allocate, default_release, NULL };
    }
}

static void raise_to(atomic_int_least64_t *peak, int64_t value) {
    int64_t seen = atomic_load(peak);
    while (value > seen && !atomic_compare_exchange_weak(peak, &seen, value)) {
    }
}

static void count(attn_memory *memory, atomic_int_least64_t *now, atomic_int_least64_t *peak, int64_t bytes) {
    raise_to(peak, atomic_fetch_add(now, bytes) + bytes);
    raise_to(&memory->peak, atomic_load(&memory->host) + atomic_load(&memory->device));
}

void attn_memory_count_device(attn_memory *memory, int64_t bytes) {
    count(memory, &memory->device, &memory->device_peak, bytes);
}

void *attn_allocate(attn_memory *memory, int64_t size) {
    int64_t total;
    if (size < 0 || !attn_add(size, PAGE + HEADER, &total) || (uint64_t)total > SIZE_MAX) {
        return NULL;
    }
    /* Large blocks start on a page: OpenCL CPU devices then use them without a copy. */
    size_t lead = size >= PAGE_FROM ? PAGE : HEADER;
    char *raw = memory->allocator.allocate(memory->allocator.user, lead + (size_t)size, lead);
    if (!raw) {
        return NULL;
    }
    char *block = raw + lead;
    int64_t header[2] = { size, (int64_t)lead };
    memcpy(block - sizeof header, header, sizeof header);
    count(memory, &memory->host, &memory->host_peak, size);
    return block;
}

void *attn_allocate_zeroed(attn_memory *memory, int64_t size) {
    void *block = attn_allocate(memory, size);
    if (block) {
        memset(block, 0, (size_t)size);
    }
    return block;
}

void attn_release(attn_memory *memory, void *block) {
    if (!block) {
        return;
    }
    int64_t header[2];
    memcpy(header, (char *)block - sizeof header, sizeof header);
    count(memory, &memory->host, &memory->host_peak, -header[0]);
    memory->allocator.release(memory->allocator.user, (char *)block - header[1]);
}
