/*
 * The progress bar: one line on stderr, rewritten in place, only on a terminal. Knows nothing of what is done.
 */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

void attn_progress(double done, double all, const char *what) {
    char bar[31];
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    double part = all > 0 ? done / all : 1;
    for (int n = 0; n < 30; n++) {
        bar[n] = n < (int)(part * 30 + 0.5) ? '#' : '.';
    }
    bar[30] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  %.70s", bar, 100 * part, what);
    fflush(stderr);
}

void attn_progress_end(void) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
