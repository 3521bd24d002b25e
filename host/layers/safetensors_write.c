/*
 * Writes .safetensors files, whole or not at all. Names and notes are checked, and the header is made, before a file is
 * touched.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "layers/layer_output.h"
#include "layers/layer_text.h"

enum { DIMENSIONS = 8, HEADER_MOST = 100000000 }; /* as our reader and others' take */

/* A text that grows; once it has failed nothing more is added. */
typedef struct growing_text {
    clattn_runtime *runtime;
    char *text;
    int64_t length, room;
    bool failed; /* no memory */
} growing_text;

static void add_bytes(growing_text *t, const char *bytes, int64_t count) {
    if (t->failed) {
        return;
    }
    if (t->room - t->length < count) {
        int64_t room = 2 * (t->room + count) + 1024; /* names are strings in memory: this fits */
        char *moved = clattn_allocate(t->runtime, room);
        if (!moved) {
            t->failed = true;
            return;
        }
        if (t->length > 0) {
            memcpy(moved, t->text, (size_t)t->length);
        }
        clattn_release(t->runtime, t->text);
        t->text = moved;
        t->room = room;
    }
    memcpy(t->text + t->length, bytes, (size_t)count);
    t->length += count;
}

static void add_text(growing_text *t, const char *text) {
    add_bytes(t, text, (int64_t)strlen(text));
}

static void add_number(growing_text *t, int64_t number) {
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%" PRId64, number);
    add_text(t, digits);
}

/* A string of JSON: what JSON does not take as it is goes by its number. */
static void add_string(growing_text *t, const char *text) {
    add_text(t, "\"");
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7f) {
            char escape[8];
            (void)snprintf(escape, sizeof escape, "\\u%04x", byte);
            add_text(t, escape);
        } else {
            add_bytes(t, c, 1);
        }
    }
    add_text(t, "\"");
}

/* ------------------------------------------------------------------------------------------------ checks */

typedef struct written_file {
    const clattn_safetensors_array *arrays;
    int64_t count;
    const clattn_safetensors_note *notes;
    int64_t note_count;
    clattn_report *report;
} written_file;

static clattn_status check_name(const written_file *f, const char *what, int64_t index, const char *name) {
    if (!name) {
        return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "%s[%" PRId64 "]: NULL", what, index);
    }
    return attn_layer_is_utf8(name)
               ? CLATTN_OK
               : LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "%s[%" PRId64 "]: is not UTF-8", what, index);
}

/* Bytes of the array. */
static clattn_status check_array(const written_file *f, int64_t index, int64_t *bytes) {
    const clattn_safetensors_array *a = &f->arrays[index];
    ATTN_TRY(check_name(f, "arrays", index, a->name));
    if (strcmp(a->name, "__metadata__") == 0) {
        return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "arrays[%" PRId64 "]: __metadata__ is the notes' name",
                            index);
    }
    if (a->dimensions < 0 || a->dimensions > DIMENSIONS) {
        return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "%.1000s: %" PRId64 " dimensions, 8 at most", a->name,
                            a->dimensions);
    }
    *bytes = (int64_t)sizeof *a->data;
    for (int64_t d = 0; d < a->dimensions; d++) {
        if (!attn_multiply(*bytes, a->shape[d], bytes)) {
            return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT,
                                "%.1000s: shape[%" PRId64 "]: is negative, or the array does not fit 63 bits", a->name,
                                d);
        }
    }
    if (*bytes > 0 && !a->data) {
        return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "%.1000s: data: missing", a->name);
    }
    return CLATTN_OK;
}

static clattn_status check_twice(const written_file *f) {
    for (int64_t k = 0; k < f->count; k++) {
        for (int64_t n = 0; n < k; n++) {
            if (strcmp(f->arrays[k].name, f->arrays[n].name) == 0) {
                return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "%.1000s: named twice", f->arrays[k].name);
            }
        }
    }
    return CLATTN_OK;
}

static clattn_status check_notes(const written_file *f) {
    for (int64_t k = 0; k < f->note_count; k++) {
        ATTN_TRY(check_name(f, "notes.name", k, f->notes[k].name));
        ATTN_TRY(check_name(f, "notes.text", k, f->notes[k].text));
        for (int64_t n = 0; n < k; n++) {
            if (strcmp(f->notes[k].name, f->notes[n].name) == 0) {
                return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "notes: %.1000s: named twice",
                                    f->notes[k].name);
            }
        }
    }
    return CLATTN_OK;
}

/* ------------------------------------------------------------------------------------------------ the file */

static void add_notes(growing_text *t, const written_file *f) {
    add_text(t, "\"__metadata__\":{");
    for (int64_t k = 0; k < f->note_count; k++) {
        add_text(t, k > 0 ? "," : "");
        add_string(t, f->notes[k].name);
        add_text(t, ":");
        add_string(t, f->notes[k].text);
    }
    add_text(t, "}");
}

static void add_array(growing_text *t, const clattn_safetensors_array *a, int64_t from, int64_t bytes) {
    add_string(t, a->name);
    add_text(t, ":{\"dtype\":\"F32\",\"shape\":[");
    for (int64_t d = 0; d < a->dimensions; d++) {
        add_text(t, d > 0 ? "," : "");
        add_number(t, a->shape[d]);
    }
    add_text(t, "],\"data_offsets\":[");
    add_number(t, from);
    add_text(t, ",");
    add_number(t, from + bytes);
    add_text(t, "]}");
}

/* The header, after 8 bytes for its length; it ends at a multiple of 8, so that data are aligned. */
static clattn_status make_header(growing_text *t, const written_file *f) {
    int64_t from = 0, bytes;
    add_bytes(t, "\0\0\0\0\0\0\0\0", 8);
    add_text(t, "{");
    if (f->note_count > 0) {
        add_notes(t, f);
    }
    for (int64_t k = 0; k < f->count; k++) {
        ATTN_TRY(check_array(f, k, &bytes));
        if (from > INT64_MAX - HEADER_MOST - 8 - bytes) {
            return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "arrays: together they do not fit 63 bits");
        }
        add_text(t, k > 0 || f->note_count > 0 ? "," : "");
        add_array(t, &f->arrays[k], from, bytes);
        from += bytes;
    }
    add_text(t, "}");
    while (t->length % 8 != 0 && !t->failed) {
        add_text(t, " ");
    }
    if (t->failed) {
        return CLATTN_OUT_OF_MEMORY;
    }
    if (t->length - 8 > HEADER_MOST) {
        return LAYER_REFUSE(f->report, CLATTN_INVALID_ARGUMENT, "arrays, notes: a header of more than 100 MB");
    }
    for (int k = 0; k < 8; k++) {
        t->text[k] = (char)(unsigned char)((uint64_t)(t->length - 8) >> (8 * k) & 0xff);
    }
    return CLATTN_OK;
}

static clattn_status write_all(const char *path, const growing_text *header, const written_file *f) {
    attn_layer_output output;
    int64_t bytes = 0;
    ATTN_TRY(attn_layer_output_open(path, &output, f->report));
    attn_layer_output_write(&output, header->text, header->length);
    for (int64_t k = 0; k < f->count; k++) {
        if (check_array(f, k, &bytes) == CLATTN_OK) { /* as before */
            attn_layer_output_write(&output, f->arrays[k].data, bytes);
        }
    }
    return attn_layer_output_end(&output, f->report);
}

clattn_status clattn_safetensors_write(clattn_runtime *runtime, const char *path,
                                       const clattn_safetensors_array *arrays, int64_t count,
                                       const clattn_safetensors_note *notes, int64_t note_count,
                                       clattn_report *report) {
    clattn_report_clear(report);
    if (!runtime || !path || count < 0 || note_count < 0 || (count > 0 && !arrays) || (note_count > 0 && !notes)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "runtime, path, arrays, notes: NULL, or a negative count");
    }
    const written_file f = { arrays, count, notes, note_count, report };
    growing_text header = { .runtime = runtime };
    attn_visit visit = attn_visit_begin();
    clattn_status status = check_notes(&f);
    status = status == CLATTN_OK ? make_header(&header, &f) : status;
    status = status == CLATTN_OK ? check_twice(&f) : status;
    status = status == CLATTN_OK ? write_all(path, &header, &f) : status;
    clattn_release(runtime, header.text);
    attn_visit_end(&visit);
    return status == CLATTN_OK ? status : LAYER_REFUSE(report, status, "file: %s", path);
}
