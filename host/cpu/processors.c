/*
 * Processors and threads on them. Linux keeps a mask for each thread, not for the process; a new thread takes over that
 * of its creator. The mask of the thread that makes a runtime is kept, so that it does not matter whose call is the
 * first that wants workers. Signals are blocked before the thread starts: it never runs with them open.
 */
#define _GNU_SOURCE
#include "cpu/processors.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cpu/quota.h"

void attn_processors_ask(attn_processors *processors) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    processors->count = online > 0 ? online : 1;
    processors->bytes = 0;
#if defined(__linux__) && defined(CPU_COUNT_S)
    cpu_set_t *set = (cpu_set_t *)(void *)processors->mask;
    memset(set, 0, sizeof processors->mask);
    if (sched_getaffinity(0, sizeof processors->mask, set) == 0 && CPU_COUNT_S(sizeof processors->mask, set) > 0) {
        processors->count = CPU_COUNT_S(sizeof processors->mask, set);
        processors->bytes = sizeof processors->mask;
    }
#endif
}

int64_t attn_processors_threads(const attn_processors *processors, const char *root) {
    int64_t quota = attn_quota_processors(root);
    return quota > 0 && quota < processors->count ? quota : processors->count;
}

/** All signals but those that the thread's own instructions raise, for which a handler must run where they happen. */
static void fill_signals(sigset_t *signals) {
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    sigfillset(signals);
    for (size_t k = 0; k < sizeof own / sizeof *own; k++) {
        sigdelset(signals, own[k]);
    }
}

void attn_processors_take(const attn_processors *processors) {
#if defined(__linux__)
    if (processors->bytes >
        0) { /* fails where processors were taken from the process meanwhile: then it stays as it is */
        (void)sched_setaffinity(0, (size_t)processors->bytes, (const cpu_set_t *)(const void *)processors->mask);
    }
#else
    (void)processors;
#endif
}

int attn_processors_start(pthread_t *thread, void *(*work)(void *argument), void *argument) {
    sigset_t blocked, before;
    fill_signals(&blocked);
    int error = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (error != 0) {
        return error;
    }
    error = pthread_create(thread, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
