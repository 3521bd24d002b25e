/*
 * Runs a fuzz harness where there is no libFuzzer: every seed as it is, then a fixed number of seeds with a few changes
 * drawn from a fixed number, so that two runs do the same. An input that stops the program is left in a file.
 *   fuzz_NAME [--runs N] [--draw N] FILE|FOLDER...
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

enum { SEEDS = 256, MOST = 8192, SECONDS = 20 };

typedef struct seed {
    uint8_t *data;
    size_t size;
} seed;

static seed seeds[SEEDS];
static size_t seed_count;
static uint64_t drawn = 1;
static uint8_t input[MOST];
static size_t input_size;
static const char *found = "fuzz.found";

static size_t draw(size_t below) {
    uint64_t z = drawn += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ (z >> 31)) % below);
}

/* Also for inputs that take longer than SECONDS. By openat(), because a harness may stand before open(). */
static void keep_input(int number) {
    static const char text[] = "fuzz: the input is kept in ";
    int file = openat(AT_FDCWD, found, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ssize_t done = write(file, input, input_size);
    done += write(2, text, sizeof text - 1) + write(2, found, strlen(found)) + write(2, "\n", 1);
    (void)done;
    signal(number, SIG_DFL);
    raise(number);
}

static void add_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(MOST);
    if (!file || !data || seed_count == SEEDS) {
        fprintf(stderr, "fuzz: %s: cannot be read, or too many seeds\n", path);
        exit(2);
    }
    seeds[seed_count++] = (seed){ data, fread(data, 1, MOST, file) };
    fclose(file);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add(const char *path) {
    DIR *folder = opendir(path);
    char *names[SEEDS];
    size_t count = 0;
    if (!folder) {
        add_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder)) && count < SEEDS;) {
        if (entry->d_name[0] != '.') {
            names[count++] = strdup(entry->d_name);
        }
    }
    closedir(folder);
    qsort(names, count, sizeof *names, by_name); /* folders are listed in any order */
    for (size_t k = 0; k < count; k++) {
        char whole[4096];
        snprintf(whole, sizeof whole, "%s/%s", path, names[k]);
        add_file(whole);
        free(names[k]);
    }
}

/* Puts bytes in, or over what is there. */
static void put(size_t at, const void *bytes, size_t size, bool over) {
    size = size > MOST - at ? MOST - at : size;
    if (!over) {
        size_t rest = input_size - at;
        rest = rest > MOST - at - size ? MOST - at - size : rest;
        memmove(input + at + size, input + at, rest);
        input_size = at + size + rest;
    }
    input_size = at + size > input_size ? at + size : input_size;
    memcpy(input + at, bytes, size);
}

static void change(void) {
    static const char *const words[] = { "0",
                                         "1",
                                         "-1",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "4294967296",
                                         "99999999999999999999",
                                         "1e999",
                                         "0.1",
                                         ",",
                                         "=",
                                         " ",
                                         "\n",
                                         "\"",
                                         "\xef\xbb\xbf",
                                         "\xc3\xa9",
                                         "\xed\xa0\x80",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "#",
                                         "..",
                                         "-",
                                         "\r\n" };
    uint8_t byte = (uint8_t)draw(256);
    size_t at = draw(input_size + 1), length;
    const seed *other = &seeds[draw(seed_count)];
    switch (draw(7)) {
        case 0: put(at, &byte, 1, true); break;
        case 1: put(at, &byte, 1, false); break;
        case 2:
        case 3: {
            const char *word = words[draw(sizeof words / sizeof *words)];
            put(at, word, strlen(word), draw(2) == 0);
            break;
        }
        case 4: /* takes some out */
            length = draw(input_size - at + 1) / (1 + draw(8));
            memmove(input + at, input + at + length, input_size - at - length);
            input_size -= length;
            break;
        case 5: /* a piece of a seed */
            if (other->size > 0) {
                size_t from = draw(other->size);
                put(at, other->data + from, draw(other->size - from) + 1, draw(2) == 0);
            }
            break;
        default:
            if (at < input_size) {
                input[at] ^= (uint8_t)(1u << draw(8));
            }
    }
}

static void run_input(void) {
    uint8_t *copy = malloc(input_size + 1); /* of just that size */
    FUZZ_CHECK(copy);
    memcpy(copy, input, input_size);
    alarm(SECONDS);
    FUZZ_CHECK(LLVMFuzzerTestOneInput(copy, input_size) == 0);
    alarm(0);
    free(copy);
}

int main(int argc, char **argv) {
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
    static char name[512];
    long runs = 1000;
    const char *slash = strrchr(argv[0], '/');
    snprintf(name, sizeof name, "%s.found", slash ? slash + 1 : argv[0]);
    found = name;
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "--runs") == 0 && k + 1 < argc) {
            runs = atol(argv[++k]);
        } else if (strcmp(argv[k], "--draw") == 0 && k + 1 < argc) {
            drawn = (uint64_t)atoll(argv[++k]);
        } else {
            add(argv[k]);
        }
    }
    if (seed_count == 0) {
        fprintf(stderr, "usage: %s [--runs N] [--draw N] FILE|FOLDER...\n", argv[0]);
        return 2;
    }
    for (size_t k = 0; k < sizeof signals / sizeof *signals; k++) {
        signal(signals[k], keep_input);
    }
    for (long run = 0; run < runs + (long)seed_count; run++) {
        const seed *s = &seeds[run < (long)seed_count ? (size_t)run : draw(seed_count)];
        memcpy(input, s->data, s->size);
        input_size = s->size;
        for (size_t changes = run < (long)seed_count ? 0 : 1 + draw(6); changes > 0; changes--) {
            change();
        }
        run_input();
    }
    dprintf(2, "%zu seeds, %ld changed inputs, nothing found\n", seed_count, runs);
    for (size_t k = 0; k < seed_count; k++) {
        free(seeds[k].data);
    }
    return 0;
}
