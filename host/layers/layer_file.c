/*
 * Opens files for reading. What a file says of itself is compared with its size before memory is asked for, so only
 * what has a size is taken. Knows nothing of what is in the files.
 */
#define _POSIX_C_SOURCE 200809L
#include "layers/layer_file.h"

#include <sys/stat.h>

clattn_status attn_layer_open(const char *path, FILE **stream, int64_t *size, clattn_report *report) {
    struct stat there;
    *stream = NULL;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) {
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "%s",
                            S_ISDIR(there.st_mode) ? "is a folder" : "is no regular file");
    }
    FILE *opened = fopen(path, "rb");
    if (!opened || fstat(fileno(opened), &there) != 0 || !S_ISREG(there.st_mode)) {
        if (opened) {
            (void)fclose(opened);
        }
        return LAYER_REFUSE(report, CLATTN_INVALID_ARGUMENT, "cannot be opened");
    }
    *stream = opened;
    *size = (int64_t)there.st_size;
    return CLATTN_OK;
}
