/*
 * The width of a terminal, and text that fits it. Knows nothing of what is shown.
 */
#define _DEFAULT_SOURCE
#include "base/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

enum { USUAL_WIDTH = 80 };

int attn_terminal_width(int descriptor) {
    struct winsize size;
    int64_t wanted = 0;
    const char *columns = getenv("COLUMNS");
    if (!isatty(descriptor)) {
        return 0;
    }
    int width = ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
    if (columns && attn_text_integer(columns, &wanted) == 0 && wanted > 0 && (width == 0 || wanted < width)) {
        width = wanted < UINT16_MAX ? (int)wanted : UINT16_MAX;
    }
    return width > 0 ? width : USUAL_WIDTH;
}

void attn_terminal_wrap(FILE *file, const char *text, int used, int indent, int width) {
    bool first = true; /* of the line */
    int at = used;
    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        int length = (int)strcspn(text, " ");
        if (!first && at + 1 + length > width) {
            fprintf(file, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        if (at + length > width && at + 1 < width) { /* longer than a line: its rest follows in the next */
            length = width - at;
        }
        fprintf(file, "%s%.*s", first ? "" : " ", length, text);
        at += length + (first ? 0 : 1);
        first = false;
        text += length;
        if (*text != ' ' && *text != '\0') {
            fprintf(file, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
    }
    fputc('\n', file);
}
