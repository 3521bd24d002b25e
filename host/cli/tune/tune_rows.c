/*
 * Candidates of `clattn tune`: sizes that stand in the program's table, and steps from there. Knows columns by their
 * names alone, and asks the library what they may hold: a new table or column needs nothing here.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tune/tune.h"

/* "FIRST,size,size,...," */
static void attn_row_text(const attn_tune_table *table, const int64_t *sizes, const char *first, char *text,
                          size_t size) {
    snprintf(text, size, "%s", first);
    for (int k = 0; k < table->count; k++) {
        attn_text_add(text, size, "%" PRId64 ",", sizes[k]);
    }
}

/* Whether the program could be built with the sizes at all. */
static bool attn_fits_program(const attn_tune_table *table, const int64_t *sizes) {
    char first[48], row[ATTN_TUNE_LINE];
    snprintf(first, sizeof first, "*,*,*,*,%" PRId64 ",", table->head_dim_max);
    attn_row_text(table, sizes, first, row, sizeof row);
    return clattn_inspect_tuning_row(table->name, row, NULL) == CLATTN_OK;
}

static bool attn_add_candidate(attn_tune *tune, const int64_t *sizes) {
    size_t bytes = (size_t)tune->table.count * sizeof *sizes;
    for (int n = 0; n < tune->count; n++) {
        if (memcmp(tune->items[n].sizes, sizes, bytes) == 0) {
            return false;
        }
    }
    if (tune->count == ATTN_TUNE_CANDIDATES || !attn_fits_program(&tune->table, sizes)) {
        return false;
    }
    tune->items[tune->count] = (attn_tune_candidate){ .outcome = ATTN_TUNE_UNTRIED };
    memcpy(tune->items[tune->count++].sizes, sizes, bytes);
    return true;
}

static const char *attn_next_line(const char *text) {
    text += strcspn(text, "\n");
    return *text == '\n' ? text + 1 : text;
}

static const char *attn_field(const char *line, int index) {
    for (; index > 0 && *line != '\0' && *line != '\n'; line++) {
        index -= *line == ',';
    }
    return line;
}

enum { ATTN_HEAD_DIM_MAX = 4, ATTN_FIRST_SIZE = 5 }; /* columns, as in every table */

static void attn_read_columns(attn_tune_table *table) {
    snprintf(table->header, sizeof table->header, "%.*s", (int)strcspn(table->text, "\n"), table->text);
    for (table->count = 0; table->count < ATTN_TUNE_COLUMNS; table->count++) {
        const char *name = attn_field(table->header, ATTN_FIRST_SIZE + table->count);
        int length = (int)strcspn(name, ",");
        if (name[length] == '\0') { /* the note comes last */
            return;
        }
        snprintf(table->columns[table->count], sizeof table->columns[0], "%.*s", length, name);
    }
}

bool attn_tune_find_table(const char *program, int64_t head_dim, attn_tune_table *table) {
    for (int64_t k = 0; program && (table->name = clattn_inspect_tuning_table(k, &table->text)) != NULL; k++) {
        if (strcmp(table->name, program) != 0) {
            continue;
        }
        attn_read_columns(table);
        table->head_dim_max = 0;
        for (const char *line = attn_next_line(table->text); *line != '\0'; line = attn_next_line(line)) {
            int64_t most = strtoll(attn_field(line, ATTN_HEAD_DIM_MAX), NULL, 10);
            if (most >= head_dim && (table->head_dim_max == 0 || most < table->head_dim_max)) {
                table->head_dim_max = most;
            }
        }
        return table->head_dim_max > 0 && table->count > 0;
    }
    return false;
}

void attn_tune_add_rows(attn_tune *tune, const char *text) {
    for (const char *line = attn_next_line(text); *line != '\0' && *line != '['; line = attn_next_line(line)) {
        int64_t sizes[ATTN_TUNE_COLUMNS];
        for (int k = 0; k < tune->table.count; k++) {
            sizes[k] = strtoll(attn_field(line, ATTN_FIRST_SIZE + k), NULL, 10);
        }
        if (*line != '#' && *line != '\n') {
            (void)attn_add_candidate(tune, sizes);
        }
    }
}

/* The values that a column has in the table. Answers how many. */
static int attn_table_values(const attn_tune_table *table, int column, int64_t values[8]) {
    int count = 0;
    for (const char *line = attn_next_line(table->text); *line != '\0' && count < 8; line = attn_next_line(line)) {
        int64_t value = strtoll(attn_field(line, ATTN_FIRST_SIZE + column), NULL, 10);
        bool known = false;
        for (int n = 0; n < count; n++) {
            known = known || values[n] == value;
        }
        if (!known) {
            values[count++] = value;
        }
    }
    return count;
}

/* Values to try in a column: what the table has, twice and half of the present one. A column with a 0 is a switch: it
 * takes what the table has alone. */
static int attn_steps(const attn_tune *tune, int column, int64_t size, int64_t values[10]) {
    int count = attn_table_values(&tune->table, column, values);
    for (int n = 0; n < count; n++) {
        if (values[n] == 0) {
            return count;
        }
    }
    values[count++] = 2 * size;
    if (size % 2 == 0) {
        values[count++] = size / 2;
    }
    return count;
}

bool attn_tune_add_neighbours(attn_tune *tune, const int64_t *from, int columns) {
    int64_t base[ATTN_TUNE_COLUMNS], sizes[ATTN_TUNE_COLUMNS], values[10];
    int before = tune->count;
    memcpy(base, from, sizeof base); /* `from` may move */
    for (int k = 0; k < tune->table.count; k++) {
        int steps = attn_steps(tune, k, base[k], values);
        for (int n = 0; n < steps; n++) {
            memcpy(sizes, base, sizeof sizes);
            sizes[k] = values[n];
            if (columns == 1) {
                (void)attn_add_candidate(tune, sizes);
                continue;
            }
            for (int other = k + 1; other < tune->table.count; other++) {
                int64_t others[10];
                int count = attn_steps(tune, other, base[other], others);
                for (int m = 0; m < count; m++) {
                    sizes[other] = others[m];
                    (void)attn_add_candidate(tune, sizes);
                }
                sizes[other] = base[other];
            }
        }
    }
    return tune->count > before;
}

/* The longest piece of a device's name without commas: names are matched by a part. */
static void attn_device_part(const attn_tune *tune, char *text, size_t size) {
    clattn_device_info info;
    const char *best = "*";
    int length = 1;
    if (clattn_runtime_get_device(tune->session->runtime, tune->device, &info) == CLATTN_OK && info.name[0] != '\0') {
        length = 0;
        for (const char *at = info.name; *at != '\0'; at += *at == ',') {
            int piece = (int)strcspn(at, ",\n");
            if (piece > length) {
                best = at;
                length = piece;
            }
            at += piece;
        }
    }
    snprintf(text, size, "%.*s", length, best);
}

void attn_tune_key(const attn_tune *tune, char *text, size_t size) {
    char device[128];
    attn_device_part(tune, device, sizeof device);
    snprintf(text, size, "*,*,%s,%s,%" PRId64 ",", device, clattn_type_name(tune->data->problem.type),
             tune->table.head_dim_max);
}

void attn_tune_row(const attn_tune *tune, const char *key, int item, const char *note, char *text, size_t size) {
    attn_row_text(&tune->table, tune->items[item].sizes, key, text, size);
    attn_text_add(text, size, "%s", note);
}

void attn_tune_describe(const attn_tune *tune, int item, char *text, size_t size) {
    text[0] = '\0';
    for (int k = 0; k < tune->table.count; k++) {
        attn_text_add(text, size, "%s%s=%" PRId64, k > 0 ? " " : "", tune->table.columns[k],
                      tune->items[item].sizes[k]);
    }
}
