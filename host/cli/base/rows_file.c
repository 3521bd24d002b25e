/*
 * Rows that are on the disk before the command has ended. Knows nothing of what they mean.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/rows_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double KEEP_EVERY = 1;  /* seconds */
static const double KEEP_SHARE = 50; /* and this many times what writing takes, so that many rows cost little time */

/* Standard output, a device or a pipe: what was written there cannot be replaced. */
static bool is_stream(const char *path) {
    struct stat there;
    return strcmp(path, "-") == 0 || (stat(path, &there) == 0 && !S_ISREG(there.st_mode));
}

int attn_output_try(const char *path, attn_error *error) {
    attn_output_file output;
    struct stat there;
    if (!path || strcmp(path, "-") == 0) {
        return ATTN_DONE;
    }
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) {
        return attn_fail(error, ATTN_USAGE, "%s: cannot be written: it is a folder", path);
    }
    if (is_stream(path)) { /* opening a pipe waits for its reader */
        return access(path, W_OK) == 0
                   ? ATTN_DONE
                   : attn_fail(error, ATTN_USAGE, "%s: cannot be written: %s", path, strerror(errno));
    }
    if (attn_output_open(&output, path, error) != ATTN_DONE) {
        return error->status;
    }
    attn_output_discard(&output);
    return ATTN_DONE;
}

int attn_rows_try(const attn_rows_file *rows, attn_error *error) {
    if (attn_output_try(rows->csv, error) != ATTN_DONE || attn_output_try(rows->json, error) != ATTN_DONE) {
        return error->status;
    }
    bool stream = rows->json && strcmp(rows->json, "-") == 0; /* both of them: attn_output_take_stdout() refuses that */
    if (rows->csv && rows->json && !stream && attn_output_same_place(rows->csv, rows->json)) {
        return attn_fail(error, ATTN_USAGE, "--csv and --json both name %s", rows->json);
    }
    return ATTN_DONE;
}

static int write_json(const attn_rows_file *rows, bool complete, attn_error *error) {
    attn_output_file output;
    if (attn_output_open(&output, rows->json, error) != ATTN_DONE) {
        return error->status;
    }
    rows->write_json(rows->user, rows->table, complete, output.file);
    int status = attn_output_close(&output, error);
    return status == ATTN_DONE ? attn_output_commit(&output, error) : status;
}

void attn_rows_keep(attn_rows_file *rows) {
    attn_error unused;
    double began = attn_seconds();
    if (began < rows->keep_at) {
        return;
    }
    if (rows->csv && !is_stream(rows->csv)) {
        (void)attn_table_write_csv(rows->table, rows->csv, &unused);
    }
    if (rows->json && !is_stream(rows->json)) {
        (void)write_json(rows, false, &unused);
    }
    double now = attn_seconds(), pause = KEEP_SHARE * (now - began);
    rows->keep_at = now + (pause > KEEP_EVERY ? pause : KEEP_EVERY);
}

int attn_rows_finish(attn_rows_file *rows, bool complete, attn_error *error) {
    attn_error other = { 0 };
    int status = rows->csv ? attn_table_write_csv(rows->table, rows->csv, error) : ATTN_DONE;
    if (rows->json && write_json(rows, complete, &other) != ATTN_DONE) { /* even where the CSV could not be written */
        status = status != ATTN_DONE ? status : attn_fail(error, other.status, "%s", other.text);
    }
    if (status == ATTN_DONE && rows->table->failed) {
        status = attn_fail(error, ATTN_UNSERVED, "out of memory: rows are missing");
    }
    return status;
}
