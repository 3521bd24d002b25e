/*
 * One set of rows, three ways to write it: aligned for people, CSV and JSON for programs. The cells are text in the
 * unit that the column's key names. Knows nothing of what they mean.
 */
#include "base/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void attn_table_init(attn_table *table, const attn_column *columns, int count) {
    *table = (attn_table){ .columns = columns, .column_count = count };
}

void attn_table_free(attn_table *table) {
    for (int64_t n = 0; n < table->row_count * table->column_count; n++) {
        free(table->cells[n]);
    }
    free(table->cells);
    table->cells = NULL;
    table->row_count = table->capacity = 0;
}

void attn_table_row(attn_table *table) {
    size_t row_size = (size_t)table->column_count * sizeof *table->cells;
    if (table->row_count == table->capacity) {
        int64_t capacity = table->capacity == 0 ? 16 : 2 * table->capacity;
        void *cells = realloc(table->cells, (size_t)capacity * row_size);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    memset(&table->cells[table->row_count * table->column_count], 0, row_size);
    table->row_count++;
}

void attn_table_set(attn_table *table, int column, const char *format, ...) {
    va_list arguments;
    if (table->row_count == 0) {
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char **cell = &table->cells[(table->row_count - 1) * table->column_count + column];
    free(*cell);
    *cell = length >= 0 ? malloc((size_t)length + 1) : NULL;
    if (!*cell) {
        table->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(*cell, (size_t)length + 1, format, arguments);
    va_end(arguments);
}

const char *attn_table_get(const attn_table *table, int64_t row, int column) {
    const char *text = table->cells[row * table->column_count + column];
    return text ? text : "";
}

static int column_width(const attn_table *table, int column) {
    size_t width = strlen(table->columns[column].title);
    for (int64_t r = 0; r < table->row_count; r++) {
        size_t length = strlen(attn_table_get(table, r, column));
        width = length > width ? length : width;
    }
    return (int)width;
}

/* One line: the header (row -1) or a row. Columns that are empty in every row are left out. */
static void print_line(const attn_table *table, int64_t row, const int *widths, FILE *file) {
    int blanks = 0; /* owed: none stand at the end of a line */
    for (int c = 0; c < table->column_count; c++) {
        if (widths[c] == 0) {
            continue;
        }
        const char *text = row < 0 ? table->columns[c].title : attn_table_get(table, row, c);
        int length = (int)strlen(text), room = widths[c] - length;
        bool right = table->columns[c].number == ATTN_CELL_NUMBER;
        if (length > 0) {
            fprintf(file, "%*s%s", blanks + (right ? room : 0), "", text);
            blanks = 0;
        }
        blanks += (length == 0 ? widths[c] : right ? 0 : room) + 2;
    }
    fputc('\n', file);
}

void attn_table_print(const attn_table *table, FILE *file) {
    int widths[64] = { 0 };
    for (int c = 0; c < table->column_count && c < 64; c++) {
        bool used = false;
        for (int64_t r = 0; r < table->row_count; r++) {
            used = used || attn_table_get(table, r, c)[0] != '\0';
        }
        widths[c] = used && table->columns[c].title ? column_width(table, c) : 0;
    }
    for (int64_t r = -1; r < table->row_count; r++) {
        print_line(table, r, widths, file);
    }
}

static void csv_cell(FILE *file, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            fputc('"', file);
        }
        fputc(*text, file);
    }
    fputc('"', file);
}

void attn_table_csv(const attn_table *table, FILE *file) {
    for (int64_t r = -1; r < table->row_count; r++) {
        for (int c = 0; c < table->column_count; c++) {
            if (c > 0) {
                fputc(',', file);
            }
            csv_cell(file, r < 0 ? table->columns[c].key : attn_table_get(table, r, c));
        }
        fputc('\n', file);
    }
}

int attn_table_write_csv(const attn_table *table, const char *path, attn_error *error) {
    attn_output_file output;
    if (!path) {
        return ATTN_DONE;
    }
    if (attn_output_open(&output, path, error) != ATTN_DONE) {
        return error->status;
    }
    attn_table_csv(table, output.file);
    int status = attn_output_close(&output, error);
    return status == ATTN_DONE ? attn_output_commit(&output, error) : status;
}

static void json_cell(FILE *file, const attn_column *column, const char *text) {
    double value;
    switch (column->number) {
        case ATTN_CELL_NUMBER: fputs(attn_text_number(text, &value) == 0 ? text : "null", file); break;
        case ATTN_CELL_BOOL: fputs(text[0] == '\0' ? "null" : strcmp(text, "yes") == 0 ? "true" : "false", file); break;
        case ATTN_CELL_TEXTS: attn_json_write_list(file, text, ';', false); break;
        case ATTN_CELL_NUMBERS: attn_json_write_list(file, text, ';', true); break;
        default: attn_json_write_string(file, text); break;
    }
}

void attn_table_json(const attn_table *table, FILE *file, const char *indent) {
    fputc('[', file);
    for (int64_t r = 0; r < table->row_count; r++) {
        fprintf(file, "%s\n%s  { ", r > 0 ? "," : "", indent);
        const char *comma = "";
        for (int c = 0; c < table->column_count; c++) {
            if (table->columns[c].number == ATTN_CELL_SHOWN) {
                continue;
            }
            fprintf(file, "%s\"%s\": ", comma, table->columns[c].key);
            json_cell(file, &table->columns[c], attn_table_get(table, r, c));
            comma = ", ";
        }
        fputs(" }", file);
    }
    fprintf(file, "\n%s]", indent);
}
