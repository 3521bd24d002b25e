/*
 * Files written whole or not at all: into a temporary file in the same folder, renamed when complete. Something that
 * is not a regular file (a device, a pipe) is written directly and never replaced.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40, MOST_NAMES = 1000 };

static int kept_stdout = -1; /* standard output, where it was kept for "-" */

/* The length of a path's folder, with its last slash. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* One step along a link: place becomes what it leads to. 1 = a step was made, 0 = it is no link, -1 = too long. */
static int follow_link(char place[ATTN_PATH_MAX]) {
    char target[ATTN_PATH_MAX];
    ssize_t length = readlink(place, target, sizeof target - 1);
    if (length <= 0) {
        return 0;
    }
    target[length] = '\0';
    size_t folder = target[0] == '/' ? 0 : folder_length(place);
    if (folder + (size_t)length >= ATTN_PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(place + folder, target, (size_t)length + 1);
    return 1;
}

/* Where the path leads in the end; the file need not be there. */
static bool find_place(const char *path, char place[ATTN_PATH_MAX]) {
    if (strlen(path) >= ATTN_PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(place, path);
    for (int links = 0; links < MOST_LINKS; links++) {
        int step = follow_link(place);
        if (step <= 0) {
            return step == 0;
        }
    }
    errno = ELOOP;
    return false;
}

bool attn_output_same_place(const char *path, const char *other) {
    char places[2][ATTN_PATH_MAX];
    struct stat folders[2];
    if (!find_place(path, places[0]) || !find_place(other, places[1])) {
        return strcmp(path, other) == 0;
    }
    const char *names[2];
    for (int p = 0; p < 2; p++) {
        char folder[ATTN_PATH_MAX + 1] = "";
        size_t length = folder_length(places[p]);
        memcpy(folder, places[p], length);
        strcpy(folder + length, ".");
        names[p] = places[p] + length;
        if (stat(folder, &folders[p]) != 0) {
            return strcmp(places[0], places[1]) == 0;
        }
    }
    return strcmp(names[0], names[1]) == 0 && folders[0].st_ino == folders[1].st_ino &&
           folders[0].st_dev == folders[1].st_dev;
}

/* What is written directly: a device, a pipe, or a file that somebody has opened for the program (/dev/stdout). */
static bool is_special(const char *path) {
    struct stat there;
    bool handed = strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/", 6) == 0 ||
                  strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0;
    return stat(path, &there) == 0 && (handed || !S_ISREG(there.st_mode));
}

/* A pipe that nobody reads from is an error, not a wait. */
static FILE *open_special(const char *path) {
    int descriptor = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0 || fcntl(descriptor, F_SETFL, 0) != 0) {
        return NULL;
    }
    return fdopen(descriptor, "wb");
}

/* A file beside the place, of a short name, so that every name that may be in the folder may be written. */
static FILE *open_temporary(attn_output_file *output) {
    struct stat old;
    bool replaces = stat(output->place, &old) == 0;
    size_t folder = folder_length(output->place);
    if (replaces && access(output->place, W_OK) != 0) { /* what its owner has locked stays */
        return NULL;
    }
    if (folder + 40 > ATTN_PATH_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    memcpy(output->temporary, output->place, folder);
    for (int n = 0; n < MOST_NAMES; n++) {
        snprintf(output->temporary + folder, 40, ".clattn-%ld-%d", (long)getpid(), n);
        int descriptor = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? 0600 : 0666);
        if (descriptor >= 0) {
            if (replaces) {
                (void)!fchown(descriptor, old.st_uid, old.st_gid); /* only the superuser may */
                (void)fchmod(descriptor, old.st_mode & 07777);
            }
            return fdopen(descriptor, "wb");
        }
        if (errno != EEXIST) {
            break;
        }
    }
    output->temporary[0] = '\0';
    return NULL;
}

static int refuse(attn_output_file *output, const char *path, int reason, attn_error *error) {
    attn_output_discard(output);
    return attn_fail(error, ATTN_USAGE, "%s: cannot be written: %s", path,
                     reason == ENXIO    ? "nobody reads from this pipe"
                     : reason == EISDIR ? "it is a folder"
                                        : strerror(reason));
}

int attn_output_open(attn_output_file *output, const char *path, attn_error *error) {
    *output = (attn_output_file){ 0 };
    if (strcmp(path, "-") == 0) {
        int descriptor = kept_stdout >= 0 ? dup(kept_stdout) : -1;
        strcpy(output->path, "standard output");
        output->file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
        return output->file ? ATTN_DONE : attn_fail(error, ATTN_USAGE, "-: not standard output here; ./- names a file");
    }
    if (strlen(path) >= sizeof output->path) {
        return refuse(output, path, ENAMETOOLONG, error);
    }
    strcpy(output->path, path);
    if (is_special(path)) {
        output->file = open_special(path);
    } else if (find_place(path, output->place)) {
        output->file = open_temporary(output);
    }
    return output->file ? ATTN_DONE : refuse(output, path, errno, error);
}

int attn_output_close(attn_output_file *output, attn_error *error) {
    bool failed = ferror(output->file) != 0;
    errno = 0;
    if (failed) { /* why an earlier write failed nobody kept: what held it up then does so now */
        fputc('\n', output->file);
        fflush(output->file);
    }
    int reason = errno;
    if (fclose(output->file) != 0) {
        reason = failed && reason != 0 ? reason : errno;
        failed = true;
    }
    output->file = NULL;
    if (failed) {
        attn_output_discard(output);
        return attn_fail(error, ATTN_USAGE, "%s: writing failed: %s", output->path,
                         strerror(reason != 0 ? reason : EIO));
    }
    return ATTN_DONE;
}

int attn_output_commit(attn_output_file *output, attn_error *error) {
    if (output->temporary[0] != '\0' && rename(output->temporary, output->place) != 0) {
        int reason = errno;
        attn_output_discard(output);
        return attn_fail(error, ATTN_USAGE, "%s: cannot be written: %s", output->path, strerror(reason));
    }
    output->temporary[0] = '\0';
    return ATTN_DONE;
}

void attn_output_discard(attn_output_file *output) {
    if (output->file) {
        fclose(output->file);
        output->file = NULL;
    }
    if (output->temporary[0] != '\0') {
        unlink(output->temporary);
        output->temporary[0] = '\0';
    }
}

int attn_output_take_stdout(const char *csv, const char *json, attn_error *error) {
    bool wants_csv = csv && strcmp(csv, "-") == 0, wants_json = json && strcmp(json, "-") == 0;
    if (wants_csv && wants_json) {
        return attn_fail(error, ATTN_USAGE, "--csv - and --json -: only one of them can be standard output");
    }
    if ((!wants_csv && !wants_json) || kept_stdout >= 0) {
        return ATTN_DONE;
    }
    fflush(stdout);
    kept_stdout = dup(STDOUT_FILENO);
    if (kept_stdout < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        return attn_fail(error, ATTN_USAGE, "standard output: cannot be written: %s", strerror(errno));
    }
    return ATTN_DONE;
}
