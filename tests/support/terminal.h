/* Starting the program on a terminal of a chosen width, and what a person would see there. */
#ifndef TESTS_SUPPORT_TERMINAL_H
#define TESTS_SUPPORT_TERMINAL_H

#include <stdbool.h>

enum { TERMINAL_TEXT = 1 << 18 };

typedef struct terminal {
    int master, pid;
    int columns;               /* now */
    int column, lines, widest; /* of the cursor; lines ended; the furthest column reached since the last resize */
    int wraps;                 /* times that a line went on in the next one because it was too long */
    int redraws;               /* times that a line was begun anew */
    bool escape;               /* within a control sequence */
    long length;
    char text[TERMINAL_TEXT]; /* all that was written */
} terminal;

/** Starts `program words` in the folder program_folder; `settings`: NAME=value ... before it, or "". */
void terminal_start(terminal *t, const char *settings, const char *words, int columns);

/** Reads what comes within some seconds; true: the program has closed the terminal. */
bool terminal_read(terminal *t, double seconds);

/** Reads until the text was seen from `from` on, or the program has ended, or the seconds are over: false. */
bool terminal_wait(terminal *t, const char *text, long from, double seconds);

void terminal_resize(terminal *t, int columns);

/** Sends a signal; 0 = none. Reads to the end. Answers the exit status, or 1000 + the signal that ended the program. */
int terminal_finish(terminal *t, int signal_number, double seconds);

#endif
