/* Arrays of .npy files, read by the tests' own few lines so that the program's reader is not its own judge. */
#ifndef TESTS_ARRAY_H
#define TESTS_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct test_array {
    char kind;    /* of NumPy: f float, i integer, u unsigned, b bool */
    int64_t item; /* bytes of one element */
    int64_t count;
    int dimensions;
    int64_t shape[4];
    void *data; /* malloc'ed */
} test_array;

/** Reads a little-endian C-order file of version 1.0; fails the running test otherwise. */
test_array test_array_read(const char *path);
void test_array_free(test_array *array);

/** Element as double, whatever the type (bf16 is not known here: it travels as uint16). */
double test_array_get(const test_array *array, int64_t index);

#endif
