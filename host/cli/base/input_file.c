/*
 * Files that the program reads. A device may never end and a named pipe that nobody writes to never begins, so neither
 * is taken; how much is read is bounded. Knows nothing of what is in the files.
 */
#define _XOPEN_SOURCE 700 /* realpath() */
#include "base/input_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe that has a place in a folder; /dev/fd/N of a pipe between two programs leads nowhere. */
static bool is_named_pipe(const char *path) {
    char *place = realpath(path, NULL);
    struct stat there;
    bool named = place && stat(place, &there) == 0 && S_ISFIFO(there.st_mode);
    free(place);
    return named;
}

/* NULL, or why something of that kind is not read. */
static const char *why_not(const struct stat *there, const char *path) {
    if (S_ISREG(there->st_mode)) {
        return NULL;
    }
    if (S_ISFIFO(there->st_mode)) {
        return is_named_pipe(path) ? "is a named pipe; a file is expected" : NULL;
    }
    return S_ISDIR(there->st_mode) ? "is a folder; a file is expected" : "is a device; a file is expected";
}

FILE *attn_input_open(const char *path, attn_error *error) {
    struct stat there;
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* so that a pipe without a writer cannot hold it */
    if (descriptor < 0) {
        (void)attn_fail(error, ATTN_USAGE, "%s: cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    const char *wrong = fstat(descriptor, &there) == 0 ? why_not(&there, path) : strerror(errno);
    if (!wrong && fcntl(descriptor, F_SETFL, 0) != 0) {
        wrong = strerror(errno);
    }
    FILE *file = wrong ? NULL : fdopen(descriptor, "rb");
    if (!file) {
        (void)attn_fail(error, ATTN_USAGE, "%s: %s", path, wrong ? wrong : strerror(errno));
        close(descriptor);
    }
    return file;
}

int attn_input_check(const char *path, attn_error *error) {
    FILE *file = attn_input_open(path, error);
    if (!file) {
        return error->status;
    }
    fclose(file);
    return ATTN_DONE;
}

static int read_all(FILE *file, const char *path, int64_t most, char **text, int64_t *length, attn_error *error) {
    int64_t capacity = 0;
    *text = NULL;
    *length = 0;
    while (feof(file) == 0) {
        if (*length + 1 >= capacity) {
            capacity = capacity == 0 ? 65536 : 2 * capacity;
            char *grown = realloc(*text, (size_t)capacity);
            if (!grown) {
                return attn_fail(error, ATTN_UNSERVED, "%s: no memory to read it", path);
            }
            *text = grown;
        }
        *length += (int64_t)fread(*text + *length, 1, (size_t)(capacity - *length - 1), file);
        if (ferror(file) != 0) {
            return attn_fail(error, ATTN_USAGE, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (*length > most) {
            return attn_fail(error, ATTN_USAGE, "%s: is longer than %" PRId64 " bytes", path, most);
        }
    }
    (*text)[*length] = '\0';
    return ATTN_DONE;
}

int attn_input_text(const char *path, int64_t most, char **text, int64_t *length, attn_error *error) {
    FILE *file = attn_input_open(path, error);
    *text = NULL;
    *length = 0;
    if (!file) {
        return error->status;
    }
    int status = read_all(file, path, most, text, length, error);
    fclose(file);
    if (status != ATTN_DONE) {
        free(*text);
        *text = NULL;
        *length = 0;
    }
    return status;
}
