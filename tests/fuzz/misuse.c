/*
 * A fuzzer of the public calls as a program makes them: problems, tensors, parts and options that are right, wrong or extreme,
 * in memory between pages that nobody may touch. Whatever the call, it answers a status; it reads and writes nothing but the
 * memory it was given; it writes nothing when it refuses; and the same call twice gives the same bits.
 *
 *     test_misuse [--runs N] [--seed S] [--first RUN] [--seconds T] [--opencl]
 *
 * A run is made from the seed and its number alone. A finding says which, and `--seed S --first RUN --runs 1` replays it.
 * --opencl: with the OpenCL devices of this machine, whose own threads the pages guard too; each program takes its time.
 */
#define _DEFAULT_SOURCE
#include "misuse.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MOST_ALLOCATION = 1 << 28 }; /* what a call may ask of the allocator before it gets none: 256 MiB */

static char where[128]; /* the run under way, for the handler */

static void on_fault(int number) {
    (void)number;
    ssize_t written = write(STDERR_FILENO, where, strlen(where));
    _exit(written < 0 ? 2 : 1);
}

static void *take(void *user, size_t size, size_t alignment) {
    (void)user;
    return size > MOST_ALLOCATION ? NULL : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give(void *user, void *memory) {
    (void)user;
    free(memory);
}

static void one_run(clattn_runtime *runtime, uint64_t seed, int64_t run) {
    snprintf(where, sizeof where, "misuse: --seed %llu --first %lld --runs 1: touched memory that is not its own\n",
             (unsigned long long)seed, (long long)run);
    draw_begin(seed, run);
    memory_begin();
    int64_t kind = draw_below(10);
    if (kind < 6) {
        misuse_attention(runtime);
    } else if (kind < 8) {
        misuse_operations(runtime);
    } else {
#if CLATTN_HAVE_LAYERS
        switch (draw_below(3)) {
            case 0: misuse_layers(runtime); break;
            case 1: misuse_learning(runtime); break;
            default: misuse_neural_memory(runtime); break;
        }
#else
        misuse_operations(runtime);
#endif
    }
}

int main(int argc, char **argv) {
    long long runs = 2500, seed = 1, first = 0, seconds = 3600;
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    clattn_runtime *runtime = NULL;
    options.threads = 2;
    options.without_opencl = true;
    options.allocator = (clattn_allocator){ take, give, NULL };
    for (int n = 1; n < argc; n++) {
        long long *number = strcmp(argv[n], "--runs") == 0      ? &runs
                            : strcmp(argv[n], "--seed") == 0    ? &seed
                            : strcmp(argv[n], "--first") == 0   ? &first
                            : strcmp(argv[n], "--seconds") == 0 ? &seconds
                                                                : NULL;
        if (strcmp(argv[n], "--opencl") == 0) {
            options.without_opencl = false;
        } else if (!number || n + 1 == argc) {
            fprintf(stderr, "test_misuse [--runs N] [--seed S] [--first RUN] [--seconds T] [--opencl]\n");
            return 2;
        } else {
            *number = atoll(argv[++n]);
        }
    }
    if (clattn_runtime_create(&options, &runtime) != CLATTN_OK) {
        return 1;
    }
    const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    for (size_t n = 0; n < sizeof signals / sizeof *signals; n++) {
        signal(signals[n], on_fault);
    }
    long long run = first;
    for (time_t end = time(NULL) + (time_t)seconds; run < first + runs && time(NULL) <= end; run++) {
        one_run(runtime, (uint64_t)seed, run);
    }
    memory_begin();
    clattn_runtime_destroy(runtime);
    printf("%lld runs of seed %lld, nothing found\n", run - first, seed);
    return 0;
}
