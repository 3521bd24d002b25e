/* A pseudo terminal that counts columns; see terminal.h. */
#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE
#include "support/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "support/program.h"

#ifndef CLATTN_PROGRAM
#define CLATTN_PROGRAM "clattn" /* of suites that never start it */
#endif

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void terminal_resize(terminal *t, int columns) {
    struct winsize size = { .ws_row = 24, .ws_col = (unsigned short)columns };
    ck_assert_int_eq(ioctl(t->master, TIOCSWINSZ, &size), 0);
    t->columns = columns;
    t->widest = 0;
}

void terminal_start(terminal *t, const char *settings, const char *words, int columns) {
    char command[4096];
    memset(t, 0, sizeof *t);
    t->master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_msg(t->master >= 0, "no pseudo-terminal can be had (is /dev/pts mounted?)");
    ck_assert_int_eq(fcntl(t->master, F_SETFD, FD_CLOEXEC), 0); /* else the program would keep its own terminal alive */
    ck_assert(t->master >= 0 && grantpt(t->master) == 0 && unlockpt(t->master) == 0);
    const char *name = ptsname(t->master);
    ck_assert_ptr_nonnull(name);
    terminal_resize(t, columns);
    snprintf(command, sizeof command, "unset COLUMNS; cd '%s' && TERM=xterm %s exec '%s' %s", program_folder, settings,
             CLATTN_PROGRAM, words);
    t->pid = fork();
    ck_assert_int_ge(t->pid, 0);
    if (t->pid == 0) {
        setsid();
        int slave = open(name, O_RDWR); /* becomes the terminal that controls the session */
        for (int n = 0; n < 3; n++) {
            dup2(slave, n);
        }
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
}

static void see(terminal *t, char letter) {
    if (t->length + 1 < TERMINAL_TEXT) {
        t->text[t->length++] = letter;
        t->text[t->length] = '\0';
    }
    if (t->escape) {
        t->escape = letter == '[' || (letter >= '0' && letter <= '9') || letter == ';';
    } else if (letter == '\033') {
        t->escape = true;
    } else if (letter == '\r') {
        t->redraws += t->column > 0;
        t->column = 0;
    } else if (letter == '\n') {
        t->lines++;
    } else {
        t->wraps += t->column == t->columns;
        t->column = t->column == t->columns ? 1 : t->column + 1;
        t->widest = t->column > t->widest ? t->column : t->widest;
    }
}

bool terminal_read(terminal *t, double seconds) {
    char bytes[4096];
    double end = seconds_now() + seconds;
    for (double left = seconds; left >= 0; left = end - seconds_now()) {
        struct pollfd ready = { .fd = t->master, .events = POLLIN };
        if (poll(&ready, 1, left < 0.05 ? (int)(1000 * left) : 50) <= 0) {
            continue;
        }
        ssize_t count = read(t->master, bytes, sizeof bytes);
        for (ssize_t n = 0; n < count; n++) {
            see(t, bytes[n]);
        }
        if (count <= 0) {
            return true;
        }
    }
    return false;
}

bool terminal_wait(terminal *t, const char *text, long from, double seconds) {
    double end = seconds_now() + seconds;
    bool ended = false;
    while (!strstr(t->text + from, text)) {
        if (ended || seconds_now() > end) {
            return false;
        }
        ended = terminal_read(t, 0.02);
    }
    return true;
}

int terminal_finish(terminal *t, int signal_number, double seconds) {
    int status = 0;
    if (signal_number != 0) {
        kill(t->pid, signal_number);
    }
    if (!terminal_read(t, seconds)) {
        kill(t->pid, SIGKILL); /* it hangs: the status will say so */
    }
    ck_assert_int_eq(waitpid(t->pid, &status, 0), t->pid);
    close(t->master);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
