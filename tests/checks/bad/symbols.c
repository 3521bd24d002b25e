/* Compiled only for the checks of symbols and globals, which must refuse it: it prints, exits, keeps state, shows a
 * name of its own, reads a number by the locale, and changes the mode of the program's files. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int attn_calls; /* mutable */
static int secret = 3;
__attribute__((visibility("default"))) int shown_by_mistake(void);

int shown_by_mistake(void) {
    attn_calls += secret++;
    printf("%d\n", attn_calls);
    if (getenv("HOME") == NULL) exit(1);
    attn_calls += (int)strtod("0.5", NULL);
    attn_calls += (int)umask(0);
    return attn_calls;
}
