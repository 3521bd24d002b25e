/* The misuse fuzzer's numbers and memory. Each block lies between two pages that may not be touched, at one or the other. */
#define _DEFAULT_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "misuse.h"

enum { MOST_BLOCKS = 64, PAINT = 0x5a, MOST_BYTES = 1 << 22 };

typedef struct block {
    unsigned char *pages, *inside, *data; /* the whole, its pages in use, the caller's part of these */
    size_t whole, room, bytes;
    bool written;
    uint64_t sum;
} block;

static block blocks[MOST_BLOCKS];
static int block_count;
static uint64_t state, first_seed;
static int64_t this_run;

static uint64_t next(void) {
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void draw_begin(uint64_t seed, int64_t run) {
    first_seed = seed;
    this_run = run;
    state = seed * UINT64_C(0xd1342543de82ef95) + (uint64_t)run;
    state = next();
}

int64_t draw_below(int64_t n) {
    return (int64_t)(next() % (uint64_t)n);
}

int64_t draw_between(int64_t low, int64_t high) {
    return low + draw_below(high - low + 1);
}

bool draw_one_in(int64_t n) {
    return draw_below(n) == 0;
}

int64_t draw_odd(void) {
    static const int64_t known[] = { INT64_MIN, INT64_MIN + 1, -3, -2, -1, 0, 1, 63, 64, 65, INT32_MAX, INT64_MAX, INT64_MAX - 1 };
    int64_t power = INT64_C(1) << draw_between(20, 62);
    switch (draw_below(5)) {
        case 0: return power + draw_between(-2, 2);
        case 1: return -power + draw_between(-2, 2);
        case 2: return (int64_t)next();
        case 3: return INT64_MAX / draw_between(1, 9);
        default: return known[draw_below((int64_t)(sizeof known / sizeof *known))];
    }
}

int64_t draw_small_or_odd(int64_t low, int64_t high) {
    return draw_one_in(20) ? draw_odd() : draw_between(low, high);
}

void misuse_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "misuse: --seed %llu --first %lld --runs 1: ", (unsigned long long)first_seed, (long long)this_run);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* ------------------------------------------------------------------------------------------------ walks */

static bool is_empty(const walk *w) {
    return w->extent[0] == 0 || w->extent[1] == 0 || w->extent[2] == 0 || w->extent[3] == 0;
}

wide walk_bytes(const walk *w) {
    wide last = w->offset;
    for (int k = 0; k < 4; k++) {
        last += (wide)(w->extent[k] - 1) * w->stride[k];
    }
    return is_empty(w) ? 0 : (last + 1) * w->size;
}

walk_kind walk_judge(const walk *w) {
    wide bytes = walk_bytes(w);
    bool negative = w->offset < 0 || w->stride[0] < 0 || w->stride[1] < 0 || w->stride[2] < 0 || w->stride[3] < 0;
    if (negative || (!w->data && !is_empty(w)) || bytes > INT64_MAX || bytes + (wide)(uintptr_t)w->data > UINTPTR_MAX) {
        return WALK_REFUSED;
    }
    if ((uintptr_t)w->data % (uintptr_t)(w->size > 0 ? w->size : 1) != 0) {
        return WALK_LIE; /* memory is aligned to its elements: the header asks for it */
    }
    for (int n = 0; n < block_count; n++) {
        const unsigned char *at = w->data, *from = blocks[n].data;
        if (at >= from && at <= from + blocks[n].bytes && bytes <= from + blocks[n].bytes - at) {
            return WALK_FITS;
        }
    }
    return bytes == 0 ? WALK_FITS : WALK_LIE;
}

/* ------------------------------------------------------------------------------------------------ memory */

void memory_begin(void) {
    for (int n = 0; n < block_count; n++) {
        munmap(blocks[n].pages, blocks[n].whole);
    }
    block_count = 0;
}

static block *take(wide bytes, int64_t element, bool written) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes < 0 || bytes > MOST_BYTES || block_count == MOST_BLOCKS) {
        misuse_fail("the fuzzer itself asks for %lld bytes", (long long)bytes);
    }
    block *b = &blocks[block_count++];
    size_t size = (size_t)element;
    *b = (block){ .bytes = (size_t)bytes, .written = written };
    b->room = (b->bytes + page) / page * page;
    b->whole = b->room + 2 * page;
    b->pages = mmap(NULL, b->whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->pages == MAP_FAILED || mprotect(b->pages + page, b->room, PROT_READ | PROT_WRITE) != 0) {
        misuse_fail("no memory for the fuzzer itself");
    }
    b->inside = b->pages + page;
    b->data = draw_one_in(3) ? b->inside : b->inside + (b->room - b->bytes) / size * size;
    memset(b->inside, PAINT, b->room);
    return b;
}

void *memory_output(wide bytes, int64_t element) {
    return take(bytes, element, true)->data;
}

void *memory_bits(wide bytes, int64_t element) {
    block *b = take(bytes, element, false);
    for (size_t n = 0; n < b->bytes; n++) {
        b->data[n] = (unsigned char)next();
    }
    return b->data;
}

void *memory_numbers(wide bytes, clattn_type type) {
    if (draw_one_in(4)) {
        return memory_bits(bytes, clattn_type_size(type));
    }
    block *b = take(bytes, clattn_type_size(type), false);
    for (int64_t n = 0; n < (int64_t)b->bytes / clattn_type_size(type); n++) {
        clattn_set_element(type, b->data, n, (double)draw_between(-2000, 2000) / 1000);
    }
    return b->data;
}

float *memory_floats(wide count) {
    return memory_numbers(count * (wide)sizeof(float), CLATTN_FP32);
}

float *memory_results(wide count) {
    return memory_output(count * (wide)sizeof(float), (int64_t)sizeof(float));
}

void *memory_forbidden(void) {
    return take(0, 1, false)->pages;
}

static uint64_t sum_of(const unsigned char *data, size_t bytes) {
    uint64_t sum = UINT64_C(1469598103934665603);
    for (size_t n = 0; n < bytes; n++) {
        sum = (sum ^ data[n]) * UINT64_C(1099511628211);
    }
    return sum;
}

void memory_paint(void) {
    for (int n = 0; n < block_count; n++) {
        block *b = &blocks[n];
        if (b->written) {
            memset(b->data, PAINT, b->bytes);
        }
        b->sum = sum_of(b->inside, b->room);
    }
}

void memory_unwritten(const char *call) {
    for (int n = 0; n < block_count; n++) {
        if (sum_of(blocks[n].inside, blocks[n].room) != blocks[n].sum) {
            misuse_fail("%s: block %d of %zu bytes was written though the call was refused", call, n, blocks[n].bytes);
        }
    }
}

/* Takes what the output walks out of the block: the paint back, so that the block must be as it was. */
static void forget_walked(const walk *w, unsigned char *copy, const block *b) {
    ptrdiff_t base = (const unsigned char *)w->data - b->inside;
    for (int64_t i = 0; !is_empty(w) && i < w->extent[0] * w->extent[1] * w->extent[2]; i++) {
        int64_t d = i / (w->extent[1] * w->extent[2]), h = i / w->extent[2] % w->extent[1];
        int64_t at = w->offset + d * w->stride[0] + h * w->stride[1] + i % w->extent[2] * w->stride[2];
        for (int64_t k = 0; k < w->extent[3]; k++) {
            memset(copy + base + (at + k * w->stride[3]) * w->size, PAINT, (size_t)w->size);
        }
    }
}

void memory_written(const char *call, const walk *outputs, int count) {
    static unsigned char copy[MOST_BYTES + 65536];
    for (int n = 0; n < block_count; n++) {
        const block *b = &blocks[n];
        memcpy(copy, b->inside, b->room);
        for (int k = 0; k < count; k++) {
            const unsigned char *at = outputs[k].data;
            if (at && at >= b->data && at <= b->data + b->bytes) {
                forget_walked(&outputs[k], copy, b);
            }
        }
        if (sum_of(copy, b->room) != b->sum) {
            misuse_fail("%s: %s block %d of %zu bytes was written outside what is an output", call,
                        b->written ? "output" : "input", n, b->bytes);
        }
    }
}

uint64_t memory_outputs(void) {
    uint64_t sum = 0;
    for (int n = 0; n < block_count; n++) {
        sum = sum * 31 + (blocks[n].written ? sum_of(blocks[n].data, blocks[n].bytes) : 0);
    }
    return sum;
}

bool memory_is_input(const void *data) {
    const unsigned char *at = data;
    for (int n = 0; n < block_count; n++) {
        if (!blocks[n].written && at >= blocks[n].inside && at < blocks[n].inside + blocks[n].room) {
            return true;
        }
    }
    return false;
}

bool misuse_refused(const char *call, clattn_status status) {
    switch (status) {
        case CLATTN_OK: return false;
        case CLATTN_INVALID_ARGUMENT:
        case CLATTN_INVALID_PROBLEM:
        case CLATTN_INVALID_TENSORS:
        case CLATTN_OVERFLOW:
        case CLATTN_UNSUPPORTED:
        case CLATTN_NO_DEVICE:
        case CLATTN_OUT_OF_MEMORY:
        case CLATTN_DEVICE_OUT_OF_MEMORY: return true;
        default: misuse_fail("%s answers %s", call, clattn_status_name(status));
    }
}

void misuse_expect(const char *call, clattn_status status, bool right) {
    if (misuse_refused(call, status)) {
        memory_unwritten(call);
        if (right) {
            misuse_fail("%s: %s", call, clattn_status_name(status));
        }
    } else if (!right) {
        misuse_fail("%s: done, though it cannot be", call);
    }
}
