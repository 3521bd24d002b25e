/* Help texts that several commands share. A line each for what is described, and none is wider than 80 columns. */
#ifndef ATTN_CLI_BASE_HELP_H
#define ATTN_CLI_BASE_HELP_H

/** What of the shared texts follows a command's own. */
enum {
    ATTN_HELP_PROBLEM = 1, /* the words that describe a problem */
    ATTN_HELP_DRAWN = 2,   /* those of problems that draw their own data */
    ATTN_HELP_LISTS = 4    /* that a word may hold several values */
};

/** Prints a command's own help, the parts of it that are asked for, and the options of every command. */
void attn_help_print(const char *own, int parts);

/** Prints those parts alone, for programs with options of their own. */
void attn_help_print_problem(int parts);

extern const char attn_help_options[], attn_help_status[];

#endif
