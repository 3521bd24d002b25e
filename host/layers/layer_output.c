/*
 * Writes a file under another name in the same folder, brings it to the disk and renames it: whoever looks at the place
 * finds the old file or the whole new one, even after the machine has stopped in between.
 */
#define _XOPEN_SOURCE 700
#include "layers/layer_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_NAMES = 1000, NAME_LENGTH = 40 };

static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static clattn_status refuse(int error, clattn_report *report) {
    static const struct {
        int error;
        const char *why;
    } known[] = { { ENOSPC, "there is no space left" },      { EACCES, "it may not be written" },
                  { EROFS, "the file system is read-only" }, { ENOENT, "there is no such folder" },
                  { ENOTDIR, "there is no such folder" },    { ENAMETOOLONG, "the path is too long" },
                  { EFBIG, "the file would be too large" },  { EPERM, "it may not be written" } };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (known[k].error == error) {
            return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "cannot be written: %s", known[k].why);
        }
    }
    return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "cannot be written: error %d of the system", error);
}

/* A short name, so that every name that may be in the folder may be written. */
static void open_beside(attn_layer_output *o, const struct stat *old) {
    size_t folder = folder_length(o->place);
    memcpy(o->temporary, o->place, folder);
    for (int n = 0; n < MOST_NAMES && o->descriptor < 0; n++) {
        (void)snprintf(o->temporary + folder, NAME_LENGTH, ".clattn-%ld-%d", (long)getpid(), n);
        o->descriptor = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, old ? 0600 : 0666);
        if (o->descriptor < 0 && errno != EEXIST) {
            break;
        }
    }
    o->error = o->descriptor < 0 ? errno : 0;
    if (o->descriptor >= 0 && old) {
        (void)!fchown(o->descriptor, old->st_uid, old->st_gid); /* only the superuser may */
        (void)fchmod(o->descriptor, old->st_mode & 07777);
    }
}

clattn_status attn_layer_output_open(const char *path, attn_layer_output *output, clattn_report *report) {
    struct stat old;
    char resolved[PATH_MAX];
    *output = (attn_layer_output){ .descriptor = -1 };
    const char *place = realpath(path, resolved) ? resolved : path; /* where a link leads */
    if (strlen(place) + NAME_LENGTH >= ATTN_LAYER_PATH) {
        return refuse(ENAMETOOLONG, report);
    }
    strcpy(output->place, place);
    bool there = stat(place, &old) == 0;
    if (there && !S_ISREG(old.st_mode)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%s",
                            S_ISDIR(old.st_mode) ? "is a folder" : "is no regular file");
    }
    if (there && access(place, W_OK) != 0) { /* what its owner has locked stays */
        return refuse(errno, report);
    }
    open_beside(output, there ? &old : NULL);
    return output->descriptor >= 0 ? CLATTN_OK : refuse(output->error, report);
}

void attn_layer_output_write(attn_layer_output *output, const void *data, int64_t bytes) {
    for (int64_t done = 0; done < bytes && output->error == 0;) {
        size_t portion = (size_t)attn_min(bytes - done, INT64_C(1) << 30);
        ssize_t written = write(output->descriptor, (const char *)data + done, portion);
        if (written < 0 && errno != EINTR) {
            output->error = errno;
        }
        done += written > 0 ? written : 0;
    }
}

/* A renamed file survives a crash of the machine when its folder has reached the disk. Some file systems cannot do it. */
static void settle_folder(const char *place) {
    char folder[ATTN_LAYER_PATH] = ".";
    size_t length = folder_length(place);
    if (length > 0) {
        memcpy(folder, place, length);
        folder[length] = '\0';
    }
    int descriptor = open(folder, O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)fsync(descriptor);
        (void)close(descriptor);
    }
}

clattn_status attn_layer_output_end(attn_layer_output *output, clattn_report *report) {
    if (output->error == 0 && fsync(output->descriptor) != 0) {
        output->error = errno;
    }
    if (close(output->descriptor) != 0 && output->error == 0) {
        output->error = errno;
    }
    if (output->error == 0 && rename(output->temporary, output->place) != 0) {
        output->error = errno;
    }
    if (output->error != 0) {
        (void)unlink(output->temporary);
        return refuse(output->error, report);
    }
    settle_folder(output->place);
    return CLATTN_OK;
}
