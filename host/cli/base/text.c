/*
 * Errors of the program and strict reading of numbers: the whole word must be the number, and it must fit. Knows
 * nothing of attention. Everything the program refuses passes through attn_fail, so that it ends as one line with an
 * exit status.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/speech.h"

/* The end of a text that was cut becomes "...", without half a character of UTF-8 before it. */
static void mark_cut(char *text, size_t size) {
    size_t end = size > 4 ? size - 4 : 0;
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) {
        end--;
    }
    snprintf(text + end, size - end, "...");
}

int attn_fail(attn_error *error, int status, const char *format, ...) {
    va_list arguments;
    error->status = status;
    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof error->text) {
        mark_cut(error->text, sizeof error->text);
    }
    for (char *at = error->text; status == ATTN_USAGE && *at != '\0'; at++) { /* one line, whatever the word holds */
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    }
    return status;
}

int attn_exit_status(clattn_status status) {
    switch (status) {
        case CLATTN_OK: return ATTN_DONE;
        case CLATTN_INVALID_ARGUMENT:
        case CLATTN_INVALID_PROBLEM:
        case CLATTN_INVALID_TENSORS:
        case CLATTN_OVERFLOW: return ATTN_USAGE;
        default: return ATTN_UNSERVED;
    }
}

int attn_fail_status(attn_error *error, clattn_status status, const clattn_report *report) {
    int exit_status = attn_exit_status(status);
    char text[sizeof report->text];
    attn_speak(report ? report->text : "", text, sizeof text);
    size_t length = strlen(text);
    if (exit_status == ATTN_USAGE) {
        length = strcspn(text, "\n");
    }
    while (length > 0 && text[length - 1] == '\n') {
        length--;
    }
    text[length] = '\0';
    if (length == 0) {
        return attn_fail(error, exit_status, "%s", clattn_status_message(status));
    }
    if (exit_status == ATTN_USAGE) { /* it names the word */
        return attn_fail(error, exit_status, "%s", text);
    }
    return attn_fail(error, exit_status, "%s:\n%s", clattn_status_message(status), text);
}

static bool is_integer_text(const char *text) {
    size_t start = text[0] == '-' ? 1 : 0;
    return text[start] != '\0' && strspn(text + start, "0123456789") == strlen(text + start);
}

int attn_text_integer(const char *text, int64_t *value) {
    if (!is_integer_text(text)) {
        return 1;
    }
    errno = 0;
    long long read = strtoll(text, NULL, 10);
    if (errno != 0) {
        return 2;
    }
    *value = (int64_t)read;
    return 0;
}

int attn_text_unsigned(const char *text, uint64_t *value) {
    if (!is_integer_text(text) || text[0] == '-') {
        return 1;
    }
    errno = 0;
    unsigned long long read = strtoull(text, NULL, 10);
    if (errno != 0) {
        return 2;
    }
    *value = (uint64_t)read;
    return 0;
}

int attn_text_number(const char *text, double *value) {
    char copy[512], *end = NULL;
    const char *point =
        localeconv()->decimal_point; /* strtod() wants the locale's; words have a point in all of them */
    size_t used = 0, room = sizeof copy - strlen(point);
    for (const char *at = text; *at != '\0' && used < room; at++) {
        if (*at == '.') {
            memcpy(copy + used, point, strlen(point));
            used += strlen(point);
        } else {
            copy[used++] = *at;
        }
    }
    copy[used] = '\0';
    if (text[0] == '\0' || strspn(text, "0123456789+-.eE") != strlen(text) || used >= room) {
        return 1;
    }
    double read = strtod(copy, &end);
    if (*end != '\0') {
        return 1;
    }
    if (!isfinite(read)) {
        return 2;
    }
    *value = read;
    return 0;
}

int attn_text_split(const char *text, char parts[][64], int max) {
    int count = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (count == max || length == 0 || length > 63) {
            return -1;
        }
        memcpy(parts[count], at, length);
        parts[count][length] = '\0';
        count++;
        at += length;
        if (*at == '\0') {
            return count;
        }
    }
}

void attn_text_add(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    if (used + 1 >= size) {
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
    if (length >= (int)(size - used)) {
        mark_cut(text, size);
    }
}

void attn_text_copy(char *text, size_t size, const char *from, size_t length) {
    bool whole = length < size;
    length = whole ? length : size - 1;
    memcpy(text, from, length);
    text[length] = '\0';
    if (!whole) {
        mark_cut(text, size);
    }
}

double attn_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *attn_text_bytes(double bytes, char text[32]) {
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    int unit = 0;
    while (bytes >= 1024 && unit < 6) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

const char *attn_text_seconds(double seconds, char text[32]) {
    if (seconds < 1e-3) {
        snprintf(text, 32, "%.1f us", seconds * 1e6);
    } else if (seconds < 1) {
        snprintf(text, 32, seconds < 0.1 ? "%.2f ms" : "%.1f ms", seconds * 1e3);
    } else {
        snprintf(text, 32, "%.2f s", seconds);
    }
    return text;
}
