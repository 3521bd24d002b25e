/* NumPy .npy files: format versions 1 to 3, little-endian, C order. Anything else is refused, naming the file. */
#ifndef ATTN_CLI_BASE_NPY_H
#define ATTN_CLI_BASE_NPY_H

#include "base/table.h"

enum { ATTN_NPY_DIMS = 8 };

typedef enum attn_npy_type {
    ATTN_NPY_BOOL,
    ATTN_NPY_INT32,
    ATTN_NPY_INT64,
    ATTN_NPY_UINT16,
    ATTN_NPY_FLOAT16,
    ATTN_NPY_FLOAT32,
    ATTN_NPY_FLOAT64,
    ATTN_NPY_TYPES
} attn_npy_type;

typedef struct attn_npy {
    attn_npy_type type;
    int dims;
    int64_t shape[ATTN_NPY_DIMS];
    int64_t count; /* elements */
    void *data;    /* 64-byte aligned */
    void *block;   /* what attn_npy_free gives back */
} attn_npy;

const char *attn_npy_type_name(attn_npy_type type);
int64_t attn_npy_type_size(attn_npy_type type);

/** "(2, 3, 4)" */
const char *attn_npy_shape_text(const attn_npy *array, char text[256]);

/** Reads a file. On failure the array is empty. */
int attn_npy_read(attn_npy *array, const char *path, attn_error *error);

/** Makes an array of zeros. */
int attn_npy_create(attn_npy *array, attn_npy_type type, int dims, const int64_t *shape, attn_error *error);

/** Writes header and data into an opened file; closes it. */
int attn_npy_write(const attn_npy *array, attn_output_file *output, attn_error *error);

void attn_npy_free(attn_npy *array);

#endif
