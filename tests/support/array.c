/*
 * A small .npy reader for tests: version 1.0, little-endian, C order, up to four dimensions. Deliberately not the
 * program's reader. To allow more, extend parse_shape() and test_array_get().
 */
#include "support/array.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn.h"

static void parse_shape(const char *header, test_array *array) {
    const char *at = strstr(header, "'shape': (");
    ck_assert_msg(at, "no shape in %s", header);
    at += strlen("'shape': (");
    array->count = 1;
    array->dimensions = 0;
    while (*at != ')') {
        char *end;
        ck_assert_int_lt(array->dimensions, 4);
        array->shape[array->dimensions] = strtoll(at, &end, 10);
        ck_assert_ptr_ne(end, at);
        array->count *= array->shape[array->dimensions++];
        at = end + strspn(end, ", ");
    }
}

static void parse_header(const char *header, test_array *array) {
    const char *type = strstr(header, "'descr': '");
    ck_assert_msg(type && strstr(header, "'fortran_order': False"), "header %s", header);
    type += strlen("'descr': '");
    ck_assert_msg(type[0] == '<' || type[0] == '|', "byte order of %s", header);
    array->kind = type[1];
    array->item = strtoll(type + 2, NULL, 10);
    parse_shape(header, array);
}

test_array test_array_read(const char *path) {
    test_array array = { 0 };
    unsigned char start[10];
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file, "cannot open %s", path);
    ck_assert_uint_eq(fread(start, 1, 10, file), 10);
    ck_assert_msg(memcmp(start, "\x93NUMPY\x01\x00", 8) == 0, "%s is not .npy 1.0", path);
    size_t length = (size_t)start[8] | (size_t)start[9] << 8;
    char *header = calloc(length + 1, 1);
    ck_assert_ptr_nonnull(header);
    ck_assert_uint_eq(fread(header, 1, length, file), length);
    parse_header(header, &array);
    free(header);
    size_t bytes = (size_t)(array.count * array.item);
    array.data = malloc(bytes + 1);
    ck_assert_ptr_nonnull(array.data);
    ck_assert_msg(fread(array.data, 1, bytes, file) == bytes, "%s is too short", path);
    fclose(file);
    return array;
}

void test_array_free(test_array *array) {
    free(array->data);
    array->data = NULL;
}

double test_array_get(const test_array *array, int64_t index) {
    if (array->kind == 'f') {
        clattn_type type = array->item == 2 ? CLATTN_FP16 : array->item == 4 ? CLATTN_FP32 : CLATTN_FP64;
        return clattn_get_element(type, array->data, index);
    }
    switch (array->item) {
        case 1: return ((const uint8_t *)array->data)[index];
        case 4: return ((const int32_t *)array->data)[index];
        default: return (double)((const int64_t *)array->data)[index];
    }
}
