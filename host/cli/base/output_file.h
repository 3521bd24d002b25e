/* Files that the program writes: whole or not at all. */
#ifndef ATTN_CLI_BASE_OUTPUT_FILE_H
#define ATTN_CLI_BASE_OUTPUT_FILE_H

#include "base/text.h"

enum { ATTN_PATH_MAX = 4096 };

/**
 * A file on its way: written beside its place, put there by commit. A link stays and what it leads to is replaced; a
 * file that was there hands on its mode. Devices and pipes are written directly. "-" is standard output where
 * attn_output_take_stdout() has kept it, else it is refused.
 */
typedef struct attn_output_file {
    char path[ATTN_PATH_MAX];                            /* as the user wrote it */
    char place[ATTN_PATH_MAX], temporary[ATTN_PATH_MAX]; /* where links lead; "" = written directly */
    FILE *file;
} attn_output_file;

int attn_output_open(attn_output_file *output, const char *path, attn_error *error);

/** Whether two paths name the same place, however folders and links are written. */
bool attn_output_same_place(const char *path, const char *other);

/** Flushes and closes; the file is complete beside its place. Fails with the reason when a write before failed. */
int attn_output_close(attn_output_file *output, attn_error *error);

/** Puts the closed file in its place. */
int attn_output_commit(attn_output_file *output, attn_error *error);

/** Removes what is left of a file that was not committed. */
void attn_output_discard(attn_output_file *output);

/**
 * Where one of csv and json (either may be NULL) is "-": keeps standard output for it, so that all else which the
 * command prints goes to standard error. Refuses both at once.
 */
int attn_output_take_stdout(const char *csv, const char *json, attn_error *error);

#endif
