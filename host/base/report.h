/* Reports: one readable line an item. Every function takes NULL for "nobody asked". */
#ifndef ATTN_BASE_REPORT_H
#define ATTN_BASE_REPORT_H

#include <stdarg.h>

#include "base/try.h"
#include "clattn/clattn.h"

void attn_report_clear(clattn_report *report);

/** Appends one line (the newline is added). A line that does not fit is left out whole and marks the report truncated. */
CLATTN_PRINTF(2, 3) void attn_report_line(clattn_report *report, const char *format, ...);

/** Appends foreign text of many lines, cut at a line's end when too long, each line after prefix. */
void attn_report_text(clattn_report *report, const char *prefix, const char *text);

/** Appends all lines of another report; what that one has lost is lost here too. */
void attn_report_append(clattn_report *report, const clattn_report *other);

/** Appends a line and answers status: `return attn_refuse(report, CLATTN_INVALID_PROBLEM, "head_dim is %d", n);` */
CLATTN_PRINTF(3, 4) clattn_status attn_refuse(clattn_report *report, clattn_status status, const char *format, ...);

#endif
