/*
 * The program from outside: started by the shell in a folder of the test's own, what it says read back. One test at a time
 * in a process. The build names the program (CLATTN_PROGRAM).
 */
#ifndef TESTS_SUPPORT_PROGRAM_H
#define TESTS_SUPPORT_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/** The folder; stdout and stderr of the last program. */
extern char program_folder[256], program_said[1 << 20], program_complained[16384];

/** Makes the folder, empty; `name` says whose it is. */
void program_begin(const char *name);
/** Removes the folder. */
void program_end(void);

/** Runs a command line of the shell in the folder; answers its exit status. A crash fails the test. */
int program_shell(const char *command);
/** Runs the program `words` of the command line, with `settings` (NAME=value ..., or "") before it. */
int program_run(const char *settings, const char *words);
/** The last program complained with exactly one line. */
bool program_complained_once(void);

/** A file of the folder, at most size - 1 bytes of it. */
void program_read(const char *name, char *text, size_t size);
void program_write(const char *name, const char *text);
bool program_has(const char *name);

#endif
