/* The user's file of block sizes: where it is, and how rows get into it. */
#ifndef ATTN_CLI_BASE_TUNING_FILE_H
#define ATTN_CLI_BASE_TUNING_FILE_H

#include "base/text.h"

/** $XDG_CONFIG_HOME/clattn/tuning.csv or ~/.config/clattn/tuning.csv; "" where neither is set or the path is too long. */
void attn_tuning_path(char *path, size_t size);

/** The whole file as text the caller frees; *text stays NULL when there is none. */
int attn_tuning_read(const char *path, char **text, attn_error *error);

/**
 * A copy of text (NULL = empty) in which the table's row that begins with `key` (vendor to head_dim_max, commas between
 * and at the end) is `row`, or gone when row is NULL. All else stays as it is. The caller frees it; NULL: out of memory.
 */
char *attn_tuning_replace(const char *text, const char *table, const char *header, const char *key, const char *row);

/** Whether that file could be written; makes its folders. */
int attn_tuning_try(const char *path, attn_error *error);

/** Writes the file whole or not at all; makes its folder. */
int attn_tuning_write(const char *path, const char *text, attn_error *error);

#endif
