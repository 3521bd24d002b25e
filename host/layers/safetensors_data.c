/* What an open .safetensors file holds: its arrays by name, read as floats, and its notes. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "layers/safetensors_file.h"

static clattn_status refuse(const clattn_safetensors *file, const char *what, const attn_safetensors_entry *e) {
    return LAYER_REFUSE(file->report, CLATTN_INVALID_ARGUMENT, "%.1000s: %s", e->told.name, what);
}

const char *clattn_safetensors_get_note(const clattn_safetensors *file, const char *name) {
    for (int64_t k = 0; file && name && k < file->note_count; k++) {
        if (strcmp(file->notes[k].name, name) == 0) {
            return file->notes[k].text;
        }
    }
    return NULL;
}

int64_t clattn_safetensors_count(const clattn_safetensors *file) {
    return file ? file->count : 0;
}

clattn_status clattn_safetensors_get_entry(const clattn_safetensors *file, int64_t index,
                                           clattn_safetensors_entry *told) {
    if (!file || !told || index < 0 || index >= file->count) {
        return CLATTN_INVALID_ARGUMENT;
    }
    *told = file->entries[index].told;
    return CLATTN_OK;
}

int64_t clattn_safetensors_find(const clattn_safetensors *file, const char *name) {
    for (int64_t k = 0; file && name && k < file->count; k++) {
        if (strcmp(file->entries[k].told.name, name) == 0) {
            return k;
        }
    }
    return -1;
}

/* The type by which the data are read as floats, and bytes of an element. */
static bool type_of(const char *dtype, clattn_type *type, int64_t *size) {
    static const char *const names[] = { "F32", "F16", "BF16", "F64" };
    static const clattn_type same[] = { CLATTN_FP32, CLATTN_FP16, CLATTN_BF16, CLATTN_FP64 };
    static const int64_t sizes[] = { 4, 2, 2, 8 };
    for (int k = 0; k < 4; k++) {
        if (strcmp(names[k], dtype) == 0) {
            *type = same[k];
            *size = sizes[k];
            return true;
        }
    }
    return false;
}

/* By place, not from where the file stands: after a fork that is one for both processes. */
static bool read_at(clattn_safetensors *file, int64_t at, void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(fileno(file->stream), (char *)data + done, bytes - done, (off_t)(at + (int64_t)done));
        if (got <= 0) {
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

/* In portions, so that a conversion needs no memory of its own. The data are little-endian, as our machines. */
static ATTN_NOT_INLINED clattn_status read_data(clattn_safetensors *file, const attn_safetensors_entry *e,
                                                clattn_type type, int64_t size, float *data) {
    double portion[512]; /* aligned for every type */
    int64_t most = (int64_t)sizeof portion / size;
    int64_t at = file->data_at + e->begin;
    if (at > LONG_MAX) {
        return refuse(file, "cannot be sought in", e);
    }
    if (type == CLATTN_FP32) {
        return read_at(file, at, data, (size_t)e->told.count * sizeof *data) ? CLATTN_OK
                                                                             : refuse(file, "cannot be read", e);
    }
    for (int64_t first = 0; first < e->told.count; first += most) {
        size_t count = (size_t)(e->told.count - first < most ? e->told.count - first : most);
        if (!read_at(file, at + first * size, portion, count * (size_t)size)) {
            return refuse(file, "cannot be read", e);
        }
        for (size_t k = 0; k < count; k++) {
            data[first + (int64_t)k] = (float)clattn_get_element(type, portion, (int64_t)k);
        }
    }
    return CLATTN_OK;
}

clattn_status clattn_safetensors_read(clattn_safetensors *file, const char *name, int64_t count, float *data,
                                      clattn_report *report) {
    clattn_report_clear(report);
    if (!file || !name || (!data && count != 0)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "file, name, data: NULL");
    }
    int64_t index = clattn_safetensors_find(file, name);
    clattn_type type;
    int64_t size;
    if (index < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%.1000s: not in the file", name);
    }
    const attn_safetensors_entry *e = &file->entries[index];
    if (!type_of(e->told.dtype, &type, &size)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%.1000s: is %.100s, which is not read as float", name,
                            e->told.dtype);
    }
    if (e->told.count != count) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%.1000s: has %" PRId64 " elements, not %" PRId64, name,
                            e->told.count, count);
    }
    file->report = report;
    attn_visit visit = attn_visit_begin();
    clattn_status status = read_data(file, e, type, size, data);
    attn_visit_end(&visit);
    file->report = NULL;
    return status;
}
