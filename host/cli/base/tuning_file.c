/*
 * The user's file of block sizes (docs/tuning.md), as text: rows are replaced or added, everything else in it, rows of
 * other devices and comments, is kept. Does not judge what it says; the library does when it reads it.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/tuning_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/rows_file.h"

enum { MOST_BYTES = 1 << 20 };

void attn_tuning_path(char *path, size_t size) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int length = 0;
    path[0] = '\0';
    if (config && config[0] == '/') {
        length = snprintf(path, size, "%s/clattn/tuning.csv", config);
    } else if (home && home[0] == '/') {
        length = snprintf(path, size, "%s/.config/clattn/tuning.csv", home);
    }
    if (length >= (int)size) { /* a part of it would name another file */
        path[0] = '\0';
    }
}

int attn_tuning_read(const char *path, char **text, attn_error *error) {
    int64_t length;
    *text = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return ATTN_DONE;
    }
    return attn_input_text(path, MOST_BYTES, text, &length, error);
}

/* The text that is made, with room for all that can come. */
typedef struct writer {
    char *text;
    size_t length;
} writer;

static void put(writer *w, const char *text, size_t length) {
    memcpy(w->text + w->length, text, length);
    w->length += length;
    w->text[w->length] = '\0';
}

static void put_line(writer *w, const char *line) {
    put(w, line, strlen(line));
    put(w, "\n", 1);
}

char *attn_tuning_replace(const char *text, const char *table, const char *header, const char *key, const char *row) {
    char section[80];
    text = text ? text : "";
    text += strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark would hide the first [table] */
    size_t room = strlen(text) + strlen(header) + strlen(key) + (row ? strlen(row) : 0) + 400;
    writer w = { malloc(room), 0 };
    bool inside = false, placed = !row;
    snprintf(section, sizeof section, "[%s]", table);
    if (w.text) {
        put(&w, "", 0);
    }
    for (size_t length = 0; w.text && *text != '\0'; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        if (text[0] == '[') {
            if (inside && !placed) {
                put_line(&w, row);
                placed = true;
            }
            inside = strncmp(text, section, strlen(section)) == 0;
        }
        if (inside && strncmp(text, key, strlen(key)) == 0) {
            if (!placed) {
                put_line(&w, row);
                placed = true;
            }
            continue;
        }
        put(&w, text, length);
        put(&w, "\n", 1);
    }
    if (w.text && !placed) {
        if (!inside) {
            put_line(&w, section);
            put_line(&w, header);
        }
        put_line(&w, row);
    }
    return w.text;
}

static int make_folders(const char *path, attn_error *error) {
    char folder[ATTN_PATH_MAX];
    attn_text_copy(folder, sizeof folder, path, strlen(path)); /* what is too long is refused when it is opened */
    for (char *at = folder + 1; *at != '\0'; at++) {
        if (*at != '/') {
            continue;
        }
        *at = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            return attn_fail(error, ATTN_USAGE, "%s: the folder cannot be made: %s", folder, strerror(errno));
        }
        *at = '/';
    }
    return ATTN_DONE;
}

int attn_tuning_try(const char *path, attn_error *error) {
    return make_folders(path, error) != ATTN_DONE ? error->status : attn_output_try(path, error);
}

int attn_tuning_write(const char *path, const char *text, attn_error *error) {
    attn_output_file output;
    if (make_folders(path, error) != ATTN_DONE || attn_output_open(&output, path, error) != ATTN_DONE) {
        return error->status;
    }
    fputs(text, output.file);
    int status = attn_output_close(&output, error);
    return status != ATTN_DONE ? status : attn_output_commit(&output, error);
}
