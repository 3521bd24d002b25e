/* The commands. Each gets the arguments after its name and answers the exit status, with a line in error when not 0. */
#ifndef ATTN_CLI_COMMANDS_H
#define ATTN_CLI_COMMANDS_H

#include "base/text.h"

int attn_command_devices(int argc, char **argv, attn_error *error);
int attn_command_plan(int argc, char **argv, attn_error *error);
int attn_command_run(int argc, char **argv, attn_error *error);
int attn_command_verify(int argc, char **argv, attn_error *error);
int attn_command_bench(int argc, char **argv, attn_error *error);
int attn_command_tune(int argc, char **argv, attn_error *error);
int attn_command_words(int argc, char **argv, attn_error *error);

/** To standard output: the version, and what is in this build. */
void attn_print_version(void);

#endif
