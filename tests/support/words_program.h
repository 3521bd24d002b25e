/* `clattn words` from outside, as the suites of its sub-commands start it. */
#ifndef TESTS_SUPPORT_WORDS_PROGRAM_H
#define TESTS_SUPPORT_WORDS_PROGRAM_H

#include "support/program.h"

/** NAME=value ... before each command line; "" at first. */
extern const char *words_settings;

/** For words_settings: no OpenCL devices, which take their time to be found. */
extern const char *const words_without_opencl;

/** Runs `clattn words ARGUMENTS`; answers its exit status. */
int words(const char *arguments);

/** It must work and complain of nothing. */
void works(const char *arguments);

/** Refused: the status, one line on stderr that has the text, nothing on stdout. */
void refused(int status, const char *arguments, const char *text);

/** A command of the shell, which must work. */
void shell(const char *command);

#endif
