/*
 * Files written whole or not at all: into a temporary file in the same folder, renamed when complete. Something that
 * is not a regular file (a device, a pipe) is written directly and never replaced.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "table.h"

static bool attn_is_special(const char *path) {
    struct stat there;
    return stat(path, &there) == 0 && !S_ISREG(there.st_mode);
}

/* The folder of a path; answers where the name begins. */
static const char *attn_split_path(const char *path, struct stat *folder) {
    char text[1024];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    snprintf(text, sizeof text, "%.*s.", (int)(length < sizeof text - 2 ? length : sizeof text - 2), path);
    if (stat(text, folder) != 0) {
        *folder = (struct stat){ 0 };
    }
    return path + length;
}

bool attn_output_same_place(const char *path, const char *other) {
    struct stat folder, other_folder;
    const char *name = attn_split_path(path, &folder), *other_name = attn_split_path(other, &other_folder);
    return strcmp(path, other) == 0 || (strcmp(name, other_name) == 0 && folder.st_ino == other_folder.st_ino &&
                                        folder.st_dev == other_folder.st_dev);
}

int attn_output_open(attn_output_file *output, const char *path, attn_error *error) {
    *output = (attn_output_file){ 0 };
    if (strlen(path) >= sizeof output->path) {
        return attn_fail(error, ATTN_BAD, "%.60s...: the path is too long", path);
    }
    strcpy(output->path, path);
    if (attn_is_special(path)) {
        output->file = fopen(path, "wb");
    } else {
        snprintf(output->temporary, sizeof output->temporary, "%s.XXXXXX", path);
        int descriptor = mkstemp(output->temporary);
        if (descriptor < 0) {
            output->temporary[0] = '\0';
        } else {
            mode_t mask = umask(0);
            umask(mask);
            (void)fchmod(descriptor, 0666 & ~mask);
            output->file = fdopen(descriptor, "wb");
        }
    }
    if (output->file == NULL) {
        int reason = errno;
        attn_output_discard(output);
        return attn_fail(error, ATTN_BAD, "%s: cannot be written: %s", path, strerror(reason));
    }
    return ATTN_DONE;
}

int attn_output_close(attn_output_file *output, attn_error *error) {
    bool failed = ferror(output->file) != 0;
    failed = fclose(output->file) != 0 || failed;
    output->file = NULL;
    if (failed) {
        int reason = errno;
        attn_output_discard(output);
        return attn_fail(error, ATTN_BAD, "%s: writing failed: %s", output->path, strerror(reason));
    }
    return ATTN_DONE;
}

int attn_output_commit(attn_output_file *output, attn_error *error) {
    if (output->temporary[0] != '\0' && rename(output->temporary, output->path) != 0) {
        int reason = errno;
        attn_output_discard(output);
        return attn_fail(error, ATTN_BAD, "%s: cannot be written: %s", output->path, strerror(reason));
    }
    output->temporary[0] = '\0';
    return ATTN_DONE;
}

void attn_output_discard(attn_output_file *output) {
    if (output->file != NULL) {
        fclose(output->file);
        output->file = NULL;
    }
    if (output->temporary[0] != '\0') {
        unlink(output->temporary);
        output->temporary[0] = '\0';
    }
}
