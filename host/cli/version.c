/* The version, and what is in this build: the list that CMake prints at the end of the configuration. */
#include <stdio.h>

#include "clattn/clattn.h"
#include "build_summary.h"
#include "commands.h"

void attn_print_version(void) {
    int version = clattn_version();
    printf("clattn %d.%d.%d\n%s", version / 10000, version / 100 % 100, version % 100, ATTN_BUILD_SUMMARY);
}
