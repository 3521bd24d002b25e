/*
 * Choosing rows of a tuning table. Pure functions from text to numbers: knows no device, no OpenCL and no file. Columns
 * are separated by commas, the first line names them, "*" matches everything, the note comes last and has no commas.
 */
#include "tuning/tuning.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *attn_tuning_get_table(const char *name) {
    for (size_t k = 0; k < attn_tuning_table_count; k++) {
        if (strcmp(attn_tuning_tables[k].name, name) == 0) {
            return attn_tuning_tables[k].text;
        }
    }
    return NULL;
}

/* A field: [begin, begin + length). */
typedef struct field {
    const char *begin;
    size_t length;
} field;

static field get_field(const char *line, int64_t index) {
    while (index > 0 && *line != '\0' && *line != '\n') {
        index -= *line++ == ',';
    }
    field f = { line, index == 0 ? strcspn(line, ",\n") : 0 };
    return f;
}

static field find_column(const char *header, const char *line, const char *column) {
    for (int64_t k = 0;; k++) {
        field name = get_field(header, k);
        if (name.length == 0) {
            return name;
        }
        if (name.length == strlen(column) && strncmp(name.begin, column, name.length) == 0) {
            return get_field(line, k);
        }
    }
}

static bool is_any(field f) {
    return f.length == 1 && *f.begin == '*';
}

/* Names of devices are compared the same way under every locale, so not by tolower(). */
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_part_of(field part, const char *whole) {
    for (; *whole != '\0'; whole++) {
        size_t n = 0;
        while (n < part.length && whole[n] != '\0' && lower(whole[n]) == lower(part.begin[n])) {
            n++;
        }
        if (n == part.length) {
            return true;
        }
    }
    return part.length == 0;
}

/* How specific the row is for the key, or -1 when it does not apply. */
static int match(const char *header, const char *line, const attn_tuning_key *key) {
    const char *columns[] = { "type", "vendor", "architecture", "device" };
    const char *values[] = { key->type, key->vendor, key->architecture, key->device };
    int specificity = 0;
    for (int k = 0; k < 4; k++) {
        field f = find_column(header, line, columns[k]);
        if (!is_any(f)) {
            if (!is_part_of(f, values[k])) {
                return -1;
            }
            specificity += 1 << k;
        }
    }
    return specificity;
}

/* head_dim_max first: it sizes a program's arrays, and sizes tuned for wider heads say little about narrow ones. */
static bool is_better(const attn_tuning_row *a, const attn_tuning_row *b) {
    if (a->head_dim_max != b->head_dim_max) {
        return a->head_dim_max < b->head_dim_max;
    }
    return a->specificity > b->specificity;
}

/* Keeps the best `room` rows in order; equals stay in the order of the file. */
static int64_t insert(attn_tuning_row *rows, int64_t count, int64_t room, attn_tuning_row row) {
    int64_t at = count;
    while (at > 0 && is_better(&row, &rows[at - 1])) {
        at--;
    }
    if (at >= room) {
        return count;
    }
    count = count < room ? count + 1 : room;
    memmove(rows + at + 1, rows + at, (size_t)(count - 1 - at) * sizeof *rows);
    rows[at] = row;
    return count;
}

int64_t attn_tuning_add(const char *text, const attn_tuning_key *key, attn_tuning_row *rows, int64_t count,
                        int64_t room) {
    const char *line = text;
    while ((line = strchr(line, '\n')) && *++line != '\0') {
        attn_tuning_row row = { text, line, match(text, line, key), 0 };
        row.head_dim_max = attn_tuning_get(&row, "head_dim_max");
        if (row.specificity >= 0 && row.head_dim_max >= key->head_dim) {
            count = insert(rows, count, room, row);
        }
    }
    return count;
}

int64_t attn_tuning_find(const char *text, const attn_tuning_key *key, attn_tuning_row *rows, int64_t room) {
    return attn_tuning_add(text, key, rows, 0, room);
}

int64_t attn_tuning_get(const attn_tuning_row *row, const char *column) {
    field f = find_column(row->header, row->line, column);
    return f.length == 0 ? 0 : (int64_t)strtoll(f.begin, NULL, 10);
}
