/*
 * A library of a vendor that crashes or hangs while it is asked for its devices takes the whole process with it. So a child
 * process asks first. Knows nothing of devices: making a runtime is the question.
 */
#define _POSIX_C_SOURCE 200809L
#include "device_probe.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clattn/clattn.h"

enum { MOST_SECONDS = 60, STEPS_A_SECOND = 200 };

static void ask_and_end(void) {
    clattn_runtime *runtime = NULL;
    if (clattn_runtime_create(NULL, &runtime) == CLATTN_OK) {
        clattn_runtime_destroy(runtime);
    }
    _exit(0);
}

bool attn_probe_devices(char *why, size_t size) {
    const struct timespec step = { 0, 1000000000L / STEPS_A_SECOND };
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        ask_and_end();
    }
    if (child < 0) {
        return true;
    }
    int status = 0;
    for (int n = 0; n < MOST_SECONDS * STEPS_A_SECOND; n++) {
        const pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child && WIFSIGNALED(status)) {
            snprintf(why, size, "an OpenCL library here ends the program when it is asked for its devices (signal %d)",
                     WTERMSIG(status));
            return false;
        }
        if (ended != 0) {
            return true;
        }
        (void)nanosleep(&step, NULL);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
    snprintf(why, size, "an OpenCL library here does not answer within %d seconds when it is asked for its devices",
             MOST_SECONDS);
    return false;
}
