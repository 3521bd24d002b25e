/*
 * Signals that ask to stop. The handler only takes a note; commands look at it between one run and the next.
 */
#define _POSIX_C_SOURCE 200809L
#include "base/interrupt.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
static volatile sig_atomic_t asked, on_terminal;

static void note_signal(int number) {
    static const char text[] = "\r\033[Kclattn: stopping; again to end at once\n";
    if (asked != 0) {
        signal(number, SIG_DFL);
        raise(number); /* takes effect when the handler returns */
        return;
    }
    asked = number;
    if (on_terminal && number != SIGHUP) {
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
    }
}

void attn_interrupt_watch(void) {
    on_terminal = isatty(STDERR_FILENO);
    for (size_t n = 0; n < sizeof signals / sizeof signals[0]; n++) {
        struct sigaction before, action;
        memset(&action, 0, sizeof action);
        action.sa_handler = note_signal;
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[n], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(signals[n], &action, NULL);
        }
    }
}

int attn_interrupted(void) {
    return asked;
}

int attn_interrupt_fail(attn_error *error, const char *what) {
    int number = asked;
    const char *name = number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP";
    return attn_fail(error, 128 + number, "interrupted by %s: %s", name, what);
}
