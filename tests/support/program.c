/* Starting the program as a user does; see program.h. */
#define _POSIX_C_SOURCE 200809L
#include "support/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#ifndef CLATTN_PROGRAM
#define CLATTN_PROGRAM "clattn" /* of suites that never start it */
#endif

char program_folder[256], program_said[1 << 20], program_complained[16384];

void program_begin(const char *name) {
    char command[600];
    snprintf(program_folder, sizeof program_folder, CLATTN_TEST_BINARY_DIR "/%s.%d", name, (int)getpid());
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir -p '%s'", program_folder, program_folder);
    ck_assert_int_eq(system(command), 0);
}

void program_end(void) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", program_folder);
    ck_assert_int_eq(system(command), 0);
}

int program_shell(const char *command) {
    char all[9600];
    snprintf(all, sizeof all, "cd '%s' && %s", program_folder, command);
    int status = system(all);
    ck_assert_msg(status != -1 && WIFEXITED(status), "%s: crashed", command);
    return WEXITSTATUS(status);
}

int program_run(const char *settings, const char *words) {
    char command[9000];
    snprintf(command, sizeof command, "%s '%s' %s >said 2>complained </dev/null", settings, CLATTN_PROGRAM, words);
    int status = program_shell(command);
    program_read("said", program_said, sizeof program_said);
    program_read("complained", program_complained, sizeof program_complained);
    ck_assert_msg(status < 128, "clattn %s: ended by a signal: %s", words, program_complained);
    return status;
}

bool program_complained_once(void) {
    const char *end = strchr(program_complained, '\n');
    return end && end[1] == '\0';
}

void program_read(const char *name, char *text, size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file, "%s is not there", name);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

void program_write(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

bool program_has(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", program_folder, name);
    return access(path, F_OK) == 0;
}
