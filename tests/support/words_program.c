#include "support/words_program.h"

#include <stdio.h>
#include <string.h>

#include "support/suite.h"

const char *words_settings = "";
const char *const words_without_opencl = "OCL_ICD_VENDORS=/nowhere";

int words(const char *arguments) {
    char all[8192];
    snprintf(all, sizeof all, "words %s", arguments);
    return program_run(words_settings, all);
}

void works(const char *arguments) {
    int status = words(arguments);
    ck_assert_msg(status == 0 && program_complained[0] == '\0', "words %s: exit %d: %s", arguments, status,
                  program_complained);
}

void refused(int status, const char *arguments, const char *text) {
    int got = words(arguments);
    ck_assert_msg(got == status, "words %s: exit %d, not %d: %s", arguments, got, status, program_complained);
    ck_assert_msg(strstr(program_complained, text), "words %s: \"%s\" does not name %s", arguments, program_complained,
                  text);
    ck_assert_msg(program_complained_once() && program_said[0] == '\0', "words %s: not one line: %s", arguments,
                  program_complained);
}

void shell(const char *command) {
    ck_assert_msg(program_shell(command) == 0, "%s", command);
}
