/* Parameters in .safetensors files, by name. */
#include <inttypes.h>
#include <string.h>

#include "layers/parameters.h"

clattn_status clattn_parameters_write(const clattn_parameters *parameters, const char *path,
                                      const clattn_safetensors_note *notes, int64_t note_count, clattn_report *report) {
    clattn_report_clear(report);
    if (!parameters) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "parameters: NULL");
    }
    clattn_safetensors_array *arrays =
        clattn_allocate(parameters->runtime, parameters->count * (int64_t)sizeof *arrays);
    if (!arrays) {
        return CLATTN_OUT_OF_MEMORY;
    }
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        arrays[k] = (clattn_safetensors_array){ .name = p->name, .dimensions = p->dimensions, .data = p->value };
        memcpy(arrays[k].shape, p->shape, sizeof p->shape);
    }
    clattn_status status =
        clattn_safetensors_write(parameters->runtime, path, arrays, parameters->count, notes, note_count, report);
    clattn_release(parameters->runtime, arrays);
    return status;
}

static clattn_status check(const clattn_parameter *p, const clattn_safetensors *file, clattn_report *report) {
    static const char *const readable[] = { "F32", "F16", "BF16", "F64" };
    clattn_safetensors_entry entry;
    int64_t index = clattn_safetensors_find(file, p->name);
    if (index < 0) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%.1000s: not in the file", p->name);
    }
    ATTN_TRY(clattn_safetensors_get_entry(file, index, &entry));
    bool known = false, same = entry.dimensions == p->dimensions;
    for (size_t k = 0; k < sizeof readable / sizeof *readable; k++) {
        known = known || strcmp(entry.dtype, readable[k]) == 0;
    }
    for (int64_t d = 0; d < p->dimensions && same; d++) {
        same = entry.shape[d] == p->shape[d];
    }
    if (!known) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%.1000s: is %.100s, which is not read as float", p->name,
                            entry.dtype);
    }
    return same ? CLATTN_OK
                : LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT,
                               "%.1000s: has another shape in the file (%" PRId64 " numbers, not %" PRId64 ")", p->name,
                               entry.count, p->count);
}

clattn_status clattn_parameters_read(clattn_parameters *parameters, clattn_safetensors *file, clattn_report *report) {
    clattn_report_clear(report);
    if (!parameters || !file) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "parameters, file: NULL");
    }
    for (int64_t k = 0; k < parameters->count; k++) {
        ATTN_TRY(check(&parameters->list[k], file, report));
    }
    for (int64_t k = 0; k < parameters->count; k++) {
        const clattn_parameter *p = &parameters->list[k];
        ATTN_TRY(clattn_safetensors_read(file, p->name, p->count, p->value, report));
    }
    return CLATTN_OK;
}
