/*
 * Reads and writes .npy files. The header is a Python dictionary literal; what NumPy writes is read strictly and
 * everything else refused. Knows nothing of attention. To add a type, add a row to the table.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/input_file.h"

static const struct {
    const char *name, *descr;
    int64_t size;
} npy_types[ATTN_NPY_TYPES] = {
    { "bool", "|b1", 1 },    { "int32", "<i4", 4 },   { "int64", "<i8", 8 },   { "uint16", "<u2", 2 },
    { "float16", "<f2", 2 }, { "float32", "<f4", 4 }, { "float64", "<f8", 8 },
};

const char *attn_npy_type_name(attn_npy_type type) {
    return npy_types[type].name;
}

int64_t attn_npy_type_size(attn_npy_type type) {
    return npy_types[type].size;
}

const char *attn_npy_shape_text(const attn_npy *array, char text[256]) {
    strcpy(text, "(");
    for (int d = 0; d < array->dims; d++) {
        attn_text_add(text, 256, "%s%" PRId64, d > 0 ? ", " : "", array->shape[d]);
    }
    attn_text_add(text, 256, array->dims == 1 ? ",)" : ")");
    return text;
}

void attn_npy_free(attn_npy *array) {
    free(array->block);
    *array = (attn_npy){ 0 };
}

/* Elements and bytes of the shape; false when they do not fit. */
static bool count_elements(attn_npy *array) {
    int64_t most = INT64_MAX / npy_types[array->type].size - 128;
    bool empty = false;
    array->count = 1;
    for (int d = 0; d < array->dims; d++) {
        empty = empty || array->shape[d] == 0;
    }
    for (int d = 0; d < array->dims && !empty; d++) {
        if (array->count > most / array->shape[d]) {
            return false;
        }
        array->count *= array->shape[d];
    }
    array->count = empty ? 0 : array->count;
    return true;
}

static bool npy_allocate(attn_npy *array) {
    size_t bytes = (size_t)(array->count * npy_types[array->type].size);
    array->block = malloc(bytes + 64);
    if (!array->block) {
        return false;
    }
    array->data = (char *)array->block + (64 - (uintptr_t)array->block % 64);
    return true;
}

int attn_npy_create(attn_npy *array, attn_npy_type type, int dims, const int64_t *shape, attn_error *error) {
    *array = (attn_npy){ .type = type, .dims = dims };
    memcpy(array->shape, shape, (size_t)dims * sizeof *shape);
    if (!count_elements(array)) {
        return attn_fail(error, ATTN_USAGE, "an array of more than 2^63 - 1 bytes would be needed");
    }
    if (!npy_allocate(array)) {
        return attn_fail(error, ATTN_UNSERVED, "out of memory");
    }
    memset(array->data, 0, (size_t)(array->count * npy_types[type].size));
    return ATTN_DONE;
}

/* ------------------------------------------------------------------------------------ header */

typedef struct npy_cursor {
    const char *at;
} npy_cursor;

static bool take(npy_cursor *cursor, const char *token) {
    cursor->at += strspn(cursor->at, " \t\r\n");
    size_t length = strlen(token);
    if (strncmp(cursor->at, token, length) != 0) {
        return false;
    }
    cursor->at += length;
    return true;
}

/* 'text' or "text", without escapes. */
static bool take_string(npy_cursor *cursor, char *text, size_t size) {
    cursor->at += strspn(cursor->at, " \t\r\n");
    char quote[2] = { *cursor->at, '\0' };
    if (quote[0] != '\'' && quote[0] != '"') {
        return false;
    }
    size_t length = strcspn(cursor->at + 1, quote);
    if (cursor->at[1 + length] != quote[0] || length >= size) {
        return false;
    }
    memcpy(text, cursor->at + 1, length);
    text[length] = '\0';
    cursor->at += length + 2;
    return true;
}

/* (2, 3, 4) or (5,) or (). NULL or what is wrong. */
static const char *take_shape(npy_cursor *cursor, attn_npy *array) {
    if (!take(cursor, "(")) {
        return "its shape is not readable";
    }
    for (array->dims = 0; !take(cursor, ")");) {
        char digits[32];
        cursor->at += strspn(cursor->at, " \t\r\n");
        size_t length = strspn(cursor->at, "0123456789");
        if (length == 0 || length >= sizeof digits) {
            return "its shape is not readable";
        }
        if (array->dims == ATTN_NPY_DIMS) {
            return "it has more than 8 dimensions";
        }
        memcpy(digits, cursor->at, length);
        digits[length] = '\0';
        if (attn_text_integer(digits, &array->shape[array->dims++]) != 0) {
            return "its shape does not fit 63 bits";
        }
        cursor->at += length;
        if (!take(cursor, ",") && *(cursor->at + strspn(cursor->at, " \t\r\n")) != ')') {
            return "its shape is not readable";
        }
    }
    return NULL;
}

static const char *find_type(const char *descr, attn_npy *array) {
    for (int t = 0; t < ATTN_NPY_TYPES; t++) {
        if (strcmp(npy_types[t].descr, descr) == 0) {
            array->type = (attn_npy_type)t;
            return NULL;
        }
    }
    return descr[0] == '>' ? "it is big-endian"
                           : "its element type is none of bool, int32, int64, uint16, float16, float32, float64";
}

/* The value of one member of the dictionary; seen has one bit a member. NULL or what is wrong. */
static const char *take_member(npy_cursor *cursor, attn_npy *array, unsigned *seen) {
    static const char *const members[] = { "descr", "fortran_order", "shape" };
    char name[32], descr[64];
    unsigned bit = 0;
    if (!take_string(cursor, name, sizeof name) || !take(cursor, ":")) {
        return "its header is not readable";
    }
    for (unsigned m = 0; m < 3; m++) {
        bit = strcmp(name, members[m]) == 0 ? 1u << m : bit;
    }
    if (bit == 0 || (*seen & bit) != 0) {
        return "its header is not readable";
    }
    *seen |= bit;
    if (bit == 4) {
        return take_shape(cursor, array);
    }
    if (bit == 1) {
        return take_string(cursor, descr, sizeof descr) ? find_type(descr, array)
                                                        : "its elements are records or objects";
    }
    if (take(cursor, "False")) {
        return NULL;
    }
    return take(cursor, "True") ? "it is in Fortran order; C order is expected" : "its header is not readable";
}

static const char *parse_header(const char *header, attn_npy *array) {
    npy_cursor cursor = { header };
    unsigned seen = 0;
    if (!take(&cursor, "{")) {
        return "its header is not readable";
    }
    while (!take(&cursor, "}")) {
        const char *wrong = take_member(&cursor, array, &seen);
        if (wrong) {
            return wrong;
        }
        take(&cursor, ",");
        cursor.at += strspn(cursor.at, " \t\r\n");
        if (*cursor.at == '\0') {
            return "its header is not readable";
        }
    }
    cursor.at += strspn(cursor.at, " \t\r\n");
    return seen == 7 && *cursor.at == '\0' ? NULL : "its header is not readable";
}

/* Reads magic, version and header. NULL or what is wrong. */
static const char *read_header(FILE *file, attn_npy *array) {
    static const unsigned char magic[6] = { 0x93, 'N', 'U', 'M', 'P', 'Y' };
    unsigned char start[12];
    size_t read = fread(start, 1, 10, file);
    if (read != 10 || memcmp(start, magic, 6) != 0) {
        return read == 0 ? "it is empty" : "it is not a .npy file";
    }
    if (start[6] < 1 || start[6] > 3) {
        return "its .npy version is not 1, 2 or 3";
    }
    size_t length = (size_t)start[8] | (size_t)start[9] << 8;
    if (start[6] > 1) {
        if (fread(start + 10, 1, 2, file) != 2) {
            return "it is truncated";
        }
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length > 1 << 20) {
        return "its header is longer than 1 MiB";
    }
    char *header = malloc(length + 1);
    if (!header) {
        return "out of memory";
    }
    const char *wrong = fread(header, 1, length, file) == length ? NULL : "it is truncated";
    header[length] = '\0';
    wrong = wrong ? wrong : strlen(header) != length ? "its header is not readable" : parse_header(header, array);
    free(header);
    return wrong;
}

/* A pipe has no size to check a header against, so memory grows with what comes. */
static const char *read_pipe(FILE *file, attn_npy *array, int64_t bytes) {
    int64_t room = 0, length = 0;
    char *data = NULL;
    const char *wrong = NULL;
    while (!wrong && length < bytes) {
        room = room == 0 ? 1 << 16 : room > INT64_MAX / 2 ? INT64_MAX : 2 * room;
        room = room < bytes ? room : bytes;
        char *grown = realloc(data, (size_t)room);
        if (!grown) {
            wrong = "out of memory";
            break;
        }
        data = grown;
        length += (int64_t)fread(data + length, 1, (size_t)(room - length), file);
        wrong = length < room ? "it is truncated: its shape wants more data" : NULL;
    }
    if (!wrong && !npy_allocate(array)) {
        wrong = "out of memory";
    }
    if (!wrong && bytes > 0) {
        memcpy(array->data, data, (size_t)bytes);
    }
    free(data);
    return wrong;
}

/* Reads the data after checking that the file holds exactly that much, so that a lying header costs no memory. */
static const char *read_data(FILE *file, attn_npy *array) {
    struct stat there;
    if (!count_elements(array)) {
        return "its shape does not fit 63 bits";
    }
    int64_t bytes = array->count * npy_types[array->type].size;
    long start = ftell(file);
    if (fstat(fileno(file), &there) != 0 || !S_ISREG(there.st_mode) || start < 0) {
        const char *wrong = read_pipe(file, array, bytes);
        return wrong || fgetc(file) == EOF ? wrong : "it holds more data than its shape wants";
    }
    int64_t held = (int64_t)there.st_size - start;
    if (held != bytes) {
        return held < bytes ? "it is truncated: its shape wants more data" : "it holds more data than its shape wants";
    }
    if (!npy_allocate(array)) {
        return "out of memory";
    }
    if (fread(array->data, 1, (size_t)bytes, file) != (size_t)bytes) {
        return "it is truncated: its shape wants more data";
    }
    return fgetc(file) == EOF ? NULL : "it holds more data than its shape wants";
}

int attn_npy_read(attn_npy *array, const char *path, attn_error *error) {
    *array = (attn_npy){ 0 };
    FILE *file = attn_input_open(path, error);
    if (!file) {
        return error->status;
    }
    const char *wrong = read_header(file, array);
    wrong = wrong ? wrong : read_data(file, array);
    fclose(file);
    if (wrong) {
        attn_npy_free(array);
        return attn_fail(error, ATTN_USAGE, "%s: %s", path, wrong);
    }
    return ATTN_DONE;
}

int attn_npy_write(const attn_npy *array, attn_output_file *output, attn_error *error) {
    char shape[256], header[512];
    char start[10] = "\x93NUMPY\x01";
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
             npy_types[array->type].descr, attn_npy_shape_text(array, shape));
    size_t length = strlen(header);
    size_t padded = (10 + length + 1 + 63) / 64 * 64 - 10; /* the data begin at a multiple of 64 */
    memset(header + length, ' ', padded - 1 - length);
    header[padded - 1] = '\n';
    start[8] = (char)(padded & 255);
    start[9] = (char)(padded >> 8);
    fwrite(start, 1, sizeof start, output->file);
    fwrite(header, 1, padded, output->file);
    fwrite(array->data, (size_t)npy_types[array->type].size, (size_t)array->count, output->file);
    return attn_output_close(output, error);
}
