/*
 * Quotas of control groups. /proc/self/cgroup says in which group of each hierarchy the process is, /proc/self/mountinfo
 * where the hierarchies are mounted and which group stands at the mount's root (in a container often its own). What
 * does not fit the buffers here is taken for no limit. Knows nothing of threads.
 */
#define _POSIX_C_SOURCE 200809L
#include "cpu/quota.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, LINE_SIZE = 1024, LONGEST_NUMBER = 18 };

/** A text file, line by line. Read without stdio, whose buffers are memory of the C library's. */
typedef struct text_file {
    int handle;
    size_t next, length;
    char bytes[512];
} text_file;

static bool open_file(text_file *file, const char *path) {
    file->handle = open(path, O_RDONLY | O_CLOEXEC);
    file->next = file->length = 0;
    return file->handle >= 0;
}

static int next_byte(text_file *file) {
    if (file->next == file->length) {
        ssize_t got = read(file->handle, file->bytes, sizeof file->bytes);
        if (got <= 0) {
            return -1;
        }
        file->length = (size_t)got;
        file->next = 0;
    }
    return (unsigned char)file->bytes[file->next++];
}

/** The next line without its end; one that is too long comes as an empty one. False at the end of the file. */
static bool next_line(text_file *file, char line[LINE_SIZE]) {
    size_t length = 0;
    int byte = next_byte(file);
    if (byte < 0) {
        return false;
    }
    for (; byte >= 0 && byte != '\n'; byte = next_byte(file)) {
        if (length < LINE_SIZE) {
            line[length++] = (char)byte;
        }
    }
    line[length < LINE_SIZE ? length : 0] = '\0';
    return true;
}

/** Whether the list, separated by commas, has the word. */
static bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/** The process's group in the hierarchy of version 2, or in that of version 1 that rules the processors. */
static bool find_group(const char *root, bool second, char group[PATH_SIZE]) {
    char path[PATH_SIZE], line[LINE_SIZE];
    text_file file;
    bool found = false;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!open_file(&file, path)) {
        return false;
    }
    while (!found && next_line(&file, line)) { /* hierarchy:controllers:path */
        char *controllers = strchr(line, ':');
        char *name = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!name) {
            continue;
        }
        *name++ = '\0';
        found = name[0] == '/' &&
                (second ? strncmp(line, "0:", 2) == 0 && controllers[1] == '\0' : has_word(controllers + 1, "cpu"));
        if (found) {
            memcpy(group, name, strlen(name) + 1); /* a line is no longer than a path may be */
        }
    }
    close(file.handle);
    return found;
}

/** Undoes \040 and the like, in place. */
static void decode(char *text) {
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                     from[3] >= '0' && from[3] <= '7';
        *to = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += octal ? 4 : 1;
    }
    *to = '\0';
}

/** One line of mountinfo, cut into its words in place. */
typedef struct mount {
    char *root, *point, *type, *options;
} mount;

static bool read_mount(char *line, mount *result) {
    char *words[11] = { NULL }, *rest = line;
    char *end = strstr(line, " - "); /* optional fields end here: type, source, options follow */
    if (!end) {
        return false;
    }
    *end = '\0';
    for (int k = 0; k < 5 && rest; k++) { /* identity, parent, device, root, mount point */
        words[k] = rest;
        rest = strchr(rest, ' ');
        if (rest) {
            *rest++ = '\0';
        }
    }
    rest = end + 3;
    for (int k = 5; k < 8 && rest; k++) {
        words[k] = rest;
        rest = strchr(rest, ' ');
        if (rest) {
            *rest++ = '\0';
        }
    }
    if (!words[4] || !words[7]) {
        return false;
    }
    *result = (mount){ words[3], words[4], words[5], words[7] };
    decode(result->root);
    decode(result->point);
    return true;
}

/** A whole number >= 0 that fits; -1 for anything else, as "max". */
static int64_t read_number(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= LONGEST_NUMBER ? strtoll(text, NULL, 10) : -1;
}

static int64_t read_number_of(const char *folder, const char *name) {
    char path[PATH_SIZE + 32], line[LINE_SIZE];
    text_file file;
    int64_t number = -1;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (open_file(&file, path)) {
        number = next_line(&file, line) ? read_number(line) : -1;
        close(file.handle);
    }
    return number;
}

/** Quota and period of version 2 stand in one file: "50000 100000", or "max 100000". */
static int64_t quota_of_second(const char *folder, int64_t *period) {
    char path[PATH_SIZE + 32], line[LINE_SIZE];
    text_file file;
    int64_t quota = -1;
    *period = -1;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    if (open_file(&file, path)) {
        if (next_line(&file, line)) {
            const char *second = strchr(line, ' ');
            quota = read_number(line);
            *period = second ? read_number(second + 1) : 100000;
        }
        close(file.handle);
    }
    return quota;
}

/** The group's own limit in whole processors; 0 = none. */
static int64_t limit_of(const char *folder, bool second) {
    int64_t period, quota;
    if (second) {
        quota = quota_of_second(folder, &period);
    } else {
        quota = read_number_of(folder, "cpu.cfs_quota_us");
        period = read_number_of(folder, "cpu.cfs_period_us");
    }
    if (quota < 0 || period <= 0) {
        return 0;
    }
    return quota <= period ? 1 : (quota - 1) / period + 1;
}

static int64_t lesser_limit(int64_t a, int64_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/** The least limit of the group and of those above it up to the mount's root. */
static int64_t limit_of_mount(const char *root, const mount *mount, bool second) {
    char folder[PATH_SIZE], group[PATH_SIZE];
    if (!find_group(root, second, group)) {
        return 0;
    }
    /* The mount shows the groups from mount->root down. A group outside of it cannot be seen: the mount's own then. */
    size_t shared = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    bool inside = strncmp(group, mount->root, shared) == 0 && (group[shared] == '/' || group[shared] == '\0');
    const char *below = inside && !strstr(group, "/..") ? group + shared : "";
    size_t length = strlen(root) + strlen(mount->point);
    if (length + strlen(below) >= sizeof folder) {
        return 0;
    }
    snprintf(folder, sizeof folder, "%s%s%s", root, mount->point, below);
    int64_t limit = limit_of(folder, second);
    for (char *end = strrchr(folder, '/'); end && end >= folder + length; end = strrchr(folder, '/')) {
        *end = '\0';
        limit = lesser_limit(limit, limit_of(folder, second));
    }
    return limit;
}

int64_t attn_quota_processors(const char *root) {
    char path[PATH_SIZE], line[LINE_SIZE];
    text_file file;
    int64_t limit = 0;
    if (strlen(root) > PATH_SIZE / 2) {
        return 0;
    }
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    if (!open_file(&file, path)) {
        return 0;
    }
    while (next_line(&file, line)) {
        mount mount;
        if (read_mount(line, &mount)) {
            bool second = strcmp(mount.type, "cgroup2") == 0;
            bool first = strcmp(mount.type, "cgroup") == 0 && has_word(mount.options, "cpu");
            if (first || second) {
                limit = lesser_limit(limit, limit_of_mount(root, &mount, second));
            }
        }
    }
    close(file.handle);
    return limit;
}
