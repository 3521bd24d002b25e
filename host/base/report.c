/*
 * Reports: lines of text in the caller's memory. Whole lines or nothing, so that a cut report never misleads.
 */
#include "base/report.h"

#include <stdio.h>
#include <string.h>

void attn_report_clear(clattn_report *report) {
    if (report) {
        report->length = 0;
        report->truncated = false;
        report->text[0] = '\0';
    }
}

void clattn_report_clear(clattn_report *report) {
    attn_report_clear(report);
}

static void append_line(clattn_report *report, const char *format, va_list arguments) {
    if (!report) {
        return;
    }
    if (!format || report->length >= sizeof report->text) { /* of a caller who never cleared it */
        report->truncated = true;
        return;
    }
    size_t room = sizeof report->text - report->length;
    int needed = vsnprintf(report->text + report->length, room, format, arguments);
    if (needed < 0 || (size_t)needed + 2 > room) {
        report->text[report->length] = '\0';
        report->truncated = true;
        return;
    }
    report->length += (size_t)needed;
    report->text[report->length++] = '\n';
    report->text[report->length] = '\0';
}

void attn_report_line(clattn_report *report, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_line(report, format, arguments);
    va_end(arguments);
}

void clattn_report_line(clattn_report *report, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_line(report, format, arguments);
    va_end(arguments);
}

void attn_report_text(clattn_report *report, const char *prefix, const char *text) {
    while (text && *text) {
        const char *end = strchr(text, '\n');
        int length = end ? (int)(end - text) : (int)strlen(text);
        if (length > 0) {
            attn_report_line(report, "%s%.*s", prefix, length, text);
        }
        text += end ? length + 1 : length;
    }
}

void attn_report_append(clattn_report *report, const clattn_report *other) {
    if (report) {
        attn_report_text(report, "", other->text);
        report->truncated = report->truncated || other->truncated;
    }
}

clattn_status attn_refuse(clattn_report *report, clattn_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_line(report, format, arguments);
    va_end(arguments);
    return status;
}
