/*
 * .safetensors files: 8 bytes of header length (little-endian), a JSON object of name -> {dtype, shape, data_offsets},
 * the data. Everything in the header is checked before anything is believed. A type that the table below does not know
 * is listed like any other, and only reading that array fails. To read another type as float: its row, and type_of() in
 * safetensors_data.c.
 */
#include <stdlib.h>
#include <string.h>

#include "layers/header_json.h"
#include "layers/safetensors_file.h"

enum { DIMENSIONS = 8, HEADER_MOST = 100000000 };

typedef attn_safetensors_entry entry;

static const struct {
    const char *name;
    int64_t bits; /* of an element */
} types[] = { { "F64", 64 },    { "F32", 32 },    { "F16", 16 },    { "BF16", 16 },   { "C64", 64 },
              { "I64", 64 },    { "I32", 32 },    { "I16", 16 },    { "I8", 8 },      { "U64", 64 },
              { "U32", 32 },    { "U16", 16 },    { "U8", 8 },      { "BOOL", 8 },    { "F8_E4M3", 8 },
              { "F8_E5M2", 8 }, { "F8_E8M0", 8 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "F4", 4 } };

void clattn_safetensors_close(clattn_safetensors *file) {
    if (file) {
        if (file->stream) {
            (void)fclose(file->stream);
        }
        clattn_release(file->runtime, file->header);
        clattn_release(file->runtime, file->entries);
        clattn_release(file->runtime, file->notes);
        clattn_release(file->runtime, file);
    }
}

static clattn_status refuse(const clattn_safetensors *file, const char *what, const char *name) {
    return LAYER_REFUSE(file->report, CLATTN_INVALID_ARGUMENT, "%.1000s%s%s", name ? name : "", name ? ": " : "", what);
}

/* ------------------------------------------------------------------------------------------------ the header */

static bool read_field(attn_header_json *json, entry *e) {
    const char *key = attn_header_string(json);
    if (!key || !attn_header_expect(json, ':', "a ':' was expected")) {
        return false;
    }
    if (strcmp(key, "dtype") == 0 && !e->has_type) {
        e->told.dtype = attn_header_string(json);
        e->has_type = e->told.dtype;
        return e->has_type;
    }
    if (strcmp(key, "shape") == 0 && !e->has_shape) {
        e->told.dimensions = attn_header_integers(json, e->told.shape, DIMENSIONS);
        e->has_shape = e->told.dimensions >= 0;
        return e->has_shape;
    }
    if (strcmp(key, "data_offsets") == 0 && !e->has_offsets) {
        int64_t offsets[2] = { 0, 0 };
        e->has_offsets = attn_header_integers(json, offsets, 2) == 2;
        e->begin = offsets[0];
        e->end = offsets[1];
        return e->has_offsets;
    }
    return false;
}

static bool read_entry(attn_header_json *json, entry *e) {
    if (!attn_header_expect(json, '{', "an object was expected")) {
        return false;
    }
    do {
        if (!read_field(json, e)) {
            return false;
        }
    } while (attn_header_take(json, ','));
    return attn_header_expect(json, '}', "an object that does not end") && e->has_type && e->has_shape &&
           e->has_offsets;
}

/* Room for one more in a list that grows; the list moves. */
static clattn_status grow(clattn_runtime *runtime, void **list, size_t element, int64_t count, int64_t *room) {
    if (count < *room) {
        return CLATTN_OK;
    }
    int64_t more = *room ? 2 * *room : 64;
    void *moved = clattn_allocate(runtime, more * (int64_t)element);
    if (!moved) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (count > 0) {
        memcpy(moved, *list, (size_t)count * element);
    }
    clattn_release(runtime, *list);
    *list = moved;
    *room = more;
    return CLATTN_OK;
}

/* __metadata__: strings by name. */
static clattn_status read_metadata(clattn_safetensors *file, attn_header_json *json) {
    if (!attn_header_expect(json, '{', "an object was expected")) {
        return refuse(file, json->error, "__metadata__");
    }
    if (attn_header_take(json, '}')) {
        return CLATTN_OK;
    }
    do {
        clattn_safetensors_note note = { attn_header_string(json), NULL };
        if (note.name && attn_header_expect(json, ':', "a ':' was expected")) {
            note.text = attn_header_string(json);
        }
        if (!note.text) {
            return refuse(file, json->error, "__metadata__");
        }
        void *list = file->notes;
        ATTN_TRY(grow(file->runtime, &list, sizeof note, file->note_count, &file->note_room));
        file->notes = list;
        file->notes[file->note_count++] = note;
    } while (attn_header_take(json, ','));
    return attn_header_expect(json, '}', "an object that does not end") ? CLATTN_OK
                                                                       : refuse(file, json->error, "__metadata__");
}

static clattn_status add_entry(clattn_safetensors *file, const entry *e) {
    void *list = file->entries;
    ATTN_TRY(grow(file->runtime, &list, sizeof *e, file->count, &file->room));
    file->entries = list;
    file->entries[file->count++] = *e;
    return CLATTN_OK;
}

/* Elements, and bits where the type is known (0 = unknown: its data may have any length). */
static clattn_status count_elements(const clattn_safetensors *file, entry *e, int64_t *bits) {
    *bits = 0;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        *bits = strcmp(types[k].name, e->told.dtype) == 0 ? types[k].bits : *bits;
    }
    bool empty = false;
    for (int64_t d = 0; d < e->told.dimensions; d++) {
        empty = empty || e->told.shape[d] == 0;
    }
    e->told.count = !empty;
    for (int64_t d = 0; d < e->told.dimensions && !empty; d++) {
        if (e->told.count > INT64_MAX / 64 / e->told.shape[d]) {
            return refuse(file, "a shape that does not fit 63 bits", e->told.name);
        }
        e->told.count *= e->told.shape[d];
    }
    return CLATTN_OK;
}

/* Types of less than a byte are packed without gaps, and their arrays end at the end of a byte. */
static clattn_status check_entry(const clattn_safetensors *file, entry *e) {
    int64_t bits;
    ATTN_TRY(count_elements(file, e, &bits));
    if (e->begin > e->end || e->end > file->data_size) {
        return refuse(file, "data_offsets outside the file (is it cut short?)", e->told.name);
    }
    if (bits == 0) {
        return CLATTN_OK;
    }
    if (e->told.count * bits % 8 != 0) {
        return refuse(file, "a shape whose elements do not end at the end of a byte", e->told.name);
    }
    return e->end - e->begin == e->told.count * bits / 8
               ? CLATTN_OK
               : refuse(file, "data_offsets and shape disagree", e->told.name);
}

static int by_place(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const entry *)a)->told.name, ((const entry *)b)->told.name);
}

/* No name twice; the arrays lie one after another and fill the data. Leaves them in that order. */
static clattn_status check_whole(clattn_safetensors *file) {
    int64_t at = 0;
    if (file->count > 0) {
        qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_name);
    }
    for (int64_t k = 1; k < file->count; k++) {
        if (by_name(&file->entries[k - 1], &file->entries[k]) == 0) {
            return refuse(file, "named twice", file->entries[k].told.name);
        }
    }
    if (file->count > 0) {
        qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_place);
    }
    for (int64_t k = 0; k < file->count; k++) {
        if (file->entries[k].begin != at) {
            return refuse(file, "overlaps another array, or leaves a gap", file->entries[k].told.name);
        }
        at = file->entries[k].end;
    }
    return at == file->data_size ? CLATTN_OK : refuse(file, "there are data that no array names", NULL);
}

static clattn_status read_entries(clattn_safetensors *file, attn_header_json *json) {
    do {
        entry e = { .told = { .name = attn_header_string(json) } };
        if (!e.told.name || !attn_header_expect(json, ':', "a ':' was expected")) {
            return refuse(file, json->error, NULL);
        }
        if (strcmp(e.told.name, "__metadata__") == 0) {
            ATTN_TRY(read_metadata(file, json));
            continue;
        }
        if (!read_entry(json, &e)) {
            return refuse(file,
                          json->error ? json->error : "must have dtype, shape and data_offsets, once each, and no more",
                          e.told.name);
        }
        ATTN_TRY(check_entry(file, &e));
        ATTN_TRY(add_entry(file, &e));
    } while (attn_header_take(json, ','));
    return CLATTN_OK;
}

static clattn_status parse_header(clattn_safetensors *file, int64_t length) {
    attn_header_json json = { file->header, length, 0, NULL };
    if (!attn_header_expect(&json, '{', "the header is no JSON object")) {
        return refuse(file, json.error, NULL);
    }
    if (!attn_header_take(&json, '}')) {
        ATTN_TRY(read_entries(file, &json));
        if (!attn_header_expect(&json, '}', "the header does not end")) {
            return refuse(file, json.error, NULL);
        }
    }
    return attn_header_at_end(&json) ? check_whole(file)
                                     : refuse(file, "there is more than one object in the header", NULL);
}

static clattn_status read_header(clattn_safetensors *file, const char *path) {
    unsigned char start[8];
    int64_t size = 0, length = 0;
    ATTN_TRY(attn_layer_open(path, &file->stream, &size, file->report));
    if (size < 8 || fread(start, 1, 8, file->stream) != 8) {
        return refuse(file, "too short for a .safetensors file", NULL);
    }
    for (int k = 7; k >= 0; k--) {
        length = length > HEADER_MOST ? length : length << 8 | start[k];
    }
    if (length > HEADER_MOST || length > size - 8) {
        return refuse(file, "no .safetensors file: its header would be longer than the file, or than 100 MB", NULL);
    }
    file->header = clattn_allocate(file->runtime, length + 1);
    if (!file->header) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (fread(file->header, 1, (size_t)length, file->stream) != (size_t)length) {
        return refuse(file, "cannot be read", NULL);
    }
    file->header[length] = '\0';
    file->data_at = 8 + length;
    file->data_size = size - file->data_at;
    return parse_header(file, length);
}

clattn_status clattn_safetensors_open(clattn_runtime *runtime, const char *path, clattn_safetensors **file,
                                      clattn_report *report) {
    clattn_report_clear(report);
    if (file) {
        *file = NULL;
    }
    if (!runtime || !path || !file) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "runtime, path, file: NULL");
    }
    clattn_safetensors *made = clattn_allocate(runtime, sizeof *made);
    if (!made) {
        return CLATTN_OUT_OF_MEMORY;
    }
    attn_visit visit = attn_visit_begin();
    *made = (clattn_safetensors){ .runtime = runtime, .report = report };
    clattn_status status = read_header(made, path);
    made->report = NULL;
    attn_visit_end(&visit);
    if (status != CLATTN_OK) {
        (void)LAYER_REFUSE(report, status, "file: %s", path);
        clattn_safetensors_close(made);
        return status;
    }
    *file = made;
    return CLATTN_OK;
}
