/* Rows of cells, written as an aligned table, CSV or JSON; and files written whole or not at all. */
#ifndef ATTN_CLI_TABLE_H
#define ATTN_CLI_TABLE_H

#include "text.h"

typedef struct attn_column {
    const char *key;   /* CSV header and JSON member */
    const char *title; /* printed header; NULL: not printed */
    bool number;       /* right-aligned, and bare in JSON (an empty cell is null) */
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

/** A string as JSON, with its quotes. */
void attn_json_string(FILE *file, const char *text);

/** A file on its way: written beside its place, put there by commit. Devices and pipes are written directly. */
typedef struct attn_output_file {
    char path[1024], temporary[1100];
    FILE *file;
} attn_output_file;

/** A table as a CSV file, whole or not at all; path NULL: nothing to do. */
int attn_table_write_csv(const attn_table *table, const char *path, attn_error *error);

int attn_output_open(attn_output_file *output, const char *path, attn_error *error);

/** Whether two paths name the same place: the same name in the same folder, however the folder is written. */
bool attn_output_same_place(const char *path, const char *other);

/** Flushes and closes; the file is complete beside its place. */
int attn_output_close(attn_output_file *output, attn_error *error);

/** Puts the closed file in its place. */
int attn_output_commit(attn_output_file *output, attn_error *error);

/** Removes what is left of a file that was not committed. */
void attn_output_discard(attn_output_file *output);

#endif
