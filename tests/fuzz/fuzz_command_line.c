/*
 * The whole program from its command line: options, problem words, files. The first line of the input is the command
 * line, its words cut at spaces (a tab stands for a space inside a word); the rest is what every file holds that the program reads. Nothing is computed but the
 * small models of `words`, nothing is written, and no file of this machine is read: while the program runs, the functions
 * below stand before those of the C library and of the library (see CMakeLists.txt).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "case/case_data.h"
#include "fuzz.h"
#include "bench/machine_limits.h"

int program_main(int argc, char **argv);
#define main program_main
#include "../../host/cli/main.c"
#undef main

enum { WORDS = 48 };

static const uint8_t *content; /* of every file */
static size_t content_size;
static bool runs, computes;

FILE *__real_fopen(const char *path, const char *mode);
int __real_open(const char *path, int flags, ...);
int __real_fchmod(int file, mode_t mode);
int __real_fchown(int file, uid_t owner, gid_t group);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __real_access(const char *path, int mode);
clattn_status __real_clattn_runtime_create(const clattn_runtime_options *options, clattn_runtime **runtime);
clattn_status __real_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors);
FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fchmod(int file, mode_t mode);
int __wrap_fchown(int file, uid_t owner, gid_t group);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_access(const char *path, int mode);
clattn_status __wrap_clattn_runtime_create(const clattn_runtime_options *options, clattn_runtime **runtime);
clattn_status __wrap_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors);
int __wrap_attn_case_data_create(attn_case_data *data, const attn_case *c, bool logsumexp, attn_error *error);
void __wrap_attn_measure_limits(int64_t threads, attn_limits *limits);

/* The fuzzer itself opens files: seeds between two runs, and an input that broke something in the midst of one. */
static bool is_fuzzers(const char *path) {
    return !runs || strstr(path, "/found/");
}

FILE *__wrap_fopen(const char *path, const char *mode) {
    if (is_fuzzers(path)) {
        return __real_fopen(path, mode);
    }
    if (strcmp(path, "/nowhere") == 0) {
        errno = ENOENT;
        return NULL;
    }
    return mode[0] == 'r' ? __real_fopen(fuzz_file(content, content_size), mode) : __real_fopen("/dev/null", mode);
}

int __wrap_open(const char *path, int flags, ...) {
    if (is_fuzzers(path)) {
        va_list more;
        va_start(more, flags);
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
        va_end(more);
        return __real_open(path, flags, mode);
    }
    FILE *file = __real_fopen((flags & O_ACCMODE) == O_RDONLY ? fuzz_file(content, content_size) : "/dev/null", "r+");
    int number = file ? fcntl(fileno(file), F_DUPFD, 3) : -1;
    if (file) {
        fclose(file);
    }
    return number;
}

/* What is written goes to /dev/null, whose own mode and owner stay. */
int __wrap_fchmod(int file, mode_t mode) {
    return runs ? 0 : __real_fchmod(file, mode);
}

int __wrap_fchown(int file, uid_t owner, gid_t group) {
    return runs ? 0 : __real_fchown(file, owner, group);
}

int __wrap_rename(const char *from, const char *to) {
    return runs ? 0 : __real_rename(from, to);
}

int __wrap_unlink(const char *path) {
    return runs ? 0 : __real_unlink(path);
}

int __wrap_mkdir(const char *path, mode_t mode) {
    return runs ? 0 : __real_mkdir(path, mode);
}

int __wrap_access(const char *path, int mode) {
    return runs ? -1 : __real_access(path, mode); /* -1: the user's own file of block sizes is not there */
}

clattn_status __wrap_clattn_runtime_create(const clattn_runtime_options *options, clattn_runtime **runtime) {
    const clattn_runtime_options small = fuzz_runtime_options();
    return options ? __real_clattn_runtime_create(&small, runtime) : CLATTN_INVALID_ARGUMENT;
}

clattn_status __wrap_clattn_execute(clattn_plan *plan, const clattn_tensors *tensors) {
    return computes ? __real_clattn_execute(plan, tensors) : CLATTN_UNSUPPORTED;
}

int __wrap_attn_case_data_create(attn_case_data *data, const attn_case *c, bool logsumexp, attn_error *error) {
    (void)logsumexp;
    *data = (attn_case_data){ .c = *c };
    return attn_fail(error, ATTN_UNSERVED, "no data here");
}

void __wrap_attn_measure_limits(int64_t threads, attn_limits *limits) {
    (void)threads;
    *limits = (attn_limits){ 1, 1, 1, 1, 1, "none" };
}

/* What the program says goes nowhere; the fuzzer's own messages do not take this way. */
static void be_quiet(void) {
    static bool quiet;
    if (!quiet) {
        FUZZ_CHECK(freopen("/dev/null", "w", stdout));
        stderr = __real_fopen("/dev/null", "w");
        FUZZ_CHECK(stderr);
        quiet = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t length = newline ? (size_t)(newline - data) : size;
    char *line = fuzz_text(data, length), *words[WORDS + 2] = { strdup("clattn") }, *rest = NULL;
    int count = 1;
    be_quiet();
    content = newline ? newline + 1 : data + size;
    content_size = newline ? size - length - 1 : 0;
    for (char *word = strtok_r(line, " ", &rest); word && count <= WORDS; word = strtok_r(NULL, " ", &rest)) {
        words[count] = strdup(word); /* each in a block of its own */
        for (char *tab; (tab = strchr(words[count], '\t'));) {
            *tab = ' ';
        }
        count++;
    }
    computes = count > 1 && strcmp(words[1], "words") == 0;
    char *given[WORDS + 2]; /* the program sorts its words */
    memcpy(given, words, sizeof given);
    runs = true;
    int status = program_main(count, given);
    runs = false;
    FUZZ_CHECK(status >= ATTN_DONE && status <= ATTN_UNSERVED);
    for (int k = 0; k < count; k++) {
        free(words[k]);
    }
    free(line);
    return 0;
}
