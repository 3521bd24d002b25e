/* Rows of cells, written as an aligned table, CSV or JSON. */
#ifndef ATTN_CLI_BASE_TABLE_H
#define ATTN_CLI_BASE_TABLE_H

#include "base/json_write.h"
#include "base/output_file.h"

/** What a column's cells are, which JSON shows. In a table of columns `false` is text and `true` a number. */
enum {
    ATTN_CELL_TEXT,
    ATTN_CELL_NUMBER,  /* right-aligned; an empty cell is null in JSON */
    ATTN_CELL_BOOL,    /* "yes" is true, an empty cell null, else false */
    ATTN_CELL_TEXTS,   /* a list, with `;` between */
    ATTN_CELL_NUMBERS, /* the same of numbers */
    ATTN_CELL_SHOWN    /* for people alone: not in JSON */
};

typedef struct attn_column {
    const char *key;   /* CSV header and JSON member */
    const char *title; /* printed header; NULL: not printed */
    int number;        /* what its cells are; numbers are right-aligned */
} attn_column;

typedef struct attn_table {
    const attn_column *columns;
    int column_count;
    int64_t row_count, capacity;
    char **cells; /* NULL: empty */
    bool failed;  /* out of memory: rows or cells are missing */
} attn_table;

void attn_table_init(attn_table *table, const attn_column *columns, int count);
void attn_table_free(attn_table *table);

/** Starts a row of empty cells. */
void attn_table_row(attn_table *table);

/** Fills a cell of the last row. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void attn_table_set(attn_table *table, int column, const char *format, ...);

const char *attn_table_get(const attn_table *table, int64_t row, int column);

void attn_table_print(const attn_table *table, FILE *file);
void attn_table_csv(const attn_table *table, FILE *file);
void attn_table_json(const attn_table *table, FILE *file, const char *indent);

/** A table as a CSV file, whole or not at all; path NULL: nothing to do. */
int attn_table_write_csv(const attn_table *table, const char *path, attn_error *error);

#endif
