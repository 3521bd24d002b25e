/* What every fuzz harness shares (see fuzz.h): files in memory, texts, a runtime that gives little memory. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Noreturn void fuzz_fail(const char *file, int line, const char *what) {
    char text[512];
    int length = snprintf(text, sizeof text, "%s:%d: broken: %s\n", file, line, what);
    ssize_t written = write(2, text, (size_t)length); /* not stderr, which a harness may have turned away */
    (void)written;
    abort();
}

const char *fuzz_file(const void *data, size_t size) {
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    return path;
}

char *fuzz_text(const void *data, size_t size) {
    char *text = malloc(size + 1);
    FUZZ_CHECK(text);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}

static void *allocate(void *user, size_t size, size_t alignment) {
    (void)user;
    return size > FUZZ_MEMORY ? NULL : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

clattn_runtime_options fuzz_runtime_options(void) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    options.threads = 1;
    options.allocator = (clattn_allocator){ .allocate = allocate, .release = release };
    return options;
}

clattn_runtime *fuzz_runtime(void) {
    static clattn_runtime *runtime;
    if (!runtime) {
        const clattn_runtime_options options = fuzz_runtime_options();
        FUZZ_CHECK(clattn_runtime_create(&options, &runtime) == CLATTN_OK);
    }
    return runtime;
}
