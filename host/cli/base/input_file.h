/* Files that the program reads. What never ends, cannot be read or waits for ever is refused by name. */
#ifndef ATTN_CLI_BASE_INPUT_FILE_H
#define ATTN_CLI_BASE_INPUT_FILE_H

#include "base/text.h"

/**
 * Opens a regular file or an anonymous pipe (`<(command)`, /dev/stdin). Folders, devices and named pipes are refused.
 * NULL: `error` says why, with the path.
 */
FILE *attn_input_open(const char *path, attn_error *error);

/** Whether attn_input_open() would open it; for files that a library opens by itself. */
int attn_input_check(const char *path, attn_error *error);

/**
 * The whole file of at most so many bytes, with a NUL after the last one; the caller frees it. Refuses what is longer.
 * An empty file has length 0.
 */
int attn_input_text(const char *path, int64_t most, char **text, int64_t *length, attn_error *error);

#endif
