/*
 * The program's .npy reader and writer: what it writes, another reader reads; what is not a plain little-endian array in C
 * order is refused with a sentence that names the file; damaged files do not crash it.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/npy.h"
#include "support/array.h"
#include "support/suite.h"

#define PLACE CLATTN_TEST_BINARY_DIR "/npy_"

static attn_error error;

static const char *path_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, PLACE "%s_%d.npy", name, (int)getpid());
    return path;
}

static void write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* A file of version 1.0 with this header and so many bytes of data. */
static void write_npy(const char *path, const char *header, size_t data) {
    char file[4096] = "\x93NUMPY\x01";
    size_t length = strlen(header);
    file[8] = (char)(length & 255), file[9] = (char)(length >> 8);
    memcpy(file + 10, header, length);
    write_bytes(path, file, 10 + length + data);
}

static void refused(const char *path, const char *text) {
    attn_npy array;
    memset(&error, 0, sizeof error);
    ck_assert_msg(attn_npy_read(&array, path, &error) == ATTN_USAGE, "taken: %s", text);
    ck_assert_msg(strstr(error.text, path) && strstr(error.text, text), "\"%s\" does not say %s", error.text, text);
    ck_assert_ptr_null(array.data);
    attn_npy_free(&array);
}

START_TEST(test_round_trip) {
    static const struct {
        attn_npy_type type;
        int dims;
        int64_t shape[5];
    } arrays[] = { { ATTN_NPY_FLOAT32, 4, { 2, 3, 4, 5 } }, { ATTN_NPY_FLOAT16, 1, { 7 } },  { ATTN_NPY_FLOAT64, 2, { 1, 9 } },
                   { ATTN_NPY_BOOL, 3, { 2, 2, 2 } },       { ATTN_NPY_INT32, 1, { 3 } },    { ATTN_NPY_INT64, 1, { 1 } },
                   { ATTN_NPY_UINT16, 4, { 1, 1, 1, 2 } },  { ATTN_NPY_FLOAT32, 4, { 2, 0, 3, 4 } } };
    for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) {
        attn_npy array, again;
        attn_output_file file;
        const char *path = path_of("round");
        ck_assert_int_eq(attn_npy_create(&array, arrays[n].type, arrays[n].dims, arrays[n].shape, &error), ATTN_DONE);
        size_t bytes = (size_t)(array.count * attn_npy_type_size(array.type));
        for (size_t i = 0; i < bytes; i++) {
            ((unsigned char *)array.data)[i] = (unsigned char)(i * 7 + n);
        }
        ck_assert_int_eq(attn_output_open(&file, path, &error), ATTN_DONE);
        ck_assert_int_eq(attn_npy_write(&array, &file, &error), ATTN_DONE);
        ck_assert_int_eq(attn_output_commit(&file, &error), ATTN_DONE);
        ck_assert_msg(attn_npy_read(&again, path, &error) == ATTN_DONE, "%s", error.text);
        ck_assert(again.type == array.type && again.dims == array.dims && again.count == array.count);
        ck_assert(bytes == 0 || memcmp(again.data, array.data, bytes) == 0);
        ck_assert_uint_eq((uintptr_t)again.data % 64, 0);
        if (array.dims <= 4) { /* the tests' own reader agrees */
            test_array other = test_array_read(path);
            ck_assert(other.count == array.count && other.item == attn_npy_type_size(array.type));
            ck_assert(bytes == 0 || memcmp(other.data, array.data, bytes) == 0);
            test_array_free(&other);
        }
        attn_npy_free(&array);
        attn_npy_free(&again);
        remove(path);
    }
}
END_TEST

#define GOOD "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"

START_TEST(test_other_writers) {
    static const char *const headers[] = { GOOD, "{\"shape\": (2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                           "{'fortran_order': False, 'descr': '<f4', 'shape': (2, 3,)}     \n" };
    for (int n = 0; n < 3; n++) {
        attn_npy array;
        const char *path = path_of("other");
        write_npy(path, headers[n], 24);
        ck_assert_msg(attn_npy_read(&array, path, &error) == ATTN_DONE, "%s: %s", headers[n], error.text);
        ck_assert(array.dims == 2 && array.shape[0] == 2 && array.shape[1] == 3 && array.count == 6);
        attn_npy_free(&array);
        remove(path);
    }
}
END_TEST

START_TEST(test_refusals) {
    static const struct {
        const char *header;
        size_t data;
        const char *text;
    } bad[] = {
        { "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", 24, "Fortran" },
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, "big-endian" },
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }\n", 48, "type" },
        { "{'descr': '<i1', 'fortran_order': False, 'shape': (2, 3), }\n", 6, "type" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n", 8, "records" },
        { GOOD, 23, "truncated" },
        { GOOD, 0, "truncated" },
        { GOOD, 25, "more data" },
        { "{'descr': '<f4', 'shape': (2, 3), }\n", 24, "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (2, 3)}\n", 24, "header" },
        { "{'descr': '<f4', 'fortran_order': Perhaps, 'shape': (2, 3)}\n", 24, "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)\n", 24, "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}\n", 24, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': 6}\n", 24, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}\n", 24, "63 bits" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}\n", 24, "63 bits" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}\n", 24, "truncated" }, /* costs no memory */
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}\n", 4, "dimensions" },
        { "", 0, "header" },
    };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        const char *path = path_of("bad");
        write_npy(path, bad[n].header, bad[n].data);
        refused(path, bad[n].text);
        remove(path);
    }
    refused(PLACE "not_there.npy", "cannot be read");
    write_bytes(path_of("text"), "query key value\n", 16);
    refused(path_of("text"), "not a .npy");
    write_bytes(path_of("text"), "\x93NUMPY\x09\x00\x10\x00", 10);
    refused(path_of("text"), "version");
    write_bytes(path_of("text"), "", 0);
    refused(path_of("text"), "it is empty");
    remove(path_of("text"));
}
END_TEST

/* A pipe with these bytes in it, as a path; its other end is closed. */
static int fill_pipe(const char *header, size_t data, char path[32]) {
    char bytes[4096] = "\x93NUMPY\x01";
    int ends[2];
    size_t length = strlen(header);
    bytes[8] = (char)(length & 255), bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, header, length);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], bytes, 10 + length + data), (ssize_t)(10 + length + data));
    ck_assert_int_eq(close(ends[1]), 0);
    snprintf(path, 32, "/dev/fd/%d", ends[0]);
    return ends[0];
}

/* No size to check the header against: what it claims is not asked for at once. */
START_TEST(test_pipes) {
    char path[32];
    attn_npy array;
    int end = fill_pipe(GOOD, 24, path);
    ck_assert_msg(attn_npy_read(&array, path, &error) == ATTN_DONE, "%s", error.text);
    ck_assert(array.count == 6 && ((float *)array.data)[5] == 0);
    attn_npy_free(&array);
    close(end);
    static const struct {
        const char *header;
        size_t data;
        const char *text;
    } bad[] = { { GOOD, 23, "truncated" },
                { GOOD, 25, "more data" },
                { "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}\n", 24, "truncated" } };
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        end = fill_pipe(bad[n].header, bad[n].data, path);
        refused(path, bad[n].text);
        close(end);
    }
}
END_TEST

/* A good file cut at every byte, and with every byte of its header changed: refused or read, never a crash. */
START_TEST(test_damage) {
    char good[10 + sizeof GOOD - 1 + 24] = "\x93NUMPY\x01";
    const char *path = path_of("damaged");
    attn_npy array;
    good[8] = (char)(sizeof GOOD - 1);
    memcpy(good + 10, GOOD, sizeof GOOD - 1);
    for (size_t size = 0; size < sizeof good; size++) {
        write_bytes(path, good, size);
        ck_assert_msg(attn_npy_read(&array, path, &error) == ATTN_USAGE, "cut to %zu bytes, but taken", size);
    }
    for (size_t at = 0; at < sizeof good - 24; at++) {
        for (int change = 1; change < 256; change += 7) {
            good[at] = (char)(good[at] ^ change);
            write_bytes(path, good, sizeof good);
            if (attn_npy_read(&array, path, &error) == ATTN_DONE) {
                attn_npy_free(&array);
            }
            good[at] = (char)(good[at] ^ change);
        }
    }
    write_bytes(path, good, sizeof good);
    ck_assert_int_eq(attn_npy_read(&array, path, &error), ATTN_DONE);
    attn_npy_free(&array);
    remove(path);
}
END_TEST

START_TEST(test_whole_or_not_at_all) {
    attn_output_file file;
    const char *path = path_of("whole");
    write_bytes(path, "old", 3);
    ck_assert_int_eq(attn_output_open(&file, path, &error), ATTN_DONE);
    fputs("half of the new", file.file);
    attn_output_discard(&file);
    FILE *left = fopen(path, "rb");
    char text[8] = "";
    ck_assert_ptr_nonnull(left);
    ck_assert_uint_eq(fread(text, 1, 7, left), 3);
    ck_assert_str_eq(text, "old");
    fclose(left);
    remove(path);
    ck_assert_int_eq(attn_output_open(&file, PLACE "no_such_folder/x.npy", &error), ATTN_USAGE);
    ck_assert_ptr_nonnull(strstr(error.text, "no_such_folder"));
}
END_TEST

int main(void) {
    const TTest *const tests[] = { test_round_trip, test_other_writers, test_refusals, test_pipes, test_damage, test_whole_or_not_at_all };
    return suite_run(SUITE_OF("npy", tests, 30), SUITE_FORK);
}
