/* A line on a terminal that says how far a long command is. Nothing where stderr is no terminal. */
#ifndef ATTN_CLI_BASE_PROGRESS_H
#define ATTN_CLI_BASE_PROGRESS_H

/** Shows done of all (0 <= done <= all) and what is being done. Never longer than the terminal is wide, and drawn a few
 * times a second at most, however often it is called. */
void attn_progress(double done, double all, const char *what);

/** Takes the line away. */
void attn_progress_end(void);

#endif
