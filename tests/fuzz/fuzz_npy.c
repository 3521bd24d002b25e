/* The program's reader of .npy files. What it takes has a shape that fits its data, and is not longer than the file. */
#include <string.h>

#include "fuzz.h"
#include "base/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static attn_error error;
    attn_npy array;
    const char *path = fuzz_file(data, size);
    error.text[0] = '\0';
    int status = attn_npy_read(&array, path, &error);
    FUZZ_CHECK(status == ATTN_DONE || strstr(error.text, path));
    FUZZ_CHECK(status == ATTN_DONE || !array.data);
    if (status == ATTN_DONE) {
        int64_t bytes = array.count * attn_npy_type_size(array.type), sum = 0;
        char shape[256];
        FUZZ_CHECK(bytes >= 0 && (uint64_t)bytes < size && array.dims <= ATTN_NPY_DIMS);
        for (int64_t k = 0; k < bytes; k++) {
            sum += ((unsigned char *)array.data)[k];
        }
        FUZZ_CHECK(sum >= 0 && attn_npy_shape_text(&array, shape)[0] == '(');
    }
    attn_npy_free(&array);
    return 0;
}
