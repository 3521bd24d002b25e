/* What the program must know of the terminal it writes to. */
#ifndef ATTN_CLI_BASE_TERMINAL_H
#define ATTN_CLI_BASE_TERMINAL_H

#include <stdio.h>

/**
 * Columns of the terminal behind a descriptor, 0 where it is none. Asked anew each time, so that a terminal may change
 * its size. COLUMNS counts where it is smaller, or where the terminal does not say; without either it is 80.
 */
int attn_terminal_width(int descriptor);

/** Prints words so that no line is longer than width; each but the first begins after indent spaces. `used` columns of
 * the first line are taken already. Ends the line. */
void attn_terminal_wrap(FILE *file, const char *text, int used, int indent, int width);

#endif
