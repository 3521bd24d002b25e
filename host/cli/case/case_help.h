/* The help of a command: its own text, the words of problems, and the options of every command. */
#ifndef ATTN_CLI_CASE_CASE_HELP_H
#define ATTN_CLI_CASE_CASE_HELP_H

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

#endif
