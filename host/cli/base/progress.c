/*
 * The progress bar: one line on stderr, rewritten in place, only on a terminal that can do so and while the program is
 * in its foreground. A line that reaches the last column would wrap and could not be rewritten, so it stays below that.
 * Knows nothing of what is done.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/text.h"

enum { LONGEST_BAR = 30, LONGEST_LINE = 160 };

static const double DRAW_EVERY = 0.1; /* seconds */
static bool shown;
static double drawn_at;

/* Columns that may be used; 0 = nothing is drawn. */
static int room(void) {
    const char *kind = getenv("TERM");
    int width = attn_terminal_width(STDERR_FILENO);
    if (width < 2 || !kind || kind[0] == '\0' || strcmp(kind, "dumb") == 0) {
        return 0;
    }
    pid_t front = tcgetpgrp(STDERR_FILENO); /* -1: not the terminal that controls this program */
    return front >= 0 && front != getpgrp() ? 0 : width - 1 < LONGEST_LINE ? width - 1 : LONGEST_LINE;
}

static void put_part(char line[256], double part, int columns, const char *what) {
    int bar = columns / 3 < LONGEST_BAR ? columns / 3 : LONGEST_BAR;
    line[0] = '\0';
    if (columns >= 20) { /* narrower than that the number alone has room */
        attn_text_add(line, 256, "[");
        for (int n = 0; n < bar; n++) {
            attn_text_add(line, 256, n < (int)(part * bar + 0.5) ? "#" : ".");
        }
        attn_text_add(line, 256, "] ");
    }
    attn_text_add(line, 256, "%3.0f%%  %.*s", 100 * part, columns, what);
    line[columns] = '\0';
    for (char *at = line; *at != '\0'; at++) {
        *at = (char)(*at < ' ' || *at > '~' ? '?' : *at); /* a byte is a column */
    }
}

void attn_progress(double done, double all, const char *what) {
    char line[256];
    double now = attn_seconds();
    if (shown && now - drawn_at < DRAW_EVERY) {
        return;
    }
    int columns = room();
    if (columns == 0) {
        return;
    }
    double part = all > 0 ? done / all : 1;
    put_part(line, part < 0 ? 0 : part > 1 ? 1 : part, columns, what);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    shown = true;
    drawn_at = now;
}

void attn_progress_end(void) {
    if (shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        shown = false;
    }
}
