/* Files of named arrays: what opens can be listed, found by name, and read or refused by name. */
#include <stdlib.h>
#include <string.h>

#include "clattn/clattn_layers.h"
#include "fuzz.h"

static bool is_float(const char *dtype) {
    return strcmp(dtype, "F32") == 0 || strcmp(dtype, "F16") == 0 || strcmp(dtype, "BF16") == 0 ||
           strcmp(dtype, "F64") == 0;
}

static void read_array(clattn_safetensors *file, int64_t index, size_t size) {
    clattn_safetensors_entry entry;
    clattn_report report;
    FUZZ_CHECK(clattn_safetensors_get_entry(file, index, &entry) == CLATTN_OK);
    FUZZ_CHECK(clattn_safetensors_find(file, entry.name) == index);
    FUZZ_CHECK(entry.dimensions >= 0 && entry.dimensions <= 8 && entry.count >= 0);
    if (is_float(entry.dtype)) {
        FUZZ_CHECK((uint64_t)entry.count <= size);
        float *data = malloc((size_t)entry.count * sizeof *data + 1);
        FUZZ_CHECK(data && clattn_safetensors_read(file, entry.name, entry.count, data, &report) == CLATTN_OK);
        free(data);
    } else {
        float data;
        FUZZ_CHECK(clattn_safetensors_read(file, entry.name, entry.count, &data, &report) == CLATTN_INVALID_ARGUMENT);
        FUZZ_CHECK(report.length > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clattn_safetensors *file = NULL;
    clattn_report report;
    clattn_status status = clattn_safetensors_open(fuzz_runtime(), fuzz_file(data, size), &file, &report);
    FUZZ_CHECK(status == CLATTN_OK ? file != NULL : !file && status == CLATTN_INVALID_ARGUMENT && report.length > 0);
    for (int64_t k = 0; k < clattn_safetensors_count(file); k++) {
        read_array(file, k, size);
    }
    clattn_safetensors_close(file);
    return 0;
}
