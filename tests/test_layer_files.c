/*
 * Files that the layers read: .safetensors made here byte by byte, with every way to be wrong; and what is no file at
 * all. Word vectors have a suite of their own.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clattn/clattn_layers.h"
#include "support/suite.h"

static const char *const path = CLATTN_TEST_BINARY_DIR "/layer_file.tmp";

static void write_file(const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static void write_safetensors(const char *header, const void *data, size_t size) {
    unsigned char bytes[4096] = { 0 };
    size_t length = strlen(header);
    ck_assert_uint_lt(8 + length + size, sizeof bytes);
    bytes[0] = (unsigned char)(length & 255), bytes[1] = (unsigned char)(length >> 8);
    memcpy(bytes + 8, header, length);
    if (size > 0) {
        memcpy(bytes + 8 + length, data, size);
    }
    write_file(bytes, 8 + length + size);
}

static clattn_runtime *host_runtime(void) {
    clattn_runtime_options options = CLATTN_RUNTIME_OPTIONS_INIT;
    options.without_opencl = true;
    return suite_runtime(&options);
}

typedef struct long_file {
    clattn_safetensors *file;
    float expected[2000], got[2000];
} long_file;

static int read_often(long_file *l) {
    for (int k = 0; k < 20000; k++) {
        memset(l->got, 0, sizeof l->got);
        if (clattn_safetensors_read(l->file, "long", 2000, l->got, NULL) != CLATTN_OK) {
            return 1;
        }
        if (memcmp(l->got, l->expected, sizeof l->got) != 0) {
            return 2;
        }
    }
    return 0;
}

/* Where the file stands is one for parent and child, which read at the same time: neither must read from there. */
START_TEST(a_file_after_a_fork) {
    static const char header[] = "{\"long\":{\"dtype\":\"F32\",\"shape\":[2000],\"data_offsets\":[0,8000]}}";
    static unsigned char bytes[8 + sizeof header - 1 + 8000];
    static long_file l;
    bytes[0] = sizeof header - 1;
    memcpy(bytes + 8, header, sizeof header - 1);
    for (int n = 0; n < 2000; n++) {
        l.expected[n] = (float)n;
    }
    memcpy(bytes + 8 + sizeof header - 1, l.expected, sizeof l.expected);
    write_file(bytes, sizeof bytes);
    clattn_runtime *runtime = host_runtime();
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &l.file, NULL), CLATTN_OK, NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(read_often(&l));
    }
    int mine = read_often(&l), theirs = 0;
    ck_assert_int_eq(waitpid(child, &theirs, 0), child);
    ck_assert_int_eq(mine, 0);
    ck_assert_msg(WIFEXITED(theirs) && WEXITSTATUS(theirs) == 0, "the child answers %x", (unsigned)theirs);
    clattn_safetensors_close(l.file);
    clattn_runtime_destroy(runtime);
}
END_TEST

START_TEST(arrays_of_every_type) {
    static const unsigned char data[] = {
        0,   0,  128, 63,  0, 0, 0,   192, /* F32: 1, -2 */
        0,   60, 0,   192, 1, 0,           /* F16: 1, -2, 2^-24 */
        128, 63,                           /* BF16: 1 */
        0,   0,  0,   0,   0, 0, 240, 63,  /* F64: 1 */
        1,   2,  3,   4,   5, 6, 7,   8,   /* I64 */
    };
    write_safetensors(" {\"__metadata__\": {\"format\":\"pt\", \"a\\u00e9\\ud83d\\ude00\":\"\"},\n"
                      "\"half\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[8,14]},"
                      "\"a \\\"quoted\\\" \\u00e9\":{\"shape\":[1,2],\"dtype\":\"F32\",\"data_offsets\":[0,8]},"
                      "\"scalar\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[14,16]},"
                      "\"wide\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[16,24]},"
                      "\"whole\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]},"
                      "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[32,32]}}   ",
                      data, sizeof data);
    clattn_runtime *runtime = host_runtime();
    clattn_safetensors *file = NULL;
    clattn_report report;
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    ck_assert_int_eq(clattn_safetensors_count(file), 6);
    clattn_safetensors_entry entry;
    EXPECT_STATUS(clattn_safetensors_get_entry(file, 0, &entry), CLATTN_OK, NULL);
    ck_assert_str_eq(entry.name, "a \"quoted\" \xc3\xa9");
    ck_assert_int_eq(entry.dimensions, 2);
    ck_assert_int_eq(entry.shape[1], 2);
    float x[4] = { 0 };
    EXPECT_STATUS(clattn_safetensors_read(file, entry.name, 2, x, &report), CLATTN_OK, &report);
    ck_assert(x[0] == 1 && x[1] == -2);
    EXPECT_STATUS(clattn_safetensors_read(file, "half", 3, x, &report), CLATTN_OK, &report);
    ck_assert(x[0] == 1 && x[1] == -2 && x[2] == 0x1p-24f);
    EXPECT_STATUS(clattn_safetensors_read(file, "scalar", 1, x, &report), CLATTN_OK, &report);
    ck_assert(x[0] == 1);
    EXPECT_STATUS(clattn_safetensors_read(file, "wide", 1, x, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_safetensors_read(file, "none", 0, x, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_safetensors_read(file, "whole", 1, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "I64"));
    EXPECT_STATUS(clattn_safetensors_read(file, "half", 2, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "3 elements"));
    EXPECT_STATUS(clattn_safetensors_read(file, "absent", 2, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_int_eq(clattn_safetensors_find(file, "absent"), -1);
    clattn_safetensors_close(file);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Types that are not read as float, newer ones, and one nobody knows: the other arrays are there all the same. */
START_TEST(arrays_of_types_that_are_not_read) {
    static const struct {
        const char *dtype;
        int64_t elements, bytes;
    } types[] = { { "F8_E8M0", 4, 4 },   { "F8_E4M3", 4, 4 }, { "F8_E5M2", 4, 4 }, { "F4", 6, 3 },
                  { "F6_E2M3", 4, 3 },   { "F6_E3M2", 8, 6 }, { "C64", 1, 8 },     { "I4", 3, 2 },
                  { "F2_FUTURE", 1, 7 }, { "", 5, 1 } };
    clattn_runtime *runtime = host_runtime();
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        char header[512];
        clattn_safetensors *file = NULL;
        clattn_safetensors_entry entry;
        clattn_report report;
        float x = 0;
        snprintf(header, sizeof header,
                 "{\"odd\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
                 "\"plain\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}}",
                 types[k].dtype, (int)types[k].elements, (int)types[k].bytes, (int)types[k].bytes,
                 (int)types[k].bytes + 4);
        unsigned char data[16] = { 0 };
        memcpy(data + types[k].bytes, "\0\0\x80\x3f", 4);
        write_safetensors(header, data, (size_t)types[k].bytes + 4);
        EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
        ck_assert_int_eq(clattn_safetensors_count(file), 2);
        EXPECT_STATUS(clattn_safetensors_get_entry(file, 0, &entry), CLATTN_OK, NULL);
        ck_assert_str_eq(entry.dtype, types[k].dtype);
        ck_assert_int_eq(entry.count, types[k].elements);
        EXPECT_STATUS(clattn_safetensors_read(file, "plain", 1, &x, &report), CLATTN_OK, &report);
        ck_assert(x == 1);
        EXPECT_STATUS(clattn_safetensors_read(file, "odd", types[k].elements, &x, &report), CLATTN_INVALID_ARGUMENT,
                      &report);
        ck_assert_ptr_nonnull(strstr(report.text, "odd: is "));
        ck_assert_ptr_nonnull(strstr(report.text, types[k].dtype));
        clattn_safetensors_close(file);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

#define ENTRY(offsets) "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets "}"

START_TEST(broken_headers) {
    static const struct {
        const char *header, *word;
    } cases[] = {
        { "", "no JSON object" },
        { "[]", "no JSON object" },
        { "{", "string was expected" },
        { "{\"a\":" ENTRY("[0,4]") ",\"b\":" ENTRY("[4,8]") "} x", "more than one" },
        { "{\"a\":" ENTRY("[0,4]") "}", "no array names" },
        { "{\"a\":" ENTRY("[0,4]") ",\"b\":" ENTRY("[0,4]") "}", "overlaps" },
        { "{\"a\":" ENTRY("[0,4]") ",\"a\":" ENTRY("[4,8]") "}", "named twice" },
        { "{\"a\":" ENTRY("[4,8]") "}", "gap" },
        { "{\"a\":" ENTRY("[0,8]") "}", "disagree" },
        { "{\"a\":" ENTRY("[8,12]") "}", "outside" },
        { "{\"a\":" ENTRY("[8,4]") "}", "outside" },
        { "{\"a\":" ENTRY("[0,99999999999999999999]") "}", "63 bits" },
        { "{\"a\":" ENTRY("[0,4.0]") "}", "whole number" },
        { "{\"a\":" ENTRY("[-1,4]") "}", "whole number" },
        { "{\"a\":" ENTRY("[0,04]") "}", "whole number" },
        { "{\"a\":" ENTRY("[0]") "}", "must have" },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", "end of a byte" },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,4]}}", "disagree" },
        { "{\"a\":{\"dtype\":\"X9\",\"shape\":[1],\"data_offsets\":[0,9]}}", "outside" },
        { "{\"a\":{\"dtype\":\"X9\",\"shape\":[1],\"data_offsets\":[0,4]}}", "no array names" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}", "shape" },
        { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "must have" },
        { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "must have" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", "too many" },
        { "{\"a\\q\":" ENTRY("[0,4]") "}", "escape" },
        { "{\"a\\ud800\":" ENTRY("[0,4]") "}", "no character" },
        { "{\"a\\u0000\":" ENTRY("[0,4]") "}", "no character" },
        { "{\"a", "does not end" },
        { "{\"__metadata__\":{\"a\":1}}", "string" },
    };
    clattn_runtime *runtime = host_runtime();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        clattn_report report;
        clattn_safetensors *file = NULL;
        write_safetensors(cases[k].header, "12345678", 8);
        EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_INVALID_ARGUMENT, &report);
        ck_assert_ptr_null(file);
        ck_assert_msg(strstr(report.text, cases[k].word), "%s: \"%s\" does not say %s", cases[k].header,
                      report.text, cases[k].word);
    }
    clattn_runtime_destroy(runtime);
}
END_TEST

/* Every cut of a good file is refused; none crashes. */
START_TEST(cut_files) {
    static const char header[] = "{\"a\":" ENTRY("[0,4]") "}";
    unsigned char good[128] = { sizeof header - 1 };
    size_t size = 8 + sizeof header - 1 + 4;
    memcpy(good + 8, header, sizeof header - 1);
    clattn_runtime *runtime = host_runtime();
    for (size_t cut = 0; cut <= size; cut++) {
        clattn_safetensors *file = NULL;
        write_file(good, cut);
        EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, NULL),
                      cut == size ? CLATTN_OK : CLATTN_INVALID_ARGUMENT, NULL);
        clattn_safetensors_close(file);
    }
    memset(good, 255, 8);
    write_file(good, size);
    clattn_safetensors *file = NULL;
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    EXPECT_STATUS(clattn_safetensors_open(runtime, "/no/such/file", &file, NULL), CLATTN_INVALID_ARGUMENT, NULL);
    clattn_runtime_destroy(runtime);
}
END_TEST

/* The header was right when it was read; the array is gone since. */
START_TEST(cut_after_opening) {
    static const char header[] = "{\"far\":{\"dtype\":\"F32\",\"shape\":[25000],\"data_offsets\":[0,100000]}}";
    static unsigned char bytes[8 + sizeof header - 1 + 100000] = { sizeof header - 1 };
    static float x[25000];
    clattn_runtime *runtime = host_runtime();
    clattn_safetensors *file = NULL;
    clattn_report report;
    memcpy(bytes + 8, header, sizeof header - 1);
    write_file(bytes, sizeof bytes);
    EXPECT_STATUS(clattn_safetensors_open(runtime, path, &file, &report), CLATTN_OK, &report);
    EXPECT_STATUS(clattn_safetensors_read(file, "far", 25000, x, &report), CLATTN_OK, &report);
    ck_assert_int_eq(truncate(path, 50000), 0);
    EXPECT_STATUS(clattn_safetensors_read(file, "far", 25000, x, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_ptr_nonnull(strstr(report.text, "far: cannot be read"));
    clattn_safetensors_close(file);
    clattn_runtime_destroy(runtime);
}
END_TEST

static void refuses_file(clattn_runtime *runtime, const char *name, const char *word) {
    clattn_word_vectors *vectors = NULL;
    clattn_safetensors *file = NULL;
    clattn_report report;
    EXPECT_STATUS(clattn_word_vectors_read(runtime, name, &vectors, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_msg(strstr(report.text, word) && strstr(report.text, name), "%s: \"%s\"", name, report.text);
    EXPECT_STATUS(clattn_safetensors_open(runtime, name, &file, &report), CLATTN_INVALID_ARGUMENT, &report);
    ck_assert_msg(strstr(report.text, word) && strstr(report.text, name), "%s: \"%s\"", name, report.text);
}

/* A pipe that nobody writes to would keep its reader waiting for ever. */
START_TEST(what_is_no_file) {
    clattn_runtime *runtime = host_runtime();
    static const char *const pipe = CLATTN_TEST_BINARY_DIR "/layer_file.pipe";
    refuses_file(runtime, CLATTN_TEST_BINARY_DIR, "is a folder");
    refuses_file(runtime, "/dev/zero", "no regular file");
    (void)unlink(pipe);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    refuses_file(runtime, pipe, "no regular file");
    ck_assert_int_eq(unlink(pipe), 0);
    refuses_file(runtime, "/no/such/file", "cannot be opened");
    clattn_runtime_destroy(runtime);
}
END_TEST

int main(void) {
    const TTest *const tests[] = { arrays_of_every_type, arrays_of_types_that_are_not_read,
                                   broken_headers,       cut_files,
                                   what_is_no_file,      cut_after_opening,
                                   a_file_after_a_fork };
    return suite_run(SUITE_OF("layer_files", tests, 60), SUITE_FORK);
}
