/* Reports: one readable line an item. Every function takes NULL for "nobody asked". */
#ifndef ATTN_BASE_REPORT_H
#define ATTN_BASE_REPORT_H

#include <stdarg.h>

#include "clattn/clattn.h"

void attn_report_clear(clattn_report *report);

/** Appends one line (the newline is added). A line that does not fit is left out whole and marks the report truncated. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void attn_report_line(clattn_report *report, const char *format, ...);

/** Appends foreign text of many lines, cut at a line's end when too long, each line after prefix. */
void attn_report_text(clattn_report *report, const char *prefix, const char *text);

/** Appends all lines of another report; what that one has lost is lost here too. */
void attn_report_append(clattn_report *report, const clattn_report *other);

/** Appends a line and answers status: `return attn_refuse(report, CLATTN_INVALID_PROBLEM, "head_dim is %d", n);` */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
clattn_status attn_refuse(clattn_report *report, clattn_status status, const char *format, ...);

/** Forwards an error: `ATTN_TRY(call());` returns the status when it is not OK. Only where nothing is held. */
#define ATTN_TRY(call)                       \
    do {                                     \
        clattn_status attn_try_ = (call);    \
        if (attn_try_ != CLATTN_OK) {        \
            return attn_try_;                \
        }                                    \
    } while (0)

/** Forwards an error to a clean-up label; needs a variable `status`. */
#define ATTN_TRY_TO(call, label)     \
    do {                             \
        status = (call);             \
        if (status != CLATTN_OK) {   \
            goto label;              \
        }                            \
    } while (0)

#endif
