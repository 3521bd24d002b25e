/* The files that a long command writes its rows to: tried before it begins, and kept up to date while it works. */
#ifndef ATTN_CLI_BASE_ROWS_FILE_H
#define ATTN_CLI_BASE_ROWS_FILE_H

#include "base/table.h"

typedef struct attn_rows_file {
    const char *csv, *json; /* NULL = none */
    const attn_table *table;
    void (*write_json)(const void *user, const attn_table *table, bool complete, FILE *file); /* the whole file */
    const void *user;
    double keep_at; /* when rows are written again; 0 = at once */
} attn_rows_file;

/** Whether a file can be written there: its folder and its name are tried, nothing that is there changes. NULL: yes. */
int attn_output_try(const char *path, attn_error *error);

/** Tries both files; two names of one place are an error. */
int attn_rows_try(const attn_rows_file *rows, attn_error *error);

/**
 * Writes the rows so far, once a second at most, and more rarely where they are many. Each time the file is replaced by one that is whole, so a program that
 * is killed leaves a file of whole rows. A failure is left to the end. What is no regular file is written at the end alone.
 */
void attn_rows_keep(attn_rows_file *rows);

/** Writes all rows. complete: none is missing because the command was stopped or failed. */
int attn_rows_finish(attn_rows_file *rows, bool complete, attn_error *error);

#endif
